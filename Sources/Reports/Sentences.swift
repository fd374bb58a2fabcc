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

extension Estimate {
  /// `1.23 [1.10, 1.36]`
  var words: String { "\(fixed(mean)) [\(fixed(low)), \(fixed(high))]" }
}

extension Compensation.Recovery {
  /// `73 % [66, 79]`
  var words: String { "\(percent(value)) [\(fixed(low * 100, 0)), \(fixed(high * 100, 0))]" }
}

extension ContrastSummary {
  /// The finding in plain words, with its numbers.
  package func sentence(model: String) -> String {
    let place = "(\(design.name), at \(point), \(parts) parts in \(images) images)"
    switch result {
    case .failure(let reason): return "\(model) \(place): no contrast, \(reason)."
    case .success(let found):
      let loss =
        "\(model) \(place): the vision cut costs \(fixed(found.lossOn.mean)) bits of rank with the decoder working and "
        + "\(fixed(found.lossOff.mean)) with its image-to-image attention cut; C = \(found.compensation.words)"
      switch found.verdict {
      case .aboveZero:
        let share = found.recovery.map { ": the decoder makes good \($0.words) of the loss" } ?? ""
        return loss + " is above zero\(share)."
      case .belowZero: return loss + " is below zero: with a working decoder the loss is larger."
      case .notDistinguishable: return loss + " is not distinguishable from zero."
      }
    }
  }
}
