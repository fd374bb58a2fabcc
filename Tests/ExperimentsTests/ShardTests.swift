import Datasets
import Diagnostics
import Foundation
import GRDB
import TestSupport
import Testing

import Experiments

/// A study in shards, with the fake evaluator.
struct ShardTests {
  private let folder: TemporaryFolder
  private let plan: Plan
  private let run: RunFolder

  init() throws {
    folder = try TemporaryFolder()
    try folder.writeDataset(7)
    plan = try folder.plan(manifestText(limit: 7))
    run = RunFolder(folder.file("study"))
  }

  private func list(_ count: Int = 3, oneInstructionSet: Bool = false) throws -> ShardList {
    try ShardList(
      plan, costs: plan.dataset.examples.map { _ in 10 }, count: count, oneInstructionSet: oneInstructionSet)
  }

  private func runShard(
    _ number: Int, of plan: Plan? = nil, fresh: Bool = false, behaviour: @escaping FakeEvaluator.Behaviour = { _, _ in }
  ) throws {
    let (list, plan) = (try ShardList(of: run), plan ?? self.plan)
    try list.check(plan, in: run)
    let part = list.part(number, of: plan)
    let session = try RunSession.ofShard(
      number, in: run, plan: part, provenance: .object([("shard", .int(number))]), fresh: fresh,
      oneInstructionSet: list.oneInstructionSet)
    let runner = Runner(
      plan: part, folder: session.folder, store: session.store, interruption: Interruption(), isShard: true, command: ""
    )
    _ = try runner.run(progress: .silent) { FakeEvaluator(model: $0.name, behaviour: behaviour) }
  }

  private func merge() throws -> RunMerge.Outcome { try RunMerge(run).run() }

  private func words(_ work: () throws -> Void) -> String {
    do {
      try work()
      return "accepted"
    } catch { return "\(error)" }
  }

  /// Every table of results with its ids and in its order.
  private func everything(_ path: String) throws -> [String] {
    try RunStore(path: path, readOnly: true).read { connection in
      try ["trials", "readings", "measurements", "receipts", "examples"].flatMap { table in
        let order = table == "readings" ? "2, 3" : table == "examples" ? "2" : "rowid"
        return try Row.fetchAll(connection, sql: "SELECT '\(table)', * FROM \(table) ORDER BY \(order)").map { "\($0)" }
      }
    }
  }

  // MARK: cutting

  @Test func `every example is in one shard, and the shards' costs are as near to each other as an image's cost`()
    throws
  {
    for count in 1...7 {
      let costs = [5, 1, 1, 9, 2, 3, 4]
      let list = try ShardList(plan, costs: costs, count: count)
      #expect(list.shards.count == count && list.shards.allSatisfy { !$0.examples.isEmpty })
      #expect(list.shards.flatMap(\.examples) == plan.dataset.examples.map(\.id))
      #expect(list.shards.reduce(0) { $0 + $1.cost } == 25)
      #expect(list.shards.allSatisfy { Double($0.cost) <= 25 / Double(count) + 9 })
      let keys = (1...count).flatMap { list.part($0, of: plan).trials.map(\.key) }
      #expect(keys.count == plan.trials.count && Set(keys) == Set(plan.trials.map(\.key)))
    }
    #expect(words { _ = try list(8) }.contains("8 shards of 7 images"))
    #expect(words { _ = try list(0) }.contains("0 shards of 7 images"))
  }

  @Test func `neighbours with the same image stay together`() throws {
    let lines = (0..<6).map {
      #"{"file_name": "\#($0 / 3).png", "id": "q\#($0)", "prompt": "<image> what?", "answer": "a cat"}"#
    }
    try folder.write(lines.joined(separator: "\n"), to: "data/metadata.jsonl")
    let plan = try folder.plan()
    #expect(words { _ = try ShardList(plan, costs: Array(repeating: 1, count: 6), count: 3) }.contains("of 2 images"))
    let list = try ShardList(plan, costs: [1, 1, 1, 1, 1, 90], count: 2)
    #expect(list.shards.map(\.examples) == [["q0", "q1", "q2"], ["q3", "q4", "q5"]])
  }

