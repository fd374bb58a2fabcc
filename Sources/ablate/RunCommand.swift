import ArgumentParser
import Diagnostics
import Experiments
import Foundation
import PluginRuntime
import Reports

struct RunCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "run",
    abstract: "Run the trials of a manifest and store their rows.",
    discussion: """
      Rows go to a run folder. The same command resumes a run that was interrupted and computes what is missing when the \
      manifest has got more models, examples, conditions or probes.

      SIGINT, SIGTERM and SIGUSR1 finish the example in hand, store it and exit with 75; a second one exits at once.
      """)

  @Argument(help: "The manifest (YAML or JSON).")
  var manifest: String

  @Option(help: ArgumentHelp("The run folder; by default runs/NAME with the manifest's name.", valueName: "folder"))
  var out: String?

  @Option(
    help: ArgumentHelp(
      "Run one shard of a run that was cut by `ablate plan --shards`: 3/8, or `auto` in a job array.", valueName: "i/n")
  )
  var shard: ShardChoice?

  @Flag(help: "Remove the rows that are in the run folder first.")
  var fresh = false

  @Flag(help: "Run the trials again that failed before.")
  var retryFailed = false

  @Flag(help: "Compute every row of every condition, sharing nothing between conditions.")
  var noReuse = false

  @OptionGroup var memory: MemoryOptions

  @OptionGroup var executor: ExecutorOptions

  @OptionGroup var audit: AuditOptions

  @Flag(help: "No progress on stderr.")
  var quiet = false

  func run() throws {
    let interruption = Interruption()
    let sources = interruption.listen {
      Progress.toStandardError("\nfinishing the example in hand; once more to stop at once\n")
    }
    defer { withExtendedLifetime(sources) {} }
    audit.start()
    let experiment = try Experiment(
      manifestPath: manifest, reuse: !noReuse, memory: memory.gibibytes, executor: executor.asked)
    let folder = RunFolder(out ?? "runs/\(experiment.manifest.name)")
    if let shard {
      try runShard(shard, of: experiment, in: folder, interruption)
    } else {
      try runWhole(experiment, in: folder, interruption)
    }
  }

  private func runWhole(_ experiment: Experiment, in folder: RunFolder, _ interruption: Interruption) throws {
    // Before the folder is touched: parameters, selectors and layers are checked here, and --fresh throws rows away.
    let first = fresh || !FileManager.default.fileExists(atPath: folder.store) ? try experiment.firstEvaluator() : nil
    let session = try RunSession(
      folder: folder, plan: experiment.plan, provenance: experiment.provenance(), fresh: fresh)
    let outcome = try session.removingIfEmpty {
      try start(experiment, experiment.plan, session).run(interruption, first: first)
    }
    try outcome.tell(session)
    print("next: ablate report \(folder.path)")
  }

  /// A shard leaves its folder even where it fails at once: `ablate status` reads there why.
  private func runShard(
    _ choice: ShardChoice, of experiment: Experiment, in folder: RunFolder, _ interruption: Interruption
  ) throws {
    let list = try ShardList(of: folder)
    let number = try choice.number(in: list, folder)
    try list.check(experiment.plan, in: folder)
    let plan = list.part(number, of: experiment.plan)
    let session = try RunSession.ofShard(
      number, in: folder, plan: plan, provenance: experiment.provenance(shard: "\(number)/\(list.shards.count)"),
      fresh: fresh, oneInstructionSet: list.oneInstructionSet)
    try start(experiment, plan, session).run(interruption).tell(session)
    print("next: \(executor.merging(folder)), when all shards are done")
  }

  private func start(_ experiment: Experiment, _ plan: Plan, _ session: RunSession) -> RunStart {
    RunStart(
      experiment: experiment, plan: plan, session: session, retryFailed: retryFailed, isShard: shard != nil,
      quiet: quiet,
      command: resumingCommand)
  }

  /// This command without --fresh, which would throw away what is stored.
  private var resumingCommand: String {
    CommandLine.arguments.filter { $0 != "--fresh" }.map(quotedForShell).joined(separator: " ")
  }
}
