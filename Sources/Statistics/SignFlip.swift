/// A randomisation test of "the differences are symmetric about zero": the signs of whole clusters are flipped, since
/// only clusters are independent. It is exact for any number of clusters and for any distribution of the differences.
package struct SignFlip: Sendable, Equatable {
  /// Two-sided.
  package var p: Double
  /// All 2^(G-1) ways were counted; else `flips` random ones.
  package var isExact: Bool
  package var flips: Int

  /// Up to so many clusters all ways are counted.
  static let mostCounted = 18

  package init(_ differences: [Double], clusters: [String], flips: Int = 10_000, seed: UInt64 = 0)
    throws(StatisticsError)
  {
    guard differences.allSatisfy(\.isFinite) else { throw StatisticsError.notANumber }
    let sums = Clusters(clusters).sums(differences)
    guard sums.count >= 2 else { throw StatisticsError.tooFewClusters(sums.count) }
    let observed = abs(sums.reduce(0, +))
    // Sums that differ only by rounding are ties.
    let bound = observed - 1e-12 * sums.reduce(0) { $0 + abs($1) }
    isExact = sums.count <= SignFlip.mostCounted
    if isExact {
      self.flips = 1 << (sums.count - 1)
      p = Double(SignFlip.counted(sums, bound)) / Double(self.flips)
    } else {
      self.flips = flips
      p = Double(1 + SignFlip.drawn(sums, bound, flips, seed)) / Double(1 + flips)
    }
  }

  /// All signs of all but the first cluster (the other half is their mirror image), one flip from each to the next.
  private static func counted(_ sums: [Double], _ bound: Double) -> Int {
    var signed = sums
    var hits = 0
    for code in 1...(1 << (sums.count - 1)) {
      if abs(signed.reduce(0, +)) >= bound { hits += 1 }
      let next = code.trailingZeroBitCount + 1  // a Gray code
      if next < signed.count { signed[next] = -signed[next] }
    }
    return hits
  }

  private static func drawn(_ sums: [Double], _ bound: Double, _ flips: Int, _ seed: UInt64) -> Int {
    (0..<flips).count { flip in
      var signs = Signs(seed: seed, flip: flip)
      return abs(sums.reduce(0) { $0 + signs.next() * $1 }) >= bound
    }
  }
}

/// Random signs, 64 from each number of the generator; a stream of its own for every flip.
struct Signs {
  private var generator: Philox
  private var bits: UInt64 = 0
  private var left = 0

  init(seed: UInt64, flip: Int) { generator = Philox(seed: seed, stream: UInt64(flip)) }

  mutating func next() -> Double {
    if left == 0 { (bits, left) = (generator.next(), 64) }
    defer { (bits, left) = (bits >> 1, left - 1) }
    return bits & 1 == 0 ? 1 : -1
  }
}
