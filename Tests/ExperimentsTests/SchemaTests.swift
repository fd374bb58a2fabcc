import Diagnostics
import Foundation
import Testing

import Experiments

/// The repository's root, from this file's place in it.
let repository = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
  .deletingLastPathComponent().resolvingSymlinksInPath()

func shippedManifests() throws -> [String] {
  try FileManager.default.subpathsOfDirectory(
    atPath: repository.appendingPathComponent("manifests").resolvingSymlinksInPath().path
  )
  .filter { $0.hasSuffix(".yaml") }.sorted()
}

@Suite struct SchemaTests {
  private static let minimal = """
    ablate: 1
    name: a
    models: [m]
    dataset: { path: d }
    conditions: { clean: [] }
    readings: [accuracy]

    """

  private func validator() throws -> SchemaValidator {
    let path = repository.appendingPathComponent("manifests/experiment.schema.json")
    return SchemaValidator(root: try JSON(parsing: String(contentsOf: path, encoding: .utf8)))
  }

  private func loads(_ yaml: String) -> Bool { (try? Manifest(yaml: yaml, file: "x.yaml")) != nil }

  @Test func `schema and loader agree on what is a manifest`() throws {
    let validator = try validator()
    for (yaml, isGood) in SchemaTests.cases {
      #expect(loads(yaml) == isGood, "loader: \(yaml)")
      #expect(try validator.accepts(JSON(parsing: yaml)) == isGood, "schema: \(yaml)")
    }
  }

  @Test func `what only the loader can see is refused by it alone`() throws {
    let validator = try validator()
    let cases = [
      SchemaTests.minimal + "generate: { max_new_tokens: 0 }",
      SchemaTests.minimal.replacingOccurrences(of: "[m]", with: "[x/m, y/m]"),
      SchemaTests.minimal.replacingOccurrences(of: "[accuracy]", with: "[kl]")
        .replacingOccurrences(of: "[] }", with: "[{ plugin: p }] }"),
      manifestText().replacingOccurrences(of: "probe: lens", with: "probe: nobody"),
      SchemaTests.minimal + "probes: { p: { plugin: x, fit: { portions: [0.5, 0.25, 1] } } }",
      SchemaTests.minimal + "probes: { p: { plugin: x, fit: { condition: cut } } }",
    ]
    for yaml in cases {
      #expect(!loads(yaml), "\(yaml)")
      #expect(try validator.accepts(JSON(parsing: yaml)), "\(yaml)")
    }
  }

  @Test func `the shipped manifests are valid by loader and schema`() throws {
    let validator = try validator()
    #expect(try shippedManifests().contains("quick.yaml"))
    for name in try shippedManifests() {
      let path = repository.appendingPathComponent("manifests/\(name)").path
      _ = try Manifest(contentsOf: path)
      #expect(try validator.accepts(JSON(parsing: String(contentsOfFile: path, encoding: .utf8))), "\(name)")
    }
  }

