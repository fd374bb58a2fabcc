import Foundation

/// Student's t distribution.
package enum StudentT {
  /// P(T <= t) with `degrees` > 0 degrees of freedom, to about 1e-14.
  package static func cdf(_ t: Double, degrees: Double) -> Double {
    let tail = 0.5 * regularisedBeta(degrees / (degrees + t * t), degrees / 2, 0.5)
    return t > 0 ? 1 - tail : tail
  }

  /// The t with P(T <= t) = `probability`, 0 < probability < 1; by bisection on the tail, to the last bits of a Double.
  package static func quantile(_ probability: Double, degrees: Double) -> Double {
    guard probability != 0.5 else { return 0 }
    let tail = min(probability, 1 - probability)
    var (low, high) = (0.0, 1.0)
    while cdf(-high, degrees: degrees) > tail, high < 1e300 { high *= 2 }
    for _ in 0..<200 where low < high {
      let middle = low + (high - low) / 2
      if middle == low || middle == high { break }
      if cdf(-middle, degrees: degrees) > tail { low = middle } else { high = middle }
    }
    return probability < 0.5 ? -high : high
  }

  /// The regularised incomplete beta function I_x(a, b), by Lentz's continued fraction (DLMF 8.17.22).
  static func regularisedBeta(_ x: Double, _ a: Double, _ b: Double) -> Double {
    guard x > 0 else { return 0 }
    guard x < 1 else { return 1 }
    let front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x))
    return x < (a + 1) / (a + b + 2)
      ? front * betaFraction(x, a, b) / a : 1 - front * betaFraction(1 - x, b, a) / b
  }

  private static func betaFraction(_ x: Double, _ a: Double, _ b: Double) -> Double {
    let tiny = 1e-300
    func guarded(_ value: Double) -> Double { abs(value) < tiny ? tiny : value }
    var c = 1.0
    var d = 1 / guarded(1 - (a + b) * x / (a + 1))
    var result = d
    for step in 1...10_000 {
      let m = Double(step)
      let even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
      d = 1 / guarded(1 + even * d)
      c = guarded(1 + even / c)
      result *= d * c
      let odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
      d = 1 / guarded(1 + odd * d)
      c = guarded(1 + odd / c)
      result *= d * c
      if abs(d * c - 1) < 1e-16 { break }
    }
    return result
  }
}
