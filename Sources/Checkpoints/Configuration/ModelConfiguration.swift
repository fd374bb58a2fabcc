import Foundation

/// What a Hugging Face `llava` folder's config.json says, with the defaults that it omits filled in.
///
/// Source of names and defaults: transformers 5.23 configuration_llava.py, configuration_clip.py, configuration_llama.py.
package struct ModelConfiguration: Sendable, Equatable {
  package var vision: VisionConfiguration
  package var text: TextConfiguration
  /// The id that the text carries at image positions.
  package var imageTokenIndex: Int
  package var projectorActivation: Activation
  package var projectorBias: Bool
  /// Index into the encoder's hidden states (0 = input of layer 0), negative from the end; -2 is LLaVA-1.5's.
  package var visionFeatureLayer: Int
  package var visionFeatureSelect: FeatureSelect
  /// Ends generation.
  package var eosTokenIds: Set<Int> = []

  /// How many vision layers the projector depends on; later ones are dead weights.
  package var visionLayersUsed: Int {
    visionFeatureLayer < 0 ? vision.layers + 1 + visionFeatureLayer : visionFeatureLayer
  }
  /// Image rows that reach the text tower.
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

package struct VisionConfiguration: Sendable, Equatable {
  package var width: Int
  package var mlpWidth: Int
  package var layers: Int
  package var heads: Int
  package var imageSize: Int
  package var patchSize: Int
  package var activation: Activation
  package var eps: Float

  package var grid: Int { imageSize / patchSize }
  package var patches: Int { grid * grid }
}

package struct TextConfiguration: Sendable, Equatable {
  package var width: Int
  package var mlpWidth: Int
  package var layers: Int
  package var heads: Int
  package var kvHeads: Int
  package var headWidth: Int
  package var vocabulary: Int
  package var eps: Float
  package var ropeTheta: Double
  package var maxPositions: Int
  package var tiedEmbeddings: Bool
}

extension ModelConfiguration {
  /// Reads and checks `folder`/config.json.
  package init(folder: String) throws(CheckpointError) {
    var json = try StrictObject(
      contentsOf: folder + "/config.json",
      remedy: "give a Hugging Face checkpoint folder, or the name of a bundled model")
    try json.architecture("llava")
    var text = try json.object("text_config")
    var vision = try json.object("vision_config")
    let tiedOuter: Bool? = json.has("tie_word_embeddings") ? try json.read("tie_word_embeddings") : nil
    eosTokenIds = try ModelConfiguration.endOfSequence(folder: folder, text: &text)
    self.text = try TextConfiguration(&text, tiedOuter: tiedOuter)
    self.vision = try VisionConfiguration(&vision)
    imageTokenIndex = try json.count(
      json.has("image_token_index") ? "image_token_index" : "image_token_id", default: 32000, in: 0...10_000_000)
    projectorActivation = try json.choice("projector_hidden_act", default: .gelu)
    projectorBias = try json.read("multimodal_projector_bias", default: true)
    visionFeatureLayer = try json.read("vision_feature_layer", default: -2)
    visionFeatureSelect = try json.choice("vision_feature_select_strategy", default: .default)
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
    guard (1...vision.layers).contains(visionLayersUsed) else {
      throw .malformed(
        path: path, at: "vision_feature_layer",
        problem: "\(visionFeatureLayer) is not a hidden state of an encoder of \(vision.layers) layers")
    }
    guard imageTokenIndex < text.vocabulary || imageTokenIndex == 32000 else {
      throw .malformed(path: path, at: "image_token_index", problem: "\(imageTokenIndex) is outside the vocabulary")
    }
  }
}

extension StrictObject {
  fileprivate mutating func architecture(_ name: String) throws(CheckpointError) {
    let found: String = try read("model_type")
    guard found == name else {
      throw .unsupported(path: path, key: "model_type", problem: "'\(found)'", remedy: "this version runs: \(name)")
    }
  }
}

extension VisionConfiguration {
  init(_ json: inout StrictObject) throws(CheckpointError) {
    let type: String = try json.read("model_type", default: "clip_vision_model")
    guard type == "clip_vision_model" else {
      throw .unsupported(
        path: json.path, key: "vision_config.model_type", problem: "'\(type)'",
        remedy: "this version runs: clip_vision_model")
    }
    width = try json.count("hidden_size", default: 768)
    mlpWidth = try json.count("intermediate_size", default: 3072)
    layers = try json.count("num_hidden_layers", default: 12)
    heads = try json.count("num_attention_heads", default: 12)
    imageSize = try json.count("image_size", default: 224)
    patchSize = try json.count("patch_size", default: 32)
    activation = try json.choice("hidden_act", default: .quickGelu)
    eps = Float(try json.read("layer_norm_eps", default: 1e-5) as Double)
    try json.only("num_channels", 3)
    try json.finish(harmless: HarmlessKeys.all.union(["projection_dim", "vocab_size"]))
    guard width % heads == 0 else {
      throw .malformed(
        path: json.path, at: "vision_config.hidden_size", problem: "\(width) is not a multiple of \(heads) heads")
    }
    guard imageSize >= patchSize else {
      throw .malformed(path: json.path, at: "vision_config.patch_size", problem: "larger than the image")
    }
  }
}

extension TextConfiguration {
  /// `tiedOuter` is the top-level `tie_word_embeddings`, which wins over the text configuration's.
  init(_ json: inout StrictObject, tiedOuter: Bool?) throws(CheckpointError) {
    let type: String = try json.read("model_type", default: "llama")
    guard type == "llama" else {
      throw .unsupported(
        path: json.path, key: "text_config.model_type", problem: "'\(type)'", remedy: "this version runs: llama")
    }
    width = try json.count("hidden_size", default: 4096)
    mlpWidth = try json.count("intermediate_size", default: 11008)
    layers = try json.count("num_hidden_layers", default: 32)
    heads = try json.count("num_attention_heads", default: 32)
    kvHeads = try json.count("num_key_value_heads", default: heads)
    headWidth = try json.count("head_dim", default: width / heads)
    vocabulary = try json.count("vocab_size", default: 32000, in: 1...10_000_000)
    eps = Float(try json.read("rms_norm_eps", default: 1e-6) as Double)
    maxPositions = try json.count("max_position_embeddings", default: 2048, in: 1...100_000_000)
    let tiedInner: Bool = try json.read("tie_word_embeddings", default: false)
    tiedEmbeddings = tiedOuter ?? tiedInner
    ropeTheta = try TextConfiguration.ropeTheta(&json)
    try json.only("hidden_act", "silu")
    try json.only("attention_bias", false)
    try json.only("mlp_bias", false)
    try json.only("pretraining_tp", 1)
    try json.finish(harmless: HarmlessKeys.all)
    guard heads % kvHeads == 0, headWidth % 2 == 0 else {
      throw .malformed(
        path: json.path, at: "text_config",
        problem: "\(heads) heads cannot share \(kvHeads) key-value heads, or head_dim \(headWidth) is odd")
    }
  }

  /// `rope_theta` before transformers 5, `rope_parameters` since; scaled variants are refused.
  private static func ropeTheta(_ json: inout StrictObject) throws(CheckpointError) -> Double {
    var parameters = try json.object("rope_parameters")
    var scaling = try json.object("rope_scaling")
    for key in ["rope_type", "type"] {
      try parameters.only(key, "default")
      try scaling.only(key, "default")
    }
    let theta: Double = try parameters.read("rope_theta", default: json.read("rope_theta", default: 10000) as Double)
    try parameters.finish(harmless: [])
    try scaling.finish(harmless: [])
    return theta
  }
}
