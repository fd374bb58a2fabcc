import ArgumentParser
import Checkpoints
import Experiments
import Foundation
import Models

struct ShuffleCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "shuffle",
    abstract: "Write a checkpoint of the same architecture with random weights: the baseline of probes that learn.",
    discussion: """
      Of every tensor the same numbers stand there in an order drawn by the seed, in the same type. The folder is a checkpoint like any other: \
      name it beside the trained model in `models`, and compare the two.
      """)

  @Argument(help: "A Hugging Face checkpoint folder, org/name[@revision] in the local cache, or a bundled name.")
  var model: String
  @Option(help: "Another seed draws another order.") var seed = 0
  @Option(help: ArgumentHelp("The folder to write.", valueName: "folder")) var out: String

  func validate() throws {
    if seed < 0 { throw ValidationError("--seed is at least 0") }
  }

  func run() throws {
    let folder = try ModelLocator().folder(of: model)
    try ShuffledCheckpoint.write(of: folder, seed: UInt64(seed), to: out)
    print("\(out): the weights of \(model) in random order, seed \(seed)")
  }
}
