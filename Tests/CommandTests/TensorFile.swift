import Foundation
import Testing

/// A safetensors file as the tests read and write it, by the format's description and without the code under test.
struct TensorFile {
  struct Entry {
    var type: String
    var shape: [Int]
    var bytes: Data
  }

  var entries: [String: Entry] = [:]
  var metadata: [String: String] = [:]

  init() {}

  /// Reads a file strictly: the tensors lie without gaps, as the format demands.
  init(_ path: String) throws {
    let file = try Data(contentsOf: URL(fileURLWithPath: path))
    let length = file.prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) }
    let header = try #require(
      try JSONSerialization.jsonObject(with: file.dropFirst(8).prefix(length)) as? [String: Any])
    metadata = header["__metadata__"] as? [String: String] ?? [:]
    var total = 0
    for (name, value) in header where name != "__metadata__" {
      let fields = try #require(value as? [String: Any])
      let (type, shape) = (try #require(fields["dtype"] as? String), try #require(fields["shape"] as? [Int]))
      let offsets = try #require(fields["data_offsets"] as? [Int])
      let bytes = Data(file[(8 + length + offsets[0])..<(8 + length + offsets[1])])
      let size = try #require(["F32": 4, "F16": 2, "BF16": 2, "I64": 8][type])
      try #require(bytes.count == shape.reduce(size, *), "\(name)")
      entries[name] = Entry(type: type, shape: shape, bytes: bytes)
      total += bytes.count
    }
    try #require(file.count == 8 + length + total, "\(path) has gaps or a tail")
  }

  func write(to path: String) throws {
    var header: [String: Any] = ["__metadata__": metadata]
    var data = Data()
    for (name, entry) in entries.sorted(by: { $0.key < $1.key }) {
      let range = [data.count, data.count + entry.bytes.count]
      header[name] = ["dtype": entry.type, "shape": entry.shape, "data_offsets": range] as [String: Any]
      data += entry.bytes
    }
    let json = try JSONSerialization.data(withJSONObject: header)
    let length = withUnsafeBytes(of: UInt64(json.count).littleEndian) { Data($0) }
    try (length + json + data).write(to: URL(fileURLWithPath: path))
  }

  func floats(_ name: String) throws -> [Float] { try values(name, "F32") }

  func integers(_ name: String) throws -> [Int] { try values(name, "I64") }

  private func values<T>(_ name: String, _ type: String) throws -> [T] {
    let entry = try #require(entries[name], "\(name) is not in the file")
    try #require(entry.type == type, "\(name)")
    return entry.bytes.withUnsafeBytes { bytes in
      stride(from: 0, to: bytes.count, by: MemoryLayout<T>.size).map {
        bytes.loadUnaligned(fromByteOffset: $0, as: T.self)
      }
    }
  }
}

/// max|a-b| / max|b| over finite entries; infinite where one is masked and the other is not.
func difference(_ a: [Float], _ b: [Float]) -> Double {
  guard a.count == b.count else { return .infinity }
  var (largest, scale) = (0.0, 0.0)
  for (x, y) in zip(a, b) {
    if !x.isFinite || !y.isFinite {
      if x != y { return .infinity }
    } else {
      largest = max(largest, Double(abs(x - y)))
      scale = max(scale, Double(abs(y)))
    }
  }
  return scale == 0 ? largest : largest / scale
}
