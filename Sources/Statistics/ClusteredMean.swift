import Foundation

/// Why a statistic cannot be given.
package enum StatisticsError: Error, Equatable {
  /// An interval needs the spread between at least two clusters.
  case tooFewClusters(Int)
  case notANumber
}

/// A mean with its interval.
package struct Estimate: Sendable, Equatable {
  package var mean: Double
  package var standardError: Double
  /// The ends of the interval.
  package var low: Double
  package var high: Double
  /// How many observations, in how many clusters.
  package var count: Int
  package var clusters: Int
  /// Of Student's t.
  package var degrees: Double

  package var excludesZero: Bool { low > 0 || high < 0 }
}

/// The arithmetic mean; NaN of nothing.
package func mean(_ values: [Double]) -> Double { values.reduce(0, +) / Double(values.count) }

/// The median, the mean of the middle two of an even number; NaN of nothing.
package func median(_ values: [Double]) -> Double {
  guard !values.isEmpty else { return .nan }
  let sorted = values.sorted()
  let middle = sorted.count / 2
  return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

/// The mean of `values` with a t interval that treats observations of one cluster (an image) as dependent: the
/// cluster-robust variance of a mean, G/(G-1) * sum over clusters of (sum of residuals)^2 / n^2, and Student's t with
/// G-1 degrees of freedom, G the number of clusters (the intercept-only case of Cameron and Miller, "A practitioner's
/// guide to cluster-robust inference", 2015).
///
/// - Parameters:
///   - clusters: of each value, which cluster it belongs to.
///   - level: of confidence.
package func clusteredMean(_ values: [Double], clusters: [String], level: Double = 0.95)
  throws(StatisticsError) -> Estimate
{
  guard values.allSatisfy(\.isFinite) else { throw StatisticsError.notANumber }
  let groups = Set(clusters).count
  guard groups >= 2 else { throw StatisticsError.tooFewClusters(groups) }
  let center = mean(values)
  let error = clusteredCovariance(values, values, clusters: clusters).squareRoot()
  let reach = StudentT.quantile(0.5 + level / 2, degrees: Double(groups - 1)) * error
  return Estimate(
    mean: center, standardError: error, low: center - reach, high: center + reach, count: values.count,
    clusters: groups, degrees: Double(groups - 1))
}

/// The cluster-robust covariance of the means of two columns of one table; of a column with itself, the variance of its
/// mean. There are at least two clusters.
func clusteredCovariance(_ a: [Double], _ b: [Double], clusters: [String]) -> Double {
  let (meanA, meanB) = (mean(a), mean(b))
  var residuals: [String: (Double, Double)] = [:]
  for index in a.indices {
    residuals[clusters[index], default: (0, 0)].0 += a[index] - meanA
    residuals[clusters[index], default: (0, 0)].1 += b[index] - meanB
  }
  let groups = Double(residuals.count)
  // Sorted, so that the sum does not depend on the order of a dictionary.
  let products = residuals.values.map { $0.0 * $0.1 }.sorted().reduce(0, +)
  return groups / (groups - 1) * products / (Double(a.count) * Double(a.count))
}
