import ArgumentParser
import Checkpoints
import Datasets
import Experiments
import Foundation
import Models

struct ShowCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "show",
    abstract: "What is in a dataset folder: classes, parts, sizes, and what a model can look for in it.")

  @Argument(help: "The dataset folder.") var folder: String
  @Option(help: "A model: its tokenizer and preprocessing say which parts can be read. No weights are opened.")
  var model: String?
  @Option(help: "An SVG file to draw: the first pictures with their parts, and a model's patches of them.") var sheet:
    String?
  @Option(help: "How many examples the sheet has.") var pictures = 24
  @Flag(help: "As JSON.") var json = false
  @Flag(help: "No progress on stderr.") var quiet = false

  func validate() throws {
    guard pictures >= 1 else { throw ValidationError("--pictures must be at least 1") }
  }

  func run() throws {
    if let sheet { try checkWritable(sheet) }
    let dataset = try Dataset(DatasetReference(path: folder, limit: nil, offset: 0))
    let view = try model.map { try ModelView(folder: ModelLocator().folder(of: $0), name: $0) }
    var progress = Progress(
      total: dataset.examples.count, done: 0, unit: "example", style: quiet ? .silent : Progress.style())
    let summary = try DatasetSummary(dataset, model: view) { progress.advance(by: 1, at: $0) }
    progress.finish()
    if json { print(summary.json.pretty, terminator: "") } else { print(summary.text, terminator: "") }
    guard let sheet else { return }
    let drawing = try ContactSheet(dataset.examples.prefix(pictures), model: view).svg
    do { try Data(drawing.utf8).write(to: URL(fileURLWithPath: sheet), options: .atomic) } catch {
      throw DatasetError.unwritable(path: sheet, what: error.localizedDescription)
    }
    if !json { print("sheet: \(sheet)") }
  }
}
