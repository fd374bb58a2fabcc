package struct VisionConfiguration: Sendable, Equatable {
  package var width: Int
  package var mlpWidth: Int
  package var layers: Int
  package var heads: Int
  package var imageSize: Int
  package var patchSize: Int
  package var activation: Activation
  package var eps: Float

  /// Patches along a side; pixels behind the last whole patch are not read, as in CLIP's convolution.
  package var grid: Int { imageSize / patchSize }
  package var patches: Int { grid * grid }
}

extension VisionConfiguration {
  /// `vision_config` of `json`. Keys that it omits have CLIP's defaults (ViT-B/32); where the whole object is missing, the LLaVA
  /// configurations of transformers put a ViT-L/14-336 there.
  init(in json: inout StrictObject) throws(CheckpointError) {
    let large = !json.has("vision_config")
    var json = try json.object("vision_config")
    try json.modelType("clip_vision_model")
    width = try json.count("hidden_size", default: large ? 1024 : 768)
    mlpWidth = try json.count("intermediate_size", default: large ? 4096 : 3072)
    layers = try json.count("num_hidden_layers", default: large ? 24 : 12)
    heads = try json.count("num_attention_heads", default: large ? 16 : 12)
    imageSize = try json.count("image_size", default: large ? 336 : 224)
    patchSize = try json.count("patch_size", default: large ? 14 : 32)
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
