import Datasets
import Experiments
import Foundation
import Statistics

/// How far each condition of a sweep lies from the baseline at each hook point, with intervals that hold for all cells
/// together.
package struct SweepSummary: Sendable {
  package let sweep: SweepAnalysis
  /// Only those at which something differs from the baseline in some condition.
  package let points: [String]
  package let conditions: [String]
  package let parts: Int
  /// What is independent, and how many of it.
  package let unit: IndependentUnit
  package let units: Int
  package let incomplete: Int
  /// Condition by condition, hook points within; nil with the reason where there is none.
  package let result: Result<MaxStatistic, StatisticsError>

  init(_ sweep: SweepAnalysis, table: PartTable, unit: IndependentUnit, seed: UInt64) {
    (self.sweep, self.unit) = (sweep, unit)
    let all = orderedHookPoints(table.points)
    let conditions = sweep.conditions.filter { name in all.contains { !table.values(name, $0).isEmpty } }
    self.conditions = conditions
    points = all
    let cells = ([sweep.baseline] + conditions).flatMap { name in
      all.map { PartTable.Cell(condition: name, point: $0) }
    }
    let complete = table.complete(cells)
    (parts, units, incomplete) = (complete.parts.count, Set(complete.clusters).count, complete.left)
    let metric = sweep.measure.metric
    let columns = conditions.indices.flatMap { row in
      all.indices.map { column in
        zip(complete.columns[(row + 1) * all.count + column], complete.columns[column]).map {
          metric.cost($0) - metric.cost($1)
        }
      }
    }
    do throws(StatisticsError) {
      guard !columns.isEmpty else { throw StatisticsError.tooFewClusters(0) }
      result = .success(try MaxStatistic(columns, clusters: complete.clusters, seed: seed))
    } catch { result = .failure(error) }
  }

  /// Of one condition, one per hook point.
  func cells(_ condition: Int) -> [MaxStatistic.Cell] {
    guard case .success(let grid) = result else { return [] }
    return Array(grid.cells[(condition * points.count)..<((condition + 1) * points.count)])
  }
}
