import Tensors

extension VisionLanguageModel {
  /// Whether a row of a linear layer has the same bits alone, in a few and in many rows on this machine: what makes reused rows equal to
  /// recomputed ones. Tried on the decoder's first query projection and on the unembedding. Where it is false (no AVX-512), results are
  /// promised only within 1e-5 of a full pass, and provenance says so.
  package func rowsAreInvariant() throws(ModelError) -> Bool {
    guard let layer = text.transformer.blocks.first else { return true }
    return try lifting { () throws(TensorError) in
      for linear in [layer.qProj] + text.unembedding.parts where try !isInvariant(linear) { return false }
      return true
    }
  }

  private func isInvariant(_ linear: Linear) throws(TensorError) -> Bool {
    let many = 61
    let x = Tensor(
      (0..<many * linear.inputs).map { Float(($0 * 7919) % 1009) / 1009 - 0.5 }, shape: [many, linear.inputs])
    let whole = Tensor(zeros: [many, linear.outputs])
    try linear(x.base, rows: many, into: whole.base)
    for count in [1, 2, 7, 16] {
      let some = Tensor(zeros: [count, linear.outputs])
      let first = many - count
      try linear(x.base + first * linear.inputs, rows: count, into: some.base)
      let expected = UnsafeBufferPointer(start: whole.base + first * linear.outputs, count: some.count)
      if !zip(some.values, expected).allSatisfy({ $0.bitPattern == $1.bitPattern }) { return false }
    }
    return true
  }
}
