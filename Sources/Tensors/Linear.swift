import CKernels

/// Where the packed copy of a weight lives.
package enum Residency: String, Sendable {
  /// In memory of its own, packed once.
  case resident
  /// Nowhere for long: it is packed anew at each use into memory that all weights share, from the checkpoint's pages. The same bits, at
  /// half the memory for a checkpoint in 16 bits, and none beside the file's cache.
  case streamed

  package var description: String {
    switch self {
    case .resident: "resident"
    case .streamed: "streamed from the checkpoint's pages"
    }
  }
}

/// y = x W^T + b with the weight packed for oneDNN; x and y are f32, whatever the product computes in.
package final class Linear {
  package let inputs: Int
  package let outputs: Int
  private let type: ComputeType
  private let engine: Engine
  private let packing: Packing
  private let bias: Tensor?
  private let weight: Weight

  private enum Weight {
    case resident(FloatStorage)
    case streamed(StoredWeight)
  }

  /// - Parameters:
  ///   - weight: [outputs, inputs], as Hugging Face stores it. Kept only if it is streamed.
  ///   - bias: [outputs], or nil.
  package init(
    _ weight: StoredWeight, outputs: Int, inputs: Int, bias: Tensor?, type: ComputeType = .f32,
    residency: Residency = .resident, on engine: Engine
  ) throws(TensorError) {
    (self.inputs, self.outputs, self.engine, self.bias, self.type) = (inputs, outputs, engine, bias, type)
    packing = try Packing(outputs: outputs, inputs: inputs, type: type, on: engine)
    switch residency {
    case .resident:
      let packed = FloatStorage(zeros: (packing.bytes + 3) / 4)
      try packing.pack(weight, into: packed.base, engine)
      self.weight = .resident(packed)
    case .streamed: self.weight = .streamed(weight)
    }
  }

  /// x [rows, inputs] -> y [rows, outputs], both dense.
  package func callAsFunction(_ x: ConstFloats, rows: Int, into y: Floats) throws(TensorError) {
    guard rows > 0 else { return }
    let shape = ProductShape(m: rows, n: outputs, k: inputs, right: .packed, bias: bias != nil, type: type)
    try engine.product(shape).run(engine, a: operand(x, rows * inputs), b: packed(), bias: bias?.base, c: y)
  }

  /// The inputs as the product takes them.
  private func operand(_ x: ConstFloats, _ count: Int) -> UnsafeRawPointer {
    guard type == .bf16 else { return UnsafeRawPointer(x) }
    let narrowed = engine.narrowed(count: count)
    parallelFor(count, grain: 16384) { ck_narrow_bf16(x + $0.lowerBound, narrowed + $0.lowerBound, Int64($0.count)) }
    return UnsafeRawPointer(narrowed)
  }

  private func packed() throws(TensorError) -> UnsafeRawPointer {
    switch weight {
    case .resident(let storage): return UnsafeRawPointer(storage.base)
    case .streamed(let stored):
      let shared = engine.streamed(count: (packing.bytes + 3) / 4)
      try packing.pack(stored, into: shared, engine)
      return UnsafeRawPointer(shared)
    }
  }
}
