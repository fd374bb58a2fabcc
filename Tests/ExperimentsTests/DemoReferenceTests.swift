import Datasets
import Experiments
import Foundation
import Models
import PluginRuntime
import Testing

/// The shipped models, preprocessing, tokenizer, cuts and lens against transformers on 20 held-out images.
///
/// The reference is Tests/Fixtures/demo-reference.json, made by Tools/demo-model/reference_answers.py (versions inside).
@Suite(.serialized) struct DemoReferenceTests {
  struct Reference: Decodable {
    struct Example: Decodable {
      struct Part: Decodable { let label: String }
      let inputIds: [Int]
      let generatedIds: [Int]
      let answer: String
      let parts: [Part]
      /// Condition -> [site][part].
      let bestRank: [String: [[Double]]]
      /// Condition -> nats.
      let logprob: [String: Double]
      let kl: [String: Double]
    }
    let sites: [String]
    let models: [String: [String: Example]]
  }

  static let conditions = ["V+ T+": "clean", "V- T+": "vision_cut", "V+ T-": "text_cut", "V- T-": "both_cut"]

  private func manifest(_ model: String) throws -> Manifest {
    let cut = "{ plugin: attention-knockout, with: { tower: %@ } }"
    let (vision, text) = (cut.replacing("%@", with: "vision"), cut.replacing("%@", with: "text"))
    return try Manifest(
      yaml: """
        ablate: 1
        name: reference
        models: [\(model)]
        dataset: { path: \(repository.path)/data/parts, limit: 20 }
        mask_rule: { coverage: 0.5 }
        conditions: { clean: [], vision_cut: [\(vision)], text_cut: [\(text)], both_cut: [\(vision), \(text)] }
        probes: { lens: { plugin: logit-lens } }
        readings: [accuracy, answer_logprob, kl]
        generate: { max_new_tokens: 16 }
        """, file: "reference.yaml")
  }

  @Test(arguments: ["demo-compensating", "demo-control", "demo-grouped"])
  func `ranks, answers, answer log-probabilities and divergences are those of transformers`(model: String) throws {
    let url = repository.appendingPathComponent("Tests/Fixtures/demo-reference.json")
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    let reference = try decoder.decode(Reference.self, from: Data(contentsOf: url))
    let expected = try #require(reference.models[model])
    let manifest = try manifest(model)
    let dataset = try Dataset(manifest.dataset)
    var evaluator = try ModelEvaluator(
      manifest: manifest, model: manifest.models[0], search: PluginSearch(base: nil), examples: [], places: .inProcess)
    var (equal, compared) = (0, 0)
    for example in dataset.examples {
      let wanted = try #require(expected[example.id])
      let outcomes = try evaluator.evaluate(
        example, conditions: Array(Self.conditions.values), probes: ["lens", "accuracy", "answer_logprob", "kl"])
      for (name, condition) in Self.conditions {
        let values = try #require(outcomes.first { $0.condition == condition }).measurements
        for (site, ranks) in zip(reference.sites, try #require(wanted.bestRank[name])) {
          for (part, rank) in zip(example.parts, ranks) {
            let mine = values.filter { $0.metric == "rank" && $0.point == site && $0.label == part.name }.map(\.value)
              .min()
            compared += 1
            // Bits differ in the seventh digit, so that two near-equal logits may change places.
            if mine == rank {
              equal += 1
            } else {
              #expect(abs(try #require(mine) - rank) <= 1, "\(example.id) \(name) \(site)")
            }
          }
        }
        for (metric, expected) in [("logprob", wanted.logprob[name]), ("kl", wanted.kl[name])] {
          let mine = try #require(values.first { $0.metric == metric && $0.point.isEmpty }?.value)
          #expect(abs(mine - (try #require(expected))) <= 2e-4, "\(example.id) \(name) \(metric)")
        }
        if condition == "clean" { #expect(values.first { $0.metric == "accuracy" }?.text == wanted.answer) }
      }
    }
    #expect(compared > 1000)
    #expect(Double(equal) >= 0.999 * Double(compared))
  }
}

extension TrialOutcome {
  fileprivate var measurements: [MeasuredValue] {
    if case .completed(let values, _) = result { values } else { [] }
  }
}
