import ArgumentParser
import Foundation
import Models
import PluginHost
import Tensors

struct AgreeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "agree", abstract: "How far bf16 products take a model's activations from f32, on one example.",
    discussion: """
      Prints max|a-b| / max|b| and the cosine of whole activations behind each layer, and what becomes of the answer. The two models are \
      opened one after the other.
      """)

  @Argument(help: "A Hugging Face checkpoint folder, or the name of a bundled model.") var model: String
  @OptionGroup var example: ExampleOptions
  @Option(help: "Tokens to generate.") var newTokens = 16
  @Flag(help: "As JSON.") var json = false

  /// One type's activations and answer.
  private struct Reading {
    let activations: [(name: String, tensor: Tensor)]
    let logits: [Float]
    let generated: [Int]
  }

  func run() throws {
    try example.check()
    let (reference, rounded) = (try read(.f32), try read(.bf16))
    let rows = zip(reference.activations, rounded.activations).map { agreement($0.name, $0.tensor, $1.tensor) }
    let same = zip(reference.generated, rounded.generated).prefix { $0 == $1 }.count
    let divergence = divergence(reference.logits, rounded.logits)
    guard !json else {
      return try printJSON([
        "schema": "ablate.agreement/1", "kl": divergence, "generated": reference.generated.count, "equal_tokens": same,
        "activations": rows.map { ["point": $0.name, "difference": $0.difference, "cosine": $0.cosine] },
      ])
    }
    print("bf16 against f32: max|a-b| / max|b|, cosine")
    for row in rows {
      print(
        "  " + row.name.padding(toLength: 24, withPad: " ", startingAt: 0)
          + String(format: "%.2e  %.6f", row.difference, row.cosine))
    }
    let count = reference.generated.count
    print(String(format: "KL of the next token %.2e; %d of %d generated tokens equal", divergence, same, count))
  }

  private func read(_ type: ComputeType) throws -> Reading {
    let model = try VisionLanguageModel(folder: ModelLocator().folder(of: model), name: model, dtype: type)
    let input = try example.input(model, newTokens: newTokens)
    let points = try ["vision.*.resid_post", "projector.out", "text.*.resid_post"].flatMap { try model.hooks.match($0) }
    let program = Program(capturing: points, input)
    let output = try model.run(input, [LaneRequest(program, outputRows: [input.ids.count - 1])])[0]
    return Reading(
      activations: output.results.captures.map { ("\($0.point)", $0.tensor) }, logits: output.logits.values,
      generated: output.generated)
  }

  private func agreement(_ name: String, _ a: Tensor, _ b: Tensor) -> (name: String, difference: Double, cosine: Double)
  {
    var (largest, scale, dot, squares) = (Float(0), Float(0), 0.0, (a: 0.0, b: 0.0))
    for i in 0..<a.count {
      largest = max(largest, abs(a.base[i] - b.base[i]))
      scale = max(scale, abs(a.base[i]))
      dot += Double(a.base[i]) * Double(b.base[i])
      squares.a += Double(a.base[i]) * Double(a.base[i])
      squares.b += Double(b.base[i]) * Double(b.base[i])
    }
    return (
      name, Double(largest / max(scale, .leastNormalMagnitude)), dot / max((squares.a * squares.b).squareRoot(), 1e-300)
    )
  }

  /// KL(p, q) of the softmaxes.
  private func divergence(_ p: [Float], _ q: [Float]) -> Double {
    func logSum(_ x: [Float]) -> Double {
      let top = Double(x.max() ?? 0)
      return top + log(x.reduce(0) { $0 + exp(Double($1) - top) })
    }
    let (sumP, sumQ) = (logSum(p), logSum(q))
    return zip(p, q).reduce(0) { $0 + exp(Double($1.0) - sumP) * (Double($1.0) - sumP - Double($1.1) + sumQ) }
  }
}