  @Test func `a shard list is written once`() throws {
    try list().write(to: run)
    let bytes = try String(contentsOfFile: run.shardList, encoding: .utf8)
    try list().write(to: run)
    #expect(words { try list(4).write(to: run) }.contains("the run has another shard list: it has 3 shards"))
    let other = try folder.plan(manifestText(limit: 7).replacing("seed: 3", with: "seed: 4"))
    let changed = words { try ShardList(other, costs: Array(repeating: 10, count: 7), count: 3).write(to: run) }
    #expect(changed.contains("'seed' was 3 and is 4"))
    #expect(try String(contentsOfFile: run.shardList, encoding: .utf8) == bytes)
    #expect(try ShardList(of: run) == list())
    #expect(try FileManager.default.contentsOfDirectory(atPath: run.path) == ["shards.json"])
  }

  // MARK: merging

  @Test func `merged shards are the undivided run, row for row, in whatever order they came`() throws {
    _ = try folder.run(plan, to: "whole")
    try list().write(to: run)
    for number in [3, 1, 2] { try runShard(number) }
    let outcome = try merge()
    #expect(outcome.total == 56 && outcome.completed == 56 && outcome.missing.isEmpty)
    #expect(outcome.failed == 0 && outcome.instructionSets == ["avx512"])
    #expect(try everything(run.store) == everything(folder.file("whole/run.sqlite")))
  }

