import Checkpoints

/// How a part's mask falls on the patches of a model's input, after the image's own preprocessing.
package struct PartCoverage: Sendable {
  /// The share of each patch that the part covers: row by row, numbered through the tiles.
  package let shares: [Float]
  /// Whether the pixel in the middle of each patch is in the part.
  private let centres: [Bool]

  /// The pixel in the middle of a patch of even size is the one below and right of its centre.
  ///
  /// - Parameters:
  ///   - tiles: the model's inputs that the image becomes; one, unless the model takes it in tiles.
  ///   - grid: patches along one side of a tile.
  /// - Throws: when the mask is not as large as the image that `tiles` were made for.
  package init(
    mask: GrayImage, value: Int?, tiles: [PixelGeometry], patchSize size: Int, grid: Int
  ) throws(CheckpointError) {
    var (shares, centres): ([Float], [Bool]) = ([], [])
    let value = value.map { UInt8(clamping: $0) }
    for tile in tiles {
      shares += try patchCoverage(mask: mask, value: value, geometry: tile, patchSize: size, rows: grid, cols: grid)
      // A grid of patches one pixel wide.
      let pixels = try patchCoverage(
        mask: mask, value: value, geometry: tile, patchSize: 1, rows: grid * size, cols: grid * size)
      centres += (0..<grid * grid).map { patch in
        let (y, x) = (patch / grid * size + size / 2, patch % grid * size + size / 2)
        return pixels[y * grid * size + x] > 0
      }
    }
    (self.shares, self.centres) = (shares, centres)
  }

  /// The patches that belong to the part, with their shares.
  package func patches(by rule: MaskRule) -> [(patch: Int, coverage: Float)] {
    shares.indices.filter { patch in
      switch rule {
      case .coverage(let least): Double(shares[patch]) >= least
      case .any: shares[patch] > 0
      case .centre: centres[patch]
      }
    }.map { ($0, shares[$0]) }
  }

  /// No pixel of the part is left in the input: it was cropped away.
  package var isOutside: Bool { shares.allSatisfy { $0 == 0 } }
}
