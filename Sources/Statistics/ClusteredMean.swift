import Foundation

/// Why a statistic cannot be given.
package enum StatisticsError: Error, Equatable, CustomStringConvertible {
  /// An interval needs the spread between at least two clusters.
  case tooFewClusters(Int)
  case notANumber

  package var description: String {
    switch self {
    case .tooFewClusters(let count): "an interval needs at least two images, there are \(count)"
    case .notANumber: "a value is not a number"
    }
  }
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
package func clusteredMean(_ values: [Double], clusters: [String], level: Double = 0.95) throws -> Estimate {
  guard values.allSatisfy(\.isFinite) else { throw StatisticsError.notANumber }
  let center = mean(values)
  var residuals: [String: Double] = [:]
  for (value, cluster) in zip(values, clusters) { residuals[cluster, default: 0] += value - center }
  let groups = Double(residuals.count)
  guard groups >= 2 else { throw StatisticsError.tooFewClusters(residuals.count) }
  // Sorted, so that the sum does not depend on the order of a dictionary.
  let squares = residuals.values.map { $0 * $0 }.sorted().reduce(0, +)
  let error = (groups / (groups - 1) * squares).squareRoot() / Double(values.count)
  let reach = StudentT.quantile(0.5 + level / 2, degrees: groups - 1) * error
  return Estimate(
    mean: center, standardError: error, low: center - reach, high: center + reach, count: values.count,
    clusters: residuals.count)
}
