import Datasets
import Diagnostics
import Foundation
import TestSupport
import Testing

import Experiments

@Suite struct ManifestTests {
  private let minimal = """
    ablate: 1
    name: a
    models: [m]
    dataset: { path: d }
    conditions: { clean: [] }
    readings: [accuracy]
    """

  private func load(_ yaml: String) throws -> Manifest { try Manifest(yaml: yaml, file: "here/x.yaml") }

  /// The description of the error that `yaml` gives.
  private func refusal(_ yaml: String) -> String {
    do {
      _ = try load(yaml)
      return "accepted"
    } catch { return "\(error)" }
  }

  @Test func `defaults are filled in and paths start at the manifest's folder`() throws {
    let manifest = try load(minimal)
    #expect(manifest.seed == 0 && manifest.maxNewTokens == 16 && manifest.maskRule == .coverage(0.5))
    #expect(manifest.dataset == DatasetReference(path: "here/d", limit: nil, offset: 0))
    #expect(manifest.models == [ModelReference(name: "m", location: .bundled("m"))])
    let folders = try load(minimal.replacingOccurrences(of: "[m]", with: "[../big/llava/, /abs/other]"))
    #expect(folders.models.map(\.name) == ["llava", "other"])
    #expect(folders.models.map(\.location) == [.folder("here/../big/llava"), .folder("/abs/other")])
  }

