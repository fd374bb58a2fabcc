import Foundation
import Statistics

/// Estimates with their intervals, one below the other, about a line at zero.
struct ForestFigure {
  struct Row {
    let group: String
    let name: String
    let estimate: Estimate
    let kind: Finding.Kind
    /// To the right of the interval.
    let words: String
  }

  let name: String
  let title: String
  let caption: String
  /// Under the axis.
  let unit: String
  let rows: [Row]

  private static let line = 24.0
  private static let plot = (left: 300.0, width: 330.0, top: 42.0)

  var figure: Figure? {
    guard !rows.isEmpty else { return nil }
    return Figure(name: name, title: title, caption: caption, drawing: drawing, table: table)
  }

  private var table: CSV {
    var csv = CSV(header: ["group", "name", "kind", "mean", "standard_error", "low", "high", "items", "clusters"])
    csv.rows = rows.map { row in
      [
        row.group, row.name, row.kind.rawValue, CSV.number(row.estimate.mean), CSV.number(row.estimate.standardError),
        CSV.number(row.estimate.low), CSV.number(row.estimate.high), "\(row.estimate.count)",
        "\(row.estimate.clusters)",
      ]
    }
    return csv
  }

  private var drawing: SVG {
    let (plot, line) = (ForestFigure.plot, ForestFigure.line)
    let groups = rows.indices.filter { $0 == 0 || rows[$0].group != rows[$0 - 1].group }
    let height = Double(rows.count + groups.count) * line
    let ends: [Double] = [0] + rows.flatMap { [$0.estimate.low, $0.estimate.high] }
    let ticks = Ticks((ends.min() ?? 0)...(ends.max() ?? 1))
    func x(_ value: Double) -> Double {
      plot.left + plot.width * (value - ticks.range.lowerBound)
        / (ticks.range.upperBound - ticks.range.lowerBound)
    }
    var drawing = SVG(width: 860, height: plot.top + height + 52)
    drawing.text(title, at: (16, 20), size: 14, bold: true)
    for tick in ticks.values {
      drawing.line((x(tick), plot.top), (x(tick), plot.top + height + 6), opacity: tick == 0 ? 0.8 : 0.14)
      drawing.text(fixed(tick, ticks.digits), at: (x(tick), plot.top + height + 22), anchor: .middle, size: 11)
    }
    drawing.text(unit, at: (plot.left + plot.width / 2, plot.top + height + 42), anchor: .middle, size: 11)
    var y = plot.top - line / 2
    for (index, row) in rows.enumerated() {
      if groups.contains(index) {
        y += line
        drawing.text(row.group, at: (16, y + 4), size: 12, bold: true)
      }
      y += line
      draw(row, &drawing, y: y, x: x)
    }
    return drawing
  }

  private func draw(_ row: Row, _ drawing: inout SVG, y: Double, x: (Double) -> Double) {
    let isClear = row.estimate.excludesZero
    let colour = row.kind == .control ? "#CC79A7" : isClear ? "#0072B2" : SVG.ink
    drawing.text(row.name, at: (30, y + 4), size: 12, bold: row.kind == .primary)
    drawing.line(
      (x(row.estimate.low), y), (x(row.estimate.high), y), colour: colour, width: row.kind == .primary ? 3 : 1.75)
    drawing.dot(
      (x(row.estimate.mean), y), colour: colour, radius: row.kind == .primary ? 5.5 : 4, hollow: row.kind == .control)
    drawing.text(row.words, at: (ForestFigure.plot.left + ForestFigure.plot.width + 16, y + 4), size: 11.5)
  }
}