  @Test func `merging says what is missing, takes up what has come, and changes nothing the third time`() throws {
    try list().write(to: run)
    #expect(words { _ = try merge() }.contains("no shard has stored anything yet"))
    try runShard(3)
    let counter = Counter()
    #expect(throws: Stop.self) { try runShard(1) { _, _ in if counter.next() == 1 { throw Stop() } } }
    let first = try merge()
    #expect(first.completed == 16 + 4 && first.missing.map(\.shard) == [1, 2])
    #expect(first.missing.map(\.trials.count) == [12, 24])
    let said = words { try first.check(run) }
    #expect(
      said.contains("36 of 56 trials are missing: shard 1 lacks 12; shard 2 lacks 24; first: strong, 1.png, clean"))
    for number in [1, 2] { try runShard(number) }
    #expect(try merge().missing.isEmpty)
    let rows = try everything(run.store)
    let bytes = FileManager.default.contents(atPath: run.store)
    try merge().check(run)
    #expect(FileManager.default.contents(atPath: run.store) == bytes)
    _ = try folder.run(plan, to: "whole")
    #expect(try rows == everything(folder.file("whole/run.sqlite")))
    // Without its shards the merged run stays what it is.
    try FileManager.default.removeItem(atPath: run.file("shards"))
    #expect(try merge().completed == 56 && everything(run.store) == rows)
  }

  @Test func `what two attempts agree on stands in the run once, what they do not agree on is refused in words`() throws
  {
    try list().write(to: run)
    for number in 1...3 { try runShard(number) }
    try FileManager.default.copyItem(atPath: run.shard(2).path, toPath: run.shard(2, attempt: 1).path)
    #expect(try merge().completed == 56)
    let rows = try everything(run.store)
    _ = try folder.run(plan, to: "whole")
    #expect(try rows == everything(folder.file("whole/run.sqlite")))
    try RunStore(path: run.shard(2, attempt: 1).store).write {
      try $0.execute(sql: "UPDATE measurements SET value = value + 1e-9 WHERE rowid = 7")
    }
    let said = words { _ = try merge() }
    #expect(said.contains("two attempts differ in 1 trials, and nothing was merged; first: strong, "), "\(said)")
    #expect(
      said.contains(/lens, at text\.\d\.resid_post, token \d+, '.*', \w+ is \d\.000000001, and \d\.0 elsewhere/),
      "\(said)")
    #expect(
      try everything(run.store) == rows && !FileManager.default.fileExists(atPath: run.file("run.sqlite.merging")))
    try RunStore(path: run.shard(2, attempt: 1).store).write {
      try $0.execute(sql: "UPDATE measurements SET value = round(value) WHERE rowid = 7")
      try $0.execute(sql: "DELETE FROM measurements WHERE rowid = 9")
    }
    #expect(words { _ = try merge() }.contains("lens, number of rows is 24, and 25 elsewhere"))
    // A number and the words beside it are compared, each.
    for (change, difference) in [
      ("value = 1 - value", "accuracy, accuracy is 0.0, and 1.0 elsewhere"),
      ("text = 'a dog'", "accuracy, accuracy in words is 'a dog', and 'a cat' elsewhere"),
    ] {
      try FileManager.default.removeItem(atPath: run.shard(2, attempt: 1).path)
      try FileManager.default.copyItem(atPath: run.shard(2).path, toPath: run.shard(2, attempt: 1).path)
      try RunStore(path: run.shard(2, attempt: 1).store).write {
        try $0.execute(
          sql:
            "UPDATE measurements SET \(change) WHERE rowid = (SELECT min(rowid) FROM measurements WHERE metric = 'accuracy')"
        )
      }
      let said = words { _ = try merge() }
      #expect(said.contains(difference), "\(said)")
    }
  }

  @Test func `while a process writes a shard, another one writes beside it, and the rows are merged once`() throws {
    try list().write(to: run)
    let orphan = try RunSession.ofShard(
      1, in: run, plan: list().part(1, of: plan), provenance: .object([]), fresh: false, oneInstructionSet: false)
    #expect(RunLock.isHeld(in: run.shard(1)) && !RunLock.isHeld(in: run.shard(1, attempt: 1)))
    for number in 1...3 { try runShard(number) }
    #expect(FileManager.default.fileExists(atPath: run.shard(1, attempt: 1).store))
    #expect(try merge().completed == 56)
    // The orphan finishes late.
    let runner = Runner(
      plan: try list().part(1, of: plan), folder: orphan.folder, store: orphan.store, interruption: Interruption(),
      isShard: true, command: "")
    _ = try runner.run(progress: .silent) { FakeEvaluator(model: $0.name) { _, _ in } }
    #expect(try merge().completed == 56)
    _ = try folder.run(plan, to: "whole")
    #expect(try everything(run.store) == everything(folder.file("whole/run.sqlite")))
  }

  @Test func `a shard of another manifest, model, plugin, dataset or numerics version is refused with the difference`()
    throws
  {
    try list().write(to: run)
    var model = testFingerprints
    model.models["weak"] = "m3"
    var plugin = testFingerprints
    plugin.plugins["knockout"] = "rebuilt"
    var numerics = testFingerprints
    numerics.numerics = "test 2"
    let text = manifestText(limit: 7)
    let cases: [(Plan, String)] = [
      (try folder.plan(text.replacing("tower: text", with: "tower: all")), "'conditions.text_cut' was"),
      (try folder.plan(text, fingerprints: model), "the model 'weak' has other bytes than before"),
      (try folder.plan(text, fingerprints: plugin), "the plugin 'knockout' has other bytes than before"),
      (try folder.plan(text, fingerprints: numerics), #"numerics was "test 1" and is "test 2""#),
      (try folder.plan(manifestText(limit: 6)), "'dataset.limit' was 7 and is 6"),
    ]
    for (changed, difference) in cases {
      let said = words { try runShard(1, of: changed) }
      #expect(said.contains("not the study that the shard list was made for") && said.contains(difference), "\(said)")
      // A store that came about without that check, in another folder of the same name.
      let elsewhere = try RunSession(
        folder: run.shard(1), plan: list().part(1, of: changed), provenance: .object([]), fresh: true)
      let runner = Runner(
        plan: try list().part(1, of: changed), folder: elsewhere.folder, store: elsewhere.store,
        interruption: Interruption(), isShard: true, command: "")
      _ = try runner.run(progress: .silent) { FakeEvaluator(model: $0.name) { _, _ in } }
      #expect(words { _ = try merge() }.contains(difference), "\(difference)")
    }
    try folder.write("another image", to: "data/1.png")
    #expect(
      words { try runShard(1, of: folder.plan(text)) }.contains("the dataset has other bytes, examples or clusters"))
    #expect(!FileManager.default.fileExists(atPath: run.store))
  }

  @Test func `different instruction sets are recorded, and refused where the list asks for one`() throws {
    var other = testFingerprints
    other.instructionSet = "avx2"
    let elsewhere = try folder.plan(manifestText(limit: 7), fingerprints: other)
    #expect(elsewhere.digest == plan.digest)
    try list().write(to: run)
    for number in 1...2 { try runShard(number) }
    try runShard(3, of: elsewhere)
    #expect(try merge().instructionSets == ["avx2", "avx512"])
    #expect(try RunStore(path: run.store, readOnly: true).instructionSets() == ["avx2", "avx512"])
    #expect(
      words { _ = try folder.run(plan, to: "study") }.contains(
        "rows were computed with avx2, and this machine has avx512"))

    let strict = RunFolder(folder.file("strict"))
    try list(oneInstructionSet: true).write(to: strict)
    for (number, plan) in [(1, plan), (2, elsewhere)] {
      let session = try RunSession.ofShard(
        number, in: strict, plan: list().part(number, of: plan), provenance: .object([]), fresh: false,
        oneInstructionSet: true)
      withExtendedLifetime(session) {}
    }
    #expect(words { _ = try RunMerge(strict).run() }.contains("rows of two instruction sets: avx2, avx512"))
  }

  @Test func `failed trials are merged as failures, and a completed attempt beats them`() throws {
    try list().write(to: run)
    for number in 1...3 {
      try runShard(number) { example, _ in
        if example.id == "2.png" { throw FakeEvaluator.FakeFailure(condition: "text_cut") }
      }
    }
    let outcome = try merge()
    #expect(outcome.failed == 2 && outcome.completed == 54 && outcome.missing.isEmpty)
    #expect(words { try outcome.check(run) }.contains("2 of 56 trials failed, first: strong, 2.png, text_cut"))
    let shard = try #require(try list().shards.firstIndex { $0.examples.contains("2.png") }) + 1
    try FileManager.default.moveItem(atPath: run.shard(shard).path, toPath: run.shard(shard, attempt: 1).path)
    try runShard(shard)
    #expect(try merge().failed == 0)
  }

  @Test func `a plugin that matches nothing in a shard is no error there, and one where all shards are merged`() throws
  {
    try list().write(to: run)
    for number in 1...3 { try runShard(number) }
    for number in 1...3 {
      try RunStore(path: run.shard(number).store).write {
        try $0.execute(sql: "UPDATE receipts SET not_applicable = 1 WHERE plugin = 'knockout'")
      }
      if number == 2 { try merge().check(run) }
      try? FileManager.default.removeItem(atPath: run.store)
    }
    #expect(words { try merge().check(run) }.contains("matched nothing in any example: knockout"))
  }

  // MARK: status

  @Test func `the states say what is done, lost, failed and not started, and which shards need somebody`() throws {
    try list(4).write(to: run)
    try runShard(1)
    #expect(throws: Stop.self) { try runShard(2) { _, _ in throw Stop() } }
    var status = RunStatus(total: 16, instructionSet: "avx512", environment: ["SLURM_JOB_ID": "7"])
    let folder = run.shard(2)
    #expect(throws: Stop.self) { try StatusFile(folder, status).following { throw Stop() } }
    status.state = .running
    let lost = StatusFile(run.shard(3), status)
    lost.observe(done: 0)
    let states = try ShardStates(run, list(4))
    #expect(states.shards.map(\.state) == [.done, .failed, .lost, .unstarted])
    #expect(states.unattended == [2, 3, 4] && states.text.contains("job 7"))
    let queue = [3: QueuedTask(job: "9_3", isRunning: false, reason: "Resources")]
    #expect(try ShardStates(run, list(4), queue: queue).unattended == [2, 4])
  }

  // MARK: scripts

  @Test func `arrays beyond the cluster's limit are cut into chunks whose tasks count from one`() {
    let chunks = SlurmScripts.chunks(of: [1, 2, 3, 1000, 1001, 1002, 2500], limit: 1001)
    #expect(
      chunks == [
        .init(offset: 0, shards: [1, 2, 3, 1000]), .init(offset: 1000, shards: [1001, 1002]),
        .init(offset: 2000, shards: [2500]),
      ])
    #expect(SlurmScripts.ranges([1, 2, 3, 7, 9, 10]) == "1-3,7,9-10")
    let scripts = SlurmScripts(
      name: "s", program: "/a b/ablate", manifest: "/m.yaml", folder: "/run", workingFolder: "/w", count: 2500,
      flags: ["--worker"], options: ["--partition=long"], atOnce: 4)
    let text = scripts.array(chunks[1])
    #expect(text.contains("#SBATCH --array=1-2%4\n") && text.contains("#SBATCH --partition=long\n"))
    #expect(text.contains(#"--shard "$((SLURM_ARRAY_TASK_ID + 1000))/2500" --worker &"#))
    #expect(text.contains("'/a b/ablate' run") && scripts.merge.contains("merge /run --worker && '/a b/ablate' report"))
  }
}

private struct Stop: Error {}
