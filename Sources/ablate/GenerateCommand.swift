import ArgumentParser
import Foundation
import Models
import PluginHost

struct GenerateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "generate", abstract: "Answers a prompt about an image, greedily, under plugins if any are named.")

  @OptionGroup var model: ModelOptions
  @OptionGroup var example: ExampleOptions
  @OptionGroup var plugins: PluginOptions
  @Option(help: "At most so many tokens.") var maxNewTokens = 32
  @Flag(help: "Prints ids and segments as JSON.") var json = false

  func validate() throws {
    guard maxNewTokens >= 0 else { throw ValidationError("--max-new-tokens must not be negative") }
  }

  func run() throws {
    try example.check()
    let specs = try plugins.specs()
    let model = try model.open()
    let input = try example.input(model, newTokens: maxNewTokens)
    let session = try session(model, specs, reuse: !plugins.noReuse)
    let wish = Session.Wish(outputRows: [input.ids.count - 1])
    let outcome = try session.run(Item(id: "prompt", index: 0, input: input), conditions: ["condition"], wish)[0]
    try check(outcome)
    let text = model.tokenizer.decode(outcome.output.generated)
    guard json else {
      print(text)
      return printTables(outcome)
    }
    try printJSON([
      "schema": "ablate.generate/1", "text": text, "ids": outcome.output.generated,
      "tables": outcome.tables.map(\.json), "prompt_ids": input.ids,
      "segments": try segments(input.segments, boxes: example.patchBoxes(model)),
    ])
  }
}
