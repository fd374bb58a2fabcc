import Experiments
import Foundation
import Statistics

/// The primary two-by-two taken apart: by hook point and metric, by part, by class. All of it is exploratory.
package struct Breakdown: Sendable {
  /// Means over parts of one metric at each hook point under each of the four conditions.
  package struct MetricRow: Sendable {
    package let name: String
    package let condition: String
    /// One per hook point; nil where there are no rows.
    package let means: [Double?]
  }

  /// The contrast within one group of parts.
  package struct Group: Sendable {
    package let name: String
    package let parts: Int
    /// Independent units.
    package let units: Int
    /// Means of the four cells.
    package let cells: [Double]
    package let compensation: Estimate?
  }

  package let metrics: [MetricRow]
  package let byPart: [Group]
  package let byClass: [Group]

  init(_ items: [ModelSummary.Item], design: TwoByTwo, point: String, readings: RunReadings, model: String) {
    let probe = readings.measure.probe
    let points = orderedHookPoints(readings.table(model, readings.measure).points)
    metrics = Breakdown.measures(probe).flatMap { name, measure in
      let table = readings.table(model, measure)
      return design.conditions.map { condition in
        let means = points.map { point -> Double? in
          let values = table.values(condition, point)
          return values.isEmpty ? nil : mean(values.map(\.value))
        }
        return MetricRow(name: name, condition: condition, means: means)
      }
    }
    byPart = Breakdown.groups(items) { word(of: $0.label) }
    byClass = Breakdown.groups(items) { $0.className }
  }

  /// What is shown of a lens: its rank by every aggregation, then the other metrics of the best patch.
  private static func measures(_ probe: String) -> [(String, Measure)] {
    let ranks = Aggregation.allCases.map { aggregation in
      ("rank, \(aggregation.rawValue)", Measure(probe: probe, metric: .rank, aggregation: aggregation))
    }
    return ranks
      + Metric.ofLens.dropFirst().map { metric in
        (metric == .reciprocalRank ? "MRR" : metric.name, Measure(probe: probe, metric: metric))
      }
  }

  private static func groups(_ items: [ModelSummary.Item], by name: (ModelSummary.Item) -> String?) -> [Group] {
    let named = items.compactMap { item in name(item).map { ($0, item) } }
    return Dictionary(grouping: named, by: \.0).sorted { $0.key < $1.key }.map { name, members in
      let items = members.map(\.1)
      let clusters = items.map(\.cells.cluster)
      return Group(
        name: name, parts: items.count, units: Set(clusters).count,
        cells: [
          mean(items.map(\.cells.clean)), mean(items.map(\.cells.visionCut)), mean(items.map(\.cells.textCut)),
          mean(items.map(\.cells.bothCut)),
        ], compensation: try? clusteredMean(items.map(\.compensation), clusters: clusters))
    }
  }
}
