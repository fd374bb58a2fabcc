import Checkpoints
import Tensors

/// CLIP's vision encoder up to the layer that the projector reads (modeling_clip.py of transformers).
struct VisionEncoder {
  let configuration: VisionConfiguration
  /// The patch convolution as a product over unfolded patches: [3 * patch * patch] -> [width].
  private let patchEmbedding: Linear
  /// [width]
  private let classEmbedding: Tensor
  /// [1 + patches, width]
  private let positionEmbedding: Tensor
  let preNorm: Norm
  var transformer: Transformer

  init(_ model: ModelConfiguration, _ weights: WeightLoader) throws(ModelError) {
    let c = model.vision
    configuration = c
    let prefix = "vision_tower.vision_model."
    patchEmbedding = try weights.linear(
      prefix + "embeddings.patch_embedding", outputs: c.width, shape: [c.width, 3, c.patchSize, c.patchSize],
      bias: false)
    classEmbedding = try weights.tensor(prefix + "embeddings.class_embedding", [c.width])
    positionEmbedding = try weights.tensor(prefix + "embeddings.position_embedding.weight", [1 + c.patches, c.width])
    preNorm = try weights.layerNorm(prefix + "pre_layrnorm", c.width, eps: c.eps)  // sic
    let shape = TowerShape(
      tower: .vision, layers: model.visionLayersUsed, width: c.width, heads: c.heads, kvHeads: c.heads,
      headWidth: c.width / c.heads, mlpWidth: c.mlpWidth, causal: false)
    let blocks = try (0..<model.visionLayersUsed).map { layer throws(ModelError) in
      try VisionEncoder.block("\(prefix)encoder.layers.\(layer).", c, weights)
    }
    transformer = Transformer(shape: shape, blocks: blocks, rope: nil)
  }

  private static func block(
    _ prefix: String, _ c: VisionConfiguration, _ weights: WeightLoader
  ) throws(ModelError) -> Block {
    func projection(_ name: String) throws(ModelError) -> Linear {
      try weights.linear(prefix + "self_attn." + name, outputs: c.width, inputs: c.width, bias: true)
    }
    return Block(
      norm1: try weights.layerNorm(prefix + "layer_norm1", c.width, eps: c.eps),
      qProj: try projection("q_proj"), kProj: try projection("k_proj"), vProj: try projection("v_proj"),
      oProj: try projection("out_proj"),
      norm2: try weights.layerNorm(prefix + "layer_norm2", c.width, eps: c.eps),
      mlp: .plain(
        fc1: try weights.linear(prefix + "mlp.fc1", outputs: c.mlpWidth, inputs: c.width, bias: true),
        fc2: try weights.linear(prefix + "mlp.fc2", outputs: c.width, inputs: c.mlpWidth, bias: true), c.activation))
  }

  /// pixels [3, size, size] -> patch, class and position embeddings [1 + patches, width], before pre_layrnorm.
  func embed(_ pixels: ConstFloats) throws(TensorError) -> Tensor {
    let (p, grid, size) = (configuration.patchSize, configuration.grid, configuration.imageSize)
    let unfolded = Tensor(zeros: [configuration.patches, 3 * p * p])
    for patch in 0..<configuration.patches {
      for channel in 0..<3 {
        for y in 0..<p {
          let source = pixels + (channel * size + patch / grid * p + y) * size + patch % grid * p
          (unfolded.base + ((patch * 3 + channel) * p + y) * p).update(from: source, count: p)
        }
      }
    }
    let width = configuration.width
    let x = Tensor(zeros: [1 + configuration.patches, width])
    x.base.update(from: classEmbedding.base, count: width)
    try patchEmbedding(unfolded.base, rows: configuration.patches, into: x.base + width)
    for i in 0..<x.count { x.base[i] += positionEmbedding.base[i] }
    return x
  }
}
