import Experiments
import Foundation
import Statistics

/// `1.23`, `-0.04`
func fixed(_ value: Double, _ digits: Int = 2) -> String {
  let text = String(format: "%.\(digits)f", value)
  return Double(text) == 0 && text.hasPrefix("-") ? String(text.dropFirst()) : text
}

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
        "cutting the vision attention costs \(fixed(found.lossOff.mean)) bits of rank with the decoder's image-to-image "
        + "attention cut too and \(fixed(found.lossOn.mean)) with it intact"
      let contrast = "C = \(found.compensation.words)"
      switch found.verdict {
      case .compensates:
        let share = found.recovery.map { ", a recovery of \($0.words) of the loss" } ?? ""
        return "\(model) compensates \(place): \(loss); \(contrast) lies above zero\(share)."
      case .amplifies:
        return
          "\(model) does not compensate \(place): \(loss); \(contrast) lies below zero: its attention adds to the loss."
      case .notDistinguishable:
        return "\(model) \(place): compensation is not distinguishable from zero: \(loss); \(contrast)."
      }
    }
  }
}
