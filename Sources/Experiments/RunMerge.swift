import Diagnostics
import Foundation
import GRDB
import Glibc

/// The rows of a study's shards as one run: `ablate merge`.
///
/// The merged store is made anew beside the old one and takes its place when it is whole. It holds the rows in the order in
/// which an undivided run would have stored them, whatever the order in which shards came. A trial that several attempts
/// computed stands in it once; if their values differ, nothing is merged. What the run's own store holds already is one of the
/// sources, so that merging again changes nothing and loses nothing.
package struct RunMerge {
  package let folder: RunFolder
  package let list: ShardList
  private let manifest: Manifest
  private let lock: RunLock

  package struct Outcome: Sendable {
    package var total: Int
    package var completed: Int
    package var failed: Int
    /// Trials without all their rows, by the shard's number.
    package var missing: [(shard: Int, trials: [TrialName])]
    /// Those of all sessions.
    package var instructionSets: [String]
  }

  /// Locks the run folder.
  package init(_ folder: RunFolder) throws {
    self.folder = folder
    list = try ShardList(of: folder)
    manifest = try list.parsedManifest()
    lock = try RunLock(folder)
  }

  /// - Throws: `shards` for rows of another study; `conflict` where two attempts differ; `noRun` where there are no rows.
  package func run() throws -> Outcome {
    let shards = (1...list.shards.count).map { folder.attempts(ofShard: $0) }
    let earlier = FileManager.default.fileExists(atPath: folder.store) ? [folder] : []
    guard !(shards.joined().isEmpty && earlier.isEmpty) else {
      throw ExperimentError.noRun(folder: folder.path, what: "no shard has stored anything yet")
    }
    let sessions = try MergedSessions(shards.joined() + earlier, list)
    let draft = folder.file("run.sqlite.merging")
    for path in [draft, draft + "-journal"] { unlink(path) }
    do {
      let outcome = try fill(draft, shards: shards, earlier: earlier, sessions: sessions)
      try publish(draft)
      try takeFeatures(of: Array(shards.joined()))
      try folder.write(list.manifest.pretty, to: "manifest.resolved.json")
      try folder.write(sessions.last(outcome).pretty, to: "provenance.json")
      return outcome
    } catch {
      unlink(draft)
      throw error
    }
  }

  private func fill(
    _ draft: String, shards: [[RunFolder]], earlier: [RunFolder], sessions: MergedSessions
  ) throws -> Outcome {
    let store = try RunStore(path: draft, isDurable: false)
    defer { store.close() }
    try store.withoutTransaction { connection in
      try MergeSource.prepare(connection)
      for model in manifest.models.map(\.name) {
        for (index, attempts) in shards.enumerated() {
          let expected = list.trials(ofShard: index + 1, manifest).filter { $0.model == model }
          try MergeSource.expect(expected, connection)
          for attempt in attempts { try MergeSource(attempt, model).append(to: connection) }
        }
        for run in earlier {
          let expected = (1...shards.count).flatMap { list.trials(ofShard: $0, manifest) }
          try MergeSource.expect(expected.filter { $0.model == model }, connection)
          try MergeSource(run, model).append(to: connection)
        }
      }
      for source in shards.joined() + earlier {
        try MergeSource(source, "").appendTimings(to: connection)
        try MergeSource(source, "").appendExamples(to: connection)
      }
    }
    let outcome = try outcome(store, sessions)
    try store.write { try sessions.append(to: $0, last: sessions.last(outcome)) }
    return outcome
  }

  private func outcome(_ store: RunStore, _ sessions: MergedSessions) throws -> Outcome {
    let settled = try store.settled(manifest.passReadings)
    let all = (1...list.shards.count).map { (shard: $0, trials: list.trials(ofShard: $0, manifest)) }
    let missing = all.map { (shard: $0.shard, trials: $0.trials.filter { !settled.contains($0) }) }
    let failed = try store.failedTrials().count
    return Outcome(
      total: all.reduce(0) { $0 + $1.trials.count }, completed: settled.count - failed, failed: failed,
      missing: missing.filter { !$0.trials.isEmpty }, instructionSets: sessions.instructionSets)
  }

  /// Probes learn from what the passes of all shards have left. Links, so that nothing is held twice; what cannot be linked is read again.
  private func takeFeatures(of shards: [RunFolder]) throws {
    let files = FileManager.default
    for shard in shards {
      for name in files.enumerator(atPath: shard.file(FeatureFiles.folderName))?.compactMap({ $0 as? String }) ?? [] {
        let target = "\(FeatureFiles.folderName)/\(name)"
        guard name.hasSuffix(".safetensors"), !files.fileExists(atPath: folder.file(target)) else { continue }
        try folder.createParent(of: target)
        link(shard.file(target), folder.file(target))
      }
    }
  }

  /// On the disk, then in its place.
  private func publish(_ draft: String) throws {
    let descriptor = open(draft, O_RDONLY | O_CLOEXEC)
    defer { if descriptor >= 0 { close(descriptor) } }
    guard descriptor >= 0, fsync(descriptor) == 0, rename(draft, folder.store) == 0 else {
      throw ExperimentError.file(path: folder.store, what: "cannot be written: \(String(cString: strerror(errno)))")
    }
  }
}

