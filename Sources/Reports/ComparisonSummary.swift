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
  /// Under how many seeds A or B is repeated; nil: neither names seeds.
  package let seeds: Int?
  /// Where A and B were read at several hook points: intervals and p values for all of them together. Not under several seeds, which flips
  /// of clusters' signs do not know.
  package let grid: MaxStatistic?
  /// One per hook point, for all of them together: by the max-statistic, under several seeds by Holm's method; of the planned comparisons of
  /// a manifest that have one hook point by Holm's method.
  package internal(set) var adjustedP: [Double?]

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
    let tests = found.indices.compactMap { index in found[index].single.map { (index, $0.claimP) } }
    for (test, p) in zip(tests, holm(tests.map(\.1))) { found[test.0].adjustedP = [p] }
    return found
  }

  /// The result, where there is one hook point and one result.
  var single: PairedDifference? {
    guard points.count == 1, case .success(let found) = points[0].result else { return nil }
    return found
  }

  private init(_ comparison: Comparison, model: String, _ readings: RunReadings) {
    (self.comparison, self.model, unit) = (comparison, model, readings.unit)
    let sides = [comparison.a, comparison.b].map { comparison.sides(of: $0, in: readings.manifest) }
    let models = comparison.kind == .model ? [comparison.a, comparison.b] : [model, model]
    let tables = zip(sides, models).map { side, model in side.map { readings.table(model, $0.measure) } }
    let named = sides.flatMap { $0.compactMap(\.seed) }
    seeds = named.isEmpty ? nil : Set(named).count
    let common = tables.joined().map(\.points).reduce(tables[0][0].points) { $0.intersection($1) }
    let points = comparison.point.map { [$0] } ?? orderedHookPoints(common)
    let pairs = points.map { point in
      let cells = zip(sides, tables).map { side, tables in
        zip(tables, side).map { (table: $0, cell: PartTable.Cell(condition: $1.condition, point: point)) }
      }
      return PartTable.pair(cells[0], cells[1])
    }
    let seed = UInt64(bitPattern: Int64(readings.manifest.seed))
    self.points = zip(points, pairs).map { AtPoint($0, $1, seed: seed) }
    grid = ComparisonSummary.grid(pairs, seed: seed)
    adjustedP = grid?.cells.map(\.p) ?? ComparisonSummary.adjusted(self.points)
  }

  /// Over the hook points, of the items that have a number at all of them.
  private static func grid(_ pairs: [PartTable.Pair], seed: UInt64) -> MaxStatistic? {
    guard pairs.count > 1, let first = pairs.first, pairs.allSatisfy({ $0.parts == first.parts }) else { return nil }
    guard max(first.a.count, first.b.count) == 1 else { return nil }
    let columns = pairs.map { pair in zip(pair.a[0], pair.b[0]).map { $0 - $1 } }
    return try? MaxStatistic(columns, clusters: first.clusters, seed: seed)
  }

  /// Under several seeds, over several hook points.
  private static func adjusted(_ points: [AtPoint]) -> [Double?] {
    let p = points.map { point in (try? point.result.get()).flatMap { $0.crossed == nil ? nil : $0.claimP } }
    guard points.count > 1, !p.contains(nil) else { return points.map { _ in nil } }
    return holm(p.compactMap(\.self))
  }
}

extension ComparisonSummary.AtPoint {
  init(_ point: String, _ pair: PartTable.Pair, seed: UInt64) {
    (self.point, unmatched) = (point, pair.unmatched)
    items = pair.parts.indices.map { row in
      let part = pair.parts[row]
      return ComparisonSummary.Item(
        example: part.example, label: part.label, className: part.className, cluster: part.cluster,
        a: mean(pair.a.map { $0[row] }), b: mean(pair.b.map { $0[row] }))
    }
    do throws(StatisticsError) {
      result = .success(try PairedDifference(pair.a, pair.b, clusters: pair.clusters, seed: seed))
    } catch { result = .failure(error) }
  }
}

extension ComparisonSummary {
  /// What a reader must know of one hook point, unmatched items first.
  package func caveats(_ point: AtPoint) -> [String] {
    let unmatched = point.unmatched
    var words: [String] = []
    let orSome = (seeds ?? 1) > 1 ? ", or not under every seed," : ""
    if unmatched.a > 0 { words.append("\(unmatched.a) items have a number in A only\(orSome) and are left out") }
    if unmatched.b > 0 { words.append("\(unmatched.b) items have a number in B only\(orSome) and are left out") }
    if seeds == 1 { words.append("one seed: this holds for that seed only") }
    if case .success(let found) = point.result { words += found.caveats.map { $0.words(unit) } }
    return words
  }
}

extension Comparison {
  /// What A or B is read by and under, one for each of its repetitions.
  struct Side {
    let seed: Int?
    let measure: Measure
    let condition: String
  }

  /// - Parameter name: `a` or `b`. Repetitions come by seed, so that those of A and B pair.
  func sides(of name: String, in manifest: Manifest) -> [Side] {
    repetitions(of: name, in: manifest).sorted { ($0.seed ?? 0) < ($1.seed ?? 0) }.map { repetition in
      Side(
        seed: repetition.seed, measure: kind == .probe ? measure(of: repetition.name) : measure,
        condition: kind == .condition ? repetition.name : condition)
    }
  }

  /// A built-in reading has one metric, whatever it is compared by.
  private func measure(of probe: String) -> Measure {
    let metric = Reading(rawValue: probe).map { Metric.stored($0.metric) } ?? measure.metric
    return Measure(probe: probe, metric: metric, aggregation: measure.aggregation)
  }
}
