import Datasets
import Foundation
import GRDB
import TestSupport
import Testing

import Experiments

extension RunStore {
  /// Every row of results as text, sorted; ids and times left out.
  func resultRows() throws -> [String] {
    try read { connection in
      let queries = [
        "SELECT 'trial', key, model, example, class, condition, status, plugin, hook_point, reason FROM trials",
        "SELECT 'reading', key, probe, digest FROM readings r JOIN trials t ON t.id = r.trial",
        """
        SELECT 'measurement', key, probe, point, token, label, metric, hex(value), value, text
        FROM measurements m JOIN trials t ON t.id = m.trial
        """,
        """
        SELECT 'receipt', key, position, r.plugin, points, visits_planned, visits_made, rows_changed, elements_changed,
          largest_change, reachable, not_applicable, note FROM receipts r JOIN trials t ON t.id = r.trial
        """,
      ]
      return try queries.flatMap { try Row.fetchAll(connection, sql: $0).map { "\($0)" } }.sorted()
    }
  }
}

@Suite struct RunnerTests {
  private func folder(_ examples: Int = 6) throws -> TemporaryFolder {
    let folder = try TemporaryFolder()
    try folder.writeDataset(examples)
    return folder
  }

  private struct Stop: Error {}

  @Test func `a plan has a trial with a key of its own per model, example and condition`() throws {
    let folder = try folder()
    let plan = try folder.plan()
    #expect(plan.trials.count == 2 * 6 * 4)
    #expect(Set(plan.trials.map(\.key)).count == plan.trials.count)
    #expect(plan.trials.map(\.key) == (try folder.plan()).trials.map(\.key))
    #expect(plan.trials[1].model == "strong" && plan.trials[1].example == "0.png")
    #expect(plan.trials[1].condition == "vision_cut")
  }

  @Test func `where the code of plugins runs is in no key`() throws {
    let folder = try folder()
    let elsewhere = manifestText().replacingOccurrences(of: "{ plugin:", with: "{ executor: worker, plugin:")
    let (plan, other) = (try folder.plan(), try folder.plan(elsewhere))
    #expect(plan.manifest != other.manifest)
    #expect(plan.trials.map(\.key) == other.trials.map(\.key))
    #expect(plan.probes.map(\.digest) == other.probes.map(\.digest))
  }

  @Test func `everything that the numbers depend on is in the key, and nothing else`() throws {
    let folder = try folder()
    let base = try folder.plan()
    func keys(_ text: String, _ fingerprints: Fingerprints = testFingerprints) throws -> [String] {
      try folder.plan(text, fingerprints: fingerprints).trials.map(\.key)
    }
    let text = manifestText()
    let same = base.trials.map(\.key)
    #expect(try keys(text.replacingOccurrences(of: "name: tiny", with: "name: other")) == same)
    #expect(try keys(manifestText(probes: "  more: { plugin: other }")) == same)
    #expect(try keys(manifestText(extra: "generate: { max_new_tokens: 3 }")) == same)
    var changed: [[String]] = [
      try keys(text.replacingOccurrences(of: "seed: 3", with: "seed: 4")),
      try keys(text.replacingOccurrences(of: "conditions:", with: "mask_rule: any\nconditions:")),
    ]
    let edits: [WritableKeyPath<Fingerprints, String>] = [\.dtype, \.imageBackend, \.numerics]
    for path in edits {
      var fingerprints = testFingerprints
      fingerprints[keyPath: path] = "else"
      changed.append(try keys(text, fingerprints))
    }
    for other in changed { #expect(Set(other).isDisjoint(with: same)) }
    var plugin = testFingerprints
    plugin.plugins["knockout"] = "p1 rebuilt"
    let rebuilt = zip(try keys(text, plugin), base.trials).filter { $0 != $1.key }
    #expect(Set(rebuilt.map(\.1.condition)) == ["vision_cut", "text_cut", "both_cut"] && rebuilt.count == 36)
  }

  @Test func `a run leaves rows, and the same command finds nothing left to do`() throws {
    let folder = try folder()
    let plan = try folder.plan()
    let first = try folder.run(plan)
    #expect(first == Runner.Outcome(total: 48, stored: 0, computed: 48, failed: 0))
    let rows = try folder.rows()
    #expect(rows.count == 48 + 48 * 2 + 48 * (24 + 1 + 1) + 36)
    let second = try folder.run(plan) { _, _ in throw Stop() }
    #expect(second == Runner.Outcome(total: 48, stored: 48, computed: 0, failed: 0))
    #expect(try folder.rows() == rows)
    for name in ["manifest.resolved.json", "provenance.json", "run.lock"] {
      #expect(FileManager.default.fileExists(atPath: folder.file("run/\(name)")))
    }
  }

  @Test func `stopped anywhere, the same command ends with the same rows`() throws {
    let folder = try folder()
    let plan = try folder.plan()
    _ = try folder.run(plan, to: "whole")
    let whole = try folder.rows(in: "whole")
    for stop in 0..<12 {
      let name = "stopped-\(stop)"
      let counter = Counter()
      #expect(throws: Stop.self) {
        try folder.run(plan, to: name) { _, _ in if counter.next() == stop { throw Stop() } }
      }
      let resumed = try folder.run(plan, to: name)
      #expect(resumed.stored == stop * 4 && resumed.computed == 48 - stop * 4)
      #expect(try folder.rows(in: name) == whole)
    }
  }

