import ArgumentParser
import Datasets
import Experiments
import Foundation

/// How a study is cut and where its shards go: for `plan --shards` and `submit`.
struct ShardingOptions: ParsableArguments {
  @Option(help: ArgumentHelp("The run folder; by default runs/NAME with the manifest's name.", valueName: "folder"))
  var out: String?

  @Flag(help: "Give every shard as many examples, instead of about the same estimated cost: opens no model.")
  var byCount = false

  @Flag(help: "Refuse rows of another instruction set than the first; without it they are recorded and told.")
  var oneInstructionSet = false

  func folder(of experiment: Experiment) -> RunFolder { RunFolder(out ?? "runs/\(experiment.manifest.name)") }

  func list(_ experiment: Experiment, count: Int) throws -> ShardList {
    let costs = byCount ? experiment.plan.dataset.examples.map { _ in 1 } : try experiment.costsOfExamples()
    return try ShardList(experiment.plan, costs: costs, count: count, oneInstructionSet: oneInstructionSet)
  }
}

extension ShardList {
  /// For a terminal.
  func table(_ folder: RunFolder, _ executor: ExecutorOptions) -> String {
    let total = shards.reduce(0) { $0 + $1.cost }
    let rows = shards.enumerated().map { index, shard in
      let share = 100 * Double(shard.cost) / Double(max(1, total))
      return
        "  \(index + 1)/\(shards.count)  \(shard.examples.count) examples, \(String(format: "%.1f", share)) % of the cost, "
        + "first: \(shard.examples.first ?? "")"
    }
    return
      (["\(folder.shardList): \(shards.count) shards"] + rows
      + [
        "next: \((["ablate run MANIFEST"] + executor.words).joined(separator: " ")) --out \(folder.path) --shard I/\(shards.count) "
          + "for each, then \(executor.merging(folder))"
      ])
      .joined(separator: "\n") + "\n"
  }
}
