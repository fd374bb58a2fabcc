import Datasets
import Experiments
import Foundation
import Reports
import TestSupport
import Testing

/// Files of `ablate export`. The goldens are what these tests wrote; Tools/reader/test_export.py reads both with pyarrow 26.0.1 and finds the
/// same table. To renew them: RENEW=1 swift test --filter ExportTests, then that script.
@Suite struct ExportTests {
  /// Texts that a format could take for its own, numbers that are none, and columns without a value.
  private struct Odd: Evaluator {
    func evaluate(_ example: Example, conditions: [String], probes: [String]) throws -> [TrialOutcome] {
      let rows = [
        MeasuredValue(
          probe: "lens", point: "text.0.z", token: 3, label: "leg, \"left\"", metric: "rank", value: 0.1 + 0.2),
        MeasuredValue(
          probe: "lens", point: "text.0.z", token: 4, label: "Bein\nß 漢 🦵", metric: "rank", value: -.infinity),
        MeasuredValue(probe: "lens", point: "", token: nil, label: nil, metric: "rank", value: .nan),
        MeasuredValue(probe: "lens", point: "", token: nil, label: "", metric: "word_1", value: .nan, text: "▁leg"),
        MeasuredValue(
          probe: "accuracy", point: "", token: nil, label: nil, metric: "accuracy", value: 1, text: "a cat"),
      ]
      return conditions.map { TrialOutcome(condition: $0, result: .completed(rows, [])) }
    }
  }

  /// A run of 8 trials with 5 rows each.
  private func store(_ folder: TemporaryFolder) throws -> RunStore {
    try folder.writeDataset(1)
    let plan = try folder.plan()
    let session = try RunSession(folder: RunFolder(folder.file("run")), plan: plan, provenance: .object([]))
    let runner = Runner(
      plan: plan, folder: session.folder, store: session.store, interruption: Interruption(), command: "")
    _ = try runner.run(progress: .silent) { _ in Odd() }
    return session.store
  }

  @Test(arguments: RowExport.allCases)
  func `each format has the bytes of its golden file`(format: RowExport) throws {
    let folder = try TemporaryFolder()
    let path = folder.file("rows.\(format.rawValue)")
    #expect(try format.write(store(folder), to: path) == 40)
    let golden = repository.appendingPathComponent("Tests/ExperimentsTests/Golden/rows.\(format.rawValue)")
    if ProcessInfo.processInfo.environment["RENEW"] != nil {
      try Data(contentsOf: URL(fileURLWithPath: path)).write(to: golden)
    }
    #expect(try Data(contentsOf: URL(fileURLWithPath: path)) == Data(contentsOf: golden))
    #expect(!FileManager.default.fileExists(atPath: path + ".partial"))
  }

  @Test func `a run without rows is an empty table`() throws {
    let folder = try TemporaryFolder()
    try folder.writeDataset(1)
    let session = try RunSession(folder: RunFolder(folder.file("run")), plan: folder.plan(), provenance: .object([]))
    for format in RowExport.allCases {
      #expect(try format.write(session.store, to: folder.file("none")) == 0)
    }
  }
}
