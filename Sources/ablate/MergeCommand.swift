import ArgumentParser
import Experiments

struct MergeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "merge",
    abstract: "Bring the rows of a run's shards together.",
    discussion: """
      Merging again changes nothing, and takes up what has come since. Trials that two attempts computed with equal values \
      stand in the run once; different values, and shards of another study, are refused. Probes that learn do so here, from what \
      all shards have read, when no trial is missing.

      Exit codes: 75 while trials are missing (what is there is merged), 70 when trials failed.
      """)

  @Argument(help: ArgumentHelp("A run folder with shards.", valueName: "run"))
  var folder: String

  @OptionGroup var executor: ExecutorOptions

  func run() throws { try MergeCommand.merge(RunFolder(folder), executor) }

  static func merge(_ folder: RunFolder, _ executor: ExecutorOptions) throws {
    let (outcome, list) = try merged(folder)
    print(
      "\(outcome.total) trials in \(folder.path): \(outcome.completed) completed, \(outcome.failed) failed, "
        + "\(outcome.total - outcome.completed - outcome.failed) missing; computed with "
        + outcome.instructionSets.joined(separator: ", "))
    try outcome.checkComplete(folder)
    if try list.parsedManifest().probes.contains(where: { $0.fit != nil }) {
      try learn(in: folder, list, executor)
    }
    try outcome.check(folder)
    print("next: ablate report \(folder.path)")
  }

  /// The folder is locked until this returns.
  private static func merged(_ folder: RunFolder) throws -> (RunMerge.Outcome, ShardList) {
    let merge = try RunMerge(folder)
    return (try merge.run(), merge.list)
  }

  /// As `ablate run` does, in the merged folder: the passes are there, and what was learned before is found again.
  private static func learn(in folder: RunFolder, _ list: ShardList, _ executor: ExecutorOptions) throws {
    let store = try RunStore(path: folder.store, readOnly: true)
    let experiment = try Experiment(manifestPath: store.manifestPath(folder), executor: executor.asked)
    try list.check(experiment.plan, in: folder)
    guard try !store.pending(of: experiment.plan, retryFailed: false).isEmpty else { return }
    let interruption = Interruption()
    let sources = interruption.listen {
      Progress.toStandardError("\nfinishing the probe in hand; once more to stop at once\n")
    }
    defer { withExtendedLifetime(sources) {} }
    let session = try RunSession(
      folder: folder, plan: experiment.plan, provenance: experiment.provenance(),
      oneInstructionSet: list.oneInstructionSet)
    let start = RunStart(
      experiment: experiment, plan: experiment.plan, session: session,
      command: executor.merging(folder))
    let outcome = try start.run(interruption)
    print("learned from all shards: \(outcome.computed) trials")
  }
}
