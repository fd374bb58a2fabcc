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
    let (c, vision, text) = (configuration, configuration.vision, configuration.text)
    let patches = vision.patches + 1
    let visionLayer = 4 * vision.width * vision.width + 2 * vision.width * vision.mlpWidth + 2 * patches * vision.width
    let embedding = vision.patches * vision.width * 3 * vision.patchSize * vision.patchSize
    let projector = c.imageTokens * (c.projectorInputs * text.width + text.width * text.width)
    let queries = text.heads * text.headWidth
    let projections = text.width * (2 * queries + 2 * text.kvHeads * text.headWidth) + 3 * text.width * text.mlpWidth
    let rows = input.ids.count + max(0, input.forced.count - 1)
    let textLayer = projections + 2 * input.segments.length * queries
    return embedding + c.visionLayersUsed * patches * visionLayer + projector + text.layers * rows * textLayer
      + text.width * text.vocabulary
  }
}
