import Foundation

/// A struct in Thrift's compact protocol (thrift-compact-protocol.md), as Parquet's headers are written. Fields are added by rising number.
struct ThriftCompact {
  private var bytes = Data()
  private var last = 0

  /// The struct with its end.
  var data: Data { bytes + [0] }

  mutating func int32(_ id: Int, _ value: Int) {
    field(id, type: 5)
    bytes.append(varint: zigzag(value))
  }

  mutating func int64(_ id: Int, _ value: Int) {
    field(id, type: 6)
    bytes.append(varint: zigzag(value))
  }

  mutating func text(_ id: Int, _ value: String) {
    field(id, type: 8)
    append(value)
  }

  mutating func structure(_ id: Int, _ value: ThriftCompact) {
    field(id, type: 12)
    bytes.append(value.data)
  }

  mutating func structures(_ id: Int, _ values: [ThriftCompact]) {
    list(id, of: 12, count: values.count)
    for value in values { bytes.append(value.data) }
  }

  mutating func int32s(_ id: Int, _ values: [Int]) {
    list(id, of: 5, count: values.count)
    for value in values { bytes.append(varint: zigzag(value)) }
  }

  mutating func texts(_ id: Int, _ values: [String]) {
    list(id, of: 8, count: values.count)
    for value in values { append(value) }
  }

  private mutating func append(_ text: String) {
    bytes.append(varint: UInt64(text.utf8.count))
    bytes.append(contentsOf: text.utf8)
  }

  /// The step from the last field's number and the type share a byte; Parquet's steps are below 16.
  private mutating func field(_ id: Int, type: UInt8) {
    bytes.append(UInt8(truncatingIfNeeded: id - last) << 4 | type)
    last = id
  }

  private mutating func list(_ id: Int, of type: UInt8, count: Int) {
    field(id, type: 9)
    bytes.append(UInt8(min(count, 15)) << 4 | type)
    if count >= 15 { bytes.append(varint: UInt64(count)) }
  }

  private func zigzag(_ value: Int) -> UInt64 { UInt64(bitPattern: Int64(value << 1 ^ value >> 63)) }
}

extension Data {
  /// Seven bits a byte, the lowest first; the eighth says that more follow.
  mutating func append(varint value: UInt64) {
    var rest = value
    while rest > 127 {
      append(UInt8(truncatingIfNeeded: rest) | 128)
      rest >>= 7
    }
    append(UInt8(rest))
  }

  mutating func append<T: FixedWidthInteger>(littleEndian value: T) {
    Swift.withUnsafeBytes(of: value.littleEndian) { append(contentsOf: $0) }
  }
}
