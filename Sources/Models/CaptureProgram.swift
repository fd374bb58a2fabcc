import Checkpoints

extension Program {
  /// A program that keeps the activations at `points`, every row of the prompt (not of generated tokens).
  package init(capturing points: [HookPoint], _ input: ModelInput, classRows: Bool) {
    self.init()
    add(capturesAt: points, input, classRows: classRows)
  }

  /// Adds captures behind everything else that happens at `points`.
  package mutating func add(capturesAt points: [HookPoint], _ input: ModelInput, classRows: Bool) {
    let grid = input.segments.grid
    for (reading, point) in points.enumerated() {
      let count =
        switch point.tower {
        case .vision: 1 + grid.rows * grid.cols
        case .projector: grid.rows * grid.cols + (classRows ? 1 : 0)
        case .text: input.ids.count
        }
      add(Op(.capture(reading: reading), rows: Array(0..<count), plugin: Program.reader), at: point)
    }
  }

  /// The plugin index of ops that belong to no plugin.
  package static let reader = -1
}

extension VisionLanguageModel {
  /// Multiply-adds of the matrix products of one full pass with the logits of one row.
  package func multiplyAdds(_ input: ModelInput) -> Int {
    let (shape, rows) = (text.transformer.shape, input.prefill)
    let layer = shape.multiplyAdds(keyed: rows, attending: rows, leaving: rows, capacity: input.segments.length)
    return imageMultiplyAdds + shape.layers * layer + shape.width * configuration.text.vocabulary
  }

  /// Multiply-adds of vision tower and projector.
  var imageMultiplyAdds: Int {
    let (c, shape) = (configuration, vision.transformer.shape)
    let rows = 1 + c.vision.patches
    let embedding = c.vision.patches * shape.width * 3 * c.vision.patchSize * c.vision.patchSize
    let layer = shape.multiplyAdds(keyed: rows, attending: rows, leaving: rows, capacity: rows)
    return embedding + shape.layers * layer + c.imageTokens * projector.outputs * (projector.inputs + projector.outputs)
  }
}
