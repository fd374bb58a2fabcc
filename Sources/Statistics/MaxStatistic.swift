import Foundation

/// Means of many cells (layers, heads, windows) whose intervals and p values hold for all of them together.
///
/// Both come from the largest |t| over the cells when the signs of whole clusters are flipped: of the residuals for the
/// critical value of the intervals (a wild bootstrap-t), of the differences themselves for the p values (Westfall and
/// Young's single-step maxT). Cells of one image stay together, so that their correlation is accounted for.
package struct MaxStatistic: Sendable, Equatable {
  package struct Cell: Sendable, Equatable {
    /// Its `low` and `high` are the ends of the simultaneous interval.
    package var estimate: Estimate
    /// Adjusted for the number of cells.
    package var p: Double
  }

  package var cells: [Cell]
  /// The interval of a cell is its mean +- this times its standard error.
  package var criticalValue: Double

  /// - Parameter columns: one per cell, each with one difference per item.
  package init(
    _ columns: [[Double]], clusters: [String], flips: Int = 10_000, level: Double = 0.95, seed: UInt64 = 0
  ) throws(StatisticsError) {
    var estimates: [Estimate] = []
    for column in columns { estimates.append(try clusteredMean(column, clusters: clusters, level: level)) }
    let groups = Clusters(clusters)
    let sums = columns.map { groups.sums($0) }
    let residuals = columns.map { column in
      let center = mean(column)
      return groups.sums(column.map { $0 - center })
    }
    let centred = MaxStatistic.largest(residuals, clusters: groups.count, flips: flips, seed: seed)
    let null = MaxStatistic.largest(sums, clusters: groups.count, flips: flips, seed: seed)
    let critical = quantile(centred.sorted(), level)
    criticalValue = critical
    cells = zip(estimates, sums).map { estimate, sums in
      var estimate = estimate
      let reach = critical * estimate.standardError
      (estimate.low, estimate.high) = (estimate.mean - reach, estimate.mean + reach)
      let observed = abs(studentised(sums.reduce(0, +), squares: sums.reduce(0) { $0 + $1 * $1 }, sums.count))
      let hits = null.count { $0 >= observed * (1 - 1e-12) }
      return Cell(estimate: estimate, p: Double(1 + hits) / Double(1 + flips))
    }
  }

  /// The largest |t| over the cells, flip by flip.
  private static func largest(_ sums: [[Double]], clusters: Int, flips: Int, seed: UInt64) -> [Double] {
    let cells = sums.count
    // Scaled to length 1 and laid out cluster by cluster: a flip adds or subtracts whole rows.
    let lengths = sums.map { $0.reduce(0) { $0 + $1 * $1 }.squareRoot() }
    var table = [Double](repeating: 0, count: clusters * cells)
    for (cell, column) in sums.enumerated() where lengths[cell] > 0 {
      for cluster in 0..<clusters { table[cluster * cells + cell] = column[cluster] / lengths[cell] }
    }
    var totals = [Double](repeating: 0, count: cells)
    return (0..<flips).map { flip in
      var signs = Signs(seed: seed, flip: flip)
      for cell in 0..<cells { totals[cell] = 0 }
      table.withUnsafeBufferPointer { table in
        totals.withUnsafeMutableBufferPointer { totals in
          for cluster in 0..<clusters {
            let sign = signs.next()
            for cell in 0..<cells { totals[cell] += sign * table[cluster * cells + cell] }
          }
        }
      }
      return studentised(totals.reduce(0) { max($0, abs($1)) }, squares: 1, clusters)
    }
  }
}

/// The t statistic of `count` numbers with this sum and sum of squares; monotone in the sum.
private func studentised(_ sum: Double, squares: Double, _ count: Int) -> Double {
  guard squares > 0 else { return 0 }
  let spread = squares - sum * sum / Double(count)
  guard spread > 1e-14 * squares else { return sum < 0 ? -.infinity : .infinity }
  return sum / (Double(count) / Double(count - 1) * spread).squareRoot()
}
