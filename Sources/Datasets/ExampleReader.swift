import Diagnostics
import Foundation

/// Reads lines of one `metadata.jsonl`; remembers which names were seen and the digests of files that lines share.
struct ExampleReader {
  let folder: String
  /// The key that names an example's cluster.
  let clusterKey: String
  private var places: [String: String] = [:]
  private var digests: [String: String] = [:]

  init(folder: String, clusterKey: String) { (self.folder, self.clusterKey) = (folder, clusterKey) }

  mutating func example(_ line: Data, place: String) throws -> Example {
    let row = try Row(line, place: place)
    let fileName = try row.text("file_name")
    let id = try row.optionalText("id") ?? fileName
    if let first = places.updateValue(place, forKey: id) {
      throw row.refuse("the id '\(id)' was given before", remedy: "first at \(first)")
    }
    let prompt = try row.text("prompt")
    guard prompt.components(separatedBy: "<image>").count == 2 else {
      throw row.refuse("the prompt does not hold <image> exactly once", remedy: "write <image> where the image goes")
    }
    let imagePath = path(fileName)
    var example = Example(
      id: id, imagePath: imagePath, prompt: prompt, answer: try row.text("answer"),
      className: try row.optionalText("class"), picture: String(try fileDigest(imagePath, place).prefix(16)),
      cluster: try row.name(clusterKey), parts: try parts(row), meta: row.others, digest: "", place: place)
    example.digest = try digest(of: example)
    return example
  }

  private func path(_ name: String) -> String {
    name.hasPrefix("/") ? name : (folder as NSString).appendingPathComponent(name)
  }

  private func parts(_ row: Row) throws -> [Example.Part] {
    var counts: [String: Int] = [:]
    return try row.list("parts").enumerated().map { index, part in
      let known = ["label", "mask", "value"]
      if let key = part.keys.first(where: { !known.contains($0) }) {
        throw row.refuse("unknown key '\(key)' in parts[\(index)]", remedy: suggestion(for: key, in: known))
      }
      let label = try part.text("label")
      counts[label, default: 0] += 1
      let count = counts[label] ?? 1
      return Example.Part(
        label: label, name: count == 1 ? label : "\(label)#\(count)", maskPath: path(try part.text("mask")),
        value: try part.int("value", in: 1...255))
    }
  }

  private mutating func digest(of example: Example) throws -> String {
    let parts = try example.parts.map { part in
      JSON.object([
        ("label", .string(part.label)), ("mask", .string(try fileDigest(part.maskPath, example.place))),
        ("value", part.value.map(JSON.int) ?? .null),
      ])
    }
    let content = JSON.object([
      ("image", .string(try fileDigest(example.imagePath, example.place))), ("prompt", .string(example.prompt)),
      ("answer", .string(example.answer)), ("class", example.className.map(JSON.string) ?? .null),
      ("parts", .array(parts)),
    ])
    return SHA256.hex(content.compact)
  }

  private mutating func fileDigest(_ path: String, _ place: String) throws -> String {
    if let known = digests[path] { return known }
    guard let data = FileManager.default.contents(atPath: path) else {
      throw DatasetError.missing(
        place: place, what: "there is no file \(path)", remedy: "file names are relative to the dataset's folder")
    }
    let digest = data.withUnsafeBytes { SHA256.hex($0) }
    digests[path] = digest
    return digest
  }
}

/// One JSON object of the file, read key by key.
private struct Row {
  let place: String
  private let fields: [String: Any]
  /// `parts[2]: ` inside of a part.
  private let prefix: String

  static let known = ["file_name", "id", "prompt", "answer", "class", "cluster", "parts"]

  init(_ line: Data, place: String) throws {
    guard let fields = try? JSONSerialization.jsonObject(with: line) as? [String: Any] else {
      throw DatasetError.malformed(
        place: place, what: "the line is not a JSON object", remedy: "each line is one, without line breaks")
    }
    self.init(fields, place: place, prefix: "")
  }

  private init(_ fields: [String: Any], place: String, prefix: String) {
    self.fields = fields
    self.place = place
    self.prefix = prefix
  }

  var keys: [String] { fields.keys.sorted() }

  func refuse(_ what: String, remedy: String = "") -> DatasetError {
    .malformed(place: place, what: prefix + what, remedy: remedy)
  }

  func optionalText(_ key: String) throws -> String? {
    guard let value = fields[key], !(value is NSNull) else { return nil }
    guard let text = value as? String, !text.isEmpty else { throw refuse("'\(key)' is not text") }
    return text
  }

  /// Text, or a whole number as text.
  func name(_ key: String) throws -> String? {
    if case .int(let number)? = JSON(fields[key]) { return "\(number)" }
    return try optionalText(key)
  }

  func text(_ key: String) throws -> String {
    guard let text = try optionalText(key) else { throw refuse("the key '\(key)' is missing") }
    return text
  }

  func int(_ key: String, in range: ClosedRange<Int>) throws -> Int? {
    guard let value = fields[key], !(value is NSNull) else { return nil }
    guard case .int(let number)? = JSON(value), range.contains(number) else {
      throw refuse("'\(key)' is not a whole number (\(range.lowerBound)...\(range.upperBound))")
    }
    return number
  }

  func list(_ key: String) throws -> [Row] {
    guard let value = fields[key], !(value is NSNull) else { return [] }
    guard let items = value as? [[String: Any]] else { throw refuse("'\(key)' is not a list of objects") }
    return items.enumerated().map { Row($1, place: place, prefix: "\(key)[\($0)]: ") }
  }

  /// Keys without a meaning here, sorted.
  var others: [(String, JSON)] {
    keys.filter { !Row.known.contains($0) }.compactMap { key in JSON(fields[key]).map { (key, $0) } }
  }
}
