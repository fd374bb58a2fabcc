import Diagnostics
import Experiments
import Foundation
import Statistics

/// What the rows of a run say. Everything that a report shows is here as numbers; making it runs no model.
package struct RunSummary: Sendable {
  package let manifest: Manifest
  package let size: Size
  package let warnings: [String]
  package let models: [ModelSummary]

  package struct Size: Sendable {
    package var planned: Int
    package var completed: Int
    package var failed: Int
    package var examples: Int
    /// Seconds spent on the trials, over all sessions.
    package var seconds: Double
  }

  package init(_ store: RunStore) throws {
    guard let session = try store.lastSession() else {
      throw ExperimentError.noRun(folder: store.path, what: "the run store is empty")
    }
    manifest = try Manifest(yaml: session.manifest.pretty, file: "manifest.resolved.json")
    let totals = try store.totals()
    let failed = try store.failedTrials()
    let plan = session.provenance["plan"]
    size = Size(
      planned: plan?["trials"].flatMap(\.int) ?? totals.completed, completed: totals.completed, failed: failed.count,
      examples: plan?["examples"].flatMap(\.int) ?? 0, seconds: totals.seconds)
    // Without an analysis the ranks of the first probe are shown, if it gives any.
    let probe = manifest.compensation?.probe ?? manifest.probes.first?.name ?? ""
    let best = try store.bestRows(probe: probe, metric: manifest.compensation?.metric ?? "rank")
    let scalars = try store.scalarMeans()
    models = manifest.models.map { [manifest] model in
      ModelSummary(
        model: model.name, manifest: manifest, best: best.filter { $0.model == model.name },
        scalars: scalars.filter { $0.model == model.name })
    }
    let instructionSets = try store.instructionSets()
    warnings =
      RunSummary.warnings(size, failed)
      + (instructionSets.count < 2
        ? []
        : [
          "computed on different instruction sets (\(instructionSets.joined(separator: ", "))): the last digits may differ"
        ])
      + (try store.receiptNotes()).map {
        "\($0.plugin) (\($0.model), \($0.condition)): \($0.note), in \($0.trials) trials"
      }
      + models.flatMap(\.warnings)
  }

  private static func warnings(_ size: Size, _ failed: [RunStore.FailedTrial]) -> [String] {
    var words: [String] = []
    let left = size.planned - size.completed - failed.count
    if left > 0 { words.append("\(left) of \(size.planned) trials have not been run") }
    if let first = failed.first {
      let place = [first.model, first.example, first.condition].joined(separator: ", ")
      let who = [first.failure.plugin, first.failure.hookPoint].filter { !$0.isEmpty }.joined(separator: " at ")
      words.append(
        "\(failed.count) of \(size.planned) trials failed and are in no number below; first: \(place): "
          + (who.isEmpty ? "" : "\(who): ") + first.failure.reason)
    }
    return words
  }
}

extension JSON {
  var int: Int? { if case .int(let value) = self { value } else { nil } }
}
