import Yams

/// Where a condition comes from that a sweep made: one entry of the manifest with `<name>` in it, and what stood there.
package struct SweepPoint: Sendable, Equatable {
  /// The condition's name before values were put in: `prefix_<k>`.
  package var template: String
  package var values: [Value]

  package struct Value: Sendable, Equatable {
    package var name: String
    package var value: ParameterValue
  }
}

/// `{ sweep: { k: 0-2 }, seeds: 1-5, steps: [...] }`: the steps once for every value, with the value in the place of `<k>`, and for every
/// seed, either of which may be left out.
struct ConditionSweep {
  /// Conditions that one entry may make: beyond it a sweep is taken for a slip.
  static let limit = 4096

  private let template: String
  private let axes: [(name: String, values: [ParameterValue])]
  private let seeds: [Int?]
  private let steps: ManifestNode
  private let place: ManifestNode

  init(named template: String, _ node: ManifestNode) throws {
    let fields = try node.fields(known: ["sweep", "seeds", "seed", "steps", "of"])
    steps = try fields.required("steps")
    place = node
    let seed = try fields["seed"].map { try Seeds.resolved($0, of: template) }
    seeds = try fields["seeds"].map(Seeds.read) ?? [seed]
    let origin = try fields["of"]?.string()
    self.template = origin ?? Seeds.base(template, seed)
    guard let sweep = fields["sweep"] else {
      axes = []
      if seeds == [nil] { _ = try fields.required("sweep") }
      return
    }
    let axes = try sweep.namedChildren().map { name, child in
      (name: name, values: try ConditionSweep.values(child.value))
    }
    self.axes = axes
    guard !axes.isEmpty else { throw sweep.refuse("nothing is swept", remedy: "for example sweep: { k: 0-2 }") }
    guard axes.reduce(1, { $0 * $1.values.count }) <= ConditionSweep.limit else {
      throw sweep.refuse("the sweep makes more than \(ConditionSweep.limit) conditions")
    }
    // A resolved manifest has the values in their places already.
    if origin != nil { return }
    for (name, _) in axes where !template.contains("<\(name)>") || !steps.mentions("<\(name)>") {
      throw sweep.refuse(
        "'<\(name)>' must stand in the condition's name and in its steps",
        remedy: "the conditions could not be told apart, or would be the same")
    }
  }

  /// A list of values, one value, or whole numbers from a to b: `0-22`.
  static func values(_ node: ManifestNode) throws -> [ParameterValue] {
    guard case .list(let list) = try node.parameterValue() else {
      let value = try node.parameterValue()
      guard case .string(let text) = value else { return [value] }
      let ends = text.split(separator: "-", maxSplits: 1).map { Int($0) }
      guard ends.count == 2, let first = ends[0], let last = ends[1] else { return [value] }
      guard first <= last, last - first < limit else { throw node.refuse("\(node.named) is no range: '\(text)'") }
      return (first...last).map { .int($0) }
    }
    guard !list.isEmpty else { throw node.refuse("\(node.named) has no values") }
    return list
  }

  /// The conditions, the last name varying fastest, and within each its seeds.
  func conditions(_ step: (ManifestNode) throws -> ConditionStep) throws -> [ConditionDefinition] {
    let points = axes.reduce([[SweepPoint.Value]]([[]])) { points, axis in
      points.flatMap { point in axis.values.map { point + [SweepPoint.Value(name: axis.name, value: $0)] } }
    }
    return try points.flatMap { values in
      let steps = try steps.replacing(values).list().map(step)
      if seeds != [nil] { try steps.checkSeeds(place) }
      return seeds.map { seed in
        ConditionDefinition(
          name: Seeds.name(template.replacing(values), seed), steps: steps,
          sweep: SweepPoint(template: template, values: values), seed: seed)
      }
    }
  }
}

extension String {
  fileprivate func replacing(_ values: [SweepPoint.Value]) -> String {
    values.reduce(self) { text, value in text.replacing("<\(value.name)>", with: value.value.spelling) }
  }
}

extension ParameterValue {
  /// As it stands in a name.
  fileprivate var spelling: String { if case .string(let text) = self { text } else { json.compact } }
}

extension ManifestNode {
  fileprivate func mentions(_ word: String) -> Bool {
    switch node {
    case .scalar(let scalar): scalar.string.contains(word)
    case .mapping: (try? namedChildren())?.contains { $0.1.value.mentions(word) } ?? false
    case .sequence: (try? list())?.contains { $0.mentions(word) } ?? false
    case .alias: false
    }
  }

  /// The same tree with values in the place of `<name>` in every text; marks stay, so that errors point into the template.
  fileprivate func replacing(_ values: [SweepPoint.Value]) -> ManifestNode {
    ManifestNode(node: Self.replacing(values, in: node), file: file, path: path)
  }

  private static func replacing(_ values: [SweepPoint.Value], in node: Node) -> Node {
    switch node {
    case .scalar(var scalar):
      scalar.string = scalar.string.replacing(values)
      return .scalar(scalar)
    case .mapping(let mapping):
      let pairs = mapping.map { ($0.key, replacing(values, in: $0.value)) }
      return .mapping(Node.Mapping(pairs, mapping.tag, mapping.style, mapping.mark))
    case .sequence(let sequence):
      return .sequence(
        Node.Sequence(sequence.map { replacing(values, in: $0) }, sequence.tag, sequence.style, sequence.mark))
    case .alias: return node
    }
  }
}
