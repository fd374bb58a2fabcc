import Datasets
import Diagnostics
import Foundation
import TestSupport

import Experiments

extension TemporaryFolder {
  /// A dataset of `count` examples with two parts each; files hold text, since nothing here decodes them.
  func writeDataset(_ count: Int) throws {
    let lines = (0..<count).map { index in
      """
      {"file_name": "\(index).png", "prompt": "USER: <image> what is it?", "answer": "a cat", "class": "cat", "parts": \
      [{"label": "leg", "mask": "masks.png", "value": 1}, {"label": "tail", "mask": "masks.png", "value": 2}]}
      """
    }
    try write(lines.joined(separator: "\n") + "\n", to: "data/metadata.jsonl")
    try write("masks", to: "data/masks.png")
    for index in 0..<count { try write("image \(index)", to: "data/\(index).png") }
  }
}

/// Two models, four conditions, one probe, over the dataset of a temporary folder.
func manifestText(limit: Int = 6, extra: String = "", probes: String = "", conditions: String = "") -> String {
  """
  ablate: 1
  name: tiny
  seed: 3
  models: [strong, weak]
  dataset: { path: data, limit: \(limit) }
  conditions:
    clean: []
    vision_cut: [{ plugin: knockout, with: { tower: vision } }]
    text_cut: [{ plugin: knockout, with: { tower: text } }]
    both_cut: [{ plugin: knockout, with: { tower: vision } }, { plugin: knockout, with: { tower: text } }]
  \(conditions)
  probes:
    lens: { plugin: logit-lens, with: { tokens: "mask:part" } }
  \(probes)
  readings: [accuracy]
  analysis:
    compensation:
      probe: lens
      point: text.1.resid_post
      two_by_two:
        blind: { clean: clean, vision_cut: vision_cut, text_cut: text_cut, both_cut: both_cut }
  \(extra)
  """
}

let testFingerprints = Fingerprints(
  models: ["strong": "m1", "weak": "m2"], plugins: ["knockout": "p1", "logit-lens": "p2", "other": "p3"],
  dtype: "float32", imageBackend: "pil", numerics: "test 1", instructionSet: "avx512")

extension TemporaryFolder {
  func plan(_ text: String = manifestText(), fingerprints: Fingerprints = testFingerprints) throws -> Plan {
    let manifest = try Manifest(yaml: text, file: file("tiny.yaml"))
    return try Plan(manifest: manifest, dataset: Dataset(manifest.dataset), fingerprints: fingerprints)
  }

  /// One `ablate run` in this folder with the fake evaluator.
  func run(
    _ plan: Plan, to name: String = "run", fresh: Bool = false, retryFailed: Bool = false, pageLimit: Int? = nil,
    interruption: Interruption = Interruption(), behaviour: @escaping FakeEvaluator.Behaviour = { _, _ in }
  ) throws -> Runner.Outcome {
    let session = try RunSession(
      folder: RunFolder(file(name)), plan: plan, provenance: .object([]), fresh: fresh, pageLimit: pageLimit)
    let runner = Runner(
      plan: plan, folder: session.folder, store: session.store, interruption: interruption, retryFailed: retryFailed,
      command: "ablate run tiny.yaml")
    return try runner.run(progress: .silent) { model in FakeEvaluator(model: model.name, behaviour: behaviour) }
  }

  /// Every row of results as text, sorted; ids and times left out.
  func rows(in name: String = "run") throws -> [String] {
    try RunStore(path: RunFolder(file(name)).store, readOnly: true).resultRows()
  }
}

/// Numbers that depend on model, example and condition only, by hashing. The model `strong` recovers from the vision cut
/// while its text tower is whole.
struct FakeEvaluator: Evaluator {
  /// Called before each batch; may throw, and may fail conditions by throwing `FakeFailure`.
  typealias Behaviour = (_ example: Example, _ conditions: [String]) throws -> Void

  struct FakeFailure: Error {
    var condition: String
  }

  let model: String
  let behaviour: Behaviour

  var facts: JSON { .object([("kernels", .strings(["fake"]))]) }

  mutating func evaluate(_ example: Example, conditions: [String], probes: [String]) throws -> [TrialOutcome] {
    var failing: String?
    do {
      try behaviour(example, conditions)
    } catch let failure as FakeFailure {
      failing = failure.condition
    }
    // Another order than asked for: the runner may not rely on it.
    return conditions.reversed().map { condition in
      guard condition != failing else {
        let failure = TrialFailure(plugin: "knockout", hookPoint: "text.0.pattern", reason: "wrote a NaN")
        return TrialOutcome(condition: condition, result: .failed(failure))
      }
      return TrialOutcome(condition: condition, result: .completed(measure(example, condition), receipts(condition)))
    }
  }

  private func measure(_ example: Example, _ condition: String) -> [MeasuredValue] {
    var rows: [MeasuredValue] = []
    for part in example.parts {
      for layer in 0..<2 {
        for token in 3..<6 {
          // Repetitions of a condition differ by chance.
          let draw = condition.contains("@") ? condition : ""
          let rank = rank(condition, layer, jitter: number(example.digest + draw, part.name, token, 3))
          for (metric, value) in [("rank", rank), ("logprob", -rank)] {
            rows.append(
              MeasuredValue(
                probe: "lens", point: "text.\(layer).resid_post", token: token, label: part.name, metric: metric,
                value: value))
          }
        }
      }
    }
    rows.append(
      MeasuredValue(
        probe: "second", point: "", token: nil, label: nil, metric: "norm", value: Double(number(example.id, "", 0, 9)))
    )
    rows.append(
      MeasuredValue(
        probe: "accuracy", point: "", token: nil, label: nil, metric: "accuracy", value: condition == "clean" ? 1 : 0,
        text: "a cat"))
    rows.append(
      MeasuredValue(
        probe: "lens", point: "text.1.resid_post", token: 3, label: "leg", metric: "word_1", value: .nan,
        text: condition == "both_cut" ? "what \"is\", it" : "leg"))
    return rows
  }

  private func rank(_ condition: String, _ layer: Int, jitter: Int) -> Double {
    let isLast = layer == 1
    switch condition {
    case "vision_cut": return Double(isLast && model == "strong" ? 2 : 8) + Double(jitter)
    case "both_cut": return 16 + Double(jitter)
    case "text_cut": return 2 + Double(jitter)
    default: return 1 + Double(jitter)
    }
  }

  private func receipts(_ condition: String) -> [Receipt] {
    guard condition != "clean" else { return [] }
    return [
      Receipt(
        plugin: "knockout", points: "text.0-1.attn_scores", visitsPlanned: 2, visitsMade: 2, rowsChanged: 4,
        elementsChanged: 12, largestChange: 0.5)
    ]
  }

  private func number(_ parts: String, _ label: String, _ token: Int, _ below: Int) -> Int {
    let digest = SHA256.hex("\(parts) \(label) \(token)")
    return (Int(digest.prefix(6), radix: 16) ?? 0) % below
  }
}
