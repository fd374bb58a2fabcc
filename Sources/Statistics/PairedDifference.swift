/// Two readings A and B of the same items: how far apart, and is it more than luck? Clusters are independent, items are not.
package struct PairedDifference: Sendable, Equatable {
  package var meanA: Double
  package var meanB: Double
  /// A - B with the cluster-robust t interval; under several seeds with that for other seeds too.
  package var difference: Estimate
  /// Where the difference was read under several seeds: what the interval is made of.
  package var crossed: CrossedMean?
  /// Of the t test that belongs to the interval, two-sided.
  package var p: Double
  /// Of the clusters. It knows these seeds only; see `claimP`.
  package var signFlip: SignFlip
  /// The cluster bootstrap's interval; nil where there is no spread, and under several seeds, which it does not know.
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
    /// The numbers are the same under all seeds.
    case equalSeeds
    /// With two the crossed test claims about twice too often (docs/reports.md).
    case twoSeeds
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

  /// What a claim rests on, for corrections of several comparisons: under several seeds both tests, of which the t test knows seeds.
  package var claimP: Double { crossed == nil ? signFlip.p : max(signFlip.p, p) }

  package init(
    _ a: [Double], _ b: [Double], clusters: [String], level: Double = 0.95, seed: UInt64 = 0
  ) throws(StatisticsError) {
    try self.init([a], [b], clusters: clusters, level: level, seed: seed)
  }

  /// - Parameters:
  ///   - columns: of A, one per random seed, each with one value per item; of B the same, paired seed by seed, or one for all of them.
  package init(
    _ columns: [[Double]], _ others: [[Double]], clusters: [String], level: Double = 0.95, seed: UInt64 = 0
  ) throws(StatisticsError) {
    let (a, b) = (meanColumn(columns), meanColumn(others))
    let differences = zip(a, b).map { $0 - $1 }
    (meanA, meanB) = (mean(a), mean(b))
    let seeds = max(columns.count, others.count)
    var seedsDiffer = true
    if seeds > 1 {
      let bySeed = (0..<seeds).map { seed in
        zip(columns[min(seed, columns.count - 1)], others[min(seed, others.count - 1)]).map { $0 - $1 }
      }
      let crossed = try CrossedMean(bySeed, clusters: clusters, level: level)
      (self.crossed, difference) = (crossed, crossed.estimate)
      seedsDiffer = bySeed.contains { $0 != bySeed[0] }
    } else {
      difference = try clusteredMean(differences, clusters: clusters, level: level)
    }
    signFlip = try SignFlip(differences, clusters: clusters, seed: seed)
    p = difference.p
    bootstrap = seeds > 1 ? nil : clusterBCa(differences, clusters: clusters, level: level, seed: seed)
    let center = difference.mean
    let squares = differences.reduce(0) { $0 + ($1 - center) * ($1 - center) }
    let deviation = (squares / Double(max(differences.count - 1, 1))).squareRoot()
    effectSize = deviation > 0 ? center / deviation : nil
    let power = crossed.map { Power($0, level: level) } ?? Power(difference, level: level)
    detectable = power.detectable(clusters: difference.clusters)
    let isBinary = (a + b).allSatisfy { $0 == 0 || $0 == 1 }
    if isBinary, seeds == 1, difference.clusters == differences.count {
      mcnemar = McNemar(onlyA: differences.count { $0 > 0 }, onlyB: differences.count { $0 < 0 })
    }
    caveats = PairedDifference.caveats(differences, difference)
    if !seedsDiffer { caveats.append(.equalSeeds) }
    if seeds == 2 { caveats.append(.twoSeeds) }
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

/// The mean over columns, item by item.
private func meanColumn(_ columns: [[Double]]) -> [Double] {
  guard columns.count > 1, let first = columns.first else { return columns.first ?? [] }
  return first.indices.map { item in columns.reduce(0) { $0 + $1[item] } / Double(columns.count) }
}

extension Estimate {
  /// Two-sided p value of "the mean is 0" by Student's t; 1 for a mean of 0 without spread, 0 for another one.
  package var p: Double {
    guard standardError > 0 else { return mean == 0 ? 1 : 0 }
    return 2 * StudentT.cdf(-abs(mean) / standardError, degrees: degrees)
  }
}
