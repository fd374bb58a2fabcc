import ArgumentParser
import Diagnostics
import Experiments

struct PlanCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "plan",
    abstract: "Show what a manifest expands to, and its cost, without running it.")

  @Argument(help: "The manifest (YAML or JSON).")
  var manifest: String

  @Flag(help: "Write JSON (schema ablate.plan/1).")
  var json = false

  @Option(
    help: "Cut the study into so many shards, of whole examples and of about equal cost: writes shards.json, once.")
  var shards: Int?

  @OptionGroup
  var sharding: ShardingOptions

  @OptionGroup var memory: MemoryOptions

  @OptionGroup var executor: ExecutorOptions

  func run() throws {
    let experiment = try Experiment(manifestPath: manifest, memory: memory.gibibytes, executor: executor.asked)
    if let shards {
      let folder = sharding.folder(of: experiment)
      let list = try sharding.list(experiment, count: shards)
      try list.write(to: folder)
      print(list.table(folder, executor), terminator: "")
      return
    }
    let description = try experiment.described(timed: !json)
    print(json ? description.json.pretty : description.text, terminator: "")
  }
}
