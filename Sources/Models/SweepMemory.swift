import Tensors

extension VisionLanguageModel {
  /// The requests beside the clean pass, in packs that fit the memory; each has at least one.
  func packs(_ input: ModelInput, _ requests: [LaneRequest], _ plan: SweepPlan) -> [[Int]] {
    var packs: [[Int]] = []
    var rest = 0
    let budget = memory ?? availableMemory() / 2
    for id in requests.indices where id != plan.rider {
      let bytes = bytes(input, requests[id], plan.lanes[id], borrows: plan.clean != nil)
      if packs.isEmpty || bytes > rest {
        packs.append([])
        rest = budget
      }
      packs[packs.count - 1].append(id)
      rest -= bytes
    }
    return packs
  }

  /// What a lane takes while its pack runs: its rows in the workspaces of both towers, keys and values of its own, and what it leaves.
  private func bytes(_ input: ModelInput, _ request: LaneRequest, _ plan: TowerPlan, borrows: Bool) -> Int {
    let (text, vision) = (text.transformer.shape, vision.transformer.shape)
    let rows = plan.layers.map(\.keyed.count).max() ?? 0
    var keyRows = borrows ? 0 : text.layers * input.segments.length
    if borrows && !input.decoded.isEmpty {
      keyRows = plan.layers.reduce(0) { $0 + $1.keyed.count + input.decoded.count }
    }
    // In the vision tower: embeddings, their norm and the features beside the workspace.
    let image =
      request.program.touchesImage ? input.segments.layout.visionRows * (vision.bytesPerRow + 12 * vision.width) : 0
    let logits = 8 * request.outputRows.count * configuration.text.vocabulary
    return rows * (text.bytesPerRow + 4 * text.width) + keyRows * 8 * text.kvHeads * text.headWidth + image + logits
      + 4 * captured(request.program, input)
  }

  private func captured(_ program: Program, _ input: ModelInput) -> Int {
    program.ops.reduce(0) { sum, entry in
      let rows = entry.value.reduce(0) { $0 + ($1.isCapture ? $1.rows.count : 0) }
      return sum + rows * width(at: entry.key, input)
    }
  }

  /// Entries of a row of a captured activation, all heads.
  private func width(at point: HookPoint, _ input: ModelInput) -> Int {
    let shape = point.tower == .vision ? vision.transformer.shape : text.transformer.shape
    switch point.site {
    case .attnScores, .pattern:
      return shape.heads * (point.tower == .vision ? input.segments.layout.tileRows : input.segments.length)
    case .mlpPre, .mlpPost: return shape.mlpWidth
    case .logits: return configuration.text.vocabulary
    default: return max(shape.width, projector.inputs)
    }
  }
}
