import Experiments
import Foundation

/// Curves of mean log2 rank by hook point for the four conditions, one panel per two-by-two, with 95 % bands.
struct RankFigure {
  private let model: ModelSummary
  private let panels: [(title: String, curves: [Curve])]
  private let ceiling: Double

  private struct Curve {
    let style: Style
    /// One per hook point, nil where there are no rows.
    let ranks: [RankSummary?]
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
      Style(name: "both cut", colour: "#333333", dashed: true),
    ]
  }

  private static let plot = (width: 250.0, height: 220.0)
  private static let margin = (left: 56.0, top: 64.0, between: 28.0, bottom: 96.0, right: 20.0)

  init?(_ model: ModelSummary) {
    guard !model.points.isEmpty, !model.contrasts.isEmpty else { return nil }
    self.model = model
    panels = model.contrasts.map { contrast in
      let curves = zip(Style.four, contrast.design.conditions).compactMap { style, name in
        model.conditions.first { $0.name == name }.map { Curve(style: style, ranks: $0.ranks) }
      }
      return (contrast.design.name, curves)
    }
    let tops = panels.flatMap(\.curves).flatMap(\.ranks).compactMap { $0.map { $0.meanLog2 + $0.halfWidth } }
    ceiling = max(1, (tops.max() ?? 1).rounded(.up))
  }

  var svg: String? {
    let (plot, margin) = (RankFigure.plot, RankFigure.margin)
    let width = margin.left + Double(panels.count) * (plot.width + margin.between) - margin.between + margin.right
    var drawing = SVG(width: max(width, 480), height: margin.top + plot.height + margin.bottom)
    drawing.text("\(model.model): mean log2 rank of the part's word", at: (margin.left, 20), size: 14, bold: true)
    drawLegend(&drawing)
    for (index, panel) in panels.enumerated() {
      let left = margin.left + Double(index) * (plot.width + margin.between)
      drawFrame(&drawing, left: left, title: panel.title, isFirst: index == 0)
      for curve in panel.curves { draw(curve, &drawing, left: left) }
    }
    return drawing.document(title: "Mean log2 rank by layer, four conditions, \(model.model)")
  }

  private func drawLegend(_ drawing: inout SVG) {
    for (index, style) in Style.four.enumerated() {
      let x = RankFigure.margin.left + Double(index) * 104
      drawing.polyline([(x, 36), (x + 22, 36)], colour: style.colour, dashed: style.dashed)
      drawing.text(style.name, at: (x + 26, 40), size: 11)
    }
  }

  private func x(_ index: Int, left: Double) -> Double {
    let steps = Double(max(model.points.count - 1, 1))
    return left + 12 + (RankFigure.plot.width - 24) * Double(index) / steps
  }

  private func y(_ value: Double) -> Double {
    RankFigure.margin.top + RankFigure.plot.height * (1 - value / ceiling)
  }

  private func drawFrame(_ drawing: inout SVG, left: Double, title: String, isFirst: Bool) {
    let right = left + RankFigure.plot.width
    let step = max(1, Int((ceiling / 8).rounded(.up)))
    for tick in stride(from: 0, through: Int(ceiling), by: step) {
      let y = y(Double(tick))
      drawing.line((left, y), (right, y), colour: tick == 0 ? "#888" : "#e4e4e4")
      if isFirst { drawing.text("\(tick)", at: (left - 8, y + 4), anchor: .end, size: 11) }
    }
    drawing.text(title, at: (left + RankFigure.plot.width / 2, RankFigure.margin.top - 6), anchor: .middle, bold: true)
    if isFirst {
      let middle = RankFigure.margin.top + RankFigure.plot.height / 2
      drawing.text("log2 rank (0: first)", at: (16, middle), anchor: .middle, size: 11, rotated: -90)
    }
    // With many layers only some of the names have room.
    let stride = max(1, (model.points.count + 11) / 12)
    for (index, point) in model.points.enumerated() where index % stride == 0 || index == model.points.count - 1 {
      let at = (x(index, left: left) + 4, y(0) + 12)
      drawing.text(point, at: at, anchor: .end, size: 10, rotated: -45)
    }
  }

  private func draw(_ curve: Curve, _ drawing: inout SVG, left: Double) {
    let known = curve.ranks.enumerated().compactMap { index, rank in rank.map { (x(index, left: left), $0) } }
    let upper = known.map { ($0, y(min($1.meanLog2 + $1.halfWidth, ceiling))) }
    let lower = known.map { ($0, y(max($1.meanLog2 - $1.halfWidth, 0))) }
    drawing.polygon(upper + lower.reversed(), colour: curve.style.colour, opacity: 0.12)
    drawing.polyline(known.map { ($0, y($1.meanLog2)) }, colour: curve.style.colour, dashed: curve.style.dashed)
    for (x, rank) in known { drawing.dot((x, y(rank.meanLog2)), colour: curve.style.colour) }
  }
}
