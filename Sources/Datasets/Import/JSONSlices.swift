/// Finds the members of a big JSON file without reading it into values: annotation files of hundreds of megabytes are
/// then decoded element by element. What lies inside an element is checked by who decodes it.
struct JSONSlices {
  struct Malformed: Error {
    /// Byte at which the structure breaks.
    let offset: Int
    let what: String
  }

  private let bytes: UnsafeRawBufferPointer
  private var position: Int
  private let end: Int

  init(_ bytes: UnsafeRawBufferPointer, in range: Range<Int>? = nil) {
    self.bytes = bytes
    position = range?.lowerBound ?? 0
    end = range?.upperBound ?? bytes.count
  }

  /// Calls `body` with each key of the object that begins here and the range of its value.
  mutating func members(_ body: (String, Range<Int>) throws -> Void) throws {
    try expect(UInt8(ascii: "{"), "an object")
    if skip(UInt8(ascii: "}")) { return }
    repeat {
      let key = try value()
      guard key.count >= 2, bytes[key.lowerBound] == UInt8(ascii: "\"") else { throw malformed("a key is no string") }
      try expect(UInt8(ascii: ":"), "':'")
      let name = String(decoding: bytes[key.lowerBound + 1..<key.upperBound - 1], as: UTF8.self)
      try body(name, try value())
    } while skip(UInt8(ascii: ","))
    try expect(UInt8(ascii: "}"), "',' or '}'")
  }

  /// Calls `body` with the range of each element of the array that begins here.
  mutating func elements(_ body: (Range<Int>) throws -> Void) throws {
    try expect(UInt8(ascii: "["), "an array")
    if skip(UInt8(ascii: "]")) { return }
    repeat { try body(try value()) } while skip(UInt8(ascii: ","))
    try expect(UInt8(ascii: "]"), "',' or ']'")
  }

  /// The range of the value that begins here, by its brackets and quotes.
  private mutating func value() throws -> Range<Int> {
    skipSpace()
    let start = position
    var depth = 0
    repeat {
      guard position < end else { throw malformed("the file ends inside of a value") }
      switch bytes[position] {
      case UInt8(ascii: "\""): try skipString()
      case UInt8(ascii: "{"), UInt8(ascii: "["):
        depth += 1
        position += 1
      case UInt8(ascii: "}"), UInt8(ascii: "]"):
        guard depth > 0 else { throw malformed("a value is missing") }
        depth -= 1
        position += 1
      case UInt8(ascii: ",") where depth == 0: throw malformed("a value is missing")
      case _ where depth == 0: skipScalar()
      default: position += 1
      }
    } while depth > 0
    return start..<position
  }

  private mutating func skipString() throws {
    position += 1
    while position < end, bytes[position] != UInt8(ascii: "\"") {
      position += bytes[position] == UInt8(ascii: "\\") ? 2 : 1
    }
    guard position < end else { throw malformed("the file ends inside of a string") }
    position += 1
  }

  private mutating func skipScalar() {
    while position < end, !" \t\r\n,:]}".utf8.contains(bytes[position]) { position += 1 }
  }

  private mutating func skipSpace() {
    while position < end, " \t\r\n".utf8.contains(bytes[position]) { position += 1 }
  }

  private mutating func skip(_ byte: UInt8) -> Bool {
    skipSpace()
    guard position < end, bytes[position] == byte else { return false }
    position += 1
    return true
  }

  private mutating func expect(_ byte: UInt8, _ what: String) throws {
    guard skip(byte) else { throw malformed("\(what) is expected") }
  }

  private func malformed(_ what: String) -> Malformed { Malformed(offset: position, what: what) }
}
