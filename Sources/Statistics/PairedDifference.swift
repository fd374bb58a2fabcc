/// Two readings A and B of the same items: how far apart, and is it more than luck? Clusters are independent, items are not.
package struct PairedDifference: Sendable, Equatable {
  package var meanA: Double
  package var meanB: Double
  /// A - B with the cluster-robust t interval.
  package var difference: Estimate
  /// Of the t test that belongs to the interval, two-sided.
  package var p: Double
  package var signFlip: SignFlip
  /// The cluster bootstrap's interval; nil where there is no spread.
  package var bootstrap: ClosedRange<Double>?
  /// Given where both readings are 0 or 1 and every cluster has one item.
  package var mcnemar: McNemar?
  /// Mean over standard deviation of the differences (Cohen's d_z); nil where all are equal.
  package var effectSize: Double?
  /// The smallest true difference that so many clusters find four times in five.
  package var detectable: Double
  /// What a reader must know of these numbers.
  package var caveats: [Caveat]

  package enum Caveat: Sendable, Equatable {
    case equalEverywhere
    /// All clusters have the same difference: nothing to judge it by.
    case noSpread
    /// With so few clusters the sign-flip test can give no smaller p than this.
    case fewClusters(Int, smallestP: Double)
  }

  package enum Verdict: Sendable, Equatable {
    case aHigher
    case bHigher
    case notDistinguishable
  }

  /// Both the interval and the sign-flip test must speak: with few clusters the t interval alone leans on normality.
  package var verdict: Verdict {
    guard difference.excludesZero, signFlip.p < 0.05 else { return .notDistinguishable }
    return difference.mean > 0 ? .aHigher : .bHigher
  }

  package init(
    _ a: [Double], _ b: [Double], clusters: [String], level: Double = 0.95, seed: UInt64 = 0
  ) throws(StatisticsError) {
    let differences = zip(a, b).map { $0 - $1 }
    (meanA, meanB) = (mean(a), mean(b))
    difference = try clusteredMean(differences, clusters: clusters, level: level)
    signFlip = try SignFlip(differences, clusters: clusters, seed: seed)
    p = difference.p
    bootstrap = clusterBCa(differences, clusters: clusters, level: level, seed: seed)
    let center = difference.mean
    let squares = differences.reduce(0) { $0 + ($1 - center) * ($1 - center) }
    let deviation = (squares / Double(max(differences.count - 1, 1))).squareRoot()
    effectSize = deviation > 0 ? center / deviation : nil
    detectable = Power(difference, level: level).detectable(clusters: difference.clusters)
    let isBinary = (a + b).allSatisfy { $0 == 0 || $0 == 1 }
    if isBinary, difference.clusters == differences.count {
      mcnemar = McNemar(onlyA: differences.count { $0 > 0 }, onlyB: differences.count { $0 < 0 })
    }
    caveats = PairedDifference.caveats(differences, difference)
  }

  private static func caveats(_ differences: [Double], _ estimate: Estimate) -> [Caveat] {
    var caveats: [Caveat] = []
    if differences.allSatisfy({ $0 == 0 }) {
      caveats.append(.equalEverywhere)
    } else if estimate.standardError == 0 {
      caveats.append(.noSpread)
    }
    if estimate.clusters < 10 {
      caveats.append(.fewClusters(estimate.clusters, smallestP: 1 / Double(1 << (estimate.clusters - 1))))
    }
    return caveats
  }
}

extension Estimate {
  /// Two-sided p value of "the mean is 0" by Student's t; 1 for a mean of 0 without spread, 0 for another one.
  package var p: Double {
    guard standardError > 0 else { return mean == 0 ? 1 : 0 }
    return 2 * StudentT.cdf(-abs(mean) / standardError, degrees: Double(clusters - 1))
  }
}