  @Test func `an interruption finishes the unit of work, stores it and says how to go on`() throws {
    let folder = try folder()
    let plan = try folder.plan()
    let interruption = Interruption()
    let counter = Counter()
    let expected = ExperimentError.interrupted(
      folder: folder.file("run"), done: 12, total: 48, command: "ablate run tiny.yaml")
    #expect(throws: expected) {
      try folder.run(plan, interruption: interruption) { _, _ in if counter.next() == 2 { interruption.request() } }
    }
    #expect(expected.diagnosis.exit == .resumable && expected.description.contains("resume with: ablate run tiny.yaml"))
    #expect(try folder.run(plan).stored == 12)
    let store = try RunStore(path: folder.file("run/run.sqlite"), readOnly: true)
    let engines = try store.read { try String.fetchAll($0, sql: "SELECT session || model || facts FROM engines") }
    #expect(engines == ["1strong", "2strong", "2weak"].map { $0 + #"{"kernels":["fake"]}"# })
  }

  @Test func `failed trials are kept and counted, left alone, and run again only when asked`() throws {
    let folder = try folder()
    let plan = try folder.plan()
    let outcome = try folder.run(plan) { example, _ in
      if example.id == "2.png" { throw FakeEvaluator.FakeFailure(condition: "text_cut") }
    }
    #expect(outcome == Runner.Outcome(total: 48, stored: 0, computed: 48, failed: 2))
    let store = try RunStore(path: folder.file("run/run.sqlite"), readOnly: true)
    let failed = try store.failedTrials()
    #expect(failed.map(\.model) == ["strong", "weak"] && failed[0].condition == "text_cut")
    #expect(
      failed[0].failure == TrialFailure(plugin: "knockout", hookPoint: "text.0.pattern", reason: "wrote a NaN"))
    #expect(try folder.run(plan) { _, _ in throw Stop() }.failed == 2)
    let retried = try folder.run(plan, retryFailed: true) { _, conditions in #expect(conditions == ["text_cut"]) }
    #expect(retried == Runner.Outcome(total: 48, stored: 46, computed: 2, failed: 0))
    _ = try folder.run(plan, to: "whole")
    let attempts = try folder.rows().filter { !$0.contains("wrote a NaN") }
    #expect(try attempts == folder.rows(in: "whole"))
  }

  @Test func `an added probe computes only what is missing`() throws {
    let folder = try folder()
    _ = try folder.run(try folder.plan())
    let rows = try folder.rows()
    let more = try folder.plan(manifestText(probes: "  second: { plugin: other }"))
    let outcome = try folder.run(more)
    #expect(outcome.computed == 48)
    let added = try folder.rows().filter { !rows.contains($0) }
    #expect(added.allSatisfy { !$0.contains("probe:\"lens\"") && !$0.contains("probe:\"accuracy\"") })
    #expect(added.filter { $0.contains("norm") }.count == 48)
    #expect(try folder.run(more).computed == 0)
  }

  @Test func `an added condition and a longer slice run in the same folder`() throws {
    let folder = try folder()
    _ = try folder.run(try folder.plan(manifestText(limit: 4)))
    #expect(try folder.run(try folder.plan()).computed == 16)
    let wider = try folder.plan(manifestText(conditions: "  twice: [{ plugin: knockout }, { plugin: knockout }]"))
    #expect(try folder.run(wider).computed == 12)
  }

  @Test func `a changed manifest is refused with the difference in words`() throws {
    let folder = try folder()
    _ = try folder.run(try folder.plan())
    let text = manifestText().replacingOccurrences(of: "seed: 3", with: "seed: 4")
    func refusal(_ plan: Plan) -> String {
      do {
        _ = try folder.run(plan)
        return "accepted"
      } catch { return "\(error)" }
    }
    let seed = refusal(try folder.plan(text))
    #expect(seed.contains("'seed' was 3 and is 4; 48 stored trials are not in the plan"))
    #expect(seed.contains("--out") && seed.contains("--fresh"))
    #expect(refusal(try folder.plan(manifestText(limit: 3))).contains("'dataset.limit' was 6 and is 3"))
    var fingerprints = testFingerprints
    fingerprints.plugins["logit-lens"] = "rebuilt"
    #expect(
      refusal(try folder.plan(fingerprints: fingerprints)).contains(
        "the plugin 'logit-lens' has other bytes than before; the reading 'lens' was another one"))
    try folder.write("another image", to: "data/1.png")
    #expect(
      refusal(try folder.plan()).contains("8 stored trials are not in the plan, first: model strong, example 1.png"))
    #expect(try folder.run(try folder.plan(text), fresh: true).computed == 48)
    #expect(try folder.run(try folder.plan(), to: "elsewhere").computed == 48)
  }

  @Test func `a run folder has one owner`() throws {
    let folder = try folder()
    let plan = try folder.plan()
    let session = try RunSession(folder: RunFolder(folder.file("run")), plan: plan, provenance: .object([]))
    #expect { try folder.run(plan) } throws: { error in
      let diagnosis = (error as? ExperimentError)?.diagnosis
      return diagnosis?.exit == .resumable && diagnosis?.what.contains("process \(getpid()) on ") == true
    }
    withExtendedLifetime(session) {}
  }

  @Test func `a full disk loses nothing that was acknowledged, and more room lets the run go on`() throws {
    let folder = try folder(40)
    let plan = try folder.plan(manifestText(limit: 40))
    let counter = Counter()
    var acknowledged = 0
    do {
      _ = try folder.run(plan, pageLimit: 60) { _, _ in acknowledged = counter.next() * 4 }
      Issue.record("the store did not fill up")
    } catch ExperimentError.diskFull(_, let done, let total) {
      #expect(done == acknowledged && done > 0 && total == 320)
    }
    #expect(try folder.run(plan).stored == acknowledged)
    _ = try folder.run(plan, to: "whole")
    #expect(try folder.rows() == folder.rows(in: "whole"))
  }

  @Test func `a run that fails before its first row leaves no folder, a later one keeps its rows`() throws {
    let folder = try folder()
    let plan = try folder.plan()
    for (stop, remains) in [(0, false), (1, true)] {
      let run = RunFolder(folder.file("run-\(stop)"))
      let session = try RunSession(folder: run, plan: plan, provenance: .object([]))
      let runner = Runner(
        plan: plan, folder: run, store: session.store, interruption: Interruption(), command: "")
      let counter = Counter()
      #expect(throws: Stop.self) {
        try session.removingIfEmpty {
          try runner.run(progress: .silent) {
            FakeEvaluator(model: $0.name) { _, _ in if counter.next() == stop { throw Stop() } }
          }
        }
      }
      #expect(FileManager.default.fileExists(atPath: run.path) == remains)
    }
  }

  @Test func `an evaluator that does not answer what it was asked is found out`() throws {
    struct Forgetful: Evaluator {
      var inner: FakeEvaluator
      mutating func evaluate(_ example: Example, conditions: [String], probes: [String]) throws -> [TrialOutcome] {
        try inner.evaluate(example, conditions: conditions, probes: probes).dropLast()
      }
    }
    let folder = try folder()
    let plan = try folder.plan()
    let session = try RunSession(folder: RunFolder(folder.file("run")), plan: plan, provenance: .object([]))
    let runner = Runner(
      plan: plan, folder: session.folder, store: session.store, interruption: Interruption(), command: "")
    #expect(throws: ExperimentError.self) {
      try runner.run(progress: .silent) { Forgetful(inner: FakeEvaluator(model: $0.name) { _, _ in }) }
    }
  }

  @Test func `values that are no numbers are stored as NULL and infinities as they are`() throws {
    struct Odd: Evaluator {
      mutating func evaluate(_ example: Example, conditions: [String], probes: [String]) throws -> [TrialOutcome] {
        let values = [Double.nan, -.infinity, 0.1 + 0.2]
        let rows = values.map {
          MeasuredValue(probe: "lens", point: "", token: nil, label: "x", metric: "rank", value: $0)
        }
        return conditions.map { TrialOutcome(condition: $0, result: .completed(rows, [])) }
      }
    }
    let folder = try folder(1)
    let plan = try folder.plan()
    let session = try RunSession(folder: RunFolder(folder.file("run")), plan: plan, provenance: .object([]))
    let runner = Runner(
      plan: plan, folder: session.folder, store: session.store, interruption: Interruption(), command: "")
    _ = try runner.run(progress: .silent) { _ in Odd() }
    let values = try session.store.read { try Double?.fetchAll($0, sql: "SELECT value FROM measurements LIMIT 3") }
    #expect(values == [nil, -.infinity, 0.1 + 0.2])
  }

  @Test func `a store of an earlier version is brought up to date as it is opened`()
    throws
  {
    let folder = try folder(1)
    _ = try folder.run(try folder.plan())
    let path = folder.file("run/run.sqlite")
    try RunStore(path: path).write { connection in
      try connection.execute(
        sql: """
          ALTER TABLE measurements DROP COLUMN text;
          ALTER TABLE receipts DROP COLUMN note_kind;
          DROP TABLE examples;
          DELETE FROM grdb_migrations WHERE identifier <> '1';
          UPDATE receipts SET note = CASE trial % 2 WHEN 0 THEN 'read leg as wing' ELSE 'changed nothing' END
          """)
    }
    let notes = try RunStore(path: path, readOnly: true).receiptNotes()
    #expect(Set(notes.map(\.note.kind)) == [.fact, .warning])
    #expect(try folder.run(try folder.plan()).stored == 8)
  }

  @Test func `a store of a later version and a file that is no store are refused`() throws {
    let folder = try folder()
    _ = try folder.run(try folder.plan())
    try RunStore(path: folder.file("run/run.sqlite")).write {
      try $0.execute(sql: "INSERT INTO grdb_migrations VALUES ('99')")
    }
    #expect { try folder.run(try folder.plan()) } throws: {
      "\($0)".contains("a later version of ablate (schema '99')")
    }
    try folder.write("not a database, but long enough to look like one in size", to: "other/run.sqlite")
    #expect { try folder.run(try folder.plan(), to: "other") } throws: { error in
      (error as? ExperimentError)?.diagnosis.exit == .badData
    }
  }
}

/// Counts calls, from 0.
final class Counter {
  private var count = -1

  func next() -> Int {
    count += 1
    return count
  }
}