  @Test func `parameters keep their types`() throws {
    let manifest = try load(
      minimal + """

        probes:
          p:
            plugin: x
            with: { a: true, b: 3, c: -1.5e-3, d: word, e: "3", f: [1, 2.5, "on"], g: 0:3, h: on, i: 0x1F, j: 1_000 }
        """)
    let values = manifest.probes[0].use.parameters.map(\.value)
    #expect(
      values == [
        .bool(true), .int(3), .double(-0.0015), .string("word"), .string("3"),
        .list([.int(1), .double(2.5), .string("on")]), .string("0:3"), .string("on"), .string("0x1F"), .string("1_000"),
      ])
  }

  @Test func `an edit is read with its defaults`() throws {
    let manifest = try load(
      minimal.replacingOccurrences(
        of: "{ clean: [] }",
        with: """

            clean: []
            cut: [{ edit: { op: drop, tower: text, layers: 0:3, queries: image, keys: image, keep_self: true } }]
            steer: [{ edit: { op: add, tower: vision, site: resid_post, layers: 2, vector: [1, 0.5] } }]
          """))
    guard case .edit(let cut) = manifest.conditions[1].steps[0], case .edit(let steer) = manifest.conditions[2].steps[0]
    else {
      Issue.record("not edits")
      return
    }
    #expect(cut.operation == .drop && cut.tower == .text && cut.layers == "0:3" && cut.heads == nil && cut.keepSelf)
    #expect(cut.queries == "image" && cut.onEmpty == .error)
    #expect(cut.place == "here/x.yaml:7:17")
    #expect(steer.layers == "2" && steer.value == 1 && steer.vector == [1, 0.5] && steer.tokens == "all")
  }

  @Test func `a step says where its code runs, and nothing else is taken for it`() throws {
    func steps(_ step: String) throws -> Manifest {
      try load(minimal.replacingOccurrences(of: "clean: []", with: "clean: [], it: [{ plugin: p\(step) }]"))
    }
    let manifest = try steps(", executor: worker")
    #expect(manifest.resolved.compact.contains(#""plugin":"p","executor":"worker""#))
    #expect(try load(manifest.resolved.pretty).conditions == manifest.conditions)
    #expect(try steps("").conditions != manifest.conditions)
    let error = #expect(throws: ExperimentError.self) { _ = try steps(", executor: wroker") }
    #expect(error?.diagnosis.what.contains("'wroker'") == true)
  }

  private func seeded(_ condition: String, probe: String = "p: { plugin: q, seeds: [4, 2] }") throws -> Manifest {
    try load(
      minimal.replacing("{ clean: [] }", with: "\n  clean: []\n  \(condition)").replacing(
        "readings: [accuracy]", with: "probes: { \(probe) }"))
  }

  @Test func `seeds repeat a condition and a probe, and the resolved manifest loads to the same`() throws {
    let manifest = try seeded("random: { seeds: 1-3, steps: [{ plugin: p }] }")
    #expect(manifest.conditions.map(\.name) == ["clean", "random@1", "random@2", "random@3"])
    #expect(manifest.conditions.map(\.base) == ["clean", "random", "random", "random"])
    #expect(manifest.probes.map(\.name) == ["p@4", "p@2"] && manifest.probes.map(\.base) == ["p", "p"])
    let again = try load(manifest.resolved.pretty)
    #expect(again.conditions == manifest.conditions && again.probes == manifest.probes)
    let swept = try seeded("\"r<k>\": { sweep: { k: 0-1 }, seeds: 7, steps: [{ plugin: p, with: { layers: <k> } }] }")
    #expect(swept.conditions.map(\.name) == ["clean", "r0@7", "r1@7"] && swept.conditions[1].base == "r0")
    #expect(try load(swept.resolved.pretty).conditions == swept.conditions)
  }

  @Test(arguments: [
    ("r: { seeds: [1, 1], steps: [{ plugin: p }] }", "'conditions.r.seeds' name one twice"),
    ("r: { seeds: [a], steps: [{ plugin: p }] }", "are whole numbers from 0"),
    ("r: { seeds: 1-3, steps: [] }", "only plugins draw random numbers"),
    ("r: { seeds: 1-3, steps: [{ input: { image: shuffled } }] }", "shuffled once, alike in all conditions"),
    (
      "r: { seeds: 1-3, steps: [{ edit: { op: patch, tower: text, site: resid_post, from: { condition: clean, item: random } } }] }",
      "a random item is drawn once for each example"
    ),
    (
      "r: { seed: 1, steps: [{ plugin: p }] }", "'seed' belongs to resolved manifests, under a name that ends with '@1'"
    ),
  ])
  func `seeds that would repeat nothing are refused`(condition: String, why: String) {
    do {
      _ = try seeded(condition)
      Issue.record("accepted: \(condition)")
    } catch { #expect("\(error)".contains(why), "\(error)") }
  }

  @Test func `a sweep makes one condition for each value, in their order`() throws {
    let manifest = try load(
      minimal.replacingOccurrences(
        of: "{ clean: [] }",
        with: """

            clean: []
            "h<head>_to_<k>":
              sweep: { head: [0, 3], k: 0-2 }
              steps: [{ plugin: p, with: { layers: 0-<k>, heads: [<head>], at: <k>, "on": "<k>" } }]
          """))
    #expect(
      manifest.conditions.map(\.name) == [
        "clean", "h0_to_0", "h0_to_1", "h0_to_2", "h3_to_0", "h3_to_1", "h3_to_2",
      ])
    guard case .plugin(let use) = manifest.conditions[6].steps[0] else {
      Issue.record("not a plugin")
      return
    }
    #expect(use.parameters.map(\.value) == [.string("0-2"), .list([.int(3)]), .int(2), .string("2")])
    #expect(use.place.hasPrefix("here/x.yaml:9:"))
    #expect(manifest.conditions[6].sweep?.template == "h<head>_to_<k>")
    #expect(manifest.conditions[6].sweep?.values.map(\.value) == [.int(3), .int(2)])
    #expect(try load(manifest.resolved.pretty).conditions == manifest.conditions)
  }

  @Test(arguments: [
    ("c_<k>: { sweep: { k: 0-1 }, steps: [] }", "'<k>' must stand in the condition's name and in its steps"),
    (
      "c: { sweep: { k: 0-1 }, steps: [{ plugin: p<k> }] }", "'<k>' must stand in the condition's name and in its steps"
    ),
    ("c_<k>: { sweep: { k: 2-1 }, steps: [{ plugin: p<k> }] }", "'conditions.c_<k>.sweep.k' is no range: '2-1'"),
    ("c_<k>: { sweep: { k: 0-5000 }, steps: [{ plugin: p<k> }] }", "is no range"),
    ("c_<k>: { sweep: { k: [1, 1] }, steps: [{ plugin: p<k> }] }", "two conditions are called 'c_1'"),
    ("c_<k>: { sweep: {}, steps: [] }", "nothing is swept"),
    ("c_<k>: { sweep: { k: [] }, steps: [] }", "has no values"),
    ("c_<k>: { steps: [] }", "lacks the key 'sweep'"),
  ])
  func `a sweep that makes no sense is refused`(condition: String, why: String) {
    #expect(refusal(minimal.replacingOccurrences(of: "clean: []", with: "clean: [], \(condition)")).contains(why))
  }

  @Test func `every refusal says file, line and column`() {
    let cases: [(String, String)] = [
      (minimal + "\nreading: [kl]", "here/x.yaml:7:1: unknown key 'reading' (did you mean 'readings'?)"),
      (minimal + "\nseed: 1\nseed: 2", "here/x.yaml:7:1: the key 'seed' is given twice"),
      (minimal + "\nseed: many", "here/x.yaml:7:7: 'seed' is not a whole number (at least 0)"),
      (
        minimal.replacingOccurrences(of: "ablate: 1", with: "ablate: 2"),
        "here/x.yaml:1:9: this program reads manifests of version 1 (write 'ablate: 1')"
      ),
      (minimal.replacingOccurrences(of: "name: a\n", with: ""), "here/x.yaml:1:1: the manifest lacks the key 'name'"),
      (
        minimal.replacingOccurrences(of: "name: a", with: "name: a/b"),
        "here/x.yaml:2:7: 'name' cannot be 'a/b' (letters, digits, '_', '-' and '.', not starting with '.')"
      ),
      (
        minimal.replacingOccurrences(of: "[m]", with: "[m, x/m]"),
        "here/x.yaml:3:13: two models are called 'm' (rows could not be told apart)"
      ),
      (
        minimal.replacingOccurrences(of: "{ path: d }", with: "{ path: d, limit: 0 }"),
        "here/x.yaml:4:28: 'dataset.limit' is not a whole number (at least 1)"
      ),
      (
        minimal.replacingOccurrences(of: "clean: []", with: "clean: [{ plugn: x }]"),
        "here/x.yaml:5:25: unknown key 'plugn' in 'conditions.clean[0]' (did you mean 'plugin'?)"
      ),
      (
        minimal.replacingOccurrences(of: "clean: []", with: "clean: [{ plugin: x, edit: {} }]"),
        "here/x.yaml:5:23: a step is either a plugin, an edit or an input (make several steps of it)"
      ),
      (
        minimal.replacingOccurrences(of: "[accuracy]", with: "[acuracy]"),
        "here/x.yaml:6:12: 'readings[0]' cannot be 'acuracy' (did you mean 'accuracy'?)"
      ),
      (
        minimal + "\ngenerate: { max_new_tokens: 0 }",
        "here/x.yaml:7:11: 'accuracy' needs generated tokens (max_new_tokens of at least 1)"
      ),
      ("- a", "here/x.yaml:1:1: the manifest is not a mapping (name: value)"),
      ("", "here/x.yaml: the manifest is empty"),
      ("a: [", "here/x.yaml:2:1: not YAML: did not find expected node content"),
    ]
    for (yaml, expected) in cases { #expect(refusal(yaml) == expected) }
  }

  @Test func `an analysis may only name what the manifest has`() {
    let text = manifestText()
    let bad = text.replacingOccurrences(of: "both_cut: both_cut", with: "both_cut: both_cuts")
    #expect(refusal(bad).hasSuffix("cannot be 'both_cuts' (did you mean 'both_cut'?)"))
    let twice = text.replacingOccurrences(of: "both_cut: both_cut", with: "both_cut: text_cut")
    #expect(refusal(twice).hasSuffix("the four cells need four different conditions"))
    #expect(refusal(text.replacingOccurrences(of: "probe: lens", with: "probe: lense")).contains("did you mean 'lens'"))
  }

  @Test func `text without end, deep nesting and alias bombs are refused or harmless`() {
    #expect(refusal(String(repeating: "[", count: 100_000)).contains("not YAML"))
    #expect(refusal(String(repeating: "- ", count: 100_000)).contains("not YAML"))
    #expect(refusal("a: &a [1]\nb: *c").contains("here/x.yaml"))
    #expect(refusal("name: \"\u{1}\"").contains("here/x.yaml"))
    let bomb = (1...30).map { "&a\($0) [*a\($0 - 1), *a\($0 - 1)]" }.joined(separator: ", ")
    let with = minimal + "\nprobes: { p: { plugin: x, with: { a: [&a0 [1, 1], \(bomb)] } } }"
    #expect(refusal(with).contains("'probes.p.with.a[0]' is not a single value"))
  }

  @Test func `Norway is a word, and a tag makes nothing of a value`() throws {
    #expect(try load(minimal.replacingOccurrences(of: "[m]", with: "[no]")).models.map(\.name) == ["no"])
    #expect(refusal(minimal + "\nseed: !!python/object/apply:os.system [ls]").contains("'seed' is not a single value"))
    #expect(refusal(minimal + "\nseed: !!python/name:os.system x").contains("'seed' is not a whole number"))
  }

  @Test func `the resolved manifest is a manifest and loads to the same value`() throws {
    let folder = try TemporaryFolder()
    let first = try Manifest(yaml: manifestText(), file: folder.file("tiny.yaml"))
    let again = try Manifest(yaml: first.resolved.pretty, file: "/elsewhere/resolved.json")
    #expect(first == again)
    #expect(first.resolved == again.resolved)
    #expect(try JSON(parsing: first.resolved.compact) == first.resolved)
  }

  @Test func `every operation of an edit survives the resolved manifest`() throws {
    let edges = ["drop", "keep_only", "zero"].map { "{ op: \($0), tower: text, queries: last, keys: image }" }
    let others = [
      "{ op: bias, tower: text, keys: image, value: 2 }", "{ op: scale, tower: text, site: z, value: 0.5, heads: [1] }",
      "{ op: set, tower: text, site: embed, vector: [0] }",
      "{ op: add, tower: vision, site: resid_post, vector: [1, 2] }",
      "{ op: patch, tower: text, site: z, heads: [0], from: { condition: clean, layer: 1 } }",
    ]
    #expect(edges.count + others.count == EditDefinition.Operation.allCases.count)
    let steps = (edges + others).map { "{ edit: \($0) }" }.joined(separator: ", ")
    let first = try load(minimal.replacingOccurrences(of: "clean: []", with: "clean: [], x: [\(steps)]"))
    #expect(try Manifest(yaml: first.resolved.pretty, file: "x.yaml").conditions == first.conditions)
  }

  @Test func `differences between manifests are said in words`() throws {
    let first = try load(minimal)
    let second = try load(
      minimal.replacingOccurrences(of: "clean: []", with: "clean: [], x: [{ plugin: p }]") + "\nseed: 4")
    #expect(
      second.differences(from: first.resolved) == [
        "'seed' was 0 and is 4", "'conditions.x' was absent and is [{\"plugin\":\"p\"}]",
      ])
    #expect(first.differences(from: first.resolved) == [])
  }

  @Test func `a manifest that is missing or not text is refused with its own exit code`() throws {
    #expect { try Manifest(contentsOf: "/nowhere/m.yaml") } throws: { error in
      (error as? ExperimentError)?.diagnosis.exit == .missingInput
    }
    let folder = try TemporaryFolder()
    try Data([0xff, 0xfe, 0x00]).write(to: URL(fileURLWithPath: folder.file("m.yaml")))
    #expect { try Manifest(contentsOf: folder.file("m.yaml")) } throws: { error in
      (error as? ExperimentError)?.diagnosis.exit == .badData
    }
  }
}