/// The sessions of all sources, each once: who computed what, on what.
private struct MergedSessions {
  private let list: ShardList
  private var sessions: [(manifest: String, provenance: String, engines: [(model: String, facts: String)])] = []
  var instructionSets: [String] = []

  /// - Throws: `shards` where a source is of another study, or of another instruction set and the list refuses that.
  init(_ sources: [RunFolder], _ list: ShardList) throws {
    self.list = list
    var seen: Set<String> = []
    for source in sources {
      let store = try RunStore(path: source.store, readOnly: true)
      let all = try store.sessions()
      guard let last = all.last(where: { !$0.isMerge }) else { continue }
      try list.check(
        RunStore.Session(manifest: JSON(parsing: last.manifest), provenance: JSON(parsing: last.provenance)),
        of: source.path)
      for session in all where !session.isMerge && seen.insert(session.manifest + session.provenance).inserted {
        sessions.append((session.manifest, session.provenance, session.engines))
      }
      instructionSets = Set(instructionSets + (try store.instructionSets())).sorted()
      if list.oneInstructionSet, instructionSets.count > 1 {
        throw ExperimentError.shards(
          folder: source.path, what: "rows of two instruction sets: \(instructionSets.joined(separator: ", "))",
          remedy: "the shard list asks for one: remove the shard's folder and run it on the right machines",
          exit: .badData)
      }
    }
  }

  /// What the merge says of itself; no clock, so that merging again gives the same.
  func last(_ outcome: RunMerge.Outcome) -> JSON {
    let examples = list.shards.reduce(0) { $0 + $1.examples.count }
    return .object([
      ("schema", .string("ablate.provenance/1")), ("merged", .object([("shards", .int(list.shards.count))])),
      ("instruction_sets", .strings(outcome.instructionSets)),
      ("plan", .object([("trials", .int(outcome.total)), ("examples", .int(examples))])),
      ("manifest_digest", .string(SHA256.hex(list.manifest.compact))),
      ("dataset_digest", .string(list.datasetDigest)), ("plan_digest", .string(list.planDigest)),
      ("fingerprints", list.fingerprints),
    ])
  }

  func append(to connection: Database, last: JSON) throws {
    for session in sessions + [(list.manifest.compact, last.compact, [])] {
      try connection.execute(
        sql: "INSERT INTO sessions (manifest, provenance) VALUES (?, ?)",
        arguments: [session.manifest, session.provenance])
      let id = connection.lastInsertedRowID
      for engine in session.engines {
        try connection.execute(
          sql: "INSERT INTO engines VALUES (?, ?, ?)", arguments: [id, engine.model, engine.facts])
      }
    }
  }
}

extension RunStore {
  fileprivate struct StoredSession {
    var manifest: String
    var provenance: String
    var isMerge: Bool
    var engines: [(model: String, facts: String)]
  }

  fileprivate func sessions() throws -> [StoredSession] {
    try read { connection in
      let engines = try Row.fetchAll(connection, sql: "SELECT session, model, facts FROM engines ORDER BY rowid")
      let sql = "SELECT id, manifest, provenance, json_extract(provenance, '$.merged') IS NOT NULL FROM sessions"
      return try Row.fetchAll(connection, sql: sql + " ORDER BY id").map { row in
        let id: Int = row[0]
        return StoredSession(
          manifest: row[1], provenance: row[2], isMerge: row[3],
          engines: engines.filter { $0[0] == id }.map { ($0[1], $0[2]) })
      }
    }
  }
}

extension RunMerge.Outcome {
  /// - Throws: `unfinished` while trials are missing.
  package func checkComplete(_ folder: RunFolder) throws {
    guard let first = missing.first?.trials.first else { return }
    let shards = missing.map { "shard \($0.shard) lacks \($0.trials.count)" }
    throw ExperimentError.unfinished(
      folder: folder.path, missing: missing.reduce(0) { $0 + $1.trials.count }, total: total,
      shards: shards.prefix(20) + (shards.count > 20 ? ["and \(shards.count - 20) more"] : [])
        + ["first: \(first.model), \(first.example), \(first.condition)"])
  }

  /// - Throws: what keeps the merged run from being the whole study.
  package func check(_ folder: RunFolder) throws {
    try checkComplete(folder)
    let store = try RunStore(path: folder.store, readOnly: true)
    if let first = try store.failedTrials().first {
      throw ExperimentError.failedTrials(
        folder: folder.path, failed: failed, total: total,
        first: "\(first.model), \(first.example), \(first.condition): \(first.failure.reason)")
    }
    try store.checkMatches(folder)
  }
}
