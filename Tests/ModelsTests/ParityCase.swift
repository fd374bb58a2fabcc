import Checkpoints
import Foundation
import Models
import Tensors
import Testing

/// A small random checkpoint and what transformers computed on it; made by Tools/parity/make_goldens.py.
struct ParityCase: CustomTestStringConvertible, Sendable {
  static let variants: [ParityCase] =
    ["mha", "gqa", "tied", "mistral", "vip", "next_llama"].flatMap { name in
      ["clean", "vision_cut", "text_cut"].compactMap { try? ParityCase(name, $0) }
    } + ["bf16", "f16", "next_mistral"].compactMap { try? ParityCase($0, "clean") }
  static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .appendingPathComponent("Fixtures/parity").path

  let name: String
  let variant: String
  let folder: String
  let goldens: SafetensorsFile

  init(_ name: String, _ variant: String) throws {
    self.name = name
    self.variant = variant
    folder = "\(ParityCase.root)/\(name)"
    goldens = try SafetensorsFile("\(folder)/goldens/\(variant).safetensors")
  }

  var testDescription: String { "\(name) \(variant)" }

  func model(
    weights: WeightPlacement? = nil, dtype: ComputeType = .f32, _ change: (inout ModelConfiguration) -> Void = { _ in }
  ) throws -> VisionLanguageModel {
    var configuration = try ModelConfiguration(folder: folder)
    configuration.eosTokenIds = []  // the goldens go on past the end of sequence
    change(&configuration)
    return try VisionLanguageModel(
      folder: folder, name: "parity", configuration: configuration, dtype: dtype, weights: weights)
  }

  func input(_ model: VisionLanguageModel, newTokens: Int = 0) throws -> ModelInput {
    try model.input(
      ids: goldens.integers("input_ids"), pixels: goldens.floats("pixel_values"), layout: layout(model),
      newTokens: newTokens)
  }

  /// Of LLaVA-NeXT's picture, whose size the goldens hold.
  func layout(_ model: VisionLanguageModel) throws -> ImageLayout? {
    guard goldens.entries["image_sizes"] != nil else { return nil }
    let size = try goldens.integers("image_sizes")
    return model.configuration.layout(width: size[1], height: size[0])
  }

  /// The hook points that the file holds.
  func points(_ model: VisionLanguageModel) throws -> [HookPoint] {
    let inputs: Set = ["input_ids", "pixel_values", "image_sizes", "generated_ids"]
    return try goldens.entries.keys.filter { !inputs.contains($0) }.sorted().map { try model.hooks.match($0)[0] }
  }

  static func name(of point: HookPoint) -> String {
    point.site == .logits ? "logits" : point.description
  }
}

/// The ablations of the goldens, as edits.
enum Cut {
  /// Patches attend to themselves and CLS; CLS to itself ("blind").
  static func vision(_ model: VisionLanguageModel, _ layout: ImageLayout) throws -> Program {
    let rows = TowerRows.vision(layout, masks: [:])
    let (patches, cls) = (try TokenSelector("patches").resolve(rows), try TokenSelector("cls").resolve(rows))
    let rules = [
      EdgeRule(.drop, queries: patches, keys: patches, keepSelf: true), EdgeRule(.drop, queries: cls, keys: patches),
    ]
    var program = Program()
    for layer in 0..<model.hooks.visionLayers {
      program.edges[HookPoint(.vision, layer, .attnScores)] = try EdgeMask(
        rules, heads: model.configuration.vision.heads, length: layout.tileRows, causal: false, place: "vision")
    }
    return program
  }

  /// Image tokens attend to the prefix and themselves.
  static func text(_ model: VisionLanguageModel, _ input: ModelInput, shift: Int = 0) throws -> Program {
    let image = input.segments.segments.filter { $0.kind == .image }.flatMap { Array($0.rows) }.map { $0 + shift }
    var program = Program()
    for layer in 0..<model.hooks.textLayers {
      program.edges[HookPoint(.text, layer, .attnScores)] = try EdgeMask(
        [EdgeRule(.drop, queries: image, keys: image, keepSelf: true)], heads: model.configuration.text.heads,
        length: input.segments.length, causal: true, place: "text")
    }
    return program
  }
}

/// max|a-b| / max|b| over finite entries; infinite where one is masked and the other is not.
func difference(_ a: Tensor, _ b: Tensor) -> Double {
  guard a.shape == b.shape else { return .infinity }
  var (largest, scale) = (0.0, 0.0)
  for i in 0..<a.count {
    let (x, y) = (a.base[i], b.base[i])
    if x.isInfinite || y.isInfinite {
      if x != y { return .infinity }
    } else {
      largest = max(largest, Double(abs(x - y)))
      scale = max(scale, Double(abs(y)))
    }
  }
  return scale == 0 ? largest : largest / scale
}
