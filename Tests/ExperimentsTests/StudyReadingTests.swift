import Checkpoints
import Datasets
import Diagnostics
import Experiments
import Foundation
import Models
import PluginRuntime
import Tensors
import TestSupport
import Testing

/// Displacement, means and patches on a shipped model, through the evaluator.
@Suite(.serialized) struct StudyReadingTests {
  private func evaluate(_ conditions: String, extra: String = "", examples count: Int = 2) throws -> [TrialOutcome] {
    let manifest = try Manifest(
      yaml: """
        ablate: 1
        name: study
        models: [demo-compensating]
        dataset: { path: \(repository.path)/data/parts, limit: \(count) }
        conditions:
          clean: []
          cut: [{ plugin: attention-knockout, with: { tower: text, layers: 1 } }]
        \(conditions)
        readings: [displacement]
        \(extra)
        """, file: "study.yaml")
    let examples = try Dataset(manifest.dataset).examples
    var evaluator = try ModelEvaluator(
      manifest: manifest, model: manifest.models[0], search: PluginSearch(base: nil), examples: examples,
      places: .inProcess)
    return try evaluator.evaluate(
      examples[0], conditions: manifest.conditions.map(\.name), probes: manifest.readings.map(\.rawValue))
  }

  private func values(_ outcomes: [TrialOutcome], _ condition: String, _ metric: String) throws -> [String: Double] {
    let outcome = try #require(outcomes.first { $0.condition == condition })
    guard case .completed(let values, _) = outcome.result else {
      Issue.record("\(outcome.result)")
      return [:]
    }
    return Dictionary(uniqueKeysWithValues: values.filter { $0.metric == metric }.map { ($0.point, $0.value) })
  }

  @Test func `displacement is none before a cut, grows behind it, and is gone behind a patch from the clean run`()
    throws
  {
    let outcomes = try evaluate(
      """
        halved: [{ edit: { op: scale, tower: text, site: resid_post, layers: 3, tokens: image, value: -0.5 } }]
        restored:
          - { plugin: attention-knockout, with: { tower: text, layers: 1 } }
          - { edit: { op: patch, tower: text, site: resid_post, layers: 2, from: { condition: clean } } }
      """)
    let (ratio, cosine) = (try values(outcomes, "cut", "norm_ratio"), try values(outcomes, "cut", "cosine"))
    #expect(ratio.count == 3 + 1 + 4 && ratio.count == cosine.count)
    for point in ["vision.0.resid_post", "projector.out", "text.0.resid_post"] {
      #expect(ratio[point] == 1 && abs((cosine[point] ?? 0) - 1) < 1e-12)
    }
    for layer in 1...3 { #expect(try #require(cosine["text.\(layer).resid_post"]) < 0.99999) }
    let halved = (try values(outcomes, "halved", "norm_ratio"), try values(outcomes, "halved", "cosine"))
    #expect(abs(try #require(halved.0["text.3.resid_post"]) - 0.5) < 1e-6)
    #expect(abs(try #require(halved.1["text.3.resid_post"]) + 1) < 1e-6)
    let restored = try values(outcomes, "restored", "cosine")
    #expect(try #require(restored["text.1.resid_post"]) < 0.99999)
    for layer in 2...3 { #expect(abs(try #require(restored["text.\(layer).resid_post"]) - 1) < 1e-12) }
  }

  @Test func `displacement looks where it is told to`() throws {
    let outcomes = try evaluate("", extra: "displacement: { at: [text.1-2.z], tokens: last }")
    #expect(try values(outcomes, "cut", "cosine").keys.sorted() == ["text.1.z", "text.2.z"])
  }

  @Test func `a mean is that of the rows it names, and an edit sets it for each layer`() throws {
    let folder = try TemporaryFolder()
    let name = "demo-compensating"
    let model = try VisionLanguageModel(folder: ModelLocator().folder(of: name), name: name)
    let dataset = try Dataset(DatasetReference(path: "\(repository.path)/data/parts", limit: 2, offset: 0))
    let points = ["text.*.resid_post", "text.0.z", "projector.out"]
    let means = try ActivationMeans(of: model, dataset, at: points, tokens: "image", rule: .coverage(0.5))
    #expect(means.rows == 128 && means.tensors.map(\.name).prefix(2) == ["text.0.resid_post", "text.1.resid_post"])
    #expect(means.metadata["dataset_digest"] == dataset.digest && means.metadata["model_digest"] == model.digest)
    let path = folder.file("means-demo-compensating.safetensors")
    try writeSafetensors(means.tensors, metadata: means.metadata, to: path)
    // Every image row becomes the mean, so that all displacements of a layer are the same as that of the mean itself.
    let set =
      "{ edit: { op: set, tower: text, site: resid_post, layers: LAYER, tokens: image, vector: { file: FILE } } }"
      .replacing("FILE", with: "\"\(folder.path)/means-<model>.safetensors\"")
    let outcomes = try evaluate(
      "  mean: [\(set.replacing("LAYER", with: "2"))]\n  none: [\(set.replacing("LAYER", with: "all"))]")
    let ratio = try values(outcomes, "mean", "norm_ratio")
    #expect(ratio["text.1.resid_post"] == 1 && ratio["text.2.resid_post"] != 1)
    #expect(try values(outcomes, "none", "norm_ratio")["text.0.resid_post"] != 1)
    let last = try #require(means.tensors.first { $0.name == "text.2.resid_post" }).tensor
    #expect(last.values.contains { $0 != 0 } && last.values.allSatisfy(\.isFinite))

    var wrong = means.metadata
    wrong["model_digest"] = "other"
    try writeSafetensors(means.tensors, metadata: wrong, to: path)
    #expect { try evaluate("  mean: [\(set.replacing("LAYER", with: "2"))]") } throws: {
      "\($0)".contains("the vectors were taken from another model than demo-compensating")
    }
    #expect { try ActivationMeans(of: model, dataset, at: ["text.0.pattern"], tokens: "image", rule: .any) } throws: {
      "\($0)".contains("have no mean")
    }
  }
}
