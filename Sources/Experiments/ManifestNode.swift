import Diagnostics
import Foundation
import Yams

/// A node of the YAML tree together with where it stands, so that every refusal says `file:line:column`.
struct ManifestNode {
  let node: Node
  let file: String
  /// What the node is, in words: `conditions.vision_cut[0].with`.
  let path: String

  var place: String {
    guard let mark = node.mark else { return file }
    return "\(file):\(mark.line):\(mark.column)"
  }

  func refuse(_ what: String, remedy: String = "") -> ExperimentError {
    .manifest(place: place, what: what, remedy: remedy)
  }

  /// Parses one document, with the marks of Yams' errors turned into `file:line:column`.
  static func parse(_ text: String, file: String) throws -> ManifestNode {
    func refuse(_ mark: Mark?, _ what: String) -> ExperimentError {
      let place = mark.map { "\(file):\($0.line):\($0.column)" } ?? file
      return .manifest(place: place, what: what, remedy: "")
    }
    do {
      guard let node = try Yams.compose(yaml: text) else { throw refuse(nil, "the manifest is empty") }
      return ManifestNode(node: node, file: file, path: "")
    } catch let error as YamlError {
      switch error {
      case .scanner(_, let problem, let mark, _), .parser(_, let problem, let mark, _),
        .composer(_, let problem, let mark, _):
        throw refuse(mark, "not YAML: \(problem)")
      case .duplicatedKeysInMapping(let duplicates, let context):
        throw refuse(context.mark, "the key '\(duplicates.joined(separator: "', '"))' is given twice")
      case .reader(let problem, _, _, _): throw refuse(nil, "not UTF-8 text: \(problem)")
      default: throw refuse(nil, "not YAML: \(error)")
      }
    }
  }

  // MARK: collections

  /// The fields of a mapping whose keys are all among `known`.
  func fields(known: [String]) throws -> ManifestFields {
    let pairs = try namedChildren()
    for (key, child) in pairs where !known.contains(key) {
      let place = child.keyPlace
      throw ExperimentError.manifest(
        place: place, what: "unknown key '\(key)'" + (path.isEmpty ? "" : " in '\(path)'"),
        remedy: suggestion(for: key, in: known))
    }
    return ManifestFields(owner: self, children: pairs.map { ($0.0, $0.1.value) })
  }

  /// The children of a mapping with names of the writer's choice, in their order.
  func namedChildren() throws -> [(String, ManifestChild)] {
    guard case .mapping(let mapping) = node else { throw refuse("\(named) is not a mapping (name: value)") }
    var seen: Set<String> = []
    return try mapping.map { key, value in
      let keyNode = ManifestNode(node: key, file: file, path: path)
      guard case .scalar(let scalar) = key else { throw keyNode.refuse("a key is not a word") }
      guard seen.insert(scalar.string).inserted else {
        throw keyNode.refuse("the key '\(scalar.string)' is given twice")
      }
      let childPath = path.isEmpty ? scalar.string : "\(path).\(scalar.string)"
      let child = ManifestNode(node: value, file: file, path: childPath)
      return (scalar.string, ManifestChild(keyPlace: keyNode.place, value: child))
    }
  }

  func list() throws -> [ManifestNode] {
    guard case .sequence(let sequence) = node else { throw refuse("\(named) is not a list") }
    return sequence.enumerated().map { ManifestNode(node: $1, file: file, path: "\(path)[\($0)]") }
  }

  var isMapping: Bool {
    if case .mapping = node { true } else { false }
  }

  var named: String { path.isEmpty ? "the manifest" : "'\(path)'" }

  // MARK: scalars, by the core schema of YAML 1.2

  /// The value of a scalar: quoted ones are strings; plain ones are null, bool, int or float where they look like one.
  /// (YAML 1.1, which Yams follows by itself, reads `0:3` as the number 3 and `on` as true.)
  func scalar() throws -> ParameterValue? {
    guard case .scalar(let scalar) = node else { throw refuse("\(named) is not a single value") }
    guard scalar.style == .plain || scalar.style == .any else { return .string(scalar.string) }
    switch scalar.string {
    case "", "~", "null": return nil
    case "true": return .bool(true)
    case "false": return .bool(false)
    default: return ManifestNode.number(scalar.string) ?? .string(scalar.string)
    }
  }

  private static func number(_ text: String) -> ParameterValue? {
    var digits = Substring(text)
    if let sign = digits.first, "+-".contains(sign) { digits.removeFirst() }
    guard let first = digits.utf8.first, first == UInt8(ascii: ".") || (48...57).contains(first) else { return nil }
    if digits.utf8.allSatisfy({ (48...57).contains($0) }) { return Int(text).map { .int($0) } }
    guard digits.utf8.allSatisfy({ (48...57).contains($0) || ".eE+-".utf8.contains($0) }) else { return nil }
    return Double(text).flatMap { $0.isFinite ? .double($0) : nil }
  }

  func string() throws -> String {
    guard case .string(let text)? = try scalar() else {
      throw refuse("\(named) is not text", remedy: "put it in quotes if it is meant as text")
    }
    guard !text.isEmpty else { throw refuse("\(named) is empty") }
    return text
  }

  func int(in range: ClosedRange<Int>) throws -> Int {
    guard case .int(let value)? = try scalar(), range.contains(value) else {
      let bound =
        range.upperBound == .max ? "at least \(range.lowerBound)" : "\(range.lowerBound)...\(range.upperBound)"
      throw refuse("\(named) is not a whole number (\(bound))")
    }
    return value
  }

  func double() throws -> Double {
    switch try scalar() {
    case .int(let value)?: return Double(value)
    case .double(let value)?: return value
    default: throw refuse("\(named) is not a number")
    }
  }

  func bool() throws -> Bool {
    guard case .bool(let value)? = try scalar() else { throw refuse("\(named) is neither true nor false") }
    return value
  }

  func choice(_ known: [String]) throws -> String {
    let word = try string()
    guard known.contains(word) else {
      throw refuse("\(named) cannot be '\(word)'", remedy: suggestion(for: word, in: known))
    }
    return word
  }

  /// A scalar or a list of scalars.
  func parameterValue() throws -> ParameterValue {
    if case .sequence = node {
      return .list(
        try list().map { item in
          guard let value = try item.scalar() else { throw item.refuse("\(item.named) is empty") }
          return value
        })
    }
    guard let value = try scalar() else { throw refuse("\(named) is empty") }
    return value
  }
}

struct ManifestChild {
  let keyPlace: String
  let value: ManifestNode
}

/// The checked fields of a mapping.
struct ManifestFields {
  let owner: ManifestNode
  let children: [(String, ManifestNode)]

  subscript(key: String) -> ManifestNode? { children.first { $0.0 == key }?.1 }

  func required(_ key: String) throws -> ManifestNode {
    guard let child = self[key] else { throw owner.refuse("\(owner.named) lacks the key '\(key)'") }
    return child
  }
}
