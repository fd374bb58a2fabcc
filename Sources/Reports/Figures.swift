import Experiments
import Foundation
import Statistics

extension RunSummary {
  /// All pictures of the report, in its order.
  package var figures: [Figure] {
    models.compactMap { CurveFigure($0)?.figure } + [contrastFigure].compactMap(\.self)
      + models.flatMap { model in model.sweeps.compactMap { $0.figure(model: model.model) } }
      + [comparisonFigure].compactMap(\.self)
  }

  /// C of every two-by-two of every model, the controls below them.
  var contrastFigure: Figure? {
    let rows = models.flatMap { model in
      (model.contrasts + model.controls).enumerated().compactMap { index, contrast -> ForestFigure.Row? in
        guard case .success(let found) = contrast.result else { return nil }
        let kind: Finding.Kind =
          index >= model.contrasts.count ? .control : index == 0 && contrast.margin != nil ? .primary : .exploratory
        return ForestFigure.Row(
          group: model.model, name: contrast.name(beside: model.measure.probe), estimate: found.compensation,
          kind: kind, words: found.compensation.words)
      }
    }
    let axis = models.first.map { $0.measure.metric.unit } ?? ""
    return ForestFigure(
      name: "compensation", title: "Compensation C = loss with the decoder cut - loss with it working",
      caption:
        "95 % intervals, paired by part and clustered by \(unit.singular). Thick: the primary contrast that the manifest named. "
        + "Rings: read by control probes.", unit: axis, rows: rows
    ).figure
  }
}

extension SweepSummary {
  func figure(model: String) -> Figure? {
    guard case .success(let grid) = result else { return nil }
    return HeatMapFigure(
      name: "\(model)-\(sweep.name)", title: "\(model), sweep \(sweep.name): cost against \(sweep.baseline)",
      caption:
        "In \(sweep.measure.metric.unit); red is worse. Outlined cells are clear of zero with all \(grid.cells.count) "
        + "cells taken together (interval: mean +- \(fixed(grid.criticalValue)) standard errors).",
      rows: conditions, columns: points, cells: grid.cells
    ).figure
  }
}
