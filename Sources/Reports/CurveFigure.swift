import Experiments
import Foundation

/// Curves of the measure by hook point for the four conditions, one panel per two-by-two, with 95 % bands.
struct CurveFigure {
  private let model: ModelSummary
  private let panels: [(title: String, curves: [Curve])]
  private let ticks: Ticks

  private struct Curve {
    let style: Style
    let condition: String
    /// One per hook point, nil where there are no rows.
    let points: [PointSummary?]
  }

  /// Colours of Okabe and Ito, told apart by the colour-blind; the decoder cut is dashed.
  private struct Style {
    let name: String
    let colour: String
    let dashed: Bool

    static let four = [
      Style(name: "both intact", colour: "#009E73", dashed: false),
      Style(name: "vision cut", colour: "#D55E00", dashed: false),
      Style(name: "decoder cut", colour: "#0072B2", dashed: true),
      Style(name: "both cut", colour: SVG.ink, dashed: true),
    ]
  }

  private static let plot = (width: 262.0, height: 230.0)
  private static let margin = (left: 56.0, top: 68.0, between: 30.0, bottom: 104.0, right: 20.0)

  init?(_ model: ModelSummary) {
    guard !model.points.isEmpty, !model.contrasts.isEmpty else { return nil }
    self.model = model
    panels = model.contrasts.map { contrast in
      let curves = zip(Style.four, contrast.design.conditions).compactMap { style, name in
        model.conditions.first { $0.name == name }.map { Curve(style: style, condition: name, points: $0.points) }
      }
      return (contrast.design.name, curves)
    }
    let tops = panels.flatMap(\.curves).flatMap(\.points).compactMap { $0.map { $0.interval?.upperBound ?? $0.mean } }
    ticks = Ticks(0...max(tops.max() ?? 0, 0.01))
  }

  var figure: Figure {
    let subject = "\(model.measure.metric.words), \(model.measure.aggregation.words)"
    return Figure(
      name: model.model, title: "\(model.model): \(subject), by layer, under four conditions",
      caption: "Mean over parts with 95 % bands clustered by \(model.unit.singular). The decoder cut is dashed.",
      drawing: drawing, table: table)
  }

  private var table: CSV {
    var csv = CSV(header: ["model", "two_by_two", "cell", "condition", "point", "mean", "low", "high", "parts"])
    for panel in panels {
      for curve in panel.curves {
        for (point, summary) in zip(model.points, curve.points) {
          guard let summary else { continue }
          csv.rows.append([
            model.model, panel.title, curve.style.name, curve.condition, point, CSV.number(summary.mean),
            CSV.number(summary.interval?.lowerBound), CSV.number(summary.interval?.upperBound), "\(summary.count)",
          ])
        }
      }
    }
    return csv
  }

  private var drawing: SVG {
    let (plot, margin) = (CurveFigure.plot, CurveFigure.margin)
    let width = margin.left + Double(panels.count) * (plot.width + margin.between) - margin.between + margin.right
    var drawing = SVG(width: max(width, 500), height: margin.top + plot.height + margin.bottom)
    drawing.text(
      "\(model.model): \(model.measure.metric.words) of the part's word", at: (margin.left, 20), size: 14, bold: true)
    drawLegend(&drawing)
    for (index, panel) in panels.enumerated() {
      let left = margin.left + Double(index) * (plot.width + margin.between)
      drawFrame(&drawing, left: left, title: panel.title, isFirst: index == 0)
      for curve in panel.curves { draw(curve, &drawing, left: left) }
    }
    return drawing
  }

  private func drawLegend(_ drawing: inout SVG) {
    for (index, style) in Style.four.enumerated() {
      let x = CurveFigure.margin.left + Double(index) * 106
      drawing.polyline([(x, 37), (x + 24, 37)], colour: style.colour, dashed: style.dashed)
      drawing.text(style.name, at: (x + 28, 41), size: 11.5)
    }
  }

  private func x(_ index: Int, left: Double) -> Double {
    let steps = Double(max(model.points.count - 1, 1))
    return left + 12 + (CurveFigure.plot.width - 24) * Double(index) / steps
  }

  private func y(_ value: Double) -> Double {
    CurveFigure.margin.top + CurveFigure.plot.height * (1 - value / ticks.range.upperBound)
  }

  private func drawFrame(_ drawing: inout SVG, left: Double, title: String, isFirst: Bool) {
    let right = left + CurveFigure.plot.width
    for tick in ticks.values {
      let y = y(tick)
      drawing.line((left, y), (right, y), opacity: tick == 0 ? 0.6 : 0.14)
      if isFirst { drawing.text(fixed(tick, ticks.digits), at: (left - 8, y + 4), anchor: .end, size: 11) }
    }
    drawing.text(
      title, at: (left + CurveFigure.plot.width / 2, CurveFigure.margin.top - 8), anchor: .middle, bold: true)
    if isFirst {
      let middle = CurveFigure.margin.top + CurveFigure.plot.height / 2
      drawing.text(model.measure.metric.axis, at: (16, middle), anchor: .middle, size: 11, rotated: -90)
    }
    // With many layers only some of the names have room.
    let stride = max(1, (model.points.count + 11) / 12)
    for (index, point) in model.points.enumerated() where index % stride == 0 || index == model.points.count - 1 {
      let at = (x(index, left: left) + 4, y(0) + 14)
      drawing.text(point, at: at, anchor: .end, size: 10, rotated: -45)
    }
  }

  private func draw(_ curve: Curve, _ drawing: inout SVG, left: Double) {
    let known = curve.points.enumerated().compactMap { index, point in point.map { (x(index, left: left), $0) } }
    let top = ticks.range.upperBound
    let upper = known.map { ($0, y(min($1.interval?.upperBound ?? $1.mean, top))) }
    let lower = known.map { ($0, y(max($1.interval?.lowerBound ?? $1.mean, 0))) }
    drawing.polygon(upper + lower.reversed(), colour: curve.style.colour, opacity: 0.13)
    drawing.polyline(known.map { ($0, y($1.mean)) }, colour: curve.style.colour, dashed: curve.style.dashed)
    for (x, point) in known { drawing.dot((x, y(point.mean)), colour: curve.style.colour) }
  }
}

extension Metric {
  /// In headings.
  var words: String {
    switch self {
    case .rank: "mean rank"
    case .log2Rank: "mean log2 rank"
    case .reciprocalRank: "mean reciprocal rank"
    case .hit(let rank): "hit@\(rank)"
    case .probability: "mean probability"
    case .stored(let name): "mean \(name)"
    }
  }

  /// Beside an axis.
  var axis: String {
    switch self {
    case .rank: "rank (1: first)"
    case .log2Rank: "log2 rank (0: first)"
    default: words
    }
  }
}
