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

/// The BCa interval (Efron, "Better bootstrap confidence intervals", 1987) of a mean over resamples of whole clusters, with
/// the acceleration from leaving out one cluster at a time.
///
/// - Returns: nil when there are fewer than three clusters or all of them are equal.
package func clusterBCa(
  _ values: [Double], clusters: [String], resamples: Int = 4000, level: Double = 0.95, seed: UInt64
) -> ClosedRange<Double>? {
  let groups = Clusters(clusters)
  guard groups.count >= 3, values.allSatisfy(\.isFinite) else { return nil }
  let (sums, sizes) = (groups.sums(values), groups.members.map { Double($0.count) })
  let (total, count) = (sums.reduce(0, +), sizes.reduce(0, +))
  let center = total / count
  let resampled = (0..<resamples).map { resample in
    var generator = Philox(seed: seed, stream: UInt64(resample))
    var (sum, size) = (0.0, 0.0)
    for _ in sums {
      let cluster = Int.random(in: sums.indices, using: &generator)
      (sum, size) = (sum + sums[cluster], size + sizes[cluster])
    }
    return sum / size
  }.sorted()
  let below = resampled.reduce(0.0) { $0 + ($1 < center ? 1 : $1 == center ? 0.5 : 0) } / Double(resamples)
  let leftOut = zip(sums, sizes).map { (total - $0) / (count - $1) }
  guard below > 0, below < 1, let acceleration = acceleration(leftOut) else { return nil }
  func end(_ probability: Double) -> Double {
    let bias = Normal.quantile(below)
    let z = bias + Normal.quantile(probability)
    return quantile(resampled, Normal.cdf(bias + z / (1 - acceleration * z)))
  }
  let (low, high) = (end((1 - level) / 2), end((1 + level) / 2))
  return low <= high ? low...high : nil
}

/// A sixth of the skewness of the jackknife's values, turned about; nil when all are equal.
func acceleration(_ jackknife: [Double]) -> Double? {
  let center = mean(jackknife)
  let squares = jackknife.reduce(0) { $0 + pow(center - $1, 2) }
  guard squares > 0 else { return nil }
  return jackknife.reduce(0) { $0 + pow(center - $1, 3) } / (6 * pow(squares, 1.5))
}

/// Linear interpolation between order statistics (type 7 of Hyndman and Fan, numpy's default), of sorted values.
package func quantile(_ sorted: [Double], _ probability: Double) -> Double {
  let position = probability * Double(sorted.count - 1)
  let index = min(max(Int(position), 0), sorted.count - 1)
  let next = min(index + 1, sorted.count - 1)
  return sorted[index] + (position - Double(index)) * (sorted[next] - sorted[index])
}
