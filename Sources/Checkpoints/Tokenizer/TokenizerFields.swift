/// The members of one JSON object of a tokenizer.json, taken by name. What is never taken and is not null is refused by
/// `finish`, so that no setting is ignored in silence.
struct TokenizerFields {
  let path: String
  /// The object's place in the file, for messages: "pre_tokenizer.pretokenizers[1]".
  let place: String
  private var members: [(key: String, value: TokenizerJSON)]

  init(_ value: TokenizerJSON, path: String, place: String) throws(CheckpointError) {
    guard case .object(let members) = value else {
      throw .malformed(path: path, at: place, problem: "expected an object, found \(value.brief)")
    }
    self.path = path
    self.place = place
    self.members = members
  }

  func name(_ key: String) -> String { place.isEmpty ? key : "\(place).\(key)" }

  func malformed(_ key: String, _ problem: String) -> CheckpointError {
    .malformed(path: path, at: name(key), problem: problem, remedy: "is it the tokenizer.json of a checkpoint?")
  }

  func unsupported(_ key: String, _ problem: String, remedy: String = "") -> CheckpointError {
    .unsupported(path: path, key: name(key), problem: problem, remedy: remedy)
  }

  func has(_ key: String) -> Bool { members.contains { $0.key == key } }

  /// The value under `key`; nil when it is absent or null.
  mutating func take(_ key: String) -> TokenizerJSON? {
    guard let index = members.firstIndex(where: { $0.key == key }) else { return nil }
    let value = members.remove(at: index).value
    if case .null = value { return nil }
    return value
  }

  mutating func required(_ key: String) throws(CheckpointError) -> TokenizerJSON {
    guard let value = take(key) else { throw malformed(key, "the key is missing") }
    return value
  }

  mutating func bool(_ key: String, default fallback: Bool) throws(CheckpointError) -> Bool {
    guard let value = take(key) else { return fallback }
    guard case .bool(let flag) = value else { throw malformed(key, "expected true or false, found \(value.brief)") }
    return flag
  }

  mutating func int(_ key: String) throws(CheckpointError) -> Int {
    let value = try required(key)
    guard case .int(let number) = value, number >= 0, number <= Tokenizer.maxId else {
      throw malformed(key, "expected a whole number from 0 to \(Tokenizer.maxId), found \(value.brief)")
    }
    return number
  }

  mutating func bytes(_ key: String) throws(CheckpointError) -> [UInt8]? {
    guard let value = take(key) else { return nil }
    guard case .string(let bytes) = value else { throw malformed(key, "expected a string, found \(value.brief)") }
    return bytes
  }

  mutating func requiredBytes(_ key: String) throws(CheckpointError) -> [UInt8] {
    guard let bytes = try bytes(key) else { throw malformed(key, "the key is missing") }
    return bytes
  }

  mutating func text(_ key: String) throws(CheckpointError) -> String? {
    try bytes(key).map { String(decoding: $0, as: UTF8.self) }
  }

  /// A string of exactly one Unicode scalar, as its UTF-8 bytes.
  mutating func scalar(_ key: String) throws(CheckpointError) -> [UInt8] {
    let bytes = try requiredBytes(key)
    guard String(decoding: bytes, as: UTF8.self).unicodeScalars.count == 1 else {
      throw malformed(key, "expected one character")
    }
    return bytes
  }

  mutating func list(_ key: String) throws(CheckpointError) -> [TokenizerJSON] {
    let value = try required(key)
    guard case .array(let items) = value else { throw malformed(key, "expected a list, found \(value.brief)") }
    return items
  }

  /// Refuses what was not taken.
  func finish() throws(CheckpointError) {
    for (key, value) in members {
      if case .null = value { continue }
      throw unsupported(key, "the setting \"\(key)\" with value \(value.brief) is not one that Ablate knows")
    }
  }
}
