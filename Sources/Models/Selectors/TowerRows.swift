/// The rows of one tower for one item: what a token selector is resolved against.
package struct TowerRows: Sendable {
  package let tower: Tower
  package let count: Int
  /// What `image[r,c]` indexes.
  package let grid: PatchGrid
  /// Rows of the patches of each such grid, row-major: of each image, in the vision tower and the projector of each tile.
  let grids: [[Int]]
  let classRows: [Int]
  /// Rows of the base tile's patches; nil where the image is one tile.
  let base: [Int]?
  /// nil outside the text tower, and where rows of patches do not end with a newline.
  let newlines: [Int]?
  let segments: SegmentMap?
  /// Rows by mask name. A mask belongs to image 0.
  let masks: [String: [Int]]

  /// The vision tower: CLS, then the patches, tile after tile.
  ///
  /// - Parameter masks: numbers of patches by mask name.
  package static func vision(_ layout: ImageLayout, masks: [String: [Int]]) -> TowerRows {
    let tiles = layout.tileNumbers.map { $0.map(layout.visionRow) }
    return TowerRows(
      tower: .vision, count: layout.visionRows, grid: layout.tileGrid, grids: tiles,
      classRows: (0..<layout.tiles).map { $0 * layout.tileRows }, base: layout.tiles > 1 ? tiles[0] : nil,
      newlines: nil,
      segments: nil, masks: masks.mapValues { $0.map(layout.visionRow) })
  }

  /// The projector: the rows that were selected from the vision tower, tile after tile, image after image.
  package static func projector(_ map: SegmentMap, masks: [String: [Int]]) -> TowerRows {
    let layout = map.layout
    let starts = (0..<map.imageCount).map { $0 * layout.projectorRows }
    let tiles = starts.flatMap { start in layout.tileNumbers.map { $0.map { start + layout.projectorRow(ofPatch: $0) } }
    }
    return TowerRows(
      tower: .projector, count: layout.projectorRows * map.imageCount, grid: layout.tileGrid, grids: tiles,
      classRows: layout.hasClassRow ? starts : [], base: layout.tiles > 1 ? tiles.first : nil, newlines: nil,
      segments: nil, masks: masks.mapValues { $0.map(layout.projectorRow) })
  }

  /// The text tower, generated rows included. Patches are those of the grid; a mask's rows are there, too.
  package static func text(_ map: SegmentMap, masks: [String: [Int]]) -> TowerRows {
    let layout = map.layout
    let starts = map.segments.filter { $0.kind == .image }.map(\.first)
    func rows(_ tokens: some Sequence<Int>) -> [Int] { starts.flatMap { start in tokens.map { start + $0 } } }
    let tokens = layout.tokenOfPatch
    return TowerRows(
      tower: .text, count: map.length, grid: layout.grid,
      grids: starts.map { start in layout.patchTokens.map { start + $0 } },
      classRows: layout.hasClassRow ? starts : [], base: layout.baseTokens.map(rows),
      newlines: layout.newlineTokens.isEmpty ? nil : rows(layout.newlineTokens), segments: map,
      masks: masks.mapValues { patches in patches.compactMap { tokens[$0] }.map { $0 + (starts.first ?? 0) } })
  }

  var patches: Set<Int> { Set(grids.joined()) }

  func rows(of kind: SegmentMap.Kind) -> Set<Int>? {
    segments.map { map in Set(map.segments.filter { $0.kind == kind }.flatMap(\.rows)) }
  }

  /// Rows of the patches in a mask; nil where no mask has the name, or a name below it ("part" and "part/tail").
  func rows(ofMask name: String) -> Set<Int>? {
    let matching = masks.filter { $0.key == name || $0.key.hasPrefix(name + "/") }
    return matching.isEmpty ? nil : Set(matching.values.joined())
  }
}

extension ImageLayout {
  /// The numbers of each tile's patches.
  fileprivate var tileNumbers: [Range<Int>] {
    (0..<tiles).map { $0 * tileGrid.count..<($0 + 1) * tileGrid.count }
  }
}
