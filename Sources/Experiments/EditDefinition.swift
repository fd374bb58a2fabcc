import Diagnostics

/// An ablation said as data in the manifest. Selectors and layer ranges stay text here: `Models` owns their grammar and
/// checks them before anything runs, at `place`.
package struct EditDefinition: Sendable, Equatable {
  package var operation: Operation
  package var tower: Tower
  /// The activation, for the operations on activations; nil for those on attention edges.
  package var site: String?
  package var layers: String
  package var heads: [Int]?
  /// Attention edges: who reads and who is read. Activations: `tokens`.
  package var queries: String
  package var keys: String
  package var tokens: String
  package var value: Double
  package var vector: [Double]
  /// A file of `ablate mean` in the place of `vector`: a vector for each hook point.
  package var vectorFile: VectorFile?
  /// The run whose activation a patch takes.
  package var from: PatchReference?
  package var keepSelf: Bool
  package var onEmpty: EmptyRow
  package var place: String

  package enum Operation: String, Sendable, CaseIterable {
    case drop, bias, zero, scale, set, add, patch
    case keepOnly = "keep_only"

    package var isEdge: Bool {
      switch self {
      case .drop, .keepOnly, .bias, .zero: true
      case .scale, .set, .add, .patch: false
      }
    }
  }

  package enum Tower: String, Sendable, CaseIterable {
    case vision, projector, text
  }

  /// What becomes of a query that may attend to nothing.
  package enum EmptyRow: String, Sendable, CaseIterable {
    case error
    case toSelf = "self"
    case zero
  }

  package static func == (a: EditDefinition, b: EditDefinition) -> Bool { a.json == b.json }

  static let edgeKeys = ["op", "tower", "layers", "heads", "queries", "keys", "value", "keep_self", "on_empty"]
  static let siteKeys = ["op", "tower", "site", "layers", "heads", "tokens", "value", "vector", "from"]

  /// Only keys that have an effect: a `value` beside `drop` would be ignored in silence.
  private static func keys(of operation: Operation) -> [String] {
    let keys = operation.isEdge ? edgeKeys : siteKeys
    let unused =
      switch operation {
      case .drop, .keepOnly, .zero: ["value"]
      case .set: ["value", "from"]
      case .scale: ["vector", "from"]
      case .add: ["from"]
      case .patch: ["value", "vector"]
      case .bias: [String]()
      }
    return keys.filter { !unused.contains($0) }
  }

  init(_ node: ManifestNode, folder: String) throws {
    let any = try node.fields(known: EditDefinition.edgeKeys + ["site", "tokens", "vector", "from"])
    let word = try any.required("op").choice(Operation.allCases.map(\.rawValue))
    operation = Operation(rawValue: word) ?? .drop
    let fields = try node.fields(known: EditDefinition.keys(of: operation))
    let towers = operation.isEdge ? [Tower.vision, .text] : Tower.allCases
    tower = Tower(rawValue: try fields.required("tower").choice(towers.map(\.rawValue))) ?? .text
    site = operation.isEdge ? nil : try fields.required("site").string()
    layers = try fields["layers"].map(EditDefinition.layers) ?? "all"
    heads = try fields["heads"].map { try $0.list().map { try $0.int(in: 0...(.max)) } }
    queries = try fields["queries"]?.string() ?? "all"
    keys = try fields["keys"]?.string() ?? "all"
    tokens = try fields["tokens"]?.string() ?? "all"
    value = try fields["value"]?.double() ?? (operation == .add ? 1 : 0)
    if fields["value"] == nil, operation == .bias || operation == .scale { _ = try fields.required("value") }
    let given = fields["vector"]
    vectorFile = try given.flatMap { $0.isMapping ? try VectorFile($0, folder: folder) : nil }
    vector = vectorFile == nil ? try given.map { try $0.list().map { try $0.double() } } ?? [] : []
    if operation == .set || operation == .add {
      let node = try fields.required("vector")
      guard !vector.isEmpty || vectorFile != nil else { throw node.refuse("the vector has no numbers") }
    }
    from = operation == .patch ? try PatchReference(fields.required("from"), withLayer: true) : nil
    keepSelf = try fields["keep_self"]?.bool() ?? false
    onEmpty = EmptyRow(rawValue: try fields["on_empty"]?.choice(EmptyRow.allCases.map(\.rawValue)) ?? "error") ?? .error
    place = node.place
  }

  /// `all`, `3`, `-1`, `0-3`: a single number may stand without quotes.
  private static func layers(_ node: ManifestNode) throws -> String {
    if case .int(let layer)? = try node.scalar() { return String(layer) }
    return try node.string()
  }

  /// Everything that the edit means, defaults included; without `place`.
  var json: JSON {
    var fields: [(String, JSON)] = [
      ("op", .string(operation.rawValue)), ("tower", .string(tower.rawValue)), ("layers", .string(layers)),
    ]
    if let site { fields.append(("site", .string(site))) }
    if let heads { fields.append(("heads", .array(heads.map(JSON.int)))) }
    if operation.isEdge {
      fields += [("queries", .string(queries)), ("keys", .string(keys)), ("keep_self", .bool(keepSelf))]
      fields.append(("on_empty", .string(onEmpty.rawValue)))
    } else {
      fields.append(("tokens", .string(tokens)))
      if !vector.isEmpty { fields.append(("vector", .array(vector.map(JSON.double)))) }
      if let vectorFile { fields.append(("vector", vectorFile.json)) }
      if let from { fields.append(("from", from.json)) }
    }
    if EditDefinition.keys(of: operation).contains("value") { fields.append(("value", .double(value))) }
    return .object(fields)
  }
}
