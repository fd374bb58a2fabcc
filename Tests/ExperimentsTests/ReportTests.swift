import Datasets
import Diagnostics
import Experiments
import Foundation
import FoundationXML
import PluginHost
import Reports
import Statistics
import TestSupport
import Testing

@Suite struct ReportTests {
  private func run(
    _ text: String = manifestText(), behaviour: @escaping FakeEvaluator.Behaviour = { _, _ in }
  ) throws -> TemporaryFolder {
    let folder = try TemporaryFolder()
    try folder.writeDataset(6)
    _ = try folder.run(try folder.plan(text), behaviour: behaviour)
    return folder
  }

  @Test func `the summary says in words what the contrast shows, with its numbers`() throws {
    let folder = try run()
    let report = try RunReport(path: folder.file("run"))
    let text = report.text
    #expect(text.hasPrefix("tiny: 48 of 48 trials: 2 models x 6 examples x 4 conditions"))
    #expect(!text.contains("WARNING"))
    let strong = "strong (blind, at text.1.resid_post, 12 parts in 6 images): the vision cut costs 0.83 bits of rank"
    #expect(text.contains(strong))
    #expect(text.contains("C = 1.97 [1.92, 2.01] is above zero: the decoder makes good 70 % ["))
    #expect(text.contains("text.0.resid_post  text.1.resid_post"))
    #expect(text.contains("C = 0.14 [-0.03, 0.31] is not distinguishable from zero."))
  }

  @Test func `ranks in the summary are those of the rows, computed by hand`() throws {
    let folder = try run()
    let summary = try RunReport(path: folder.file("run")).summary
    let store = try RunStore(path: folder.file("run/run.sqlite"), readOnly: true)
    let rows = try store.partReadings(probe: "lens", metric: "rank").filter {
      $0.model == "weak" && $0.condition == "vision_cut" && $0.point == "text.1.resid_post"
    }
    #expect(rows.count == 12 && rows.allSatisfy { $0.tokens == [3, 4, 5] && $0.className == "cat" })
    let best = rows.compactMap { $0.values.min() }
    #expect(best.allSatisfy { (8...10).contains($0) })
    let logs = best.map { log2($0) }
    let condition = try #require(summary.models[1].conditions.first { $0.name == "vision_cut" })
    let rank = try #require(condition.points[1])
    #expect(rank.count == 12)
    #expect(abs(rank.mean - logs.reduce(0, +) / 12) < 1e-12)
    #expect(rank.medianRank == best.sorted()[5...6].reduce(0, +) / 2)
    let accuracy = summary.models[0].conditions.map { $0.scalars.first?.mean }
    #expect(accuracy == [1, 0, 0, 0])
  }

