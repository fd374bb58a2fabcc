import Diagnostics
import Experiments
import Foundation
import GRDB
import PluginHost
import TestSupport
import Testing

/// Splits, classes and codes of probes that learn.
@Suite struct LearningTests {
  @Test func `folds deal every image once, by the seed`() {
    let folds = UnitSplit.folds(4, of: 10, seed: 1)
    #expect(folds.count == 4 && folds.allSatisfy { $0.train.isDisjoint(with: $0.test) })
    #expect(folds.allSatisfy { $0.train.union($0.test) == Set(0..<10) && (2...3).contains($0.test.count) })
    #expect(folds.reduce(0) { $0 + $1.test.count } == 10)
    #expect(folds.map(\.test) == UnitSplit.folds(4, of: 10, seed: 1).map(\.test))
    #expect(folds.map(\.test) != UnitSplit.folds(4, of: 10, seed: 2).map(\.test))
  }

  @Test func `each portion of a code is read by a fit on those before it`() {
    let portions = UnitSplit.portions([0.1, 0.11, 0.5, 1], of: 10, seed: 1)
    #expect(portions.map(\.test.count) == [1, 1, 3, 5])
    #expect(portions.map(\.train.count) == [0, 1, 2, 5])
    for (before, after) in zip(portions, portions.dropFirst()) {
      #expect(after.train == before.train.union(before.test) && after.train.isDisjoint(with: after.test))
    }
    #expect(UnitSplit.portions([0.01, 0.02, 1], of: 3, seed: 1).map(\.test.count) == [1, 2])
  }

  @Test func `examples that show one picture are one unit`() throws {
    let folder = try TemporaryFolder()
    try folder.writeDataset(3)
    try folder.write("image 0", to: "data/2.png")
    let examples = try folder.plan().dataset.examples
    let numbers = UnitNumbers(examples)
    #expect(numbers.count == 2)
    #expect(numbers[examples[0]] == numbers[examples[2]] && numbers[examples[0]] != numbers[examples[1]])
  }

  @Test func `the examples of a cluster are one unit`() throws {
    let folder = try TemporaryFolder()
    try folder.writeDataset(4)
    let lines = try String(contentsOfFile: folder.file("data/metadata.jsonl"), encoding: .utf8).split(separator: "\n")
    let named = lines.enumerated().map { index, line in
      line.replacing("{\"file", with: "{\"cluster\": \(index % 2), \"file")
    }
    try folder.write(named.joined(separator: "\n"), to: "data/metadata.jsonl")
    let examples = try folder.plan().dataset.examples
    let numbers = UnitNumbers(examples)
    #expect(numbers.count == 2 && examples.map { numbers[$0] } == [0, 1, 0, 1])
  }

  /// Rows of one feature: (image, class, object) each.
  private func rows(_ table: [(Int, String, String)], value: (Int) -> Float = { Float($0) }) -> LearningRows {
    var rows = LearningRows()
    for (index, (image, word, object)) in table.enumerated() {
      let trial = Trial(key: "key \(image)", model: "m", example: "e\(image)", condition: "clean")
      let place = Features.Place(row: index, field: "part/\(word)", text: word)
      rows.add(
        Features(probe: "", point: "text.0.resid_post", places: [place], width: 1, values: [value(index)]), trial,
        unit: image, picture: "\(image)", className: object)
    }
    return rows
  }

  private func task(_ rows: LearningRows, minImages: Int = 2, folds: Int = 2, images: Int = 6) throws -> LearningTask {
    var fit = FitDefinition()
    (fit.minImages, fit.folds) = (minImages, folds)
    return try LearningTask(
      rows, folds: UnitSplit.folds(folds, of: images, seed: 1), fit, probe: "p", seed: 1)
  }

  private static let table =
    (0..<6).map { ($0, "wing", "bird") } + (0..<6).map { ($0, "leg", $0 < 3 ? "bird" : "chair") }
    + [(0, "tail", "bird")]

