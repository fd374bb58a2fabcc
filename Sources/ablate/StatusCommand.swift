import ArgumentParser
import Diagnostics
import Experiments

struct StatusCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "status",
    abstract: "Show where the shards of a run stand, from their status files and Slurm's queue.")

  @Argument(help: ArgumentHelp("A run folder with shards.", valueName: "run"))
  var folder: String

  @Flag(help: "Write JSON (schema ablate.shard-states/1).")
  var json = false

  func run() throws {
    let folder = RunFolder(folder)
    let states = try ShardStates(folder, ShardList(of: folder), queue: SlurmQueue(folder: folder).tasks())
    print(json ? states.json.pretty : states.text, terminator: "")
  }
}