  @Test func `failed and missing trials, and what changed nothing, are said first`() throws {
    let folder = try run { example, _ in
      if example.id == "2.png" { throw FakeEvaluator.FakeFailure(condition: "text_cut") }
    }
    let text = try RunReport(path: folder.file("run")).text
    #expect(
      text.contains(
        "WARNING: 2 of 48 trials failed and are in no number below; first: strong, 2.png, text_cut: knockout at "
          + "text.0.pattern: wrote a NaN"))
    #expect(text.contains("WARNING: strong, blind: 2 parts lack one of the four conditions and are left out"))
    #expect(text.contains("10 parts in 5 images"))
    struct Stop: Error {}
    let half = try TemporaryFolder()
    try half.writeDataset(6)
    let counter = Counter()
    #expect(throws: Stop.self) {
      try half.run(try half.plan()) { _, _ in if counter.next() == 7 { throw Stop() } }
    }
    #expect(try RunReport(path: half.file("run")).text.contains("WARNING: 20 of 48 trials have not been run"))
  }

  @Test func `receipts that tell of a no-op become warnings`() throws {
    struct NoOp: Evaluator {
      mutating func evaluate(_ example: Example, conditions: [String], probes: [String]) throws -> [TrialOutcome] {
        let receipts = [
          Receipt(
            plugin: "cut", points: "text.0.z", visitsPlanned: 1, visitsMade: 1, note: Note(.warning, "changed nothing")),
          Receipt(plugin: "identity", points: "text.0.z", visitsPlanned: 1, visitsMade: 1),
          Receipt(
            plugin: "cut", points: "", visitsPlanned: 0, visitsMade: 0, notApplicable: true,
            note: Note(.warning, "matched nothing")),
          Receipt(
            plugin: "lens", points: "", visitsPlanned: 0, visitsMade: 0,
            note: Note(.omission, "1 of 2 not matched: \(example.id)")),
          Receipt(plugin: "lens", points: "", visitsPlanned: 0, visitsMade: 0, note: Note(.fact, "read leg as wing")),
        ]
        return conditions.map { TrialOutcome(condition: $0, result: .completed([], $0 == "clean" ? [] : receipts)) }
      }
    }
    let folder = try TemporaryFolder()
    try folder.writeDataset(2)
    let plan = try folder.plan(manifestText(limit: 2))
    let session = try RunSession(folder: RunFolder(folder.file("run")), plan: plan, provenance: .object([]))
    let runner = Runner(
      plan: plan, folder: session.folder, store: session.store, interruption: Interruption(), command: "")
    #expect { try runner.run(progress: .silent) { _ in NoOp() } } throws: { error in
      "\(error)".contains("matched nothing in any example: cut (strong, vision_cut); cut (strong, text_cut)")
    }
    let warnings = try RunReport(path: folder.file("run")).summary.warnings
    #expect(
      warnings.filter { $0.contains("lens") }
        == ["strong", "weak"].map {
          "lens (\($0)): could not be asked about every part, in 6 receipts, which name them"
        })
    #expect(
      warnings.filter { $0.contains("strong, text_cut") } == [
        "cut (strong, text_cut): changed nothing, in 2 trials", "cut (strong, text_cut): matched nothing, in 2 trials",
      ])
  }

  @Test func `the written report is a function of the rows, and its figures are well-formed`() throws {
    let folder = try run()
    let report = try RunReport(path: folder.file("run"))
    let path = try report.write()
    #expect(try String(contentsOfFile: path, encoding: .utf8) == report.html)
    #expect(try String(contentsOfFile: folder.file("run/report.md"), encoding: .utf8) == report.markdown)
    #expect(try RunReport(path: folder.file("run")).markdown == report.markdown)
    let figures = report.summary.figures
    #expect(figures.map(\.name) == ["strong", "weak", "compensation"])
    for figure in figures {
      let data = try Data(contentsOf: URL(fileURLWithPath: folder.file("run/figures/\(figure.name).svg")))
      let root = try XMLDocument(data: data).rootElement()
      #expect(root?.name == "svg" && root?.elements(forName: "title").first?.stringValue == figure.title)
      if figure.name != "compensation" { #expect(root?.elements(forName: "polyline").count == 8) }
      #expect(!figure.svg.contains("nan") && !figure.svg.contains("inf"))
      #expect(try String(contentsOfFile: folder.file("run/figures/\(figure.name).csv"), encoding: .utf8) == figure.csv)
    }
  }

  @Test func `names from data cannot act on the page`() throws {
    let text = manifestText().replacingOccurrences(of: "blind:", with: "\"<script>|*a*\":")
    let folder = try run(text)
    let report = try RunReport(path: folder.file("run"))
    #expect(!report.markdown.contains("<script>") && report.markdown.contains("&lt;script&gt;\\|\\*a\\*"))
    #expect(try !report.html.contains("<script>|") && report.html.contains("&lt;script&gt;|*a*"))
    #expect(report.summary.figures.allSatisfy { !$0.svg.contains("<script>") })
  }

  @Test func `the page is one file that asks the network for nothing, and is the same again`() throws {
    let folder = try run()
    let html = try RunReport(path: folder.file("run")).html
    #expect(try RunReport(path: folder.file("run")).html == html)
    for word in ["http://", "https://", "@import", "url(", "src=\"/", "<link"] {
      #expect(!html.replacing("http://www.w3.org/2000/svg", with: "").contains(word), "\(word)")
    }
    #expect(html.contains("default-src 'none'") && html.contains("<title>tiny</title>"))
  }

  @Test func `two runs side by side: what differs, and every number that both have`() throws {
    let folder = try run()
    _ = try folder.run(try folder.plan(manifestText(limit: 4).replacing("seed: 3", with: "seed: 4")), to: "other")
    let difference = try RunDifference(folder.file("run"), folder.file("other"))
    #expect(difference.manifest == ["'seed' was 3 and is 4", "'dataset.limit' was 6 and is 4"])
    #expect(difference.provenance.count == 1 && difference.provenance[0].hasPrefix("'dataset_digest' was"))
    let number = try #require(difference.numbers.first)
    #expect(number.model == "strong" && number.what == "C, blind at text.1.resid_post" && number.a != number.b)
    #expect(try RunDifference(folder.file("run"), folder.file("run")).numbers.allSatisfy { $0.a == $0.b })
  }

  @Test func `a comparison of two conditions is that of its table, and unmatched items are told`() throws {
    let folder = try run { example, _ in
      if example.id == "2.png" { throw FakeEvaluator.FakeFailure(condition: "both_cut") }
    }
    let found = try ComparisonSummary.all(in: folder.file("run")) { manifest in
      try Comparison(name: "x", "both_cut", "clean", in: manifest, metric: "log2_rank", point: "text.1.resid_post")
    }
    #expect(found.map(\.model) == ["strong", "weak"])
    let point = try #require(found.first?.points.first)
    #expect(point.items.count == 10 && point.unmatched.b == 2 && point.unmatched.a == 0)
    #expect(found[0].caveats(point).contains("2 items have a number in B only and are left out"))
    let result = try point.result.get()
    #expect(abs(result.difference.mean - point.items.map(\.difference).reduce(0, +) / 10) < 1e-12)
    #expect(found[0].sentences[0].contains("not distinguishable"), "five images: \(found[0].sentences)")
    let whole = try run()
    let sixth = try ComparisonSummary.all(in: whole.file("run")) { manifest in
      try Comparison(name: "x", "both_cut", "clean", in: manifest, metric: "log2_rank", point: "text.1.resid_post")
    }
    #expect(sixth[0].sentences[0].contains("clean is better. Only 6 images"), "\(sixth[0].sentences)")
  }

  @Test func `intervals cluster by what the dataset names, also where it was named after the run`() throws {
    let folder = try run()
    func compared() throws -> ComparisonSummary {
      let all = try ComparisonSummary.all(in: folder.file("run")) { manifest in
        try Comparison(name: "x", "both_cut", "clean", in: manifest, metric: "log2_rank", point: "text.1.resid_post")
      }
      return try #require(all.first)
    }
    let byImage = try compared()
    #expect(byImage.sentences[0].contains("12 items in 6 images"))
    let lines = try String(contentsOfFile: folder.file("data/metadata.jsonl"), encoding: .utf8).split(separator: "\n")
    let named = lines.enumerated().map { index, line in
      line.replacing("{\"file", with: "{\"scene\": \(index / 2), \"file")
    }
    try folder.write(named.joined(separator: "\n"), to: "data/metadata.jsonl")
    let plan = try folder.plan(manifestText().replacing("limit: 6", with: "limit: 6, cluster: scene"))
    #expect(try folder.run(plan).computed == 0)

    let byScene = try compared()
    #expect(byScene.sentences[0].contains("12 items in 3 clusters (scene)"), "\(byScene.sentences)")
    #expect(byScene.sentences[0].contains("Only 3 clusters (scene): the smallest p"), "\(byScene.sentences)")
    #expect(byScene.json["cluster_by"] == .string("scene"))
    let items = byScene.points[0].items
    let scenes = items.map { item in "\((Int(item.example.prefix(1)) ?? 0) / 2)" }
    let found = try byScene.points[0].result.get().difference
    #expect(try found == clusteredMean(items.map(\.difference), clusters: scenes))
    #expect(try found.standardError != byImage.points[0].result.get().difference.standardError)

    let report = try RunReport(path: folder.file("run"))
    #expect(report.text.hasPrefix("tiny: 48 of 48 trials: 2 models x 6 examples in 3 clusters (scene) x 4 conditions"))
    #expect(report.text.contains("12 parts in 3 clusters (scene)") && report.text.contains("95 % intervals by cluster"))
    #expect(try !report.html.contains("clustered by image"))
  }

  @Test func `repetitions of a condition are compared with seeds as a random factor`() throws {
    let random =
      "  random: { seeds: 1-3, steps: [{ plugin: other }] }\n  once: { seeds: [7], steps: [{ plugin: other }] }"
    let folder = try run(manifestText(conditions: random))
    func compared(_ a: String, _ b: String, point: String? = "text.1.resid_post") throws -> ComparisonSummary {
      let all = try ComparisonSummary.all(in: folder.file("run")) { manifest in
        try Comparison(name: "x", a, b, in: manifest, metric: "log2_rank", point: point)
      }
      return try #require(all.first)
    }
    let found = try compared("both_cut", "random")
    #expect(found.sentences[0].contains("12 items in 6 images, under 3 seeds"), "\(found.sentences)")
    #expect(found.sentences[0].contains("crossed with seeds p ") && found.seeds == 3 && found.grid == nil)
    let single = try (1...3).map { try compared("both_cut", "random@\($0)").points[0].items.map(\.difference) }
    let images = found.points[0].items.map(\.cluster)
    let difference = try found.points[0].result.get().difference
    #expect(try difference == CrossedMean(single, clusters: images).estimate)
    #expect(Set(single).count == 3, "the repetitions differ")

    // Over several hook points p values are Holm's.
    let points = try compared("both_cut", "random", point: nil)
    #expect(points.points.count == 2 && points.grid == nil && !points.adjustedP.contains(nil))
    let once = try compared("both_cut", "once")
    #expect(
      once.sentences[0].contains("under 1 seed)")
        && once.sentences[0].contains("One seed: this holds for that seed only."))
    #expect(throws: ExperimentError.self) { _ = try compared("random", "once") }
    #expect(try JSON(parsing: found.json.compact)["seeds"] == .int(3))
  }

  @Test func `examples that show one picture are one image`() throws {
    let folder = try TemporaryFolder()
    try folder.writeDataset(6)
    for copy in 3..<6 { try folder.write("image \(copy - 3)", to: "data/\(copy).png") }
    _ = try folder.run(folder.plan())
    let text = try RunReport(path: folder.file("run")).text
    #expect(text.contains("6 examples in 3 images") && text.contains("12 parts in 3 images"), "\(text)")
  }

  @Test func `numbers that are missing are told, and left out on both sides of a pair`() throws {
    let folder = try run()
    try RunStore(path: folder.file("run/run.sqlite")).write { connection in
      try connection.execute(
        sql: "UPDATE measurements SET value = NULL WHERE metric = 'rank' AND label = 'tail' AND trial IN (1, 2)")
    }
    let warnings = try RunReport(path: folder.file("run")).summary.warnings
    #expect(warnings.contains("lens: 'rank' is not a number in 12 rows of 2 trials, which are left out"), "\(warnings)")
    #expect(warnings.contains("strong, blind: 1 parts lack one of the four conditions and are left out"))
  }

  @Test func `one image, equal numbers and a difference without spread are told in the result`() throws {
    func sentence(limit: Int, _ a: String, _ b: String, _ metric: String) throws -> String {
      let folder = try run(manifestText(limit: limit))
      let all = try ComparisonSummary.all(in: folder.file("run")) { manifest in
        try Comparison(name: "x", a, b, in: manifest, metric: metric)
      }
      return try #require(all.first?.sentences.first)
    }
    #expect(
      try sentence(limit: 1, "clean", "vision_cut", "accuracy")
        .hasSuffix("no comparison, an interval needs at least two images, there are 1."))
    let ties = try sentence(limit: 6, "vision_cut", "text_cut", "accuracy")
    #expect(ties.contains("not distinguishable") && ties.contains("A and B are equal on every item."), "\(ties)")
    let constant = try sentence(limit: 6, "clean", "text_cut", "accuracy")
    #expect(constant.contains("All images have the same difference: there is no spread to judge it by."), "\(constant)")
    let folder = try run(manifestText(limit: 1))
    #expect(try RunReport(path: folder.file("run")).text.contains("no contrast, an interval needs at least two images"))
  }

  @Test func `a dataset that is not the one of the run gives no gallery, and the page says so`() throws {
    let folder = try run()
    try folder.write("another image", to: "data/1.png")
    #expect(try RunReport(path: folder.file("run")).html.contains("is not the one that was run: no gallery"))
  }

  @Test func `a comparison without a common item is refused`() throws {
    let folder = try run()
    #expect {
      try ComparisonSummary.all(in: folder.file("run")) { manifest in
        try Comparison(name: "x", "clean", "text_cut", in: manifest, metric: "logit")
      }
    } throws: { ($0 as? ExperimentError)?.diagnosis.exit == .usage }
  }

  @Test func `planned comparisons and sweeps are in summary, page and JSON`() throws {
    let folder = try run(
      manifestText(
        extra: """
            sweeps:
              cuts: { probe: lens, baseline: clean, conditions: ["*_cut"] }
          compare:
            cut: { a: both_cut, b: vision_cut, metric: hit@8, point: text.1.resid_post }
            models: { a: strong, b: weak, metric: accuracy }
          """))
    let report = try RunReport(path: folder.file("run"))
    #expect(report.summary.comparisons.map(\.model) == ["strong", "weak", ""])
    #expect(report.summary.comparisons.allSatisfy { $0.adjustedP.count == 1 && $0.adjustedP[0] != nil })
    #expect(report.summary.figures.map(\.name).suffix(3) == ["strong-cuts", "weak-cuts", "comparisons"])
    let sweep = try #require(report.summary.models[0].sweeps.first)
    #expect(sweep.conditions == ["vision_cut", "text_cut", "both_cut"] && sweep.parts == 12 && sweep.units == 6)
    let html = try report.html
    #expect(html.contains("id=\"sweeps\"") && html.contains("id=\"comparisons\""))
    #expect(report.summary.json["schema"] == .string("ablate.report/1"))
    #expect(try JSON(parsing: report.summary.json.compact) == report.summary.json)
  }

  @Test func `a folder without a run is a missing input`() {
    #expect { try RunReport(path: "/nowhere") } throws: { error in
      (error as? ExperimentError)?.diagnosis.exit == .missingInput
    }
  }

  @Test func `a run that was killed while it wrote can be reported`() throws {
    let folder = try run()
    let before = try RunReport(path: folder.file("run")).markdown
    struct Killed: Error {}
    let snapshot = { (name: String) in
      try FileManager.default.copyItem(atPath: folder.file("run/\(name)"), toPath: folder.file("killed/\(name)"))
    }
    try folder.write("", to: "killed/empty")
    #expect(throws: Killed.self) {
      try RunStore(path: folder.file("run/run.sqlite")).write { connection in
        // A tiny page cache makes SQLite write into the file before the commit: the copy has half a transaction.
        try connection.execute(sql: "PRAGMA cache_size = 1")
        try connection.execute(sql: "UPDATE measurements SET value = 1, label = label || label")
        try snapshot("run.sqlite")
        try snapshot("run.sqlite-journal")
        throw Killed()
      }
    }
    let half = try Data(contentsOf: URL(fileURLWithPath: folder.file("killed/run.sqlite")))
    #expect(try half != Data(contentsOf: URL(fileURLWithPath: folder.file("run/run.sqlite"))))
    #expect(try RunReport(path: folder.file("killed")).markdown == before)
  }
}
