import Tensors

/// An image without any intervention: its rows as they leave the projector, and, where conditions borrow them, the vision tower's passes.
struct CleanImage {
  let pixels: Tensor
  /// [projector rows, text width]
  let rows: Tensor
  /// By tile.
  let passes: [PassStore]?
}

/// How conditions with something to do before the text tower run there, and what that multiplies.
struct ImagePlan {
  /// By request and tile; nothing for a request that has nothing to do there.
  let lanes: [[TowerPlan]]
  let costs: [Int]
  /// Whether they borrow the clean image's passes; if not, every row is computed.
  let borrows: Bool
}

extension VisionLanguageModel {
  /// Kept from call to call: once per image, whatever the number of prompts and conditions.
  func cleanImage(_ input: ModelInput, forBorrowing: Bool = false) throws(ModelError) -> CleanImage {
    if let kept = keptImage, kept.pixels.hasSameBits(as: input.pixels), kept.passes != nil || !forBorrowing {
      return kept
    }
    let lanes = tileLanes(Program(), id: 0, input.segments.layout, role: .clean, keepsLayers: forBorrowing)
    let rows = try imageRows(input, lanes, of: [Program()], visitor: nil).x
    let image = CleanImage(pixels: input.pixels, rows: rows, passes: forBorrowing ? lanes.map(\.store) : nil)
    keptImage = image
    return image
  }

  /// The next sweep computes image and prompt anew.
  package func forget() { (keptImage, keptPass) = (nil, nil) }

  /// The next sweep computes the prompt anew, of the same image's features.
  package func forgetPass() { keptPass = nil }

  /// The projector's output of the requests among `ids` that have something to do before the text tower.
  ///
  /// - Parameter plan: nil to compute every row.
  func imageRows(
    _ input: ModelInput, _ ids: [Int], of requests: [LaneRequest], _ plan: ImagePlan?, visitor: (any HookVisitor)?
  ) throws(ModelError) -> Packed {
    let layout = input.segments.layout
    let touching = ids.filter { requests[$0].program.touchesImage }
    let passes = plan?.borrows == true && !touching.isEmpty ? try cleanImage(input, forBorrowing: true).passes : nil
    let lanes = touching.flatMap { id -> [Lane] in
      let program = requests[id].program
      guard let plan, let passes else {
        // What only reads brings the clean image even if its plugin fails.
        return tileLanes(program, id: id, layout, role: program.onlyReads ? .clean : .own)
      }
      return zip(passes, plan.lanes[id]).enumerated().map { tile, lane in
        let rows = layout.rows(ofTile: tile)
        return Lane(
          program.tile(rows, of: layout), id: id, firstRow: rows.lowerBound, store: lane.0, role: .borrower,
          rows: lane.1.embedded, plan: lane.1)
      }
    }
    return try imageRows(input, lanes, of: touching.map { requests[$0].program }, visitor: visitor)
  }

  /// A program's lanes of the vision tower, a tile each, with every row.
  private func tileLanes(
    _ program: Program, id: Int, _ layout: ImageLayout, role: Lane.Role, keepsLayers: Bool = false
  ) -> [Lane] {
    (0..<layout.tiles).map { tile in
      let rows = layout.rows(ofTile: tile)
      let store = PassStore(
        vision.transformer.shape, rows: rows.count, capacity: rows.count, keepsResiduals: keepsLayers,
        keepsLayers: keepsLayers)
      return Lane(
        program.tile(rows, of: layout), id: id, firstRow: rows.lowerBound, store: store, role: role,
        rows: Array(0..<rows.count))
    }
  }

  /// - Parameter needsClean: the clean image is computed anyway.
  func imagePlan(_ input: ModelInput, _ requests: [LaneRequest], needsClean: Bool) -> ImagePlan {
    let (shape, layout) = (vision.transformer.shape, input.segments.layout)
    let tower = PlannedTower(.vision, layers: shape.layers, heads: shape.heads, rows: layout.tileRows, causal: false)
    let read = Array((hasClassRow ? 0 : 1)..<layout.tileRows)
    let plans = requests.map { request in
      request.program.touchesImage
        ? (0..<layout.tiles).map { tile in
          TowerPlan(
            request.program.tile(layout.rows(ofTile: tile), of: layout), on: tower, read: read,
            depths: Set(configuration.visionHiddenStates))
        } : []
    }
    let full = imageMultiplyAdds(layout)
    let outside = full - imageLayerMultiplyAdds(layout)
    let borrowing = plans.map { tiles in
      tiles.reduce(tiles.isEmpty ? 0 : outside) { $0 + shape.multiplyAdds($1, capacity: layout.tileRows) }
    }
    let own = plans.map { $0.isEmpty ? 0 : full }
    let clean = needsClean ? 0 : full
    let borrows = clean + borrowing.reduce(0, +) < own.reduce(0, +)
    return ImagePlan(lanes: plans, costs: borrows ? borrowing : own, borrows: borrows)
  }
}

extension ImageLayout {
  /// A tile's rows among those of the vision tower.
  fileprivate func rows(ofTile tile: Int) -> Range<Row> { tile * tileRows..<(tile + 1) * tileRows }
}

extension Program {
  /// What happens in a tile's rows, as the tile counts them.
  fileprivate func tile(_ rows: Range<Row>, of layout: ImageLayout) -> Program { layout.tiles == 1 ? self : tile(rows) }
}
