/// A JSON value whose objects keep the order of their keys: what Ablate writes is read by people and compared by `diff`.
package indirect enum JSON: Sendable, Equatable {
  case null
  case bool(Bool)
  case int(Int)
  case double(Double)
  case string(String)
  case array([JSON])
  case object([(String, JSON)])

  package static func == (a: JSON, b: JSON) -> Bool {
    switch (a, b) {
    case (.null, .null): true
    case (.bool(let a), .bool(let b)): a == b
    case (.int(let a), .int(let b)): a == b
    case (.double(let a), .double(let b)): a == b
    case (.string(let a), .string(let b)): a == b
    case (.array(let a), .array(let b)): a == b
    case (.object(let a), .object(let b)): a.elementsEqual(b) { $0.0 == $1.0 && $0.1 == $1.1 }
    default: false
    }
  }

  /// One line without spaces: the form that is hashed.
  package var compact: String {
    var text = ""
    write(into: &text, indent: nil)
    return text
  }

  /// Two spaces of indentation and a last newline. Arrays and objects of scalars that fit stay on one line.
  package var pretty: String {
    var text = ""
    write(into: &text, indent: 0)
    return text + "\n"
  }

  private var isScalar: Bool {
    switch self {
    case .array, .object: false
    default: true
    }
  }

  private func write(into text: inout String, indent: Int?) {
    switch self {
    case .null: text += "null"
    case .bool(let value): text += value ? "true" : "false"
    case .int(let value): text += String(value)
    // JSON has no word for these; `null` would hide them, so they are strings.
    case .double(let value): text += value.isFinite ? "\(value)" : "\"\(value)\""
    case .string(let value): text += JSON.quoted(value)
    case .array(let values):
      let short = values.allSatisfy(\.isScalar)
      JSON.writeList(values.map { ("", $0) }, open: "[", close: "]", short: short, into: &text, indent: indent)
    case .object(let fields):
      let short = fields.count <= 4 && fields.allSatisfy(\.1.isScalar)
      JSON.writeList(
        fields.map { (JSON.quoted($0.0) + (indent == nil ? ":" : ": "), $0.1) }, open: "{", close: "}", short: short,
        into: &text, indent: indent)
    }
  }

  private static func writeList(
    _ items: [(prefix: String, value: JSON)], open: String, close: String, short: Bool, into text: inout String,
    indent: Int?
  ) {
    text += open
    let breaks = indent != nil && !short && !items.isEmpty
    let inner = indent.map { $0 + 2 }
    for (index, item) in items.enumerated() {
      if index > 0 { text += indent != nil && !breaks ? ", " : "," }
      if breaks { text += "\n" + String(repeating: " ", count: inner ?? 0) }
      text += item.prefix
      item.value.write(into: &text, indent: inner)
    }
    if breaks { text += "\n" + String(repeating: " ", count: indent ?? 0) }
    text += close
  }

  private static func quoted(_ string: String) -> String {
    var text = "\""
    for scalar in string.unicodeScalars {
      switch scalar {
      case "\"": text += "\\\""
      case "\\": text += "\\\\"
      case "\n": text += "\\n"
      case "\r": text += "\\r"
      case "\t": text += "\\t"
      case _ where scalar.value < 0x20 || scalar.value == 0x7f:
        let hex = String(scalar.value, radix: 16)
        text += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
      default: text.unicodeScalars.append(scalar)
      }
    }
    return text + "\""
  }
}

extension JSON {
  package static func strings(_ values: [String]) -> JSON { .array(values.map { .string($0) }) }

  /// The string, of a string.
  package var text: String? { if case .string(let text) = self { text } else { nil } }

  /// The elements, of an array.
  package var elements: [JSON]? { if case .array(let elements) = self { elements } else { nil } }

  /// The value under `key`, of an object.
  package subscript(key: String) -> JSON? {
    guard case .object(let fields) = self else { return nil }
    return fields.first { $0.0 == key }?.1
  }
}