  @Test func `a class in too few images is left out, and the result says so`() throws {
    let rows = rows(Self.table)
    let task = try task(rows)
    #expect(task.classes == ["leg", "wing"])
    #expect(task.caveats == ["1 classes are in fewer than 2 images and left out: tail"])
    #expect(task.targets(rows.rows, control: false).last == .some(nil))
    #expect(throws: ExperimentError.self) { _ = try self.task(rows, minImages: 7) }
  }

  @Test func `one class, no rows and constant features are told`() throws {
    let one = rows((0..<6).map { ($0, "wing", "bird") })
    #expect(throws: ExperimentError.self) { _ = try self.task(one) }
    do { _ = try task(one) } catch let error as ExperimentError {
      #expect(error.diagnosis.what == "there is nothing to tell apart: one class, 'wing', of 1 in the data")
      #expect(error.diagnosis.exit == .badData && error.diagnosis.place == "probe 'p'")
    }
    #expect(throws: ExperimentError.self) { _ = try self.task(rows([])) }
    #expect(rows(Self.table) { _ in 3 }.isConstant && !rows(Self.table).isConstant)
  }

  @Test func `the control gives every type one random class`() throws {
    let rows = rows(Self.table)
    let task = try task(rows)
    let random = task.targets(rows.rows, control: true)
    let types = Dictionary(grouping: rows.rows.indices.filter { random[$0] != nil }) { rows.rows[$0].type }
    #expect(types.count == 3 && types.values.allSatisfy { Set($0.map { random[$0] }).count == 1 })
    #expect(try random == self.task(rows).targets(rows.rows, control: true))
    let few = try self.task(self.rows(Self.table.filter { $0.2 == "bird" || $0.1 == "wing" }))
    #expect(few.caveats.contains { $0.contains("no more types than classes") })
  }

  @Test func `a code costs what the right class was worth, an unseen one too`() throws {
    let rows = rows(Self.table)
    var answers = LearnedAnswers(rows: rows.rows, task: try task(rows))
    let half = Float(log(0.5))
    answers.take([0: [half, half], 1: [-.infinity, 0], 6: [-.infinity, 0]], as: .classes)
    answers.take([0: [half, half], 1: [-.infinity, 0]], as: .code(learned: 6))
    answers.take([6: [-.infinity, 0]], as: .code(learned: 6))
    func value(_ row: Int, _ metric: String) -> Double? {
      answers.measurements(probe: "p", point: "x").flatMap(\.values)
        .first { $0.token == row && $0.metric == metric }?.value
    }
    // "wing" is the second of two classes; row 6 is a "leg" that the fit gave no chance.
    #expect(abs((value(0, "code_bits") ?? 0) - 1) < 1e-6 && value(0, "uniform_bits") == 1 && value(0, "rank") == 1.5)
    #expect(value(1, "code_bits") == -log2(7.0 / 8) && value(1, "accuracy") == 1)
    #expect(value(6, "code_bits") == 3 && value(6, "accuracy") == 0 && value(6, "rank") == 2)
    let said = answers.measurements(probe: "p", point: "x").flatMap(\.values).first { $0.token == 6 }
    #expect(said?.metric == "accuracy" && said?.text == "wing")
  }
}

/// Probes that learn, through the real command on a demo model.
@Suite(.enabled(if: Command.path != nil, "the command is not built beside the tests"))
struct LearnedRunTests {
  private static func manifest(
    limit: Int = 24, probes: String, conditions: String = "", model: String = "demo-compensating"
  ) -> String {
    """
    ablate: 1
    name: learning
    seed: 5
    models: [\(model)]
    dataset: { path: \(repository.path)/data/parts, limit: \(limit) }
    conditions:
      clean: []
    \(conditions)
    probes:
    \(probes)
    """
  }

  private static let small = "with: { layers: \"0,-1\" }, fit: { min_images: 3, folds: 3, portions: [0.25, 0.5, 1] }"

  private func run(_ yaml: String, in folder: TemporaryFolder, _ extra: [String] = []) throws -> (Int32, String) {
    try folder.write(yaml, to: "m.yaml")
    let done = try Command.finish(["run", folder.file("m.yaml"), "--out", folder.file("run"), "--quiet"] + extra)
    return (done.status, done.errors)
  }

  private func store(_ folder: TemporaryFolder, _ name: String = "run") throws -> RunStore {
    try RunStore(path: RunFolder(folder.file(name)).store, readOnly: true)
  }

