import Checkpoints
import Foundation
import Models
import PluginHost
import PluginRuntime
import Tensors

/// A parity checkpoint on which conditions of real plugins and edits are run, with the input of its goldens.
struct HostCase {
  static let checkpoints = PluginWorkshop.root + "/Tests/Fixtures/parity"

  let folder: String
  let model: VisionLanguageModel
  let input: ModelInput
  var item: Item

  /// - Parameter inputs: a file of the checkpoint with input_ids and pixel_values.
  init(
    _ name: String, inputs: String = "goldens/clean.safetensors", newTokens: Int = 0, labels: [ItemFacts.Label] = [],
    masks: [String: [Int]] = [:]
  ) throws {
    folder = "\(HostCase.checkpoints)/\(name)"
    var configuration = try ModelConfiguration(folder: folder)
    configuration.eosTokenIds = []
    model = try VisionLanguageModel(folder: folder, name: name, configuration: configuration)
    let file = try SafetensorsFile("\(folder)/\(inputs)")
    let size = file.entries["image_sizes"] == nil ? [] : try file.integers("image_sizes")
    input = try model.input(
      ids: file.integers("input_ids"), pixels: file.floats("pixel_values"),
      layout: size.isEmpty ? nil : configuration.layout(width: size[1], height: size[0]), newTokens: newTokens)
    item = Item(
      id: "one", index: 0, input: input, masks: masks.mapValues { $0.map { (patch: $0, coverage: 1) } }, labels: labels)
  }

  var lastRow: Int { input.ids.count - 1 }

  /// Runs the conditions in one pack; logits are read at the last row, activations at the points of these patterns.
  func run(
    _ conditions: [(String, [AttachmentSpec])], probes: [(String, AttachmentSpec)] = [], at patterns: [String] = []
  ) throws -> [String: ConditionOutcome] {
    let session = try Session(
      model, conditions: conditions.map { (name: $0.0, steps: $0.1) },
      probes: probes.map { ProbeSpec(name: $0.0, spec: $0.1) },
      seed: 1)
    let points = try patterns.flatMap { try model.hooks.match($0) }
    let wish = Session.Wish(outputRows: [lastRow], captures: points)
    let outcomes = try session.run(item, conditions: conditions.map(\.0), wish)
    return Dictionary(uniqueKeysWithValues: outcomes.map { ($0.condition, $0) })
  }

  /// One condition alone.
  func run(_ steps: [AttachmentSpec], at patterns: [String] = []) throws -> ConditionOutcome {
    try run([("only", steps)], at: patterns).values.first ?? { throw Missing(what: "the condition") }()
  }
}

struct Missing: Error { var what: String }

extension ConditionOutcome {
  /// An activation that the test asked for.
  subscript(point: String) -> Tensor {
    get throws {
      let kept = output.results.captures.first { $0.plugin == Program.reader && "\($0.point)" == point }
      guard let kept else { throw Missing(what: point) }
      return kept.tensor
    }
  }

  /// The bits of one row at a point without a key axis, or of all rows.
  func bits(_ point: String, row: Int? = nil) throws -> [UInt32] {
    let tensor = try self[point]
    let all = tensor.values.map(\.bitPattern)
    guard let row else { return all }
    let width = tensor.count / tensor.shape[0]
    return Array(all[(row * width)..<((row + 1) * width)])
  }

  var logitBits: [UInt32] { output.logits.values.map(\.bitPattern) }

  /// Everything that the test asked for, by name.
  var activations: [String: [UInt32]] {
    let kept = output.results.captures.filter { $0.plugin == Program.reader }
    return Dictionary(kept.map { ("\($0.point)", $0.tensor.values.map(\.bitPattern)) }) { first, _ in first }
  }
}

extension AttachmentSpec {
  static func bundled(
    _ name: String, _ parameters: [String: String] = [:], executor: Executor = .inProcess
  ) throws -> AttachmentSpec {
    .plugin(
      try `the bundled plugins`.manifest(name), parameters: parameters.mapValues { .text($0) },
      placement: Placement(executor, .asked(by: "the test")))
  }

  static func edit(
    _ operation: EditRequest.Operation, _ tower: String = "text", site: String? = nil, layers: String = "all",
    heads: [Int]? = nil, rows: String = "all", keys: String = "all", value: Double = 0, vector: [Float]? = nil,
    keepSelf: Bool = false, onEmpty: EditRequest.OnEmpty = .error
  ) -> AttachmentSpec {
    let request = EditRequest(
      operation: operation, tower: tower, site: site, layers: .selector(layers), heads: heads,
      queries: .selector(rows), keys: .selector(keys), value: value,
      vector: vector.map { TensorValue(shape: [$0.count], values: $0) }, keepSelf: keepSelf, onEmpty: onEmpty)
    return .edit(ManifestEdit(name: "\(operation)", request: request, place: "test"))
  }
}

/// max|a-b| / max|b| over finite entries; infinite where one is masked and the other is not.
func distance(_ a: [Float], _ b: [Float]) -> Double {
  guard a.count == b.count, zip(a, b).allSatisfy({ $0.isFinite == $1.isFinite }) else { return .infinity }
  let finite = zip(a, b).filter { $0.1.isFinite }
  let scale = finite.map { Double(abs($0.1)) }.max() ?? 0
  return (finite.map { Double(abs($0.0 - $0.1)) }.max() ?? 0) / max(scale, 1e-30)
}
