/// How many clusters a paired comparison needs, from what one run has shown of their spread.
package struct Power: Sendable, Equatable {
  /// Standard deviation of one cluster's contribution: the standard error of a run times the root of its number of clusters.
  package var spread: Double
  /// Squared standard error that stays however many clusters there are: the spread between seeds; and its degrees of freedom.
  package var floor = 0.0
  package var floorDegrees = 0.0
  /// The chance to find the effect.
  package var power: Double
  package var level: Double

  package init(spread: Double, power: Double = 0.8, level: Double = 0.95) {
    (self.spread, self.power, self.level) = (spread, power, level)
  }

  /// Of a mean under as many seeds as in the pilot.
  package init(_ pilot: CrossedMean, power: Double = 0.8, level: Double = 0.95) {
    self.init(
      spread: (pilot.betweenClusters * Double(pilot.estimate.clusters)).squareRoot(), power: power, level: level)
    floor = max(0, pilot.betweenSeeds - pilot.interaction)
    floorDegrees = Double(pilot.seeds - 1)
  }

  package init(_ pilot: Estimate, power: Double = 0.8, level: Double = 0.95) {
    self.init(
      spread: pilot.standardError * Double(pilot.clusters).squareRoot(), power: power, level: level)
  }

  /// The smallest true mean that so many clusters find with this power, by the t approximation
  /// (t of the level + t of the power) x standard error.
  package func detectable(clusters: Int) -> Double {
    guard clusters >= 2 else { return .infinity }
    let between = spread * spread / Double(clusters)
    let degrees = satterthwaite(between + floor, [(between, Double(clusters - 1)), (floor, floorDegrees)])
    let reach =
      StudentT.quantile((1 + level) / 2, degrees: degrees) + StudentT.quantile(power, degrees: degrees)
    return reach * (between + floor).squareRoot()
  }

  /// The smallest number of clusters with which `effect` is detectable; nil where it is zero or more than 2^40 are needed.
  package func clusters(for effect: Double) -> Int? {
    guard effect != 0, effect.isFinite else { return nil }
    var (low, high) = (1, 2)
    while detectable(clusters: high) > abs(effect) {
      guard high < 1 << 40 else { return nil }
      (low, high) = (high, 2 * high)
    }
    while high - low > 1 {
      let middle = (low + high) / 2
      if detectable(clusters: middle) > abs(effect) { low = middle } else { high = middle }
    }
    return high
  }
}
