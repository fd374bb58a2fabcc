import Diagnostics
import Experiments
import Foundation

/// Two runs side by side: what differs in manifest and provenance, and every number that both have.
package struct RunDifference {
  package let a: RunSummary
  package let b: RunSummary

  /// - Parameters: run folders.
  package init(_ a: String, _ b: String) throws {
    self.a = try RunReport(path: a).summary
    self.b = try RunReport(path: b).summary
  }

  /// One phrase per key of the manifests that differs; `was` is A, `is` is B.
  package var manifest: [String] {
    Manifest.differences(at: "", was: a.manifest.resolved, is: b.manifest.resolved)
  }

  /// Digests of models and plugins, the dataset's, number type and engine.
  package var provenance: [String] {
    ["dataset_digest", "fingerprints"].flatMap { key in
      Manifest.differences(at: key, was: a.provenance[key], is: b.provenance[key])
    }
  }

  package struct Number: Sendable, Equatable {
    package var model: String
    package var what: String
    package var a: Double
    package var b: Double
  }

  /// Contrasts, means at the hook point of the primary contrast, readings; in A's order.
  package var numbers: [Number] {
    a.models.flatMap { model -> [Number] in
      guard let other = b.models.first(where: { $0.model == model.model }) else { return [] }
      let theirs = Dictionary(other.numbers, uniquingKeysWith: { first, _ in first })
      return model.numbers.compactMap { what, value in
        theirs[what].map { Number(model: model.model, what: what, a: value, b: $0) }
      }
    }
  }

  package var text: String {
    func list(_ title: String, _ lines: [String]) -> [String] {
      lines.isEmpty ? ["\(title): the same"] : ["\(title):"] + lines.map { "  \($0)" }
    }
    var table = TextTable(header: ["model", "number", "A", "B", "B - A"])
    table.rows = numbers.map { number in
      [number.model, number.what, fixed(number.a, 3), fixed(number.b, 3), fixed(number.b - number.a, 3)]
    }
    let results =
      table.rows.isEmpty ? ["results: the runs share no number"] : ["results:"] + table.aligned(indent: "  ")
    return
      (["A: \(a.manifest.name), B: \(b.manifest.name) ('was' is A, 'is' is B)"] + list("manifest", manifest)
      + list("data, models, plugins, engine", provenance) + results).joined(separator: "\n") + "\n"
  }

  package var json: JSON {
    .object([
      ("schema", .string("ablate.report-difference/1")), ("manifest", .strings(manifest)),
      ("provenance", .strings(provenance)),
      (
        "numbers",
        .array(
          numbers.map { number in
            .object([
              ("model", .string(number.model)), ("number", .string(number.what)), ("a", .double(number.a)),
              ("b", .double(number.b)),
            ])
          })
      ),
    ])
  }
}

extension ModelSummary {
  /// Every number of the summary under a name that another run can have too.
  fileprivate var numbers: [(String, Double)] {
    let contrasts = (contrasts + controls).flatMap { contrast -> [(String, Double)] in
      guard case .success(let found) = contrast.result else { return [] }
      let name = "\(contrast.name(beside: measure.probe)) at \(contrast.point)"
      return [
        ("C, \(name)", found.compensation.mean), ("loss, decoder works, \(name)", found.lossOn.mean),
        ("loss, decoder cut, \(name)", found.lossOff.mean),
      ]
    }
    let means = conditions.flatMap { condition in
      zip(points, condition.points).compactMap { point, summary in
        summary.map { ("\(measure.metric.words), \(condition.name) at \(point)", $0.mean) }
      }
    }
    let readings = conditions.flatMap { condition in
      condition.scalars.map { ("\($0.probe) \($0.metric), \(condition.name)", $0.mean) }
    }
    return contrasts + means + readings
  }
}
