import Datasets
import Diagnostics
import Experiments
import Foundation
import PluginRuntime
import PluginStore

/// A manifest expanded with the engine's digests: what `run` and `plan` start from.
struct Experiment {
  let manifest: Manifest
  let plan: Plan
  /// Of each plugin: why its code is trusted.
  private let trust: [(name: String, trust: Trust)]
  private let search: PluginSearch
  private let path: String
  private let reuse: Bool
  private let memory: Int?
  private let places: PluginPlaces

  /// - Parameters:
  ///   - memory: GiB that the conditions of one example may take at a time.
  ///   - executor: where the code of all plugins runs, if the command line says so.
  init(manifestPath: String, reuse: Bool = true, memory: Double? = nil, executor: Placement? = nil) throws {
    (path, self.reuse) = (manifestPath, reuse)
    self.memory = memory.map { Int($0 * 0x1p30) }
    manifest = try Manifest(contentsOf: manifestPath)
    trust = try ExperimentPlugins(of: manifest, at: manifestPath).trust()
    places = PluginPlaces(asked: executor, byTrust: Dictionary(trust.map { ($0.name, $0.trust.placement) }) { $1 })
    let folder = (manifestPath as NSString).deletingLastPathComponent
    search = PluginSearch(base: folder.isEmpty ? "." : folder)
    plan = try Plan(
      manifest: manifest, dataset: Dataset(manifest.dataset),
      fingerprints: Fingerprints(of: manifest, search: search))
  }

  func evaluator(of model: ModelReference) throws -> any Evaluator {
    try modelEvaluator(of: model)
  }

  func modelEvaluator(of model: ModelReference) throws -> ModelEvaluator {
    let evaluator = try ModelEvaluator(
      manifest: manifest, model: model, search: search, examples: plan.dataset.examples, reuse: reuse,
      places: places)
    evaluator.model.memory = memory
    return evaluator
  }

  /// The first model's evaluator, after the first example was planned on it: a wrong selector or layer is found before anything is
  /// thrown away or run.
  func firstEvaluator() throws -> (any Evaluator)? {
    guard let model = manifest.models.first else { return nil }
    let evaluator = try modelEvaluator(of: model)
    _ = try evaluator.costs(of: Array(plan.dataset.examples.prefix(1)))
    return evaluator
  }

  /// The plan with its cost. For the estimate of time one example is run, unless it is big; its rows go nowhere.
  func described(timed: Bool) throws -> PlanDescription {
    var description = PlanDescription(plan: plan, seconds: timed ? 0 : nil)
    for model in manifest.models {
      var evaluator = try modelEvaluator(of: model)
      let costs = try evaluator.costs(of: plan.dataset.examples)
      description.costs += costs
      let perExample = costs.reduce(0) { $0 + $1.multiplyAdds } / max(1, plan.dataset.examples.count)
      guard let before = description.seconds, let example = plan.dataset.examples.first, perExample < 20_000_000_000
      else {
        description.seconds = nil
        continue
      }
      description.seconds = try before + time(example, &evaluator) * Double(plan.dataset.examples.count)
    }
    return description
  }

  /// Seconds of one example's batch; the first round compiles kernels and does not count.
  private func time(_ example: Example, _ evaluator: inout ModelEvaluator) throws -> Double {
    var start = ContinuousClock.now
    for _ in 0..<2 {
      start = ContinuousClock.now
      _ = try evaluator.evaluate(
        example, conditions: manifest.conditions.map(\.name), probes: plan.probes.map(\.name))
    }
    return (ContinuousClock.now - start) / .seconds(1)
  }

  /// The estimated cost of each example, all models and conditions together, in multiply-adds.
  func costsOfExamples() throws -> [Int] {
    var costs = plan.dataset.examples.map { _ in 1 }
    for model in manifest.models {
      let evaluator = try modelEvaluator(of: model)
      for (index, example) in plan.dataset.examples.enumerated() {
        costs[index] += try evaluator.costs(of: [example]).reduce(0) { $0 + $1.multiplyAdds }
      }
    }
    return costs
  }

  /// Where the code of each plugin runs, and why there.
  private var executors: [(String, JSON)] {
    Dictionary(grouping: manifest.uses, by: \.plugin).sorted { $0.key < $1.key }.map { name, uses in
      (name, .string(Set(uses.map { "\(places[$0])" }).sorted().joined(separator: "; ")))
    }
  }

  /// Facts about this start that are not in the manifest.
  ///
  /// - Parameter shard: which one, as `3/8`, where only one is run.
  func provenance(shard: String? = nil) -> JSON {
    let host = ProcessInfo.processInfo
    return .object(
      (shard.map { [("shard", .string($0))] } ?? []) + [
        ("schema", .string("ablate.provenance/1")), ("arguments", .strings(CommandLine.arguments)),
        ("manifest", .string(URL(fileURLWithPath: path).path)), ("reuse", .bool(reuse)),
        ("started", .string(ISO8601DateFormatter().string(from: Date()))), ("host", .string(host.hostName)),
        ("system", .string(host.operatingSystemVersionString)), ("processors", .int(host.activeProcessorCount)),
        ("plugin_trust", .object(trust.map { ($0.name, .string("\($0.trust)")) })),
        ("plugin_executors", .object(executors)),
      ])
  }
}
