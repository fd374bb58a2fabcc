import Diagnostics
import Foundation

/// JSON with its numbers and booleans apart.
indirect enum JSONValue: Decodable, Equatable {
  case null
  case bool(Bool)
  case integer(Int64)
  case number(Double)
  case string(String)
  case array([JSONValue])
  case object([String: JSONValue])

  init(from decoder: any Decoder) throws {
    let box = try decoder.singleValueContainer()
    if box.decodeNil() {
      self = .null
    } else if let value = try? box.decode(Bool.self) {
      self = .bool(value)
    } else if let value = try? box.decode(Int64.self) {
      self = .integer(value)
    } else if let value = try? box.decode(Double.self) {
      self = .number(value)
    } else if let value = try? box.decode(String.self) {
      self = .string(value)
    } else if let value = try? box.decode([JSONValue].self) {
      self = .array(value)
    } else {
      self = .object(try box.decode([String: JSONValue].self))
    }
  }

  static func parse(_ data: Data, path: String) throws(PluginError) -> JSONValue {
    // Foundation takes UTF-16 and UTF-32 too.
    guard !data.contains(0), String(validating: data, as: UTF8.self) != nil else {
      throw .manifest(path: path, at: "", problem: "is not UTF-8 text")
    }
    do {
      let value = try JSONDecoder().decode(JSONValue.self, from: data)
      guard let key = repeatedKey(Array(data)) else { return value }
      throw PluginError.manifest(path: path, at: "", problem: "the key '\(key)' is given twice in one object")
    } catch let error as PluginError {
      throw error
    } catch {
      let cause = (error as? DecodingError).flatMap { error -> String? in
        guard case .dataCorrupted(let context) = error else { return nil }
        return context.underlyingError.map { "\(($0 as NSError).userInfo[NSDebugDescriptionErrorKey] ?? $0)" }
      }
      throw .manifest(path: path, at: "", problem: "is not JSON: \(cause ?? "\(error)")")
    }
  }
}

extension JSONValue {
  /// Foundation keeps one of two equal keys and says nothing. `bytes` are a JSON text that it has accepted.
  private static func repeatedKey(_ bytes: [UInt8]) -> String? {
    var open: [Set<String>] = []
    var at = 0
    while at < bytes.count {
      switch bytes[at] {
      case UInt8(ascii: "{"), UInt8(ascii: "["): open.append([])
      case UInt8(ascii: "}"), UInt8(ascii: "]"): _ = open.popLast()
      case UInt8(ascii: "\""):
        let start = at
        repeat {
          at += bytes[at] == UInt8(ascii: "\\") ? 2 : 1
        } while at < bytes.count && bytes[at] != UInt8(ascii: "\"")
        guard at < bytes.count, let inner = open.indices.last else { return nil }
        let isKey = bytes[(at + 1)...].first { !" \n\r\t".utf8.contains($0) } == UInt8(ascii: ":")
        // Spelled with escapes or without, it is the same key.
        let word = try? JSONDecoder().decode(String.self, from: Data(bytes[start...at]))
        if isKey, let word, !open[inner].insert(word).inserted { return word }
      default: break
      }
      at += 1
    }
    return nil
  }
}

/// A value and its place, so that every error can name it.
struct Field {
  let value: JSONValue
  let path: String
  /// "params[1].default"
  let at: String

  func error(_ problem: String, _ remedy: String = "") -> PluginError {
    .manifest(path: path, at: at, problem: problem, remedy: remedy)
  }

  func object(keys: [String]) throws(PluginError) -> Fields {
    let fields = try anyObject()
    for key in fields.values.keys.sorted() where !keys.contains(key) && !key.hasPrefix("x-") {
      throw .manifest(path: path, at: fields.place(key), problem: "unknown key", remedy: suggestion(for: key, in: keys))
    }
    return fields
  }

  func anyObject() throws(PluginError) -> Fields {
    guard case .object(let values) = value else { throw error("must be an object") }
    return Fields(values: values, path: path, at: at)
  }

  func list() throws(PluginError) -> [Field] {
    guard case .array(let values) = value else { throw error("must be a list") }
    return values.enumerated().map { Field(value: $1, path: path, at: "\(at)[\($0)]") }
  }

  func text() throws(PluginError) -> String {
    guard case .string(let text) = value else { throw error("must be text") }
    guard !text.utf8.contains(0), text.utf8.count <= 4096 else { throw error("must be at most 4096 bytes without NUL") }
    return text
  }

  /// An identifier: lower case, digits, "-", "_" and ".", not beginning with a "." (it becomes a folder's name).
  func name() throws(PluginError) -> String {
    let text = try text()
    let good = text.utf8.allSatisfy { (97...122).contains($0) || (48...57).contains($0) || [45, 46, 95].contains($0) }
    guard good, !text.isEmpty, !text.hasPrefix(".") else {
      throw error("must be made of a-z, 0-9, '-', '_' and '.', and not begin with '.'")
    }
    return text
  }

  func fileName() throws(PluginError) -> String {
    let text = try text()
    guard !text.isEmpty, !text.contains("/"), text != "..", text != "." else {
      throw error("must be the name of a file in the plugin's folder")
    }
    return text
  }

  func integer() throws(PluginError) -> Int {
    guard case .integer(let value) = value else { throw error("must be an integer") }
    return Int(value)
  }

  func number() throws(PluginError) -> Double {
    switch value {
    case .integer(let value): return Double(value)
    case .number(let value): return value
    default: throw error("must be a number")
    }
  }

  func boolean() throws(PluginError) -> Bool {
    guard case .bool(let value) = value else { throw error("must be true or false") }
    return value
  }

  func floats() throws(PluginError) -> [Float] {
    try list().map { element throws(PluginError) in Float(try element.number()) }
  }

  func choice<Choice: RawRepresentable & CaseIterable>(_: Choice.Type) throws(PluginError) -> Choice
  where Choice.RawValue == String {
    let text = try text()
    guard let choice = Choice(rawValue: text) else {
      throw error("'\(text)' is not known here", suggestion(for: text, in: Choice.allCases.map(\.rawValue)))
    }
    return choice
  }

  /// As the value of a parameter.
  func given() throws(PluginError) -> GivenValue {
    switch value {
    case .bool(let value): .bool(value)
    case .integer(let value): .integer(value)
    case .number(let value): .number(value)
    case .string: .text(try text())
    case .array: .list(try list().map { element throws(PluginError) in try element.given() })
    case .null, .object: throw error("must be a value or a list of values")
    }
  }
}

/// An object's values and its place.
struct Fields {
  let values: [String: JSONValue]
  let path: String
  let at: String

  func place(_ key: String) -> String { at.isEmpty ? key : "\(at).\(key)" }

  subscript(key: String) -> Field? { values[key].map { Field(value: $0, path: path, at: place(key)) } }

  func require(_ key: String) throws(PluginError) -> Field {
    guard let field = self[key] else { throw .manifest(path: path, at: place(key), problem: "is missing") }
    return field
  }
}