  private func facts(_ folder: TemporaryFolder) throws -> JSON {
    let text = try store(folder).read {
      try String.fetchOne($0, sql: "SELECT facts FROM engines ORDER BY rowid DESC LIMIT 1")
    }
    return try JSON(parsing: text ?? "null")
  }

  private func values(_ folder: TemporaryFolder, _ name: String = "run") throws -> [String] {
    try store(folder, name).read {
      try String.fetchAll(
        $0,
        sql: """
          SELECT t.condition || t.example || m.probe || m.point || m.token || m.label || m.metric || m.value
          FROM measurements m JOIN trials t ON t.id = m.trial ORDER BY 1
          """)
    }
  }

  private func mean(_ metric: String, of probe: String, _ folder: TemporaryFolder) throws -> Double {
    try store(folder).read {
      try Double.fetchOne(
        $0, sql: "SELECT avg(value) FROM measurements WHERE probe = ? AND metric = ?", arguments: [probe, metric])
    } ?? .nan
  }

  @Test func `a second run finds what was learned, an added probe shares it, another dataset learns anew`()
    throws
  {
    let folder = try TemporaryFolder()
    let linear = "  linear: { plugin: linear-probe, \(Self.small) }\n"
    #expect(try run(Self.manifest(probes: linear), in: folder) == (0, ""))
    let first = try values(folder)
    // 2 hook points x (3 folds, each with its control, and 2 portions behind the first)
    #expect(try facts(folder)["fits"]?["made"] == .int(16))
    #expect(try mean("accuracy", of: "linear", folder) > 0.7)
    let difference = try mean("accuracy", of: "linear", folder) - mean("control_accuracy", of: "linear", folder)
    #expect(try abs(mean("selectivity", of: "linear", folder) - difference) < 1e-12)

    #expect(try run(Self.manifest(probes: linear), in: folder, ["--fresh"]) == (0, ""))
    #expect(try values(folder) == first)
    #expect(try facts(folder)["fits"]?["made"] == .int(0) && facts(folder)["fits"]?["reused"] == .int(16))

    // Another probe of the same features: no pass, the first one's rows stay.
    let nearest = "  nearest: { plugin: nearest-mean, \(Self.small) }\n"
    #expect(try run(Self.manifest(probes: linear + nearest), in: folder) == (0, ""))
    #expect(try facts(folder)["multiply_adds"]?["computed"] == .int(0))
    #expect(try facts(folder)["fits"]?["made"] == .int(16))
    #expect(try values(folder).count == 2 * first.count && Set(first).isSubset(of: values(folder)))

    let other = try run(Self.manifest(limit: 25, probes: linear), in: folder)
    #expect(other.0 == 65 && other.1.contains("the reading 'linear' was another one"))
    #expect(try run(Self.manifest(limit: 25, probes: linear), in: folder, ["--fresh"]) == (0, ""))
    #expect(try facts(folder)["fits"]?["reused"] == .int(0))
  }

  @Test func `ten probes on one condition cost one forward pass`() throws {
    func computed(_ count: Int) throws -> JSON? {
      let folder = try TemporaryFolder()
      let names = ["linear-probe", "nearest-mean"]
      let probes = (0..<count).map { n in
        "  p\(n): { plugin: \(names[n % 2]), with: { layers: -1 }, "
          + "fit: { folds: 2, min_images: 2, portions: [], control_task: false } }\n"
      }
      #expect(try run(Self.manifest(probes: probes.joined()), in: folder) == (0, ""))
      return try facts(folder)["multiply_adds"]?["computed"]
    }
    let one = try computed(1)
    #expect(try one != nil && one != .int(0) && computed(10) == one)
  }

