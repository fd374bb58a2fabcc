import ArgumentParser
import Experiments
import Foundation

struct SubmitCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "submit",
    abstract: "Run a study in shards: as a Slurm job array with a merge behind it, or as processes here.",
    discussion: """
      The first time the study is cut (--shards). Submitting again submits only shards that are not done, not running and \
      not in the queue.

      slurm: writes array.sbatch and merge.sbatch into the run folder and submits them. local: waits, then merges.
      """)

  enum Engine: String, ExpressibleByArgument, CaseIterable { case slurm, local }

  @Argument(help: "The manifest (YAML or JSON).")
  var manifest: String

  @Option(help: "Where the shards run.")
  var engine = Engine.slurm

  @Option(help: "How many shards; only the first time.")
  var shards: Int?

  @OptionGroup
  var sharding: ShardingOptions

  @Option(
    parsing: .unconditionalSingleValue,
    help: ArgumentHelp(
      "An option for sbatch, for instance --sbatch-arg=--partition=long; may be repeated.", valueName: "option"))
  var sbatchArg: [String] = []

  @OptionGroup var executor: ExecutorOptions

  @Option(help: "How many shards run at once, at most.")
  var atOnce: Int?

  @Flag(help: "Print what would be written and submitted.")
  var dryRun = false

  func validate() throws {
    if let atOnce, atOnce < 1 { throw ValidationError("--at-once is at least 1") }
  }

  func run() throws {
    let experiment = try Experiment(manifestPath: manifest, executor: executor.asked)
    let folder = RunFolder(absolute(sharding.folder(of: experiment).path))
    let list = try self.list(experiment, folder)
    let queue = SlurmQueue(folder: folder)
    let states = try ShardStates(folder, list, queue: queue.tasks())
    guard !states.unattended.isEmpty else {
      print(states.text + "nothing to submit; when all shards are done: \(executor.merging(folder))")
      return
    }
    switch engine {
    case .slurm: try submit(experiment, list, states.unattended, queue)
    case .local: try runHere(list, states.unattended, folder)
    }
  }

  private func list(_ experiment: Experiment, _ folder: RunFolder) throws -> ShardList {
    if let shards {
      let list = try sharding.list(experiment, count: shards)
      if !dryRun { try list.write(to: folder) }
      return list
    }
    let list = try ShardList(of: folder)
    try list.check(experiment.plan, in: folder)
    return list
  }

  private func submit(_ experiment: Experiment, _ list: ShardList, _ shards: [Int], _ queue: SlurmQueue) throws {
    let scripts = SlurmScripts(
      name: experiment.manifest.name, program: program, manifest: absolute(manifest), folder: queue.folder.path,
      workingFolder: FileManager.default.currentDirectoryPath, count: list.shards.count, flags: executor.words,
      options: sbatchArg, atOnce: atOnce)
    let arrays = SlurmScripts.chunks(of: shards, limit: try SlurmQueue.maxArraySize()).enumerated().map {
      (file: $0 == 0 ? "slurm/array.sbatch" : "slurm/array-\($0 + 1).sbatch", chunk: $1)
    }
    let merge = "slurm/merge.sbatch"
    if dryRun {
      for (file, chunk) in arrays { print("--- \(queue.folder.file(file))\n\(scripts.array(chunk))") }
      print("--- \(queue.folder.file(merge))\n\(scripts.merge)")
      print("--- would submit the above: sbatch each array, then sbatch --dependency=afterany:ARRAYS merge.sbatch")
      return
    }
    for (file, chunk) in arrays { try queue.folder.write(scripts.array(chunk), to: file) }
    try queue.folder.write(scripts.merge, to: merge)
    let jobs = try queue.submit(
      arrays.map { (queue.folder.file($0.file), $0.chunk) }, merge: queue.folder.file(merge))
    print("submitted \(shards.count) of \(list.shards.count) shards: job \(jobs.dropLast().joined(separator: ", "))")
    print("merge and report: job \(jobs.last ?? "")")
    print("next: ablate status \(queue.folder.path)")
  }

  private func runHere(_ list: ShardList, _ shards: [Int], _ folder: RunFolder) throws {
    let local = LocalEngine(
      program: program, manifest: absolute(manifest), folder: folder, count: list.shards.count, flags: executor.words,
      atOnce: atOnce)
    if dryRun {
      print(
        "would run here: shards \(SlurmScripts.ranges(shards)) of \(list.shards.count), then \(executor.merging(folder))"
      )
      return
    }
    let interruption = Interruption()
    let sources = interruption.listen {
      Progress.toStandardError("\nevery shard finishes the example in hand; once more to stop at once\n")
    }
    defer { withExtendedLifetime(sources) {} }
    let failure: (any Error)?
    do {
      try local.run(shards, interruption)
      failure = nil
    } catch { failure = error }
    if let failure, interruption.isRequested { throw failure }
    do {
      try MergeCommand.merge(folder, executor)
    } catch { throw failure ?? error }
    if let failure { throw failure }
  }

  private var program: String {
    (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? CommandLine.arguments[0]
  }

  private func absolute(_ path: String) -> String { URL(fileURLWithPath: path).standardizedFileURL.path }
}
