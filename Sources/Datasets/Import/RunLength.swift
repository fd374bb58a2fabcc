import Foundation

/// A binary mask as COCO stores it: lengths of runs down the columns, pixels outside first.
package struct RunLength: Equatable {
  let width: Int
  let height: Int
  let counts: [Int]

  /// nil unless the runs cover the picture exactly.
  init?(width: Int, height: Int, counts: [Int]) {
    var left = width * height
    for count in counts {
      guard count >= 0, count <= left else { return nil }
      left -= count
    }
    guard left == 0 else { return nil }
    (self.width, self.height, self.counts) = (width, height, counts)
  }

  /// COCO's compressed counts, as `rleFrString` in cocoapi's maskApi.c reads them: five bits a character, from the third
  /// count on as the difference from the one before the last.
  init?(width: Int, height: Int, compressed: String) {
    var counts: [Int] = []
    var (value, shift) = (0, 0)
    for character in compressed.utf8 {
      guard (48..<112).contains(character), shift <= 55 else { return nil }
      let bits = Int(character) - 48
      value |= (bits & 0x1F) << shift
      shift += 5
      guard bits & 0x20 == 0 else { continue }
      if bits & 0x10 != 0 { value |= -1 << shift }
      if counts.count > 2 {
        let (sum, overflow) = value.addingReportingOverflow(counts[counts.count - 2])
        guard !overflow else { return nil }
        value = sum
      }
      counts.append(value)
      (value, shift) = (0, 0)
    }
    guard shift == 0 else { return nil }
    self.init(width: width, height: height, counts: counts)
  }

  /// Corners further from the origin than this are refused: their outline would not fit into memory.
  static let maxCoordinate = 100_000.0

  /// A polygon's mask by the rule of `rleFrPoly` in cocoapi's maskApi.c, bit for bit: the outline is drawn on a grid five
  /// times as fine, and a column's pixels change side where the outline crosses the column's middle.
  ///
  /// - Parameter xy: x and y of three corners or more, in pixels, none beyond `maxCoordinate`.
  package init(polygon xy: [Double], width: Int, height: Int) {
    let outline = RunLength.outline(xy)
    var crossings: [Int] = []
    for (before, point) in zip(outline, outline.dropFirst()) where point.x != before.x {
      let column = (Double(point.x < before.x ? point.x : point.x - 1) + 0.5) / 5 - 0.5
      guard column.rounded(.down) == column, column >= 0, column <= Double(width - 1) else { continue }
      let row = (Double(min(point.y, before.y)) + 0.5) / 5 - 0.5
      crossings.append(Int(column) * height + Int(max(0, min(row, Double(height))).rounded(.up)))
    }
    (self.width, self.height) = (width, height)
    counts = RunLength.counts(crossings.sorted() + [width * height])
  }

  /// The points of the closed outline, five to a pixel, each side from its first corner to its last.
  private static func outline(_ xy: [Double]) -> [(x: Int, y: Int)] {
    let fine = xy.map { Int(5 * $0 + 0.5) }
    let corners = fine.count / 2
    var points: [(x: Int, y: Int)] = []
    for corner in 0..<corners {
      let next = (corner + 1) % corners
      var (start, end) = ((x: fine[2 * corner], y: fine[2 * corner + 1]), (x: fine[2 * next], y: fine[2 * next + 1]))
      let (dx, dy) = (abs(end.x - start.x), abs(end.y - start.y))
      // A side is always drawn upwards along its longer axis, so that neighbours that share it agree on its points.
      let isFlipped = dx >= dy ? start.x > end.x : start.y > end.y
      if isFlipped { swap(&start, &end) }
      let length = max(dx, dy)
      let slope = length == 0 ? 0 : Double(dx >= dy ? end.y - start.y : end.x - start.x) / Double(length)
      for step in 0...length {
        let t = isFlipped ? length - step : step
        points.append(
          dx >= dy
            ? (start.x + t, Int(Double(start.y) + slope * Double(t) + 0.5))
            : (Int(Double(start.x) + slope * Double(t) + 0.5), start.y + t))
      }
    }
    return points
  }

  /// Run lengths from the sorted pixels at which the side changes; a change that is undone at once is no run.
  private static func counts(_ changes: [Int]) -> [Int] {
    let lengths = zip(changes, [0] + changes).map { $0 - $1 }
    var counts = [lengths[0]]
    var index = 1
    while index < lengths.count {
      if lengths[index] > 0 {
        counts.append(lengths[index])
        index += 1
      } else {
        if index + 1 < lengths.count { counts[counts.count - 1] += lengths[index + 1] }
        index += 2
      }
    }
    return counts
  }

  /// The pixels inside, row by row.
  package var region: Region {
    var isInside = [Bool](repeating: false, count: width * height)
    var pixel = 0
    for (index, count) in counts.enumerated() {
      if index % 2 == 1 {
        for place in pixel..<pixel + count { isInside[place % height * width + place / height] = true }
      }
      pixel += count
    }
    return Region(count: isInside.count) { isInside[$0] }
  }
}
