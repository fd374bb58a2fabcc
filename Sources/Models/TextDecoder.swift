import Checkpoints
import Tensors

/// A Llama-family decoder (modeling_llama.py and modeling_mistral.py of transformers).
struct TextDecoder {
  var transformer: Transformer
  let norm: Norm
  let unembedding: Unembedding
  /// [vocabulary, width]
  private let embedTokens: StoredWeight

  init(_ c: TextConfiguration, positions: Int, _ weights: WeightLoader) throws(ModelError) {
    embedTokens = try weights.stored("language_model.model.embed_tokens.weight", [c.vocabulary, c.width])
    let head = "language_model.lm_head.weight"
    // A head that is missing without being declared tied is a damaged checkpoint; transformers would fill it with random numbers.
    let rows = c.tiedEmbeddings ? embedTokens : try weights.stored(head, [c.vocabulary, c.width])
    unembedding = try lifting { () throws(TensorError) in
      try Unembedding(rows, vocabulary: c.vocabulary, width: c.width, weights)
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

/// The unembedding in blocks of the vocabulary, so that a lens streams over it.
package struct Unembedding {
  package static let blockSize = 4096
  package let vocabulary: Int
  private let width: Int
  private let weight: StoredWeight
  private let type: ComputeType
  private let blocks: [(first: Int, linear: Linear)]
  var parts: [Linear] { blocks.map(\.linear) }

  /// - Parameter weight: [vocabulary, width].
  init(_ weight: StoredWeight, vocabulary: Int, width: Int, _ weights: WeightLoader) throws(TensorError) {
    (self.vocabulary, self.width, self.weight, type) = (vocabulary, width, weight, weights.type)
    var blocks: [(first: Int, linear: Linear)] = []
    for first in stride(from: 0, to: vocabulary, by: Unembedding.blockSize) {
      let count = min(Unembedding.blockSize, vocabulary - first)
      let linear = try Linear(
        weight.part((first * width)..<((first + count) * width)), outputs: count, inputs: width, bias: nil,
        type: weights.type, residency: weights.residency, on: weights.engine)
      blocks.append((first, linear))
    }
    self.blocks = blocks
  }

  /// The unembedding of these ids alone.
  func linear(of ids: [Int], on engine: Engine) throws(TensorError) -> Linear {
    let rows = Tensor(zeros: [ids.count, width])
    for (n, id) in ids.enumerated() { weight.widen((id * width)..<((id + 1) * width), into: rows.base + n * width) }
    return try Linear(rows.stored, outputs: ids.count, inputs: width, bias: nil, type: type, on: engine)
  }

  /// x [rows, width] -> logits [rows, vocabulary]
  func logits(_ x: ConstFloats, rows: Int) throws(TensorError) -> Tensor {
    let all = Tensor(zeros: [rows, vocabulary])
    try forEachBlock(x, rows: rows) { first, block, count in
      for row in 0..<rows {
        (all.base + row * vocabulary + first).update(from: block + row * count, count: count)
      }
    }
    return all
  }

  /// Calls `body(first id, logits [rows, count], count)` for one block of the vocabulary after the other.
  func forEachBlock(_ x: ConstFloats, rows: Int, _ body: (Int, ConstFloats, Int) -> Void) throws(TensorError) {
    let block = FloatStorage(zeros: rows * min(vocabulary, Unembedding.blockSize))
    for (first, linear) in blocks {
      try linear(x, rows: rows, into: block.base)
      body(first, block.base, linear.outputs)
    }
  }
}
