import Foundation

/// One part of one image under the four conditions of the two-by-two, as log2 of its best rank.
package struct FourRanks: Sendable, Equatable {
  /// What is independent of the others: the image.
  package var cluster: String
  package var clean: Double
  package var visionCut: Double
  package var textCut: Double
  package var bothCut: Double

  package init(cluster: String, clean: Double, visionCut: Double, textCut: Double, bothCut: Double) {
    self.cluster = cluster
    self.clean = clean
    self.visionCut = visionCut
    self.textCut = textCut
    self.bothCut = bothCut
  }
}

/// How much of the damage of the vision cut a working decoder makes good.
///
/// With m(V, T) the mean log2 rank: loss with a working decoder = m(cut, intact) - m(intact, intact), loss with a cut
/// decoder = m(cut, cut) - m(intact, cut), compensation C = loss with a cut decoder - loss with a working one. If the two
/// cuts merely add up, C is 0, whatever each of them does; a plain ratio of ranks would call that recovery.
package struct Compensation: Sendable, Equatable {
  /// L_on: bits of rank that the vision cut costs while the decoder's image tokens see each other.
  package var lossOn: Estimate
  /// L_off: the same while they do not.
  package var lossOff: Estimate
  /// C = L_off - L_on, paired by part instance, clustered by image.
  package var compensation: Estimate
  /// R = C / L_off, given only where the interval of L_off lies above zero. Its interval: percentile bootstrap by image.
  package var recovery: Recovery?

  package struct Recovery: Sendable, Equatable {
    package var value: Double
    package var low: Double
    package var high: Double

    package init(value: Double, low: Double, high: Double) {
      self.value = value
      self.low = low
      self.high = high
    }
  }

  package enum Verdict: Sendable, Equatable {
    /// C > 0: the decoder makes good a part of the loss.
    case compensates
    /// C < 0: with a working decoder the loss is larger.
    case amplifies
    case notDistinguishable
  }

  package var verdict: Verdict {
    if compensation.low > 0 { return .compensates }
    return compensation.high < 0 ? .amplifies : .notDistinguishable
  }

  package init(_ rows: [FourRanks], level: Double = 0.95, seed: UInt64) throws {
    let clusters = rows.map(\.cluster)
    let on = rows.map { $0.visionCut - $0.clean }
    let off = rows.map { $0.bothCut - $0.textCut }
    lossOn = try clusteredMean(on, clusters: clusters, level: level)
    lossOff = try clusteredMean(off, clusters: clusters, level: level)
    compensation = try clusteredMean(zip(off, on).map { $0 - $1 }, clusters: clusters, level: level)
    guard lossOff.low > 0 else { return }
    let members = Dictionary(grouping: rows.indices) { clusters[$0] }.sorted { $0.key < $1.key }.map(\.value)
    let interval = clusterBootstrap(clusters: members, level: level, seed: seed) { rows in
      let loss = rows.reduce(0) { $0 + off[$1] }
      return loss == 0 ? .nan : (loss - rows.reduce(0) { $0 + on[$1] }) / loss
    }
    guard let interval else { return }
    recovery = Recovery(
      value: compensation.mean / lossOff.mean, low: interval.lowerBound, high: interval.upperBound)
  }
}
