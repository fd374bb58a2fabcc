/// A value of a tokenizer.json. Strings are UTF-8 bytes: Swift's `String` equality is canonical equivalence, under
/// which different pieces of a real vocabulary are one key.
indirect enum TokenizerJSON: Sendable {
  case null
  case bool(Bool)
  case int(Int)
  case double(Double)
  case string([UInt8])
  case array([TokenizerJSON])
  case object([(key: String, value: TokenizerJSON)])
  /// A value that was checked and stepped over; it starts at this byte of the file.
  case deferred(Int)

  /// As it is shown in an error message.
  var brief: String {
    switch self {
    case .null: "null"
    case .bool(let value): "\(value)"
    case .int(let value): "\(value)"
    case .double(let value): "\(value)"
    case .string(let bytes): "\"\(String(decoding: bytes.prefix(60), as: UTF8.self))\""
    case .array: "a list"
    case .object, .deferred: "an object"
    }
  }
}

/// A JSON reader over the bytes of one file. The large tables (`model.vocab`, `model.merges`) are read straight from
/// the bytes, without a tree: a vocabulary of 128,000 pieces opens in about a tenth of a second.
struct TokenizerScanner {
  let path: String
  let bytes: [UInt8]
  var position = 0

  static let maxDepth = 64

  init(path: String, bytes: [UInt8]) {
    self.path = path
    self.bytes = bytes
  }

  func failure(_ problem: String, at offset: Int? = nil) -> CheckpointError {
    .malformed(
      path: path, at: "byte \(offset ?? position)", problem: problem,
      remedy: "the file is not the JSON that a tokenizer writes; copy or download it again")
  }

  /// The next byte that is not white space, not consumed.
  mutating func peek() throws(CheckpointError) -> UInt8 {
    while position < bytes.count {
      let byte = bytes[position]
      if byte != 0x20 && byte != 0x0A && byte != 0x0D && byte != 0x09 { return byte }
      position += 1
    }
    throw failure("the file ends in the middle of a value")
  }

  mutating func expect(_ byte: UInt8) throws(CheckpointError) {
    guard try peek() == byte else {
      throw failure("expected '\(Character(Unicode.Scalar(byte)))', found '\(found())'")
    }
    position += 1
  }

  /// Consumes `byte` if it is next.
  mutating func take(_ byte: UInt8) throws(CheckpointError) -> Bool {
    guard try peek() == byte else { return false }
    position += 1
    return true
  }

  private func found() -> String {
    String(decoding: bytes[min(position, bytes.count)..<min(position + 12, bytes.count)], as: UTF8.self)
  }

  /// The whole document: one value and nothing after it. Values at the paths of `deferring` ("model.vocab") are
  /// checked, stepped over, and given as `.deferred`.
  mutating func document(deferring: Set<String>) throws(CheckpointError) -> TokenizerJSON {
    position = 0
    let value = try self.value(at: "", deferring: deferring, depth: 0)
    while position < bytes.count {
      guard [0x20, 0x0A, 0x0D, 0x09].contains(bytes[position]) else {
        throw failure("text after the end of the JSON value")
      }
      position += 1
    }
    return value
  }

  private mutating func value(
    at place: String, deferring: Set<String>, depth: Int
  ) throws(CheckpointError) -> TokenizerJSON {
    guard depth < Self.maxDepth else { throw failure("JSON nested more than \(Self.maxDepth) deep") }
    if deferring.contains(place) {
      _ = try peek()
      let start = position
      try skip(depth: depth)
      return .deferred(start)
    }
    switch try peek() {
    case UInt8(ascii: "{"): return try object(at: place, deferring: deferring, depth: depth)
    case UInt8(ascii: "["):
      position += 1
      var items: [TokenizerJSON] = []
      if try take(UInt8(ascii: "]")) { return .array(items) }
      repeat { items.append(try value(at: place + "[]", deferring: deferring, depth: depth + 1)) } while try take(0x2C)
      try expect(UInt8(ascii: "]"))
      return .array(items)
    case UInt8(ascii: "\""): return .string(try string())
    case UInt8(ascii: "t"): return try word("true", .bool(true))
    case UInt8(ascii: "f"): return try word("false", .bool(false))
    case UInt8(ascii: "n"): return try word("null", .null)
    default: return try number()
    }
  }

  private mutating func object(
    at place: String, deferring: Set<String>, depth: Int
  ) throws(CheckpointError) -> TokenizerJSON {
    position += 1
    var members: [(key: String, value: TokenizerJSON)] = []
    if try take(UInt8(ascii: "}")) { return .object(members) }
    repeat {
      _ = try peek()
      let start = position
      let key = String(decoding: try string(), as: UTF8.self)
      if members.contains(where: { $0.key.utf8.elementsEqual(key.utf8) }) {
        throw failure("the key \"\(key)\" stands twice in one object", at: start)
      }
      try expect(UInt8(ascii: ":"))
      let inner = place.isEmpty ? key : place + "." + key
      members.append((key, try value(at: inner, deferring: deferring, depth: depth + 1)))
    } while try take(0x2C)
    try expect(UInt8(ascii: "}"))
    return .object(members)
  }

