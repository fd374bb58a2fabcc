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
