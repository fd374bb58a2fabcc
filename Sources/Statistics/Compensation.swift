import Foundation

/// One part of one image under the four conditions of the two-by-two, as a cost: larger is worse.
package struct FourCells: Sendable, Equatable {
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
/// With m(V, T) the mean cost, for instance log2 of the rank: loss with a working decoder = m(cut, intact) - m(intact, intact), loss with a cut
/// decoder = m(cut, cut) - m(intact, cut), compensation C = loss with a cut decoder - loss with a working one. If the two
/// cuts merely add up, C is 0, whatever each of them does; a plain ratio of ranks would call that recovery.
package struct Compensation: Sendable, Equatable {
  /// L_on: what the vision cut costs while the decoder's image tokens see each other.
  package var lossOn: Estimate
  /// L_off: the same while they do not.
  package var lossOff: Estimate
  /// C = L_off - L_on, paired by part instance, clustered by image.
  package var compensation: Estimate
  /// R = C / L_off, given only where the interval of L_off lies above zero.
  package var recovery: Recovery?
  /// Is L_on within the margin that was named before the run? nil where none was.
  package var lossWithin: Equivalence?

  /// A ratio of two means with Fieller's interval ("Some problems in interval estimation", 1954): the ratios r for which
  /// C - r L_off is not distinguishable from zero. So it holds 0 just when the interval of C does.
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

  /// The decoder compensates: C is above zero, and what is left of the loss is too little to matter.
  package var compensates: Bool { verdict == .aboveZero && lossWithin?.holds == true }

  /// Where the interval of C lies. Above zero the decoder makes good a part of the loss; whether that is all that matters of
  /// it is the margin's question.
  package enum Verdict: Sendable, Equatable {
    case aboveZero
    case belowZero
    case notDistinguishable
  }

  package var verdict: Verdict {
    if compensation.low > 0 { return .aboveZero }
    return compensation.high < 0 ? .belowZero : .notDistinguishable
  }

  /// - Parameter margin: the largest loss that is still called none, in the unit of the cost.
  package init(_ rows: [FourCells], margin: Double? = nil, level: Double = 0.95) throws(StatisticsError) {
    let clusters = rows.map(\.cluster)
    let on = rows.map { $0.visionCut - $0.clean }
    let off = rows.map { $0.bothCut - $0.textCut }
    lossOn = try clusteredMean(on, clusters: clusters, level: level)
    lossOff = try clusteredMean(off, clusters: clusters, level: level)
    compensation = try clusteredMean(zip(off, on).map { $0 - $1 }, clusters: clusters, level: level)
    lossWithin = margin.map { [lossOn] in Equivalence(lossOn, margin: $0, level: level) }
    guard lossOff.low > 0 else { return }
    recovery = Recovery(
      of: compensation, lossOff, covariance: clusteredCovariance(zip(off, on).map { $0 - $1 }, off, clusters: clusters))
  }
}

extension Compensation.Recovery {
  /// - Parameter covariance: of the two means. The interval of `loss` excludes zero, else Fieller's is not an interval.
  fileprivate init(of gain: Estimate, _ loss: Estimate, covariance: Double) {
    // The t quantile, from the reach of an interval that has one.
    let t = loss.standardError > 0 ? (loss.high - loss.mean) / loss.standardError : 0
    let a = loss.mean * loss.mean - t * t * loss.standardError * loss.standardError
    let b = gain.mean * loss.mean - t * t * covariance
    let c = gain.mean * gain.mean - t * t * gain.standardError * gain.standardError
    let root = max(0, b * b - a * c).squareRoot()
    self.init(value: gain.mean / loss.mean, low: (b - root) / a, high: (b + root) / a)
  }
}
