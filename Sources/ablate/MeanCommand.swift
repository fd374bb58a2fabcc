import ArgumentParser
import Checkpoints
import Datasets
import Experiments
import Foundation
import Models

struct MeanCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "mean",
    abstract: "Writes the mean of activations over a dataset, for mean ablation: `vector: { file: ... }` in an edit.")

  @OptionGroup var model: ModelOptions
  @Option(help: "A dataset folder.") var dataset: String
  @Option(help: "How many lines of metadata.jsonl.") var limit: Int?
  @Option(help: "Lines to skip first.") var offset = 0
  @Option(help: "Hook points, separated by commas: text.*.resid_post,projector.out") var at: String
  @Option(help: "The rows that enter the mean, a selector.") var tokens = "image"
  @Option(help: "The file to write (safetensors).") var out: String

  func validate() throws {
    if offset < 0 || limit ?? 1 < 1 { throw ValidationError("--offset is at least 0, --limit at least 1") }
  }

  func run() throws {
    try checkWritable(out)
    let dataset = try Dataset(DatasetReference(path: dataset, limit: limit, offset: offset))
    let patterns = at.split(separator: ",").map(String.init)
    let means = try ActivationMeans(
      of: model.open(), dataset, at: patterns, tokens: tokens, rule: .coverage(0.5))
    try writeSafetensors(means.tensors, metadata: means.metadata, to: out)
    print(
      "\(out): means of \(means.tensors.count) activations over \(means.rows) rows of \(dataset.examples.count) examples"
    )
  }
}