  @Test func `a probe that is repeated under seeds learns from one pass, each time with other random numbers`() throws {
    let folder = try TemporaryFolder()
    let fit = "fit: { folds: 2, min_images: 3, portions: [], control_task: false }"
    let probes = "  mlp: { plugin: mlp-probe, with: { layers: -1, hidden: 3, steps: 20 }, seeds: 1-2, \(fit) }"
    let cut = "  random: { seeds: 1-2, steps: [{ plugin: random-edges }] }"
    #expect(try run(Self.manifest(probes: probes, conditions: cut), in: folder) == (0, ""))
    // 3 conditions x 2 seeds x 2 folds
    #expect(try facts(folder)["fits"]?["made"] == .int(12))
    func values(_ probe: String, _ condition: String) throws -> [Double] {
      try store(folder).read {
        try Double.fetchAll(
          $0,
          sql: """
            SELECT m.value FROM measurements m JOIN trials t ON t.id = m.trial
            WHERE m.probe = ? AND t.condition = ? AND m.metric = 'logprob' ORDER BY t.example, m.token
            """, arguments: [probe, condition])
      }
    }
    #expect(try !values("mlp@1", "clean").isEmpty && values("mlp@1", "clean") != values("mlp@2", "clean"))
    #expect(try values("mlp@1", "random@1") != values("mlp@1", "random@2"))
    let compared = try Command.finish([
      "compare", folder.file("run"), "clean", "random", "--metric", "logprob", "--probe", "mlp@1",
    ])
    #expect(compared.status == 0 && compared.output.contains("images, under 2 seeds)"), "\(compared.output)")
    let power = try Command.finish([
      "power", folder.file("run"), "clean", "random", "--metric", "logprob", "--probe", "mlp@1", "--effect", "0.0001",
    ])
    #expect(power.status == 0 && power.output.contains("seed"), "\(power.output)\(power.errors)")
  }

  @Test func `what is learned from the clean run can be asked of another`() throws {
    let folder = try TemporaryFolder()
    let cut = "  cut: [{ plugin: attention-knockout, with: { tower: vision } }]"
    let fit = "fit: { condition: clean, min_images: 3, folds: 3, portions: [], control_task: false }"
    let probes = "  linear: { plugin: linear-probe, with: { layers: -1 }, \(fit) }"
    #expect(try run(Self.manifest(probes: probes), in: folder) == (0, ""))
    let clean = try values(folder)
    #expect(try run(Self.manifest(probes: probes, conditions: cut), in: folder) == (0, ""))
    // The three fits of the clean run serve the added condition.
    #expect(try facts(folder)["fits"]?["made"] == .int(0) && facts(folder)["fits"]?["reused"] == .int(3))
    #expect(try Set(clean).isSubset(of: values(folder)) && values(folder).count == 2 * clean.count)
  }

  @Test func `features that are gone are read again, and a damaged fit is learned again`() throws {
    let folder = try TemporaryFolder()
    let probe = { (name: String) in "  \(name): { plugin: nearest-mean, \(Self.small) }\n" }
    #expect(try run(Self.manifest(probes: probe("a")), in: folder) == (0, ""))
    try FileManager.default.removeItem(atPath: folder.file("run/features"))
    let fits = folder.file("run/fits")
    let damaged = try #require(try FileManager.default.contentsOfDirectory(atPath: fits).min())
    let file = try #require(FileManager.default.contents(atPath: "\(fits)/\(damaged)"))
    try file.dropLast(3).write(to: URL(fileURLWithPath: "\(fits)/\(damaged)"))
    #expect(try run(Self.manifest(probes: probe("a") + probe("b")), in: folder) == (0, ""))
    #expect(try facts(folder)["fits"]?["made"] == .int(1) && facts(folder)["fits"]?["reused"] == .int(15))
    // The first line names the probe that learned.
    let state = { (file: Data) in file.drop { $0 != UInt8(ascii: "\n") } }
    #expect(try state(#require(FileManager.default.contents(atPath: "\(fits)/\(damaged)"))) == state(file))
    #expect(try mean("logprob", of: "a", folder) == mean("logprob", of: "b", folder))
  }

