import ArgumentParser
import Experiments

struct MergeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "merge",
    abstract: "Bring the rows of a run's shards together.",
    discussion: """
      Merging again changes nothing, and takes up what has come since. Trials that two attempts computed with equal values \
      stand in the run once; different values, and shards of another study, are refused.

      Exit codes: 75 while trials are missing (what is there is merged), 70 when trials failed.
      """)

  @Argument(help: ArgumentHelp("A run folder with shards.", valueName: "run"))
  var folder: String

  func run() throws { try MergeCommand.merge(folder) }

  static func merge(_ folder: String) throws {
    let merge = try RunMerge(RunFolder(folder))
    let outcome = try merge.run()
    print(
      "\(outcome.total) trials in \(folder): \(outcome.completed) completed, \(outcome.failed) failed, "
        + "\(outcome.total - outcome.completed - outcome.failed) missing; computed with "
        + outcome.instructionSets.joined(separator: ", "))
    try outcome.check(merge.folder)
    print("next: ablate report \(folder)")
  }
}
