import Foundation

/// How a checkpoint joins its vision tower to its decoder: `model_type` at the top of config.json.
package enum Architecture: String, CaseIterable, Sendable {
  /// LLaVA-1.5, BakLLaVA: one or more feature layers, a two-layer projector.
  case llava
  /// ViP-LLaVA: several feature layers side by side, normed before the projector; CLS is always dropped.
  case vipllava
  /// LLaVA-NeXT: the picture squashed and beside it in tiles of a canvas that fits it; rows of patches end with `image_newline`.
  case llavaNext = "llava_next"
}

/// What a Hugging Face folder's config.json says, with the defaults that it omits filled in.
///
/// Source of names and defaults: transformers 5.23, configuration_{llava,vipllava,llava_next,clip,llama,mistral}.py.
package struct ModelConfiguration: Sendable, Equatable {
  package var architecture: Architecture
  package var vision: VisionConfiguration
  package var text: TextConfiguration
  /// The id that the text carries at image positions.
  package var imageTokenIndex: Int
  package var projectorActivation: Activation
  package var projectorBias: Bool
  /// Epsilon of the layer norm before the projector's first layer; nil where there is none.
  package var projectorNormEps: Float?
  /// Indices into the encoder's hidden states (0 = input of layer 0), negative from the end; LLaVA-1.5's is -2. Several: their
  /// features stand side by side in this order.
  package var visionFeatureLayers: [Int]
  package var visionFeatureSelect: FeatureSelect
  /// LLaVA-NeXT's canvases; empty where a picture is one tile.
  package var gridPinpoints: [GridPinpoint] = []
  /// Ends generation.
  package var eosTokenIds: Set<Int> = []

  /// The hidden states that the projector reads, counted from the start.
  package var visionHiddenStates: [Int] {
    visionFeatureLayers.map { $0 < 0 ? vision.layers + 1 + $0 : $0 }
  }
  /// How many vision layers the projector depends on; those behind the deepest hidden state that it reads are dead weights.
  package var visionLayersUsed: Int { visionHiddenStates.max() ?? 0 }
  /// Width of a row that enters the projector.
  package var projectorInputs: Int { visionFeatureLayers.count * vision.width }
  /// Rows of one tile that enter the projector; where a picture is one tile, its rows in the text tower.
  package var imageTokens: Int { vision.patches + (visionFeatureSelect == .full ? 1 : 0) }
}

package enum FeatureSelect: String, CaseIterable, Sendable {
  /// Patches only.
  case `default`
  /// CLS and patches.
  case full
}

package enum Activation: String, CaseIterable, Sendable {
  case quickGelu = "quick_gelu"
  case gelu
  case geluTanh = "gelu_pytorch_tanh"
  case geluNew = "gelu_new"
  case silu
}

extension ModelConfiguration {
  /// Reads and checks `folder`/config.json.
  package init(folder: String) throws(CheckpointError) {
    var json = try StrictObject(
      contentsOf: folder + "/config.json",
      remedy: "give a Hugging Face checkpoint folder, or the name of a bundled model")
    architecture = try json.modelType()
    var text = try json.object("text_config")
    let tiedOuter: Bool? = json.has("tie_word_embeddings") ? try json.read("tie_word_embeddings") : nil
    eosTokenIds = try ModelConfiguration.endOfSequence(folder: folder, text: &text)
    self.text = try TextConfiguration(&text, tiedOuter: tiedOuter)
    vision = try VisionConfiguration(in: &json)
    imageTokenIndex = try json.count(
      json.has("image_token_index") ? "image_token_index" : "image_token_id", default: 32000, in: 0...10_000_000)
    projectorActivation = try json.choice("projector_hidden_act", default: .gelu)
    projectorBias = true
    switch architecture {
    case .llava:
      projectorBias = try json.read("multimodal_projector_bias", default: true)
      visionFeatureLayers = try json.integers("vision_feature_layer", default: [-2])
      visionFeatureSelect = try json.choice("vision_feature_select_strategy", default: .default)
    case .vipllava:
      try json.only("multimodal_projector_bias", true)
      try json.only(
        "vision_feature_select_strategy", FeatureSelect.default.rawValue,
        because: "ViP-LLaVA of transformers drops the CLS row whatever the key says")
      projectorNormEps = Float(try json.read("projector_layernorm_eps", default: 1e-5) as Double)
      visionFeatureLayers = try json.integers(
        json.has("vision_feature_layers") ? "vision_feature_layers" : "vision_feature_layer",
        default: [-2, -5, -8, -11, 6])
      visionFeatureSelect = .default
    case .llavaNext:
      projectorBias = try json.read("multimodal_projector_bias", default: true)
      visionFeatureLayers = try json.integers("vision_feature_layer", default: [-2])
      // Tried with 5.23: `pack_image_features` views patches and CLS row of all tiles as one grid; "shape '[2, 2, 3, 3, -1]' is invalid".
      try json.only(
        "vision_feature_select_strategy", FeatureSelect.default.rawValue,
        because: "transformers itself cannot merge tiles that carry a CLS row")
      try json.only(
        "use_image_newline_parameter", true, because: "transformers adds the newline whatever the key says")
      visionFeatureSelect = .default
      gridPinpoints = try json.pinpoints("image_grid_pinpoints", tile: vision.imageSize)
    }
    try json.finish(harmless: HarmlessKeys.all)
    try check(json.path)
  }

  /// generation_config.json's `eos_token_id` (one or several), else the text configuration's, else Llama's 2.
  private static func endOfSequence(folder: String, text: inout StrictObject) throws(CheckpointError) -> Set<Int> {
    func ids(_ json: inout StrictObject) throws(CheckpointError) -> Set<Int> {
      let value = try json.read("eos_token_id", default: 2 as Any)
      if let list = value as? [Int] { return Set(list) }
      return (value as? Int).map { [$0] } ?? []
    }
    let path = folder + "/generation_config.json"
    guard FileManager.default.fileExists(atPath: path) else { return try ids(&text) }
    var json = try StrictObject(contentsOf: path, remedy: "")
    return json.has("eos_token_id") ? try ids(&json) : try ids(&text)
  }

  private func check(_ path: String) throws(CheckpointError) {
    // The first hidden state is no layer's output: it may stand among others, not alone.
    for (layer, state) in zip(visionFeatureLayers, visionHiddenStates)
    where !(0...vision.layers).contains(state) || visionLayersUsed == 0 {
      throw .malformed(
        path: path, at: "vision_feature_layer",
        problem: "\(layer) is not a hidden state of an encoder of \(vision.layers) layers")
    }
    guard imageTokenIndex < text.vocabulary || imageTokenIndex == 32000 else {
      throw .malformed(path: path, at: "image_token_index", problem: "\(imageTokenIndex) is outside the vocabulary")
    }
  }
}
