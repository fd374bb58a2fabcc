import Datasets
import Experiments
import Foundation
import Statistics

/// A and B on the items that both have, on one model (or on two, where models are compared).
package struct ComparisonSummary: Sendable {
  package let comparison: Comparison
  /// Empty where models are compared.
  package let model: String
  /// What is independent.
  package let unit: IndependentUnit
  package let points: [AtPoint]
  /// Where A and B were read at several hook points: intervals and p values for all of them together.
  package let grid: MaxStatistic?
  /// Of the planned comparisons of a manifest, adjusted by Holm's method; only where there is one hook point.
  package internal(set) var adjustedP: Double?

  package struct AtPoint: Sendable {
    package let point: String
    package let result: Result<PairedDifference, StatisticsError>
    package let items: [Item]
    /// Items that only A, and only B, has a number for.
    package let unmatched: (a: Int, b: Int)
  }

  package struct Item: Sendable {
    package let example: String
    package let label: String
    package let className: String?
    package let cluster: String
    package let a: Double
    package let b: Double
    package var difference: Double { a - b }
  }

  /// One per model, or one in all. The rows were loaded into `readings` before.
  static func all(_ comparison: Comparison, _ readings: RunReadings) -> [ComparisonSummary] {
    guard comparison.kind != .model else { return [ComparisonSummary(comparison, model: "", readings)] }
    return readings.manifest.models.map { ComparisonSummary(comparison, model: $0.name, readings) }
  }

  /// The manifest's.
  static func planned(_ readings: RunReadings) -> [ComparisonSummary] {
    var found = readings.manifest.comparisons.flatMap { all($0, readings) }
    let tests = found.indices.compactMap { index in found[index].single.map { (index, $0.signFlip.p) } }
    for (test, p) in zip(tests, holm(tests.map(\.1))) { found[test.0].adjustedP = p }
    return found
  }

  /// The result, where there is one hook point and one result.
  var single: PairedDifference? {
    guard points.count == 1, case .success(let found) = points[0].result else { return nil }
    return found
  }

  private init(_ comparison: Comparison, model: String, _ readings: RunReadings) {
    (self.comparison, self.model, unit) = (comparison, model, readings.unit)
    let measures = comparison.measures
    let (modelA, modelB) = comparison.kind == .model ? (comparison.a, comparison.b) : (model, model)
    let tables = (a: readings.table(modelA, measures[0]), b: readings.table(modelB, measures[1]))
    let conditions = comparison.conditions
    let points = comparison.point.map { [$0] } ?? orderedHookPoints(tables.a.points.intersection(tables.b.points))
    let pairs = points.map { point in
      PartTable.pair(
        (tables.a, .init(condition: conditions.a, point: point)),
        (tables.b, .init(condition: conditions.b, point: point)))
    }
    let seed = UInt64(bitPattern: Int64(readings.manifest.seed))
    self.points = zip(points, pairs).map { AtPoint($0, $1, seed: seed) }
    grid = ComparisonSummary.grid(pairs, seed: seed)
  }

  /// Over the hook points, of the items that have a number at all of them.
  private static func grid(_ pairs: [PartTable.Complete], seed: UInt64) -> MaxStatistic? {
    guard pairs.count > 1, let first = pairs.first, pairs.allSatisfy({ $0.parts == first.parts }) else { return nil }
    let columns = pairs.map { pair in zip(pair.columns[0], pair.columns[1]).map { $0 - $1 } }
    return try? MaxStatistic(columns, clusters: first.clusters, seed: seed)
  }
}

extension ComparisonSummary.AtPoint {
  init(_ point: String, _ pair: PartTable.Complete, seed: UInt64) {
    self.point = point
    unmatched = (pair.unmatched[0], pair.unmatched[1])
    items = pair.parts.indices.map { row in
      let part = pair.parts[row]
      return ComparisonSummary.Item(
        example: part.example, label: part.label, className: part.className, cluster: part.cluster,
        a: pair.columns[0][row], b: pair.columns[1][row])
    }
    do throws(StatisticsError) {
      result = .success(try PairedDifference(pair.columns[0], pair.columns[1], clusters: pair.clusters, seed: seed))
    } catch { result = .failure(error) }
  }

  /// What a reader must know, unmatched items first.
  package func caveats(_ unit: IndependentUnit) -> [String] {
    var words: [String] = []
    if unmatched.a > 0 { words.append("\(unmatched.a) items have a number in A only and are left out") }
    if unmatched.b > 0 { words.append("\(unmatched.b) items have a number in B only and are left out") }
    if case .success(let found) = result { words += found.caveats.map { $0.words(unit) } }
    return words
  }
}

extension Comparison {
  /// What A and B are read by.
  var measures: [Measure] {
    guard kind == .probe else { return [measure, measure] }
    return [a, b].map { Measure(probe: $0, metric: metric(of: $0), aggregation: measure.aggregation) }
  }

  /// A built-in reading has one metric, whatever it is compared by.
  private func metric(of probe: String) -> Metric {
    Reading(rawValue: probe).map { .stored($0.metric) } ?? measure.metric
  }

  var conditions: (a: String, b: String) { kind == .condition ? (a, b) : (condition, condition) }
}