  @Test func `what cannot be learned is refused, and the other rows stay`() throws {
    func refusal(_ probes: String, limit: Int = 8, exit: Int32 = 65) throws -> String {
      let folder = try TemporaryFolder()
      let (status, errors) = try run(Self.manifest(limit: limit, probes: probes), in: folder)
      #expect(status == exit, "\(errors)")
      return errors
    }
    #expect(try refusal("  p: { plugin: linear-probe }").contains("says not how"))
    #expect(try refusal("  p: { plugin: logit-lens, fit: {} }").contains("does not learn, but the probe 'p' says how"))
    #expect(
      try refusal("  p: { plugin: linear-probe, fit: { folds: 9 } }").contains("8 images cannot be dealt into 9 folds"))
    #expect(
      try refusal("  p: { plugin: linear-probe, with: { layers: -1 }, fit: { min_images: 8 } }")
        .contains("there is nothing to tell apart: no class in enough images"))
    #expect(
      try refusal("  p: { plugin: linear-probe, with: { labels: class }, fit: {} }")
        .contains("matched nothing in any example: linear-probe"))
    #expect(
      try refusal("  p: { plugin: linear-probe, with: { sites: [text.pattern] }, fit: {} }", exit: 64)
        .contains("the rows of a pattern are of different lengths"))

    let folder = try TemporaryFolder()
    let probes = """
        lens: { plugin: logit-lens }
        p: { plugin: linear-probe, with: { layers: -1 }, fit: { min_images: 24 } }
        q: { plugin: nearest-mean, with: { layers: -1 }, fit: { min_images: 2, folds: 2 } }
      """
    let (status, errors) = try run(Self.manifest(limit: 24, probes: probes), in: folder)
    #expect(status == 65 && errors.contains("probe 'p'"), "\(errors)")
    let kept = try store(folder).read { try String.fetchAll($0, sql: "SELECT DISTINCT probe FROM measurements") }
    #expect(Set(kept) == ["lens", "q"])
  }

  @Test func `an activation that is not finite makes the trial fail, by hook point and row, and the others learn`()
    throws
  {
    let folder = try TemporaryFolder()
    let scale = "op: scale, tower: text, site: resid_post, layers: 1, tokens: last, value: 3.0e+38"
    let loud = "  loud: [{ edit: { \(scale) } }]"
    let probes =
      "  p: { plugin: nearest-mean, with: { layers: \"1,-1\", tokens: last, labels: class }, "
      + "fit: { min_images: 2, folds: 2, portions: [], control_task: false } }"
    let (status, errors) = try run(Self.manifest(limit: 40, probes: probes, conditions: loud), in: folder)
    #expect(status == 70, "\(errors)")
    let failed = try store(folder).read {
      try String.fetchAll(
        $0,
        sql: "SELECT DISTINCT condition || ', ' || plugin || ', ' || hook_point || ': ' || reason FROM trials "
          + "WHERE status = 'failed'")
    }
    let words = #/loud, nearest-mean, text.1.resid_post: the activation of row \d+ is not finite: .*/#
    #expect(!failed.isEmpty && failed.allSatisfy { $0.wholeMatch(of: words) != nil }, "\(failed)")
    let kept = try store(folder).read {
      try Int.fetchOne($0, sql: "SELECT count(DISTINCT trial) FROM measurements WHERE probe = 'p'")
    }
    #expect((kept ?? 0) > 20)
  }

  @Test func `other images can be learned from, and an image that is asked about cannot`() throws {
    func probes(_ train: String) -> String {
      "  p: { plugin: nearest-mean, with: { layers: -1 }, fit: { min_images: 3, train: { "
        + "path: \(repository.path)/data/parts, \(train) } } }"
    }
    let folder = try TemporaryFolder()
    #expect(try run(Self.manifest(limit: 6, probes: probes("offset: 100, limit: 24")), in: folder) == (0, ""))
    #expect(try facts(folder)["fits"]?["made"] == .int(2) && mean("accuracy", of: "p", folder) > 0.6)
    // Only the six are in the rows.
    let examples = try store(folder).read { try Int.fetchOne($0, sql: "SELECT count(DISTINCT example) FROM trials") }
    #expect(examples == 6)

    // By content: the same picture under another name, in another folder.
    let copy = try TemporaryFolder()
    let data = repository.appendingPathComponent("data/parts").path
    let line = try String(contentsOfFile: "\(data)/metadata.jsonl", encoding: .utf8).split(separator: "\n")[3]
    try copy.write(
      String(line).replacing("images/0003.png", with: "other.png").replacing("parts-0003", with: "renamed"),
      to: "metadata.jsonl")
    try FileManager.default.copyItem(atPath: "\(data)/images/0003.png", toPath: copy.file("other.png"))
    try FileManager.default.copyItem(atPath: "\(data)/masks", toPath: copy.file("masks"))
    let leaking = probes("limit: 1").replacing("\(repository.path)/data/parts", with: copy.path)
    let fresh = try TemporaryFolder()
    let (status, errors) = try run(Self.manifest(limit: 6, probes: leaking), in: fresh)
    #expect(status == 65 && errors.contains("'renamed' shows the picture of 'parts-0003'"), "\(errors)")
    #expect(!FileManager.default.fileExists(atPath: fresh.file("run/run.sqlite")))
  }

  @Test func `neither folds nor other images tear a cluster apart`() throws {
    let data = try TemporaryFolder()
    let source = repository.appendingPathComponent("data/parts").path
    let lines = try String(contentsOfFile: "\(source)/metadata.jsonl", encoding: .utf8).split(separator: "\n").prefix(
      24)
    let named = lines.enumerated().map { index, line in "{\"video\": \(index / 6), " + line.dropFirst() }
    try data.write(named.joined(separator: "\n"), to: "metadata.jsonl")
    for name in ["images", "masks"] {
      try FileManager.default.copyItem(atPath: "\(source)/\(name)", toPath: data.file(name))
    }
    func refusal(_ fit: String, offset: Int = 0, limit: Int = 24) throws -> String {
      let folder = try TemporaryFolder()
      let probes = "  p: { plugin: nearest-mean, with: { layers: -1 }, fit: { \(fit) } }"
      let yaml = Self.manifest(limit: limit, probes: probes)
        .replacing("\(source), limit", with: "\(data.path), cluster: video, offset: \(offset), limit")
      return try run(yaml, in: folder).1
    }
    #expect(try refusal("folds: 5").contains("4 clusters (video) cannot be dealt into 5 folds"))
    #expect(try refusal("folds: 4, min_images: 5").contains("no class in enough clusters (video)"))
    let train = "min_images: 2, train: { path: \(data.path), cluster: video, limit: 8 }"
    let leak = try refusal(train, offset: 8, limit: 16)
    #expect(
      leak.contains("2 of the images that it would learn from") && leak.contains("is of the cluster of"), "\(leak)")
    #expect(try refusal("folds: 4, min_images: 2, portions: []") == "")
  }

  @Test func `the class of the whole image can be learned from one token`() throws {
    let folder = try TemporaryFolder()
    let with = "with: { sites: [text.resid_post], layers: -1, labels: class, tokens: last }"
    let probes = "  p: { plugin: nearest-mean, \(with), fit: { folds: 3, min_images: 2, portions: [] } }"
    #expect(try run(Self.manifest(limit: 60, probes: probes), in: folder) == (0, ""))
    #expect(try mean("accuracy", of: "p", folder) > 0.8)
    // Every image has a random class of its own: nobody can know those of images that were not learned.
    #expect(try mean("control_accuracy", of: "p", folder) < 0.4)
  }

  @Test func `a model of shuffled weights is a model, and a probe finds less in it`() throws {
    let folder = try TemporaryFolder()
    let (random, again) = (folder.file("random"), folder.file("again"))
    for target in [random, again] {
      let made = try Command.finish(["model", "shuffle", "demo-compensating", "--seed", "3", "--out", target])
      #expect(made.status == 0, "\(made.errors)")
    }
    let weights = { (path: String) in FileManager.default.contents(atPath: path + "/model.safetensors") }
    let trained = repository.appendingPathComponent("checkpoints/demo-compensating").resolvingSymlinksInPath().path
    #expect(weights(random) == weights(again) && weights(random)?.count == weights(trained)?.count)
    #expect(weights(random) != weights(trained))
    let refused = try Command.finish(["model", "shuffle", "demo-compensating", "--out", random])
    #expect(refused.status == 66 && refused.errors.contains("exists already"))

    let probes = "  p: { plugin: nearest-mean, with: { layers: -1 }, fit: { min_images: 3, folds: 3, portions: [] } }"
    #expect(try run(Self.manifest(probes: probes, model: "demo-compensating, \(random)"), in: folder) == (0, ""))
    let compared = try Command.finish([
      "compare", folder.file("run"), "demo-compensating", "random", "--metric", "accuracy", "--probe", "p",
    ])
    #expect(compared.status == 0 && compared.output.contains("demo-compensating is higher"), "\(compared.output)")
  }

  @Test func `shards leave what probes learn from, and the merge learns as the undivided run does`() throws {
    let folder = try TemporaryFolder()
    let probes = "  lens: { plugin: logit-lens }\n  p: { plugin: nearest-mean, \(Self.small) }"
    #expect(try run(Self.manifest(probes: probes), in: folder) == (0, ""))
    let (manifest, study) = (folder.file("m.yaml"), folder.file("study"))
    func finish(_ arguments: [String]) throws -> String {
      let done = try Command.finish(arguments)
      #expect(done.status == 0, "\(arguments.joined(separator: " ")): \(done.errors)")
      return done.output
    }
    _ = try finish(["plan", manifest, "--shards", "3", "--by-count", "--out", study])
    // Killed in its middle, then started again.
    let process = try Command.start(["run", manifest, "--out", study, "--shard", "1/3", "--quiet"])
    while process.isRunning, (try? store(folder, "study/shards/0001").totals().attempts) ?? 0 == 0 { usleep(2000) }
    kill(process.processIdentifier, SIGKILL)
    process.waitUntilExit()
    for shard in 1...3 { _ = try finish(["run", manifest, "--out", study, "--shard", "\(shard)/3", "--quiet"]) }
    let again = try finish(["run", manifest, "--out", study, "--shard", "2/3", "--quiet"])
    #expect(again.contains("8 trials in ") && again.contains(": 0 computed now, 8 stored before"), "\(again)")
    #expect(try finish(["status", study]).contains("shards: 3 done"))

    #expect(try finish(["merge", study, "--worker"]).contains("learned from all shards: 24 trials"))
    let provenance = try JSON(parsing: String(contentsOfFile: study + "/provenance.json", encoding: .utf8))
    #expect(provenance["plugin_executors"]?["nearest-mean"]?.text == "worker, asked for by --worker")
    let learned = try values(folder, "study")
    #expect(try learned == values(folder))
    #expect(try !finish(["merge", study]).contains("learned from") && values(folder, "study") == learned)
    #expect(try finish(["verify", study, "--sample", "2"]).contains("learned anew"))
  }

  @Test func `verify learns one fold anew, and finds a learned row that is another`() throws {
    let folder = try TemporaryFolder()
    let cut = "  cut: [{ plugin: attention-knockout, with: { tower: vision } }]"
    let probes = "  lens: { plugin: logit-lens }\n  p: { plugin: nearest-mean, \(Self.small) }"
    #expect(try run(Self.manifest(probes: probes, conditions: cut), in: folder) == (0, ""))
    let verified = try Command.finish(["verify", folder.file("run"), "--sample", "48"])
    #expect(verified.status == 0 && verified.output.hasPrefix("48 trials, "), "\(verified.output)\(verified.errors)")
    // 2 conditions x 2 hook points x (a fold, its control and a portion, unless the example is in the first, of which there is no fit)
    let fits = try #require(verified.output.firstMatch(of: /demo-compensating, (\S+), learned anew: (8|12) fits/))
    try RunStore(path: RunFolder(folder.file("run")).store).write {
      try $0.execute(
        sql: """
          UPDATE measurements SET value = value - 1e-7 WHERE rowid = (
            SELECT min(m.rowid) FROM measurements m JOIN trials t ON t.id = m.trial
            WHERE t.example = ? AND m.probe = 'p' AND m.metric = 'logprob')
          """, arguments: [String(fits.1)])
    }
    let wrong = try Command.finish(["verify", folder.file("run"), "--sample", "48"])
    #expect(
      wrong.status == 65 && wrong.errors.contains("1 of 48 trials have other values: demo-compensating, \(fits.1), "))
    #expect(wrong.errors.contains("logprob is"), "\(wrong.errors)")
  }
}
