import Foundation
import Statistics

/// A grid of differences with simultaneous intervals: red is worse than the baseline, blue is better; outlined cells are
/// clear of zero, all cells taken together.
struct HeatMapFigure {
  let name: String
  let title: String
  let caption: String
  let rows: [String]
  let columns: [String]
  /// Row by row.
  let cells: [MaxStatistic.Cell]

  private static let margin = (left: 190.0, top: 44.0, bottom: 112.0)

  var figure: Figure? {
    guard !cells.isEmpty, cells.count == rows.count * columns.count else { return nil }
    return Figure(name: name, title: title, caption: caption, drawing: drawing, table: table)
  }

  private var table: CSV {
    var csv = CSV(header: ["row", "column", "mean", "standard_error", "low", "high", "p_adjusted"])
    for (row, name) in rows.enumerated() {
      for (column, point) in columns.enumerated() {
        let cell = cells[row * columns.count + column]
        csv.rows.append([
          name, point, CSV.number(cell.estimate.mean), CSV.number(cell.estimate.standardError),
          CSV.number(cell.estimate.low), CSV.number(cell.estimate.high), CSV.number(cell.p),
        ])
      }
    }
    return csv
  }

  private var drawing: SVG {
    let margin = HeatMapFigure.margin
    let size = (width: min(76, max(14, 640 / Double(columns.count))), height: 26.0)
    let width = margin.left + size.width * Double(columns.count) + 24
    var drawing = SVG(width: max(width, 520), height: margin.top + size.height * Double(rows.count) + margin.bottom)
    drawing.text(title, at: (16, 20), size: 14, bold: true)
    let largest = max(cells.map { abs($0.estimate.mean) }.max() ?? 0, 1e-9)
    for (row, name) in rows.enumerated() {
      let y = margin.top + size.height * Double(row)
      drawing.text(name, at: (margin.left - 8, y + 17), anchor: .end, size: 11)
      for column in columns.indices {
        let cell = cells[row * columns.count + column]
        let at = (margin.left + size.width * Double(column), y)
        draw(cell, &drawing, at: at, size: size, share: cell.estimate.mean / largest)
      }
    }
    let base = margin.top + size.height * Double(rows.count)
    let stride = max(1, Int((16 / size.width).rounded(.up)))
    for (column, point) in columns.enumerated() where column % stride == 0 {
      let at = (margin.left + size.width * (Double(column) + 0.5) + 4, base + 14)
      drawing.text(point, at: at, anchor: .end, size: 10, rotated: -45)
    }
    return drawing
  }

  private func draw(
    _ cell: MaxStatistic.Cell, _ drawing: inout SVG, at: (Double, Double), size: (width: Double, height: Double),
    share: Double
  ) {
    let isClear = cell.estimate.excludesZero
    let colour = Colour.diverging(share)
    drawing.rectangle(
      (at.0 + 1.5, at.1 + 1.5), width: size.width - 3, height: size.height - 3, colour: colour,
      outline: isClear ? SVG.ink : nil)
    guard size.width >= 34 else { return }
    drawing.text(
      fixed(cell.estimate.mean), at: (at.0 + size.width / 2, at.1 + 17), anchor: .middle, size: 11, bold: isClear,
      colour: Colour.ink(on: colour))
  }
}

/// Colours of numbers.
enum Colour {
  /// -1 deep blue, 0 white, 1 deep red; even steps in lightness on both sides.
  static func diverging(_ share: Double) -> String {
    let end: (Double, Double, Double) = share < 0 ? (33, 102, 172) : (178, 24, 43)
    return mixed((247, 247, 247), end, min(1, abs(share)))
  }

  /// A rank: first is green, the worse the nearer to violet, on a scale of bits.
  static func rank(_ rank: Double, worst: Double = 64) -> String {
    let share = min(1, max(0, log2(rank) / log2(worst)))
    return share < 0.5
      ? mixed((26, 152, 80), (253, 231, 140), share * 2) : mixed((253, 231, 140), (118, 42, 131), share * 2 - 1)
  }

  /// Black or white, whichever is the more legible on it: at least 4.58 to 1 (WCAG 2.2).
  static func ink(on colour: String) -> String {
    let levels = [1, 3, 5].map { offset -> Double in
      let start = colour.index(colour.startIndex, offsetBy: offset)
      let share = Double(Int(colour[start..<colour.index(start, offsetBy: 2)], radix: 16) ?? 0) / 255
      return share <= 0.03928 ? share / 12.92 : pow((share + 0.055) / 1.055, 2.4)
    }
    let luminance = 0.2126 * levels[0] + 0.7152 * levels[1] + 0.0722 * levels[2]
    return (luminance + 0.05) * (luminance + 0.05) > 1.05 * 0.05 ? "#000" : "#fff"
  }

  private static func mixed(
    _ a: (Double, Double, Double), _ b: (Double, Double, Double), _ share: Double
  ) -> String {
    func level(_ a: Double, _ b: Double) -> String {
      let text = String(Int((a + (b - a) * share).rounded()), radix: 16)
      return text.count == 1 ? "0" + text : text
    }
    return "#" + level(a.0, b.0) + level(a.1, b.1) + level(a.2, b.2)
  }
}
