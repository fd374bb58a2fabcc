import Checkpoints
import Foundation
import Models
import Tensors
import Testing

/// Promise 5: every activation agrees with Hugging Face transformers on small random checkpoints, clean and ablated.
@Suite(.serialized) struct ParityTests {
  static let tolerance = 1e-5

  @Test(arguments: ParityCase.variants)
  func `every hook point agrees with transformers`(_ parity: ParityCase) throws {
    let (name, variant) = (parity.name, parity.variant)
    let differences = try differences(parity)
    for (point, difference) in differences {
      #expect(difference <= ParityTests.tolerance, "\(name) \(variant) \(point)")
      if ProcessInfo.processInfo.environment["ABLATE_PARITY_TABLE"] != nil {
        print("PARITY | \(name) | \(variant) | \(ParityCase.name(of: point)) | \(difference)")
      }
    }
    #expect(differences.count >= 12)
  }

  @Test(arguments: ParityCase.variants.filter { $0.variant != "vision_cut" })
  func `sixteen generated tokens are equal id by id`(_ parity: ParityCase) throws {
    let model = try parity.model()
    let input = try parity.input(model, newTokens: 16)
    let program = parity.variant == "clean" ? Program() : try Cut.text(model, input)
    let output = try model.run(input, [LaneRequest(program, outputRows: [input.ids.count - 1])])[0]
    #expect(try output.generated == parity.goldens.integers("generated_ids"))
  }

  @Test(arguments: Fault.allCases)
  func `a seeded fault exceeds the tolerance a hundredfold`(fault: Fault) throws {
    let parity = try ParityCase(fault.checkpoint, fault.variant)
    let worst = try differences(parity, fault: fault).map(\.1).max()
    #expect(try #require(worst) >= 100 * ParityTests.tolerance, "\(fault)")
  }

  @Test func `a sequence that a sliding window would cut is refused with the numbers`() throws {
    let parity = try ParityCase("mistral", "clean")
    let fits = try parity.model { $0.text.slidingWindow = 28 }
    #expect(try parity.input(fits).segments.length == 28)
    let error = #expect(throws: ModelError.self) { _ = try parity.input(fits, newTokens: 1) }
    #expect(
      error?.diagnosis.what.hasPrefix("29 tokens with those to come, but text_config.sliding_window is 28") == true)
  }

  private func differences(
    _ parity: ParityCase, fault: Fault? = nil
  ) throws -> [(HookPoint, Double)] {
    let model = try parity.model { fault?.change(&$0) }
    var input = try parity.input(model)
    if fault == .tileOrder || fault == .unpadding { input = try displaced(input, fault, model) }
    if fault == .patchOrder { input = try model.input(ids: input.ids, pixels: transposed(input.pixels)) }
    var program =
      switch parity.variant {
      case "vision_cut": try Cut.vision(model, input.segments.layout)
      case "text_cut": try Cut.text(model, input, shift: fault == .maskOffByOne ? 1 : 0)
      default: Program()
      }
    if fault == .keyValueHeadOrder { swapHeads(&program, model, input) }
    if fault == .newline {
      let rows = try TokenSelector("newline").resolve(.text(input.segments, masks: [:]))
      program.add(Op(.set([0]), rows: rows), at: HookPoint(.text, nil, .embed))
    }
    if fault == .slidingWindow { try cutOldest(&program, model, input) }
    let points = try parity.points(model).filter { fault == nil || $0.site == .logits || $0.tower == .projector }
    program.add(capturesAt: points, input)
    let output = try model.run(input, [LaneRequest(program, outputRows: Array(input.ids.indices))])[0]
    return try output.results.captures.map { capture in
      (capture.point, difference(capture.tensor, try parity.goldens.floats(ParityCase.name(of: capture.point))))
    }
  }

  /// Exchanges the first two key-value heads' keys by overwriting both with constants in the wrong order.
  private func swapHeads(_ program: inout Program, _ model: VisionLanguageModel, _ input: ModelInput) {
    let width = model.configuration.text.headWidth
    for head in 0..<2 {
      let values = (0..<width).map { Float($0 + head) / 10 }
      program.add(
        Op(.set(values), rows: Array(input.ids.indices), heads: [1 - head]), at: HookPoint(.text, 0, .k))
    }
  }

  /// A window that is one row too short: the last row does not see the first.
  private func cutOldest(_ program: inout Program, _ model: VisionLanguageModel, _ input: ModelInput) throws {
    for layer in 0..<model.hooks.textLayers {
      program.edges[HookPoint(.text, layer, .attnScores)] = try EdgeMask(
        [EdgeRule(.drop, queries: [input.ids.count - 1], keys: [0])], heads: model.configuration.text.heads,
        length: input.segments.length, causal: true, place: "text")
    }
  }

  /// Two tiles exchanged, or one row of padding more above the picture and one less below.
  private func displaced(_ input: ModelInput, _ fault: Fault?, _ model: VisionLanguageModel) throws -> ModelInput {
    var (pixels, layout) = (input.pixels, input.segments.layout)
    if fault == .tileOrder {
      pixels = pixels.copy()
      let tile = pixels.count / layout.tiles
      let base = pixels.base
      for i in 0..<tile { (base[tile + i], base[2 * tile + i]) = (base[2 * tile + i], base[tile + i]) }
    } else {
      layout = ImageLayout(tileGrid: layout.tileGrid, canvasTiles: PatchGrid(rows: 2, cols: 2), kept: (0..<4, 0..<6))
    }
    return try model.input(ids: input.ids, pixels: pixels, layout: layout)
  }

  private func transposed(_ pixels: Tensor) -> Tensor {
    let size = pixels.shape[1]
    let result = Tensor(zeros: pixels.shape)
    for c in 0..<3 {
      for y in 0..<size {
        for x in 0..<size { result.base[(c * size + y) * size + x] = pixels.base[(c * size + x) * size + y] }
      }
    }
    return result
  }
}

/// Mistakes that an implementation could make; each must be seen.
enum Fault: String, CaseIterable {
  case ropeTheta, rmsEps, layerNormEps, geluKind, projectorGelu, featureLayer, keyValueHeadOrder, patchOrder,
    maskOffByOne, slidingWindow, vipFeatureOrder, vipNormEps, newline, tileOrder, unpadding

  var checkpoint: String {
    switch self {
    case .keyValueHeadOrder: "gqa"
    case .projectorGelu: "tied"
    case .slidingWindow: "mistral"
    case .vipFeatureOrder, .vipNormEps: "vip"
    case .newline, .tileOrder, .unpadding: "next_llama"
    default: "mha"
    }
  }
  var variant: String { self == .maskOffByOne ? "text_cut" : "clean" }

  func change(_ c: inout ModelConfiguration) {
    switch self {
    case .ropeTheta: c.text.ropeTheta *= 1.5
    case .rmsEps: c.text.eps = 1e-2
    case .layerNormEps: c.vision.eps = 1e-2
    case .geluKind: c.vision.activation = .gelu
    case .projectorGelu: c.projectorActivation = .gelu
    case .featureLayer: c.visionFeatureLayers = [-1]
    case .vipFeatureOrder: c.visionFeatureLayers.reverse()
    case .vipNormEps: c.projectorNormEps = 1e-5
    case .keyValueHeadOrder, .patchOrder, .maskOffByOne, .slidingWindow, .newline, .tileOrder, .unpadding: break
    }
  }
}
