/// The decoders that are computed: one pass, and what their configurations leave out.
package enum DecoderFamily: String, CaseIterable, Sendable {
  case llama, mistral

  /// What an absent key means (configuration_llama.py, configuration_mistral.py); nil key-value heads: as many as query heads.
  fileprivate var defaults: (mlpWidth: Int, kvHeads: Int?, maxPositions: Int, slidingWindow: Int?) {
    switch self {
    case .llama: (11008, nil, 2048, nil)
    case .mistral: (14336, 8, 131_072, 4096)
    }
  }
}

package struct TextConfiguration: Sendable, Equatable {
  package var family: DecoderFamily
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
  /// A row sees this many last rows, itself among them; nil: all. Sequences that it would cut are refused.
  package var slidingWindow: Int?
}

extension TextConfiguration {
  /// `tiedOuter` is the top-level `tie_word_embeddings`, which wins over the text configuration's.
  init(_ json: inout StrictObject, tiedOuter: Bool?) throws(CheckpointError) {
    family = try json.modelType(default: .llama)
    let defaults = family.defaults
    width = try json.count("hidden_size", default: 4096)
    mlpWidth = try json.count("intermediate_size", default: defaults.mlpWidth)
    layers = try json.count("num_hidden_layers", default: 32)
    heads = try json.count("num_attention_heads", default: 32)
    kvHeads = try json.optionalCount("num_key_value_heads", default: defaults.kvHeads) ?? heads
    headWidth = try json.count("head_dim", default: width / heads)
    vocabulary = try json.count("vocab_size", default: 32000, in: 1...10_000_000)
    eps = Float(try json.read("rms_norm_eps", default: 1e-6) as Double)
    maxPositions = try json.count("max_position_embeddings", default: defaults.maxPositions, in: 1...100_000_000)
    let tiedInner: Bool = try json.read("tie_word_embeddings", default: false)
    tiedEmbeddings = tiedOuter ?? tiedInner
    ropeTheta = try TextConfiguration.ropeTheta(&json)
    slidingWindow =
      family == .mistral ? try json.optionalCount("sliding_window", default: defaults.slidingWindow) : nil
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