  private static let cases: [(String, Bool)] = {
    func with(_ old: String, _ new: String) -> String { minimal.replacingOccurrences(of: old, with: new) }
    func step(_ step: String) -> String { with("clean: []", "clean: [\(step)]") }
    func second(_ step: String) -> String { with("clean: []", "clean: [], p: [\(step)]") }
    let contrast = "probe: p, point: x, two_by_two: { d: { clean: a, vision_cut: b, text_cut: c, both_cut: d } }"
    func lens(_ analysis: String) -> String {
      with("{ clean: [] }", "{ a: [], b: [], c: [], d: [] }").replacing("[m]", with: "[m, n]")
        + "probes: { p: { plugin: x } }\nanalysis: { \(analysis) }"
    }
    let two = minimal.replacing("[m]", with: "[m, n]")
    let good = [
      second(
        "{ edit: { op: patch, tower: text, site: z, heads: [1], from: { condition: clean, item: random, layer: -1 } } }"
      ),
      second("{ plugin: x, from: { condition: clean, item: a } }"), second("{ input: { image: shuffled } }"),
      second("{ edit: { op: set, tower: text, site: z, vector: { file: m.safetensors } } }"),
      with("[accuracy]", "[displacement]") + "displacement: { at: [text.0.z], tokens: last }",
      minimal + "probes: { p: { plugin: x, control: wrong_part } }", minimal + "probes: { p: { plugin: x, fit: {} } }",
      minimal + "probes: { p: { plugin: x, fit: { folds: 3, condition: clean, portions: [], control_task: false } } }",
      minimal + "probes: { p: { plugin: x, fit: { train: { path: e }, min_images: 2 } } }",
      minimal, manifestText(), with("[accuracy]", "[kl, answer_logprob]"), minimal + "mask_rule: centre",
      minimal + "mask_rule: { coverage: 1 }", minimal + "generate: { max_new_tokens: 3 }", minimal + "analysis: {}",
      lens("compensation: { \(contrast) }"), lens("compensation: { \(contrast), margin: 0.5, controls: [p] }"),
      lens("compensation: { \(contrast), metric: hit@10, aggregation: median }"),
      lens("sweeps: { s: { probe: p, baseline: a, conditions: [\"*\"] } }"),
      two + "compare: { c: { a: m, b: n, metric: accuracy, by: model } }",
      with("readings: [accuracy]", "probes: { p: { plugin: x, with: { a: [1, b], c: 0.5 } } }"),
      step("{ plugin: x, with: {} }"), step("{ edit: { op: drop, tower: text } }"),
      step("{ edit: { op: bias, tower: vision, layers: 3, heads: [0, 1], value: -2 } }"),
      step("{ edit: { op: add, tower: projector, site: out, vector: [1, 2] } }"),
      step("{ edit: { op: scale, tower: text, site: z, layers: \"0:3\", value: 0 } }"),
      with("clean: []", "r: { seeds: 1-3, steps: [{ plugin: x }] }"),
      with("clean: []", "r: { seeds: [4, 2], steps: [{ plugin: x }] }"),
      with("clean: []", "r@2: { seed: 2, steps: [{ plugin: x }] }"),
      with("clean: []", "c<k>: { sweep: { k: 0-2 }, steps: [{ plugin: x, with: { layers: <k> } }] }"),
      with("clean: []", "c<k>: { sweep: { k: [a, 1] }, steps: [{ plugin: p<k> }] }"),
    ]
    let bad = [
      second("{ edit: { op: patch, tower: text, site: z } }"), second("{ input: { image: white } }"),
      second("{ input: {} }"),
      second("{ edit: { op: patch, tower: text, site: z, from: { item: random } } }"),
      second("{ edit: { op: patch, tower: text, site: z, vector: [1], from: { condition: clean } } }"),
      second("{ edit: { op: set, tower: text, site: z, vector: { path: m } } }"),
      second("{ plugin: x, from: { condition: clean, layer: 1 } }"), second("{ plugin: x, control: wrong_part }"),
      minimal + "probes: { p: { plugin: x, control: other } }", minimal + "displacement: { at: [] }",
      minimal + "probes: { p: { plugin: x, from: { condition: clean } } }",
      minimal + "probes: { p: { plugin: x, fit: { folds: 1 } } }", minimal + "probes: { p: { plugin: x, fit: 5 } }",
      minimal + "probes: { p: { plugin: x, fit: {}, control: wrong_part } }",
      minimal + "probes: { p: { plugin: x, fit: { folds: 3, train: { path: e } } } }",
      minimal + "probes: { p: { plugin: x, fit: { portions: [0, 1] } } }", step("{ plugin: x, fit: {} }"),
      "[]", "ablate: 1", with("ablate: 1", "ablate: '1'"), with("name: a", "name: .a"), with("name: a", "name: 3"),
      with("[m]", "[]"), with("[m]", "m"), with("[m]", "[m, m]"), with("[m]", "['']"), with("{ path: d }", "d"),
      with("{ path: d }", "{}"), with("{ path: d }", "{ path: d, limit: 1.5 }"),
      with("{ path: d }", "{ path: d, offset: -1 }"), with("{ path: d }", "{ path: d, split: x }"),
      with("{ clean: [] }", "{}"), with("{ clean: [] }", "[]"), with("clean: []", "clean: x"),
      with("clean: []", "r: { seeds: [], steps: [{ plugin: x }] }"),
      with("clean: []", "r: { seeds: [-1], steps: [{ plugin: x }] }"),
      with("clean: []", "c<k>: { sweep: { k: [] }, steps: [{ plugin: p<k> }] }"), with("clean: []", "c: { steps: [] }"),
      with("[accuracy]", "[]"), with("[accuracy]", "[accuracy, accuracy]"), with("[accuracy]", "accuracy"),
      with("readings: [accuracy]", ""), minimal + "seed: -1", minimal + "seed: 1.5", minimal + "extra: 1",
      minimal + "mask_rule: some", minimal + "mask_rule: { coverage: 0 }", minimal + "mask_rule: { coverage: 1.5 }",
      minimal + "generate: 3", minimal + "probes: { kl: { plugin: x } }", minimal + "probes: { p: { with: {} } }",
      minimal + "probes: { p: { plugin: x, with: { a: { b: 1 } } } }",
      minimal + "probes: { p: { plugin: x, with: { a: [[1]] } } }", minimal + "analysis: { other: {} }",
      minimal + "analysis: { compensation: { probe: p } }",
      lens("compensation: { \(contrast), margin: 0 }"), lens("compensation: { \(contrast), metric: kl }"),
      lens("compensation: { \(contrast), aggregation: worst }"), lens("compensation: { \(contrast), controls: p }"),
      lens("sweeps: { s: { probe: p, baseline: a, conditions: [] } }"),
      lens("sweeps: { s: { probe: p, baseline: a } }"),
      two + "compare: { c: { a: m, b: n } }", two + "compare: { c: { a: m, b: n, metric: kl, by: seed } }",
      step("x"), step("{}"), step("{ plugin: '' }"),
      step("{ edit: { op: drop, tower: text }, plugin: x }"), step("{ edit: { op: cut, tower: text } }"),
      step("{ edit: { op: drop, tower: projector } }"), step("{ edit: { op: drop } }"),
      step("{ edit: { op: bias, tower: text } }"), step("{ edit: { op: drop, tower: text, site: z } }"),
      step("{ edit: { op: scale, tower: text, value: 1 } }"), step("{ edit: { op: scale, tower: text, site: z } }"),
      step("{ edit: { op: set, tower: text, site: z, vector: [] } }"),
      step("{ edit: { op: drop, tower: text, heads: [-1] } }"),
      step("{ edit: { op: drop, tower: text, on_empty: no } }"),
    ]
    return good.map { ($0, true) } + bad.map { ($0, false) }
  }()
}
