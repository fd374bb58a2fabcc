import Datasets
import Experiments
import Foundation
import Statistics

/// `1.23`, `-0.04`
func fixed(_ value: Double, _ digits: Int = 2) -> String {
  let text = String(format: "%.\(digits)f", value)
  return Double(text) == 0 && text.hasPrefix("-") ? String(text.dropFirst()) : text
}

/// `1 model`, `2 models`
func counted(_ count: Int, _ word: String) -> String { "\(count) \(word)\(count == 1 ? "" : "s")" }

func percent(_ value: Double) -> String { "\(fixed(value * 100, 0)) %" }

/// `p = 0.013`, `p < 0.001`
func words(ofP p: Double) -> String {
  p < 0.001 ? "p < 0.001" : p > 0.999 ? "p > 0.999" : "p = \(fixed(p, 3))"
}

extension Estimate {
  /// `1.23 [1.10, 1.36]`
  var words: String { "\(fixed(mean)) [\(fixed(low)), \(fixed(high))]" }
}

extension Compensation.Recovery {
  /// `73 % [66, 79]`
  var words: String { "\(percent(value)) [\(fixed(low * 100, 0)), \(fixed(high * 100, 0))]" }
}

extension StatisticsError {
  func words(_ unit: IndependentUnit) -> String {
    switch self {
    case .tooFewClusters(let count): "an interval needs at least two \(unit.plural), there are \(count)"
    case .notANumber: "a value is not a number"
    }
  }
}

extension PairedDifference.Caveat {
  func words(_ unit: IndependentUnit) -> String {
    switch self {
    case .equalEverywhere: "A and B are equal on every item"
    case .noSpread: "all \(unit.plural) have the same difference: there is no spread to judge it by"
    case .fewClusters(let count, let p):
      "only \(unit.counted(count)): the smallest p that the sign-flip test can give is \(p)"
    case .equalSeeds: "the numbers are the same under all seeds: nothing random was repeated"
    case .twoSeeds: "two seeds are few: claims come about twice too often, take five or more"
    }
  }
}

/// A finding in plain words.
package struct Finding: Sendable {
  package enum Kind: String, Sendable {
    /// The one contrast that the manifest names first, with its margin: what a claim rests on.
    case primary
    /// Everything else.
    case exploratory
    /// Read by a control probe: an effect here is no evidence for parts.
    case control
  }

  package let kind: Kind
  /// The verdict in a few words.
  package let verdict: String
  package let sentence: String
}

extension ModelSummary {
  package var findings: [Finding] {
    contrasts.enumerated().map { index, contrast in
      let isPrimary = index == 0 && contrast.margin != nil
      return Finding(
        kind: isPrimary ? .primary : .exploratory, verdict: contrast.verdict,
        sentence: contrast.sentence(model: model, name: contrast.design.name))
    }
      + controls.map { contrast in
        Finding(
          kind: .control, verdict: contrast.verdict,
          sentence: contrast.sentence(model: model, name: "\(contrast.design.name) by \(contrast.measure.probe)"))
      }
  }
}

extension ContrastSummary {
  var margin: Double? {
    if case .success(let found) = result { found.lossWithin?.margin } else { nil }
  }

  var verdict: String {
    guard case .success(let found) = result else { return "no contrast" }
    switch found.verdict {
    case .aboveZero where found.compensates: return "compensates"
    case .aboveZero: return "makes good a part"
    case .belowZero: return "makes the loss larger"
    case .notDistinguishable: return "not distinguishable"
    }
  }

  /// The finding in plain words, with its numbers.
  func sentence(model: String, name: String) -> String {
    let place = "(\(name), at \(point), \(counted(parts, "part")) in \(unit.counted(units)))"
    switch result {
    case .failure(let reason): return "\(model) \(place): no contrast, \(reason.words(unit))."
    case .success(let found):
      let loss =
        "\(model) \(place): the vision cut costs \(fixed(found.lossOn.mean)) \(measure.metric.unit) with the decoder "
        + "working and \(fixed(found.lossOff.mean)) with its image-to-image attention cut; "
        + "C = \(found.compensation.words)"
      switch found.verdict {
      case .aboveZero:
        let share = found.recovery.map { ": the decoder makes good \($0.words) of the loss" } ?? ""
        return loss + " is above zero\(share)." + claim(found)
      case .belowZero: return loss + " is below zero: with a working decoder the loss is larger."
      case .notDistinguishable: return loss + " is not distinguishable from zero."
      }
    }
  }

  /// What is left of the loss, against the margin.
  private func claim(_ found: Compensation) -> String {
    guard let within = found.lossWithin else { return "" }
    let left = " What is left of it, \(found.lossOn.words), is "
    let margin = "within the margin of \(fixed(within.margin)) (two one-sided tests, \(words(ofP: within.p)))"
    return within.holds
      ? left + margin + ": the decoder compensates."
      : left + "not shown to be \(margin): it compensates in part at most."
  }
}
