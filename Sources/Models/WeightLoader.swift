import Checkpoints
import Tensors

/// Tensors of a checkpoint by name, packed for the engine as they are read.
struct WeightLoader {
  let files: WeightFiles
  let engine: Engine

  func tensor(_ name: String, _ shape: [Int]) throws(ModelError) -> Tensor {
    do { return try files.tensor(name, shape: shape) } catch { throw .checkpoint(error) }
  }

  func layerNorm(_ name: String, _ width: Int, eps: Float) throws(ModelError) -> Norm {
    .layer(gain: try tensor(name + ".weight", [width]), bias: try tensor(name + ".bias", [width]), eps: eps)
  }

  func linear(_ name: String, outputs: Int, inputs: Int, bias: Bool) throws(ModelError) -> Linear {
    try linear(name, outputs: outputs, shape: [outputs, inputs], bias: bias)
  }

  /// `shape` is the weight's, [outputs, ...]: the trailing axes are the inputs, flattened.
  func linear(_ name: String, outputs: Int, shape: [Int], bias: Bool) throws(ModelError) -> Linear {
    let weight = try tensor(name + ".weight", shape)
    let bias = bias ? try tensor(name + ".bias", [outputs]) : nil
    defer { withExtendedLifetime(weight) {} }  // packed through its pointer
    return try lifting { () throws(TensorError) in
      try Linear(
        weight: weight.base, outputs: outputs, inputs: shape.dropFirst().reduce(1, *), bias: bias, on: engine)
    }
  }
}
