import Checkpoints

/// Rows and columns of patches.
package struct PatchGrid: Sendable, Equatable {
  package let rows: Int
  package let cols: Int
  package var count: Int { rows * cols }

  package init(rows: Int, cols: Int) { (self.rows, self.cols) = (rows, cols) }
}

/// How one image stands in the three towers: sequences of the vision tower, rows of the projector, tokens of the text tower.
///
/// LLaVA-1.5 and ViP-LLaVA: one tile, whose selected rows are the tokens. LLaVA-NeXT (`pack_image_features` of
/// modeling_llava_next.py): tile 0, the base, is the whole image; its patches are the first tokens. Behind them stands one grid, merged
/// of the patches of the other tiles without the padding around the image, and an `image_newline` at the end of each of its rows.
///
/// Patches are numbered through the tiles: tile x patches of a tile + patch, row-major.
package struct ImageLayout: Sendable, Equatable {
  package let tiles: Int
  /// Of one tile.
  package let tileGrid: PatchGrid
  /// Whether CLS goes on to the projector and the text tower, before the patches.
  package let hasClassRow: Bool
  /// What `image[r,c]` means in the text tower: the tile's grid, or the merged one.
  package let grid: PatchGrid
  /// Number of the patch at each place of `grid`, row-major.
  package let patches: [Int]
  /// Row of the projector at each token; nil: `image_newline`.
  package let tokens: [Int?]
  /// Token at each place of `grid`, counted from the image's first.
  package let patchTokens: [Int]

  /// An image that is one tile.
  package init(grid: PatchGrid, hasClassRow: Bool) {
    (tiles, tileGrid, self.grid, self.hasClassRow) = (1, grid, grid, hasClassRow)
    patches = Array(0..<grid.count)
    let first = hasClassRow ? 1 : 0
    tokens = Array(0..<grid.count + first)
    patchTokens = patches.map { $0 + first }
  }

  /// An image of `width` x `height` pixels in tiles of `tileSize` pixels on a canvas.
  package init(tileGrid: PatchGrid, tileSize: Int, on canvas: GridPinpoint, width: Int, height: Int) {
    let canvasTiles = PatchGrid(rows: canvas.height / tileSize, cols: canvas.width / tileSize)
    self.init(
      tileGrid: tileGrid, canvasTiles: canvasTiles,
      kept: canvas.unpadded(
        rows: canvasTiles.rows * tileGrid.rows, cols: canvasTiles.cols * tileGrid.cols, width: width, height: height))
  }

  /// - Parameter kept: rows and columns of the merged grid that are not padding.
  package init(tileGrid: PatchGrid, canvasTiles: PatchGrid, kept: (rows: Range<Int>, cols: Range<Int>)) {
    (tiles, self.tileGrid, hasClassRow) = (1 + canvasTiles.count, tileGrid, false)
    grid = PatchGrid(rows: kept.rows.count, cols: kept.cols.count)
    patches = kept.rows.flatMap { row in
      kept.cols.map { col in
        let tile = 1 + row / tileGrid.rows * canvasTiles.cols + col / tileGrid.cols
        return tile * tileGrid.count + row % tileGrid.rows * tileGrid.cols + col % tileGrid.cols
      }
    }
    var tokens: [Int?] = Array(0..<tileGrid.count)
    var patchTokens: [Int] = []
    for (place, patch) in patches.enumerated() {
      patchTokens.append(tokens.count)
      tokens.append(patch)
      if (place + 1) % grid.cols == 0 { tokens.append(nil) }
    }
    (self.tokens, self.patchTokens) = (tokens, patchTokens)
  }

  /// Rows of one tile in the vision tower: CLS, then the patches.
  package var tileRows: Int { 1 + tileGrid.count }
  package var visionRows: Int { tiles * tileRows }
  /// Rows of one tile in the projector.
  package var selectedRows: Int { tileGrid.count + (hasClassRow ? 1 : 0) }
  package var projectorRows: Int { tiles * selectedRows }
  /// Tokens of the base tile; nil where the image is one tile.
  package var baseTokens: Range<Int>? { tiles > 1 ? 0..<tileGrid.count : nil }
  package var newlineTokens: [Int] { tokens.indices.filter { tokens[$0] == nil } }

  package func visionRow(ofPatch patch: Int) -> Int {
    patch / tileGrid.count * tileRows + 1 + patch % tileGrid.count
  }

  package func projectorRow(ofPatch patch: Int) -> Int {
    patch / tileGrid.count * selectedRows + (hasClassRow ? 1 : 0) + patch % tileGrid.count
  }

  /// Token of each patch of the grid, by the patch's number. Of several tiles, the base's patches and the padding's are not there.
  package var tokenOfPatch: [Int: Int] { Dictionary(uniqueKeysWithValues: zip(patches, patchTokens)) }
}

extension ModelConfiguration {
  /// The layout of an image of this size; the size matters only to LLaVA-NeXT.
  package func layout(width: Int, height: Int) -> ImageLayout {
    let tileGrid = PatchGrid(rows: vision.grid, cols: vision.grid)
    guard !gridPinpoints.isEmpty else { return ImageLayout(grid: tileGrid, hasClassRow: visionFeatureSelect == .full) }
    return ImageLayout(
      tileGrid: tileGrid, tileSize: vision.imageSize, on: gridPinpoints.best(width: width, height: height),
      width: width, height: height)
  }
}
