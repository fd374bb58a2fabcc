import Checkpoints
import Datasets
import Diagnostics
import Models
import PluginHost
import Tensors

extension ModelEvaluator {
  /// Kernels that oneDNN chose, with the number of shapes for which it did, the engine's threads, and how much of what full passes would
  /// have computed was computed.
  package var facts: JSON {
    let kernels = model.engine.kernels.sorted { $0.key < $1.key }.map { ($0.key, JSON.int($0.value)) }
    let invariant = (try? model.rowsAreInvariant()) ?? false
    let hub = HubSnapshot(folder: model.folder)
    return .object([
      ("kernels", .object(kernels)), ("threads", .int(engineThreads)), ("row_invariant", .bool(invariant)),
      ("multiply_adds", .object([("computed", .int(model.work.computed)), ("full", .int(model.work.full))])),
      ("repository", hub.map { .string($0.repository) } ?? .null), ("commit", hub.map { .string($0.commit) } ?? .null),
      ("dtype", .string(model.dtype.rawValue)), ("weights", .string(model.residency.rawValue)),
      ("left_out", .array(leftOut.map(\.json))), ("executors", .object(executors)),
      ("memory", model.memory.map(JSON.int) ?? .string("half of what was available")),
      ("most_packs", .int(model.work.packs)),
    ])
  }

  /// Where the code of each plugin ran, what held it there, and why it ran there.
  private var executors: [(String, JSON)] {
    let placements = Dictionary(grouping: session.placements, by: \.plugin)
    return placements.sorted { $0.key < $1.key }.map { plugin, all in
      (plugin, .strings(Set(all.map(\.placement)).sorted()))
    }
  }

  /// What the examples cost under each condition of the manifest, and what all conditions share. Plugins are asked for their plans; no
  /// pass is run. Generated tokens and the lens' vocabulary come on top.
  package func costs(of examples: [Example]) throws -> [CostEstimate] {
    let names = manifest.conditions.map(\.name)
    var costs = names.map { CostEstimate(model: model.name, condition: $0, visits: 0, multiplyAdds: 0, full: 0) }
    var shared = CostEstimate(model: model.name, condition: nil, visits: 0, multiplyAdds: 0, full: 0)
    for example in examples {
      let prepared = try PreparedExample(
        example, model: model, rule: manifest.maskRule,
        newTokens: manifest.readings.contains(.accuracy) ? manifest.maxNewTokens : 0,
        forced: manifest.readings.contains(.answerLogprob))
      let references = references(for: manifest.readings)
      let cost = try session.cost(
        prepared.item, conditions: names + references,
        try wish(prepared.item.input, manifest.readings, probes: nil))
      for index in costs.indices {
        costs[index].add(cost.multiplyAdds.lanes[index], visits: cost.visits[index], full: cost.multiplyAdds.full)
      }
      let reference = references.isEmpty ? 0 : cost.multiplyAdds.lanes[names.count]
      shared.packs = max(shared.packs, cost.multiplyAdds.packs)
      shared.add(cost.multiplyAdds.shared + reference, visits: 0, full: cost.multiplyAdds.full)
    }
    return costs + [shared]
  }
}
