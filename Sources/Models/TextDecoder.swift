import Checkpoints
import Tensors

/// A Llama-family decoder (modeling_llama.py and modeling_mistral.py of transformers).
struct TextDecoder {
  var transformer: Transformer
  let norm: Norm
  let unembedding: VocabularyMatrix
  /// [vocabulary, width]
  let embedTokens: StoredWeight

  init(_ c: TextConfiguration, positions: Int, _ weights: WeightLoader) throws(ModelError) {
    embedTokens = try weights.stored("language_model.model.embed_tokens.weight", [c.vocabulary, c.width])
    let head = "language_model.lm_head.weight"
    // A head that is missing without being declared tied is a damaged checkpoint; transformers would fill it with random numbers.
    let rows = c.tiedEmbeddings ? embedTokens : try weights.stored(head, [c.vocabulary, c.width])
    unembedding = try lifting { () throws(TensorError) in
      try VocabularyMatrix(
        rows, vocabulary: c.vocabulary, width: c.width, type: weights.type, residency: weights.residency,
        on: weights.engine)
    }
    norm = .rms(gain: try weights.tensor("language_model.model.norm.weight", [c.width]), eps: c.eps)
    let shape = TowerShape(
      tower: .text, layers: c.layers, width: c.width, heads: c.heads, kvHeads: c.kvHeads, headWidth: c.headWidth,
      mlpWidth: c.mlpWidth, causal: true)
    let blocks = try (0..<c.layers).map { layer throws(ModelError) in
      try TextDecoder.block("language_model.model.layers.\(layer).", c, weights)
    }
    transformer = Transformer(
      shape: shape, blocks: blocks, rope: Rope(theta: c.ropeTheta, headWidth: c.headWidth, positions: positions))
  }

  private static func block(_ prefix: String, _ c: TextConfiguration, _ weights: WeightLoader) throws(ModelError)
    -> Block
  {
    func linear(_ name: String, _ outputs: Int, _ inputs: Int) throws(ModelError) -> Linear {
      try weights.linear(prefix + name, outputs: outputs, inputs: inputs, bias: false)
    }
    let (queries, keys) = (c.heads * c.headWidth, c.kvHeads * c.headWidth)
    return Block(
      norm1: .rms(gain: try weights.tensor(prefix + "input_layernorm.weight", [c.width]), eps: c.eps),
      qProj: try linear("self_attn.q_proj", queries, c.width), kProj: try linear("self_attn.k_proj", keys, c.width),
      vProj: try linear("self_attn.v_proj", keys, c.width), oProj: try linear("self_attn.o_proj", c.width, queries),
      norm2: .rms(gain: try weights.tensor(prefix + "post_attention_layernorm.weight", [c.width]), eps: c.eps),
      mlp: .gated(
        gate: try linear("mlp.gate_proj", c.mlpWidth, c.width), up: try linear("mlp.up_proj", c.mlpWidth, c.width),
        down: try linear("mlp.down_proj", c.width, c.mlpWidth)))
  }

  /// Copies the embedding of token `id` to `target` [width].
  func embed(_ id: Int, into target: Floats) {
    let width = transformer.shape.width
    embedTokens.widen((id * width)..<((id + 1) * width), into: target)
  }
}

extension TextConfiguration {
  /// Positions that a sequence may have: the model's, at most 32,768, since the rotary tables are made when the model is opened.
  package var positions: Int { min(maxPositions, 32768) }
}
