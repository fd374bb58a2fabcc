import Diagnostics
import Experiments

/// The part of JSON Schema (2020-12) that `manifests/experiment.schema.json` uses; an unknown keyword is an error, so that
/// the schema cannot say what is not checked here.
struct SchemaValidator {
  let root: JSON

  struct UnknownKeyword: Error {
    var keyword: String
  }

  func accepts(_ value: JSON) throws -> Bool { try accepts(value, root) }

  private func accepts(_ value: JSON, _ schema: JSON) throws -> Bool {
    guard case .object(let keywords) = schema else { return schema == .bool(true) }
    return try keywords.allSatisfy { try holds($0, $1, of: value, in: schema) }
  }

  private func holds(_ keyword: String, _ rule: JSON, of value: JSON, in schema: JSON) throws -> Bool {
    switch keyword {
    case "$schema", "title", "description", "default", "$defs", "then", "else": return true
    case "$ref": return try accepts(value, definition(rule))
    case "type": return rule.items.isEmpty ? isType(rule, value) : rule.items.contains { isType($0, value) }
    case "const": return value == rule
    case "enum": return rule.items.contains(value)
    case "not": return try !accepts(value, rule)
    case "anyOf": return try rule.items.contains { try accepts(value, $0) }
    case "oneOf": return try rule.items.filter { try accepts(value, $0) }.count == 1
    case "if":
      let branch = try accepts(value, rule) ? schema["then"] : schema["else"]
      return try branch.map { try accepts(value, $0) } ?? true
    case "required", "properties", "additionalProperties", "propertyNames", "minProperties":
      return try holdsOfObject(keyword, rule, of: value, in: schema)
    case "items": return try value.items.allSatisfy { try accepts($0, rule) }
    case "minItems": return value.isArray ? Double(value.items.count) >= rule.number ?? 0 : true
    case "uniqueItems":
      return value.items.indices.allSatisfy { !value.items[..<$0].contains(value.items[$0]) }
    case "minimum": return value.number.map { $0 >= rule.number ?? 0 } ?? true
    case "maximum": return value.number.map { $0 <= rule.number ?? 0 } ?? true
    case "exclusiveMinimum": return value.number.map { $0 > rule.number ?? 0 } ?? true
    case "minLength": return value.text.map { Double($0.count) >= rule.number ?? 0 } ?? true
    case "pattern":
      guard let text = value.text, let pattern = rule.text else { return true }
      return try text.contains(Regex(pattern))
    default: throw UnknownKeyword(keyword: keyword)
    }
  }

  private func holdsOfObject(_ keyword: String, _ rule: JSON, of value: JSON, in schema: JSON) throws -> Bool {
    guard case .object(let fields) = value else { return true }
    switch keyword {
    case "required": return rule.items.allSatisfy { name in fields.contains { .string($0.0) == name } }
    case "minProperties": return Double(fields.count) >= rule.number ?? 0
    case "propertyNames": return try fields.allSatisfy { try accepts(.string($0.0), rule) }
    case "properties":
      return try fields.allSatisfy { name, field in try rule[name].map { try accepts(field, $0) } ?? true }
    default:
      let others = fields.filter { schema["properties"]?[$0.0] == nil }
      return try others.allSatisfy { try accepts($0.1, rule) }
    }
  }

  private func definition(_ reference: JSON) throws -> JSON {
    let name = reference.text?.split(separator: "/").last.map(String.init) ?? ""
    guard let found = root["$defs"]?[name] else { throw UnknownKeyword(keyword: "$ref \(name)") }
    return found
  }

  private func isType(_ type: JSON, _ value: JSON) -> Bool {
    switch (type.text, value) {
    case ("object", .object), ("array", .array), ("string", .string), ("boolean", .bool), ("integer", .int),
      ("number", .int), ("number", .double), ("null", .null):
      true
    default: false
    }
  }
}

extension JSON {
  fileprivate var items: [JSON] { if case .array(let items) = self { items } else { [] } }
  fileprivate var isArray: Bool { if case .array = self { true } else { false } }
  fileprivate var text: String? { if case .string(let text) = self { text } else { nil } }
  fileprivate var number: Double? {
    switch self {
    case .int(let value): Double(value)
    case .double(let value): value
    default: nil
    }
  }
}
