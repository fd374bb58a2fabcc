import Diagnostics
import Experiments
import Foundation
import GRDB
import TestSupport
import Testing

/// The lens that learns, through the real command on a demo model.
@Suite(.enabled(if: Command.path != nil, "the command is not built beside the tests"))
struct TunedLensTests {
  private static let fit = "fit: { folds: 3, control_task: false, portions: [] }"

  private func run(
    _ probes: String, in folder: TemporaryFolder, model: String = "demo-control", limit: Int = 30,
    _ extra: [String] = []
  ) throws -> (status: Int32, errors: String) {
    let manifest = """
      ablate: 1
      name: tuned
      seed: 5
      models: [\(model)]
      dataset: { path: \(repository.path)/data/parts, limit: \(limit) }
      conditions: { clean: [] }
      probes:
      \(probes)
      """
    try folder.write(manifest, to: "m.yaml")
    let done = try Command.finish(["run", folder.file("m.yaml"), "--out", folder.file("run"), "--quiet"] + extra)
    return (done.status, done.errors)
  }

  private func read<T>(_ folder: TemporaryFolder, _ body: (Database) throws -> T) throws -> T {
    try RunStore(path: RunFolder(folder.file("run")).store, readOnly: true).read(body)
  }

  private func fits(_ folder: TemporaryFolder) throws -> JSON? {
    let text = try read(folder) {
      try String.fetchOne($0, sql: "SELECT facts FROM engines ORDER BY rowid DESC LIMIT 1")
    }
    return try JSON(parsing: text ?? "null")["fits"]
  }

  private func mean(_ metric: String, _ point: String, _ folder: TemporaryFolder) throws -> Double {
    try read(folder) {
      try Double.fetchOne(
        $0, sql: "SELECT avg(value) FROM measurements WHERE probe = 'tuned' AND metric = ? AND point = ?",
        arguments: [metric, point])
    } ?? .nan
  }

  @Test func `it foretells words of unseen images better than the logit lens at every middle layer`()
    throws
  {
    let folder = try TemporaryFolder()
    let probes = """
        lens: { plugin: logit-lens, with: { sites: [text.resid_post], words: 2 } }
        tuned: { plugin: tuned-lens, with: { words: 2 }, \(Self.fit) }
      """
    #expect(try run(probes, in: folder) == (0, ""))
    for layer in 0..<3 {
      let (kl, untuned) = (
        try mean("kl", "text.\(layer).resid_post", folder), try mean("untuned_kl", "text.\(layer).resid_post", folder)
      )
      #expect(kl < 0.8 * untuned && kl > 0, "layer \(layer): \(kl) of \(untuned)")
    }
    // The last layer foretells itself: there it is the logit lens, number by number and word by word.
    #expect(try mean("kl", "text.3.resid_post", folder) == 0 && mean("untuned_kl", "text.3.resid_post", folder) == 0)
    func rows(_ probe: String, _ point: String) throws -> [String] {
      try read(folder) {
        try String.fetchAll(
          $0,
          sql: """
            SELECT t.example || ' ' || m.token || ' ' || m.label || ' ' || m.metric || ' ' || coalesce(m.value, m.text)
            FROM measurements m JOIN trials t ON t.id = m.trial
            WHERE m.probe = ? AND m.point = ? AND m.metric NOT GLOB '*kl' ORDER BY 1
            """, arguments: [probe, point])
      }
    }
    let (own, plain) = (try rows("tuned", "text.3.resid_post"), try rows("lens", "text.3.resid_post"))
    #expect(own == plain && own.count > 1000)
    #expect(try rows("tuned", "text.0.resid_post") != rows("lens", "text.0.resid_post"))

    let compared = try Command.finish([
      "compare", folder.file("run"), "tuned", "lens", "--metric", "log2_rank", "--aggregation", "mean", "--point",
      "text.1.resid_post",
    ])
    #expect(compared.status == 0 && compared.output.contains("tuned - lens"), "\(compared.output)\(compared.errors)")
  }

  @Test func `what it has learned is found again, but not under other settings, nor with other weights`() throws {
    let folder = try TemporaryFolder()
    let weights = repository.appendingPathComponent("checkpoints/demo-control").resolvingSymlinksInPath()
    try FileManager.default.copyItem(at: weights, to: URL(fileURLWithPath: folder.file("model")))
    func probes(_ with: String) -> String { "  tuned: { plugin: tuned-lens, with: { layers: 1\(with) }, \(Self.fit) }" }
    func again(_ with: String = "") throws -> [JSON?] {
      #expect(try run(probes(with), in: folder, model: folder.file("model"), limit: 9, ["--fresh"]) == (0, ""))
      return [try fits(folder)?["made"], try fits(folder)?["reused"]]
    }
    // Layer 1, and the last, which is read in any case; three folds each.
    #expect(try again() == [.int(6), .int(0)])
    let first = try mean("kl", "text.1.resid_post", folder)
    #expect(try again() == [.int(0), .int(6)] && mean("kl", "text.1.resid_post", folder) == first)
    #expect(try again(", l2: 1000000000") == [.int(6), .int(0)])
    // So strong a penalty leaves only the bias, which is free.
    let held = try (mean("kl", "text.1.resid_post", folder), mean("untuned_kl", "text.1.resid_post", folder))
    #expect(held.0 > first && held.0 < held.1)
    // Another model in the place of the first, under its name.
    try FileManager.default.removeItem(atPath: folder.file("model"))
    let shuffled = try Command.finish(["model", "shuffle", "demo-control", "--out", folder.file("model")])
    #expect(shuffled.status == 0)
    #expect(try again() == [.int(6), .int(0)])
  }

  @Test func `it has no classes, hence no control task and no code`() throws {
    let folder = try TemporaryFolder()
    let (status, errors) = try run("  tuned: { plugin: tuned-lens, fit: {} }", in: folder)
    #expect(status == 64 || status == 65)
    #expect(errors.contains("try: fit: { control_task: false, portions: [] }"), "\(errors)")
  }
}
