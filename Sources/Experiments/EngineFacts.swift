import Datasets
import Diagnostics
import Models
import PluginHost
import Tensors

extension ModelEvaluator {
  /// Kernels that oneDNN chose, with the number of shapes for which it did, and the engine's threads.
  package var facts: JSON {
    let kernels = model.engine.kernels.sorted { $0.key < $1.key }.map { ($0.key, JSON.int($0.value)) }
    let invariant = (try? model.rowsAreInvariant()) ?? false
    return .object([
      ("kernels", .object(kernels)), ("threads", .int(engineThreads)), ("row_invariant", .bool(invariant)),
    ])
  }

  /// What the examples cost under each condition of the manifest. Plugins are asked for their plans; no pass is run.
  ///
  /// The multiply-adds are those of the prefill as if every condition took a whole pass of its own: conditions that leave
  /// the vision tower alone share one pass through it, and generation and the lens' vocabulary come on top.
  package func costs(of examples: [Example]) throws -> [CostEstimate] {
    var costs = manifest.conditions.map {
      CostEstimate(model: model.name, condition: $0.name, visits: 0, multiplyAdds: 0)
    }
    for example in examples {
      let prepared = try PreparedExample(
        example, model: model, rule: manifest.maskRule, newTokens: 0,
        forced: manifest.readings.contains(.answerLogprob))
      for index in costs.indices {
        costs[index].visits += try session.plannedVisits(prepared.item, condition: costs[index].condition)
        costs[index].multiplyAdds += model.multiplyAdds(prepared.item.input)
      }
    }
    return costs
  }
}
