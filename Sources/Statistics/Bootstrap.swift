import Foundation

/// Percentile interval of a statistic over resamples of whole clusters.
///
/// - Parameters:
///   - clusters: the rows of each cluster, as indices, in a fixed order.
///   - statistic: of a list of row indices with repetitions; resamples for which it is not finite are left out.
/// - Returns: nil when there are fewer than two clusters or fewer than half of the resamples have the statistic.
package func clusterBootstrap(
  clusters: [[Int]], resamples: Int = 2000, level: Double = 0.95, seed: UInt64, statistic: ([Int]) -> Double
) -> ClosedRange<Double>? {
  guard clusters.count >= 2 else { return nil }
  var values: [Double] = []
  for resample in 0..<resamples {
    var generator = Philox(seed: seed, stream: UInt64(resample))
    let rows = clusters.indices.flatMap { _ in clusters[Int.random(in: clusters.indices, using: &generator)] }
    let value = statistic(rows)
    if value.isFinite { values.append(value) }
  }
  guard values.count * 2 >= resamples else { return nil }
  values.sort()
  return quantile(values, (1 - level) / 2)...quantile(values, (1 + level) / 2)
}

/// Linear interpolation between order statistics (type 7 of Hyndman and Fan, numpy's default), of sorted values.
package func quantile(_ sorted: [Double], _ probability: Double) -> Double {
  let position = probability * Double(sorted.count - 1)
  let index = min(max(Int(position), 0), sorted.count - 1)
  let next = min(index + 1, sorted.count - 1)
  return sorted[index] + (position - Double(index)) * (sorted[next] - sorted[index])
}
