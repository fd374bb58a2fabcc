import Datasets
import Experiments
import Foundation
import Statistics

extension TextTable {
  func cut(to most: Int) -> TextTable { TextTable(header: header, rows: Array(rows.prefix(most))) }
}

extension RunSummary {
  /// One row per part and model of the primary two-by-two.
  var itemTable: TextTable {
    var table = TextTable(header: [
      "example", "part", "class", "model", "clean", "vision cut", "text cut", "both cut", "loss, decoder works",
      "loss, decoder cut", "C",
    ])
    let all = models.flatMap { model in model.items.map { (model.model, $0) } }
    let sorted = all.enumerated().sorted { a, b in
      let (x, y) = (abs(a.element.1.compensation), abs(b.element.1.compensation))
      return x == y ? a.offset < b.offset : x > y
    }
    table.rows = sorted.map(\.element).map { model, item in
      [item.example, item.label, item.className ?? "", model]
        + [
          item.cells.clean, item.cells.visionCut, item.cells.textCut, item.cells.bothCut, item.lossOn, item.lossOff,
          item.compensation,
        ].map { fixed($0) }
    }
    return table
  }

  var receiptTable: TextTable {
    var table = TextTable(header: [
      "plugin", "model", "condition", "hook points", "trials", "visits made / planned", "rows changed",
      "numbers changed", "largest change", "unreachable in", "matched nothing in",
    ])
    table.rows = receipts.map { receipt in
      [
        receipt.plugin, receipt.model, receipt.condition, receipt.points, "\(receipt.trials)",
        "\(receipt.visitsMade) / \(receipt.visitsPlanned)", "\(receipt.rowsChanged)", "\(receipt.elementsChanged)",
        receipt.largestChange.map { String(format: "%.3g", $0) } ?? "cut", "\(receipt.unreachable)",
        "\(receipt.notApplicable)",
      ]
    }
    return table
  }

  var comparisonFigure: Figure? {
    let rows = comparisons.flatMap { comparison in
      comparison.points.enumerated().compactMap { index, point -> ForestFigure.Row? in
        guard case .success(let found) = point.result else { return nil }
        let estimate = comparison.grid?.cells[index].estimate ?? found.difference
        return ForestFigure.Row(
          group: comparison.title, name: point.point.isEmpty ? comparison.comparison.measure.metric.name : point.point,
          estimate: estimate, kind: .exploratory, words: estimate.long)
      }
    }
    return ForestFigure(
      name: "comparisons", title: "A - B",
      caption: "95 % intervals, paired by item and clustered by \(unit.singular); over several hook "
        + "points they hold for all of them together.", unit: "A - B, in the metric's unit", rows: rows
    ).figure
  }
}

extension ComparisonSummary {
  /// The items of the last hook point, where a reading is usually strongest; the largest |A - B| first.
  var itemTable: TextTable {
    var table = TextTable(header: ["example", "part", "class", "hook point", "A", "B", "A - B"])
    guard let last = points.last else { return table }
    let sorted = last.items.sorted {
      (-abs($0.difference), $0.example, $0.label) < (-abs($1.difference), $1.example, $1.label)
    }
    table.rows = sorted.map { item in
      [
        item.example, item.label, item.className ?? "", last.point, fixed(item.a, 3), fixed(item.b, 3),
        fixed(item.difference, 3),
      ]
    }
    return table
  }
}

extension Breakdown {
  static func table(_ groups: [Group], _ name: String, _ unit: IndependentUnit) -> TextTable {
    var table = TextTable(header: [name, "clean", "vision cut", "text cut", "both cut", "C", "parts", unit.plural])
    table.rows = groups.map { group in
      [group.name] + group.cells.map { fixed($0) }
        + [group.compensation?.words ?? "-", "\(group.parts)", "\(group.units)"]
    }
    return table
  }

  func metricTable(_ points: [String]) -> TextTable {
    TextTable(
      header: ["metric", "condition"] + points,
      rows: metrics.map { row in [row.name, row.condition] + row.means.map { $0.map { fixed($0, 3) } ?? "" } })
  }
}
