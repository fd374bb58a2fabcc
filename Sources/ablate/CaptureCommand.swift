import ArgumentParser
import Checkpoints
import Foundation
import Models
import PluginHost
import Tensors

struct CaptureCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "capture", abstract: "Writes activations under their hook points' names to a safetensors file.")

  @OptionGroup var model: ModelOptions
  @OptionGroup var example: ExampleOptions
  @OptionGroup var plugins: PluginOptions
  @Option(help: "Hook points, separated by commas: text.*.resid_post,vision.0-2.pattern,logits") var at: String
  @Option(help: "The file to write.") var out: String

  func run() throws {
    try example.check()
    try checkWritable(out)
    let specs = try plugins.specs()
    let model = try model.open()
    let points = try hookPoints(model)
    guard !points.isEmpty else { throw UsageError.hookPoints(at) }
    let input = try example.input(model)
    let session = try session(model, specs, reuse: !plugins.noReuse)
    let wish = Session.Wish(outputRows: Array(input.ids.indices), captures: points)
    let outcome = try session.run(Item(id: "prompt", index: 0, input: input), conditions: ["condition"], wish)[0]
    try check(outcome)
    let tensors = outcome.output.results.captures.filter { $0.plugin == Program.reader }.map {
      (name: $0.point.site == .logits ? "logits" : $0.point.description, tensor: $0.tensor)
    }
    try writeSafetensors(tensors, metadata: try metadata(model, input), to: out)
    print("\(out): \(tensors.count) activations, \(tensors.reduce(0) { $0 + $1.tensor.count } * 4) bytes")
    printTables(outcome)
  }

  /// A comma separates points, but `vision.0-2,5.z` is one: a piece without a dot belongs to what follows it.
  private func hookPoints(_ model: VisionLanguageModel) throws -> [HookPoint] {
    var seen: Set<HookPoint> = []
    return try at.split(separator: ",").map(String.init).reduce(into: [String]()) { pieces, piece in
      if let last = pieces.last, last.split(separator: ".").count == 2, !last.hasSuffix("logits"),
        piece.first?.isNumber ?? false
      {
        pieces[pieces.count - 1] = last + "," + piece
      } else {
        pieces.append(piece)
      }
    }.flatMap { try model.hooks.match($0) }.filter { seen.insert($0).inserted }
  }

  private func metadata(_ model: VisionLanguageModel, _ input: ModelInput) throws -> [String: String] {
    let engine = Engine.provenance
    let segments = try JSONSerialization.data(
      withJSONObject: segments(input.segments, boxes: example.patchBoxes(model)), options: [.sortedKeys])
    return [
      "ablate": Ablate.configuration.version, "model": model.name, "model_digest": model.digest,
      "prompt_ids": input.ids.map(String.init).joined(separator: " "),
      "segments": String(decoding: segments, as: UTF8.self), "plugins": plugins.plugins.joined(separator: " "),
      "engine": "oneDNN \(engine.version), \(engine.isa), f32",
    ]
  }
}
