/// The rows of one tower for one item: what a token selector is resolved against.
package struct TowerRows: Sendable {
  package let tower: Tower
  package let count: Int
  package let grid: (rows: Int, cols: Int)
  /// Row of patch (0, 0) of each image.
  let firstPatches: [Int]
  let classRows: [Int]
  let segments: SegmentMap?
  /// Patch indices (row-major in the grid of image 0) by mask name.
  let masks: [String: [Int]]

  /// The vision tower: CLS, then the patches of one image.
  package static func vision(grid: (rows: Int, cols: Int), masks: [String: [Int]]) -> TowerRows {
    TowerRows(
      tower: .vision, count: 1 + grid.rows * grid.cols, grid: grid, firstPatches: [1], classRows: [0], segments: nil,
      masks: masks)
  }

  /// The projector: the rows that were selected from the vision tower, image after image.
  package static func projector(_ map: SegmentMap, masks: [String: [Int]]) -> TowerRows {
    let perImage = map.grid.rows * map.grid.cols + (map.hasClassRow ? 1 : 0)
    let starts = (0..<map.imageCount).map { $0 * perImage }
    return TowerRows(
      tower: .projector, count: perImage * map.imageCount, grid: map.grid,
      firstPatches: starts.map { $0 + (map.hasClassRow ? 1 : 0) }, classRows: map.hasClassRow ? starts : [],
      segments: nil,
      masks: masks)
  }

  /// The text tower, generated rows included.
  package static func text(_ map: SegmentMap, masks: [String: [Int]]) -> TowerRows {
    let starts = map.segments.filter { $0.kind == .image }.map(\.first)
    return TowerRows(
      tower: .text, count: map.length, grid: map.grid, firstPatches: starts.map { $0 + (map.hasClassRow ? 1 : 0) },
      classRows: map.hasClassRow ? starts : [], segments: map, masks: masks)
  }

  var patchCount: Int { grid.rows * grid.cols }
  var patches: Set<Int> { Set(firstPatches.flatMap { $0..<($0 + patchCount) }) }

  func rows(of kind: SegmentMap.Kind) -> Set<Int>? {
    segments.map { map in Set(map.segments.filter { $0.kind == kind }.flatMap(\.rows)) }
  }

  /// Rows of the patches in a mask of image 0; nil where no mask has the name, or a name below it ("part" and "part/tail").
  func rows(ofMask name: String) -> Set<Int>? {
    let matching = masks.filter { $0.key == name || $0.key.hasPrefix(name + "/") }
    guard !matching.isEmpty, let first = firstPatches.first else { return nil }
    return Set(matching.values.flatMap { $0 }.map { $0 + first })
  }
}
