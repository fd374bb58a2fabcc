import Datasets
import Diagnostics
import Experiments
import Foundation
import PluginHost
import TestSupport
import Testing

/// Patches, controls, images and displacement as the manifest says them, and what trial keys know of them.
@Suite struct PatchManifestTests {
  private static let patch =
    "{ edit: { op: patch, tower: text, site: resid_post, layers: 1, from: { condition: %@ } } }"

  private func text(_ conditions: String, probes: String = "", extra: String = "", limit: Int = 6) -> String {
    manifestText(limit: limit, extra: extra, probes: probes, conditions: conditions)
  }

  private func load(_ yaml: String) throws -> Manifest { try Manifest(yaml: yaml, file: "/x/m.yaml") }

  private func refusal(_ yaml: String) -> String {
    do {
      _ = try load(yaml)
      return "accepted"
    } catch { return "\(error)" }
  }

  @Test func `what a patch, a control, an image and a displacement say survives the resolved manifest`() throws {
    let manifest = try load(
      text(
        """
          restored: [{ plugin: knockout }, { edit: { op: patch, tower: text, site: z, heads: [1], tokens: image, \
        from: { condition: clean, item: random, layer: -1 } } }]
          mine: [{ plugin: knockout, from: { condition: restored, item: "1.png" } }]
          blank: [{ input: { image: blank } }]
          mean: [{ edit: { op: set, tower: text, site: z, vector: { file: "means-<model>.safetensors" } } }]
        """, probes: "  wrong: { plugin: logit-lens, control: wrong_part }",
        extra: "displacement: { at: [text.*.z], tokens: last }"))
    let steps = Dictionary(uniqueKeysWithValues: manifest.conditions.map { ($0.name, $0.steps) })
    guard case .edit(let edit)? = steps["restored"]?.last, case .plugin(let use)? = steps["mine"]?.first,
      case .edit(let mean)? = steps["mean"]?.first
    else {
      Issue.record("not what was written")
      return
    }
    #expect(edit.from?.origin == PatchOrigin(condition: "clean", item: "random") && edit.from?.layer == -1)
    #expect(use.from?.origin == PatchOrigin(condition: "restored", item: "1.png"))
    #expect(steps["blank"] == [.image(.blank)] && manifest.probes[1].control == .wrongPart)
    #expect(mean.vectorFile?.path(model: "strong") == "/x/means-strong.safetensors")
    #expect(manifest.displacement == Displacement(points: ["text.*.z"], tokens: "last"))
    #expect(try Manifest(yaml: manifest.resolved.pretty, file: "/elsewhere/m.json") == manifest)
  }

  @Test(arguments: [
    ("a: [PATCH b]\n  b: [PATCH a]", "its patches come from itself: a <- b <- a"),
    ("a: [PATCH a]", "its patches come from itself: a <- a"),
    ("a: [PATCH cleen]", "patches from 'cleen', which is no condition"),
    ("a: [{ edit: { op: patch, tower: text, site: z } }]", "lacks the key 'from'"),
    ("a: [{ edit: { op: set, tower: text, site: z, vector: [0], from: { condition: clean } } }]", "unknown key 'from'"),
    ("a: [{ edit: { op: patch, tower: text, site: z, value: 1, from: { condition: clean } } }]", "unknown key 'value'"),
    ("a: [{ plugin: p, from: { condition: clean, layer: 1 } }]", "unknown key 'layer'"),
    ("a: [{ input: { image: white } }]", "cannot be 'white'"),
    ("a: [{ input: { image: blank }, plugin: p }]", "a step is either a plugin, an edit or an input"),
  ])
  func `a patch from nowhere or from itself, and keys without effect, are refused`(condition: String, why: String) {
    var condition = condition
    for name in ["a", "b", "cleen"] {
      condition = condition.replacing("PATCH \(name)", with: Self.patch.replacing("%@", with: name))
    }
    #expect(refusal(text("  \(condition)")).contains(why))
  }

  @Test func `a trial key knows what its patches read, and what that reads in turn`() throws {
    let folder = try TemporaryFolder()
    try folder.writeDataset(6)
    let conditions = """
        first: [{ plugin: other, with: { a: 1 } }]
        second: [PATCH first]
        third: [PATCH second]
      """.replacing("PATCH first", with: Self.patch.replacing("%@", with: "first"))
      .replacing("PATCH second", with: Self.patch.replacing("%@", with: "second"))
    func keys(_ yaml: String) throws -> [String: [String]] {
      Dictionary(grouping: try folder.plan(yaml).trials, by: \.condition).mapValues { $0.map(\.key) }
    }
    let before = try keys(text(conditions))
    let after = try keys(text(conditions.replacing("a: 1", with: "a: 2")))
    let changed = before.keys.filter { before[$0] != after[$0] }.sorted()
    #expect(changed == ["first", "second", "third"])
    let plain = try keys(text(""))
    #expect(plain.allSatisfy { before[$0.key] == $0.value })
  }

  @Test func `a random source is another example, the same for every condition, and part of the key`() throws {
    let folder = try TemporaryFolder()
    try folder.writeDataset(6)
    let step = "{ edit: { op: patch, tower: text, site: z, layers: 1, from: { condition: clean, item: random } } }"
    func keys(_ limit: Int) throws -> [String] {
      try folder.plan(text("  a: [\(step)]", limit: limit)).trials.filter { $0.condition == "a" }.map(\.key)
    }
    #expect(try Set(keys(6)).count == 12 && keys(6) == keys(6))
    #expect(try keys(5) != Array(keys(6).prefix(5)))  // the draw is from the slice: a longer one is another experiment
    #expect { try keys(1) } throws: { "\($0)".contains("needs a dataset of at least two examples") }
    #expect {
      try folder.plan(self.text("  a: [\(step.replacing("item: random", with: "item: nobody"))]"))
    } throws: { "\($0)".contains("no example 'nobody'") }
  }

  @Test func `a control is a probe of its own, and words that it may draw are part of the key`() throws {
    let folder = try TemporaryFolder()
    try folder.writeDataset(6)
    let plain = try folder.plan(text(""))
    let controls = try folder.plan(
      text("", probes: "  wrong: { plugin: logit-lens, with: { tokens: \"mask:part\" }, control: wrong_part }"))
    #expect(controls.trials == plain.trials && controls.probes.count == plain.probes.count + 1)
    #expect(controls.probes[0].digest != controls.probes[1].digest)
    let words = try folder.plan(text("", probes: "  word: { plugin: logit-lens, control: random_word }"))
    #expect(words.trials.map(\.key) != plain.trials.map(\.key))
  }
}
