import Datasets
import Diagnostics
import GRDB

/// What is done and what is left: the writer's view of the run store.
extension RunStore {
  package func beginSession(manifest: JSON, provenance: JSON) throws {
    try write {
      try $0.execute(
        sql: "INSERT INTO sessions (manifest, provenance) VALUES (?, ?)",
        arguments: [manifest.compact, provenance.compact])
    }
  }

  /// Notes what is independent in the dataset. It is no part of what a trial's numbers depend on: clusters that are named, or named
  /// otherwise, after a run take their place here when it is started again.
  package func note(_ dataset: Dataset) throws {
    try write { connection in
      for example in dataset.examples {
        try connection.execute(
          sql: "INSERT OR REPLACE INTO examples VALUES (?, ?, ?)",
          arguments: [example.id, example.unit, dataset.unit.key])
      }
    }
  }

  /// Notes what computed a model's trials, in the session that began last.
  package func noteEngine(model: String, facts: JSON) throws {
    try write {
      try $0.execute(
        sql: "INSERT INTO engines SELECT max(id), ?, ? FROM sessions", arguments: [model, facts.compact])
    }
  }

  /// The readings that the plan asks for and the store lacks, trial by trial, in the plan's order. A trial whose last
  /// attempt failed is left alone unless `retryFailed`.
  ///
  /// - Parameter passOnly: leaves out what is learned behind the passes; a trial is pending then until it has been run.
  package func pending(of plan: Plan, retryFailed: Bool, passOnly: Bool = false) throws -> [PendingTrial] {
    let done = try answered()
    let failed = retryFailed ? [] : try failedKeys()
    let run = passOnly ? try completedKeys() : []
    let readings = passOnly ? plan.probes.filter { plan.manifest.passReadings.contains($0.name) } : plan.probes
    return plan.trials.compactMap { trial in
      guard !failed.contains(trial.key) else { return nil }
      let answers = done[trial.key] ?? [:]
      let missing = readings.filter { answers[$0.name] != $0.digest }.map(\.name)
      let isDone = missing.isEmpty && (!passOnly || run.contains(trial.key))
      return isDone ? nil : PendingTrial(trial: trial, probes: missing)
    }
  }

  /// Keys of the trials that have been completed.
  func completedKeys() throws -> Set<String> {
    try read { try String.fetchSet($0, sql: "SELECT DISTINCT key FROM trials WHERE status = 'completed'") }
  }

  /// Digest by name of the readings that each trial has, by the trial's key.
  private func answered() throws -> [String: [String: String]] {
    try read { connection in
      var answers: [String: [String: String]] = [:]
      let rows = try Row.fetchCursor(
        connection, sql: "SELECT key, probe, digest FROM readings JOIN trials ON trials.id = readings.trial")
      while let row = try rows.next() {
        let (key, probe, digest): (String, String, String) = (row[0], row[1], row[2])
        answers[key, default: [:]][probe] = digest
      }
      return answers
    }
  }

  /// Keys of the trials whose last attempt failed.
  func failedKeys() throws -> Set<String> {
    try read {
      try String.fetchSet(
        $0,
        sql: "SELECT key FROM trials WHERE id IN (SELECT max(id) FROM trials GROUP BY key) AND status = 'failed'")
    }
  }

  /// The rows of the folder that the plan does not explain, in words; empty when the run can go on.
  package func strangers(to plan: Plan) throws -> [String] {
    let keys = Set(plan.trials.map(\.key))
    let digests = Dictionary(plan.probes.map { ($0.name, $0.digest) }, uniquingKeysWith: { first, _ in first })
    return try read { connection in
      var strangers = 0
      var example = ""
      let trials = try Row.fetchCursor(connection, sql: "SELECT key, model, example, condition FROM trials ORDER BY id")
      while let row = try trials.next() {
        let (key, model, item, condition): (String, String, String, String) = (row[0], row[1], row[2], row[3])
        guard !keys.contains(key) else { continue }
        if strangers == 0 { example = "model \(model), example \(item), condition \(condition)" }
        strangers += 1
      }
      var words = strangers == 0 ? [] : ["\(strangers) stored trials are not in the plan, first: \(example)"]
      let readings = try Row.fetchAll(connection, sql: "SELECT DISTINCT probe, digest FROM readings ORDER BY probe")
      for row in readings {
        let (probe, digest): (String, String) = (row[0], row[1])
        if digests[probe] == nil { words.append("the stored reading '\(probe)' is not in the plan") }
        if let now = digests[probe], now != digest { words.append("the reading '\(probe)' was another one") }
      }
      return words
    }
  }

  /// Stores one example's outcomes in one transaction; when it returns they are on the disk.
  ///
  /// - Parameter probes: per condition, the readings that were pending: rows of others are not stored again.
  package func append(_ batch: Batch) throws {
    try write { connection in
      for (pending, result) in batch.results {
        try RunStore.insert(pending, result, className: batch.className, into: connection, digests: batch.digests)
      }
      try connection.execute(
        sql: "INSERT INTO timings VALUES (?, ?, ?, ?)",
        arguments: [batch.model, batch.example, batch.results.count, batch.milliseconds])
    }
  }

  private static func insert(
    _ pending: PendingTrial, _ result: TrialOutcome.Result, className: String?, into connection: Database,
    digests: [String: String]
  ) throws {
    let trial = pending.trial
    let insertTrial = try connection.cachedStatement(
      sql: """
        INSERT INTO trials (key, model, example, class, condition, status, plugin, hook_point, reason)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
        """)
    let common: [(any DatabaseValueConvertible)?] = [trial.key, trial.model, trial.example, className, trial.condition]
    guard case .completed(let measurements, let receipts) = result else {
      guard case .failed(let failure) = result else { return }
      try insertTrial.execute(
        arguments: StatementArguments(common + ["failed", failure.plugin, failure.hookPoint, failure.reason]))
      return
    }
    try insertTrial.execute(arguments: StatementArguments(common + ["completed", nil, nil, nil]))
    let id = connection.lastInsertedRowID
    for probe in pending.probes {
      try connection.execute(
        sql: "INSERT INTO readings VALUES (?, ?, ?)", arguments: [id, probe, digests[probe] ?? ""])
    }
    let insertMeasurement = try connection.cachedStatement(
      sql: "INSERT INTO measurements VALUES (?, ?, ?, ?, ?, ?, ?, ?)")
    for row in measurements where pending.probes.contains(row.probe) {
      try insertMeasurement.execute(
        arguments: [
          id, row.probe, row.point, row.token, row.label, row.metric, row.value.isNaN ? nil : row.value, row.text,
        ])
    }
    let insertReceipt = try connection.cachedStatement(
      sql: "INSERT INTO receipts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
    for (position, row) in receipts.enumerated() {
      try insertReceipt.execute(
        arguments: [
          id, position, row.plugin, row.points, row.visitsPlanned, row.visitsMade, row.rowsChanged, row.elementsChanged,
          row.largestChange.isFinite ? row.largestChange : nil, row.reachable, row.notApplicable,
          row.note?.text, row.note?.kind.rawValue,
        ])
    }
  }
}

/// A trial and those of its readings that the store lacks.
package struct PendingTrial: Sendable, Equatable {
  package var trial: Trial
  package var probes: [String]
}

/// One example's outcomes on one model: the unit of work and of commit.
package struct Batch: Sendable {
  package var model: String
  package var example: String
  package var className: String?
  package var results: [(PendingTrial, TrialOutcome.Result)]
  /// Digest of each probe and reading of the plan, by its name.
  package var digests: [String: String]
  package var milliseconds: Double
}