  /// Steps over one value, checking it.
  private mutating func skip(depth: Int) throws(CheckpointError) {
    guard depth < Self.maxDepth else { throw failure("JSON nested more than \(Self.maxDepth) deep") }
    switch try peek() {
    case UInt8(ascii: "{"):
      position += 1
      if try take(UInt8(ascii: "}")) { return }
      repeat {
        try skipString()
        try expect(UInt8(ascii: ":"))
        try skip(depth: depth + 1)
      } while try take(0x2C)
      try expect(UInt8(ascii: "}"))
    case UInt8(ascii: "["):
      position += 1
      if try take(UInt8(ascii: "]")) { return }
      repeat { try skip(depth: depth + 1) } while try take(0x2C)
      try expect(UInt8(ascii: "]"))
    case UInt8(ascii: "\""): try skipString()
    default: _ = try value(at: "", deferring: [], depth: depth)
    }
  }

  private mutating func skipString() throws(CheckpointError) {
    try expect(UInt8(ascii: "\""))
    while position < bytes.count {
      let byte = bytes[position]
      position += byte == UInt8(ascii: "\\") ? 2 : 1
      if byte == UInt8(ascii: "\"") { return }
    }
    throw failure("the file ends inside a string")
  }

  private mutating func word(_ text: String, _ value: TokenizerJSON) throws(CheckpointError) -> TokenizerJSON {
    guard bytes[position...].starts(with: text.utf8) else { throw failure("expected a value, found '\(found())'") }
    position += text.utf8.count
    return value
  }

  private mutating func number() throws(CheckpointError) -> TokenizerJSON {
    let start = position
    while position < bytes.count, "+-.0123456789eE".utf8.contains(bytes[position]) { position += 1 }
    let text = String(decoding: bytes[start..<position], as: UTF8.self)
    if let value = Int(text) { return .int(value) }
    guard let value = Double(text), value.isFinite else {
      throw failure("expected a value, found '\(text.isEmpty ? found() : text)'", at: start)
    }
    return .double(value)
  }

  /// A whole number of the tables, without an intermediate string.
  mutating func integer() throws(CheckpointError) -> Int {
    let first = try peek()
    let start = position
    var value = 0
    while position < bytes.count, bytes[position] &- 0x30 < 10, position - start < 10 {
      value = value * 10 + Int(bytes[position] - 0x30)
      position += 1
    }
    guard position > start, position < bytes.count, !".eE0123456789".utf8.contains(bytes[position]) else {
      throw failure("expected a token id (a whole number), found '\(Character(Unicode.Scalar(first)))'", at: start)
    }
    return value
  }

  /// The bytes of a string, escapes resolved.
  mutating func string() throws(CheckpointError) -> [UInt8] {
    var result: [UInt8] = []
    try appendString(to: &result)
    return result
  }

  /// Appends the bytes of a string to `result`, escapes resolved.
  mutating func appendString(to result: inout [UInt8]) throws(CheckpointError) {
    try expect(UInt8(ascii: "\""))
    var runStart = position
    while position < bytes.count {
      let byte = bytes[position]
      if byte == UInt8(ascii: "\"") {
        result.append(contentsOf: bytes[runStart..<position])
        position += 1
        return
      }
      if byte < 0x20 { throw failure("a control character inside a string") }
      if byte == UInt8(ascii: "\\") {
        result.append(contentsOf: bytes[runStart..<position])
        try escape(into: &result)
        runStart = position
      } else {
        position += 1
      }
    }
    throw failure("the file ends inside a string")
  }

  private mutating func escape(into result: inout [UInt8]) throws(CheckpointError) {
    let start = position
    guard position + 1 < bytes.count else { throw failure("the file ends inside a string") }
    let letter = bytes[position + 1]
    position += 2
    switch letter {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): result.append(letter)
    case UInt8(ascii: "b"): result.append(0x08)
    case UInt8(ascii: "f"): result.append(0x0C)
    case UInt8(ascii: "n"): result.append(0x0A)
    case UInt8(ascii: "r"): result.append(0x0D)
    case UInt8(ascii: "t"): result.append(0x09)
    case UInt8(ascii: "u"):
      var code = try hex4()
      if code & 0xFC00 == 0xD800, position + 1 < bytes.count, bytes[position] == UInt8(ascii: "\\"),
        bytes[position + 1] == UInt8(ascii: "u")
      {
        position += 2
        let low = try hex4()
        guard low & 0xFC00 == 0xDC00 else { throw failure("half a surrogate pair in an escape", at: start) }
        code = 0x10000 + ((code & 0x3FF) << 10) + (low & 0x3FF)
      }
      guard let scalar = Unicode.Scalar(code) else { throw failure("half a surrogate pair in an escape", at: start) }
      result.append(contentsOf: String(scalar).utf8)
    default: throw failure("an unknown escape in a string", at: start)
    }
  }

  private mutating func hex4() throws(CheckpointError) -> UInt32 {
    guard position + 4 <= bytes.count, let code = UInt32(hexDigits: bytes[position..<position + 4]) else {
      throw failure("expected four hexadecimal digits after \\u")
    }
    position += 4
    return code
  }
}

extension UInt32 {
  /// nil unless every byte is an ASCII hexadecimal digit.
  init?(hexDigits: ArraySlice<UInt8>) {
    self = 0
    for byte in hexDigits {
      switch byte {
      case 0x30...0x39: self = self << 4 | UInt32(byte - 0x30)
      case 0x41...0x46: self = self << 4 | UInt32(byte - 0x37)
      case 0x61...0x66: self = self << 4 | UInt32(byte - 0x57)
      default: return nil
      }
    }
  }
}
