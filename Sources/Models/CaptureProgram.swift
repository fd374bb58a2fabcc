import Checkpoints

extension Program {
  /// A program that keeps the activations at `points`, every row of the prompt (not of generated tokens).
  package init(capturing points: [HookPoint], _ input: ModelInput) {
    self.init()
    add(capturesAt: points, input)
  }

  /// Adds captures behind everything else that happens at `points`.
  package mutating func add(capturesAt points: [HookPoint], _ input: ModelInput) {
    let layout = input.segments.layout
    for (reading, point) in points.enumerated() {
      let count =
        switch point.tower {
        case .vision: layout.visionRows
        case .projector: layout.projectorRows
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
    let layout = input.segments.layout
    return layerMultiplyAdds(input) + imageMultiplyAdds(layout) - imageLayerMultiplyAdds(layout)
      + text.transformer.shape.width * configuration.text.vocabulary
  }

  /// Of the layers of both towers alone.
  func layerMultiplyAdds(_ input: ModelInput) -> Int {
    let (shape, rows) = (text.transformer.shape, input.prefill)
    return imageLayerMultiplyAdds(input.segments.layout) + shape.layers
      * shape.multiplyAdds(keyed: rows, attending: rows, leaving: rows, capacity: input.segments.length)
  }

  func imageLayerMultiplyAdds(_ layout: ImageLayout) -> Int {
    let (shape, rows) = (vision.transformer.shape, layout.tileRows)
    return layout.tiles * shape.layers
      * shape.multiplyAdds(keyed: rows, attending: rows, leaving: rows, capacity: rows)
  }

  /// Multiply-adds of vision tower and projector.
  func imageMultiplyAdds(_ layout: ImageLayout) -> Int {
    let (c, shape) = (configuration, vision.transformer.shape)
    let embedding = c.vision.patches * shape.width * 3 * c.vision.patchSize * c.vision.patchSize
    return imageLayerMultiplyAdds(layout) + layout.tiles * embedding
      + layout.projectorRows * projector.outputs * (projector.inputs + projector.outputs)
  }
}
