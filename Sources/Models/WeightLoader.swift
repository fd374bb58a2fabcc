import Checkpoints
import Foundation
import Tensors

/// Tensors of a checkpoint by name, packed for the engine as they are read.
struct WeightLoader {
  let files: WeightFiles
  let engine: Engine
  let type: ComputeType
  let residency: Residency

  func tensor(_ name: String, _ shape: [Int]) throws(ModelError) -> Tensor {
    do { return try files.tensor(name, shape: shape) } catch { throw .checkpoint(error) }
  }

  func stored(_ name: String, _ shape: [Int]) throws(ModelError) -> StoredWeight {
    do { return try files.stored(name, shape: shape) } catch { throw .checkpoint(error) }
  }

  func layerNorm(_ name: String, _ width: Int, eps: Float) throws(ModelError) -> Norm {
    .layer(gain: try tensor(name + ".weight", [width]), bias: try tensor(name + ".bias", [width]), eps: eps)
  }

  func linear(_ name: String, outputs: Int, inputs: Int, bias: Bool) throws(ModelError) -> Linear {
    try linear(name, outputs: outputs, shape: [outputs, inputs], bias: bias)
  }

  /// `shape` is the weight's, [outputs, ...]: the trailing axes are the inputs, flattened.
  func linear(_ name: String, outputs: Int, shape: [Int], bias: Bool) throws(ModelError) -> Linear {
    let weight = try stored(name + ".weight", shape)
    let bias = bias ? try tensor(name + ".bias", [outputs]) : nil
    // Or the file's pages would stand beside their packed copies.
    defer { if residency == .resident { files.release() } }
    return try lifting { () throws(TensorError) in
      try Linear(
        weight, outputs: outputs, inputs: shape.dropFirst().reduce(1, *), bias: bias, type: type,
        residency: residency, on: engine)
    }
  }
}

/// Where the weights of a model live: a matter of the machine, not of the experiment, since no bit depends on it. `ABLATE_WEIGHTS` sets it.
package enum WeightPlacement: String, CaseIterable, Sendable {
  /// Resident if their packed copy fits into memory with room for activations, else streamed.
  case automatic
  case resident
  case streamed

  /// What the environment says.
  package static func fromEnvironment() throws(ModelError) -> WeightPlacement {
    guard let text = ProcessInfo.processInfo.environment["ABLATE_WEIGHTS"] else { return .automatic }
    guard let placement = WeightPlacement(rawValue: text) else {
      throw .input(
        place: "environment: ABLATE_WEIGHTS", problem: "'\(text)' is no placement of weights",
        remedy: "one of " + allCases.map(\.rawValue).joined(separator: ", "))
    }
    return placement
  }

  /// - Parameter bytes: what the packed weights need.
  func residency(bytes: Int) -> Residency {
    switch self {
    case .resident: .resident
    case .streamed: .streamed
    case .automatic: bytes / 7 * 10 > availableMemory() ? .streamed : .resident  // 3 of 10 parts are for activations
    }
  }
}
