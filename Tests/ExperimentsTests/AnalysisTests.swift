import Foundation
import TestSupport
import Testing

import Experiments

@Suite struct AnalysisTests {
  @Test(arguments: [
    (Metric.rank, 8.0), (.log2Rank, 3), (.reciprocalRank, 0.125), (.hit(8), 1), (.hit(7), 0), (.stored("x"), 8),
  ])
  func `a metric of rank 8`(metric: Metric, value: Double) {
    #expect(metric.value(8) == value && Metric(metric.name) == metric)
  }

  @Test func `probability is exp of the stored log-probability`() {
    #expect(Metric("probability").column == "logprob" && Metric("probability").value(0) == 1)
    #expect(Metric("hit@0") == .stored("hit@0") && Metric("hit@x") == .stored("hit@x"))
  }

  @Test func `the best patch has the smallest rank, but the largest probability`() {
    let ranks = Measure(probe: "p", metric: .log2Rank)
    #expect(ranks.value(of: [16, 2, 4]) == 1)
    #expect(Measure(probe: "p", metric: .log2Rank, aggregation: .median).value(of: [16, 2, 4]) == 2)
    #expect(abs(Measure(probe: "p", metric: .log2Rank, aggregation: .mean).value(of: [16, 2, 4]) - 7.0 / 3) < 1e-12)
    #expect(Measure(probe: "p", metric: .hit(2), aggregation: .mean).value(of: [16, 2, 4, 1]) == 0.5)
    #expect(Measure(probe: "p", metric: .probability).value(of: [-.infinity, 0]) == 1)
    #expect(ranks.value(of: []).isNaN)
  }

  @Test func `a metric of which more is better enters contrasts turned about`() {
    #expect(Metric.hit(1).cost(1) == -1 && Metric.log2Rank.cost(1) == 1)
  }

  private func manifest(_ extra: String) throws -> Manifest {
    try Manifest(yaml: manifestText(extra: extra), file: "/data/m.yaml")
  }

  @Test func `a sweep takes the conditions that its patterns name, in the manifest's order, without the baseline`()
    throws
  {
    let sweeps = """
        sweeps:
          cuts: { probe: lens, metric: hit@1, aggregation: mean, baseline: clean, conditions: ["*_cut", clean] }
      """
    let loaded = try manifest(sweeps)
    #expect(loaded.sweeps.first?.conditions == ["vision_cut", "text_cut", "both_cut"])
    #expect(loaded.sweeps.first?.measure == Measure(probe: "lens", metric: .hit(1), aggregation: .mean))
    #expect(try Manifest(yaml: loaded.resolved.pretty, file: "/data/m.yaml") == loaded)
    #expect { try manifest(sweeps.replacing("\"*_cut\"", with: "\"*_cat\"")) } throws: { "\($0)".contains("'*_cat'") }
  }

  @Test func `a comparison finds out what A and B are`() throws {
    let loaded = try manifest(
      "\ncompare: { cut: { a: clean, b: vision_cut, metric: log2_rank }, models: { a: strong, b: weak, metric: accuracy } }"
    )
    #expect(loaded.comparisons.map(\.kind) == [.condition, .model])
    #expect(loaded.comparisons.map(\.measure.probe) == ["lens", "accuracy"])
    #expect(loaded.comparisons.map(\.measure.aggregation) == [.best, .mean])
    #expect(try Manifest(yaml: loaded.resolved.pretty, file: "/data/m.yaml") == loaded)
  }

  @Test(arguments: [
    ("{ a: clean, b: clean, metric: rank }", "both 'clean'"),
    ("{ a: clean, b: vison_cut, metric: rank }", "did you mean 'vision_cut'?"),
    ("{ a: clean, b: lens, metric: rank }", "different kinds"),
    ("{ a: clean, b: text_cut, metric: kl, aggregation: best }", "more or less of 'kl' is best"),
    ("{ a: clean, b: text_cut, metric: rank, by: thing }", "'by' cannot be 'thing'"),
    ("{ a: strong, b: weak, metric: rank, condition: dirty }", "'condition' cannot be 'dirty'"),
    ("{ a: clean, b: text_cut }", "lacks the key 'metric'"),
  ])
  func `what cannot be compared is refused with its place`(text: String, what: String) {
    #expect { try manifest("\ncompare: { x: \(text) }") } throws: { error in
      "\(error)".contains(what) && "\(error)".contains("/data/m.yaml:")
    }
  }

  @Test func `a margin is above zero and a contrast has a metric of lenses`() {
    let text = manifestText()
    for (key, what) in [
      ("margin: 0", "not above 0"), ("metric: kl", "cannot be 'kl'"), ("controls: [x]", "cannot be 'x'"),
    ] {
      let wrong = text.replacing("point: text.1.resid_post", with: "point: text.1.resid_post\n    \(key)")
      #expect { try Manifest(yaml: wrong, file: "m.yaml") } throws: { "\($0)".contains(what) }
    }
  }
}
