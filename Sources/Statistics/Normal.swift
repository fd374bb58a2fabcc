import Foundation

/// The standard normal distribution.
package enum Normal {
  package static func cdf(_ z: Double) -> Double { 0.5 * erfc(-z / 2.0.squareRoot()) }

  /// The z with P(Z <= z) = `probability`, 0 < probability < 1; by bisection, to the last bits of a Double.
  package static func quantile(_ probability: Double) -> Double {
    var (low, high) = (-40.0, 40.0)
    for _ in 0..<200 {
      let middle = low + (high - low) / 2
      if middle == low || middle == high { break }
      if cdf(middle) < probability { low = middle } else { high = middle }
    }
    return high
  }
}
