/// A value that crosses between the host and a worker: words of fixed width and counted bytes, field after field.
protocol Wire {
  func write(to wire: inout WireWriter)
  init(from wire: inout WireReader) throws(WireFault)
}

/// What came over the wire is no such value. The other side may be a plugin that does as it likes: nothing is believed.
struct WireFault: Error {
  var problem: String
}

struct WireWriter {
  private(set) var bytes: [UInt8] = []

  mutating func put(_ values: any Wire...) { for value in values { value.write(to: &self) } }

  mutating func put<T: BitwiseCopyable>(raw value: T) {
    withUnsafeBytes(of: value) { bytes.append(contentsOf: $0) }
  }

  mutating func put(counted raw: UnsafeRawBufferPointer) {
    put(raw: UInt64(raw.count))
    bytes.append(contentsOf: raw)
  }
}

struct WireReader {
  private let bytes: [UInt8]
  private var position = 0

  init(_ bytes: [UInt8]) { self.bytes = bytes }

  var remaining: Int { bytes.count - position }

  mutating func get<T: Wire>(_ type: T.Type = T.self) throws(WireFault) -> T { try T(from: &self) }

  mutating func get<T: RawRepresentable>(_ type: T.Type = T.self) throws(WireFault) -> T where T.RawValue: Wire {
    let raw: T.RawValue = try get()
    guard let value = T(rawValue: raw) else { throw WireFault(problem: "\(raw) is no \(T.self)") }
    return value
  }

  mutating func raw<T: BitwiseCopyable>(_ type: T.Type) throws(WireFault) -> T {
    let size = MemoryLayout<T>.size
    guard remaining >= size else { throw WireFault(problem: "ends within a \(T.self)") }
    defer { position += size }
    return bytes.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: position, as: type) }
  }

  /// The bytes of something counted.
  mutating func counted() throws(WireFault) -> ArraySlice<UInt8> {
    let count = try raw(UInt64.self)
    guard count <= UInt64(remaining) else { throw WireFault(problem: "\(count) bytes are said to follow") }
    defer { position += Int(count) }
    return bytes[position..<position + Int(count)]
  }

  /// Nothing is left over.
  func end() throws(WireFault) {
    guard remaining == 0 else { throw WireFault(problem: "\(remaining) bytes too many") }
  }
}

// MARK: words

extension Wire where Self: BitwiseCopyable {
  func write(to wire: inout WireWriter) { wire.put(raw: self) }
  init(from wire: inout WireReader) throws(WireFault) { self = try wire.raw(Self.self) }
}

extension UInt32: Wire {}
extension Int32: Wire {}
extension UInt64: Wire {}
extension Int64: Wire {}
extension Int: Wire {}
extension Float: Wire {}
extension Double: Wire {}
extension SIMD2<UInt32>: Wire {}
extension SIMD4<Float>: Wire {}

extension UInt8: Wire {}

extension Bool: Wire {
  func write(to wire: inout WireWriter) { wire.put(raw: UInt8(self ? 1 : 0)) }
  init(from wire: inout WireReader) throws(WireFault) { self = try wire.raw(UInt8.self) != 0 }
}

// MARK: containers

extension String: Wire {
  func write(to wire: inout WireWriter) {
    var copy = self
    copy.withUTF8 { wire.put(counted: UnsafeRawBufferPointer($0)) }
  }

  init(from wire: inout WireReader) throws(WireFault) {
    guard let text = String(validating: try wire.counted(), as: UTF8.self) else {
      throw WireFault(problem: "text is not UTF-8")
    }
    self = text
  }
}

extension Array: Wire where Element: Wire {
  func write(to wire: inout WireWriter) {
    wire.put(raw: UInt64(count))
    for element in self { element.write(to: &wire) }
  }

  /// Every element takes a byte at least, so that a count that is not true costs no memory.
  init(from wire: inout WireReader) throws(WireFault) {
    let count = try wire.raw(UInt64.self)
    guard count <= UInt64(wire.remaining) else { throw WireFault(problem: "\(count) elements are said to follow") }
    self = []
    reserveCapacity(Int(count))
    for _ in 0..<count { append(try wire.get()) }
  }
}

extension Optional: Wire where Wrapped: Wire {
  func write(to wire: inout WireWriter) {
    wire.put(raw: UInt8(self == nil ? 0 : 1))
    self?.write(to: &wire)
  }

  init(from wire: inout WireReader) throws(WireFault) {
    self = try wire.get(Bool.self) ? try wire.get(Wrapped.self) : nil
  }
}
