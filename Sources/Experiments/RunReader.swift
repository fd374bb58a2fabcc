import Datasets
import Diagnostics
import Foundation
import GRDB
import PluginHost

/// What reports ask of the run store.
extension RunStore {
  package struct Session: Sendable {
    package var manifest: JSON
    package var provenance: JSON
  }

  package func lastSession() throws -> Session? {
    try read { connection in
      guard let row = try Row.fetchOne(connection, sql: "SELECT manifest, provenance FROM sessions ORDER BY id DESC")
      else { return nil }
      let (manifest, provenance): (String, String) = (row[0], row[1])
      return Session(manifest: try JSON(parsing: manifest), provenance: try JSON(parsing: provenance))
    }
  }

  /// What is independent in the run's dataset. Runs of earlier versions do not say; there each example was taken for an image of its own.
  package func independentUnit() throws -> IndependentUnit {
    try read { try String.fetchOne($0, sql: "SELECT cluster_by FROM examples LIMIT 1") }.map(IndependentUnit.init)
      ?? .image
  }

  /// How many images or clusters the dataset has; nil in runs of earlier versions.
  package func independentUnits() throws -> Int? {
    let count = try read { try Int.fetchOne($0, sql: "SELECT count(DISTINCT cluster) FROM examples") } ?? 0
    return count == 0 ? nil : count
  }

  /// The instruction sets on which the sessions ran, sorted.
  package func instructionSets() throws -> [String] {
    try read { connection in
      let path = "json_extract(provenance, '$.fingerprints.instruction_set')"
      return try String.fetchAll(
        connection, sql: "SELECT DISTINCT \(path) FROM sessions WHERE \(path) IS NOT NULL ORDER BY 1")
    }
  }

  package struct FailedTrial: Sendable, Equatable {
    package var model: String
    package var example: String
    package var condition: String
    package var failure: TrialFailure
  }

  /// Trials whose last attempt failed, in the order in which they were run.
  package func failedTrials() throws -> [FailedTrial] {
    try read { connection in
      let rows = try Row.fetchAll(
        connection,
        sql: """
          SELECT model, example, condition, plugin, hook_point, reason FROM trials
          WHERE id IN (SELECT max(id) FROM trials GROUP BY key) AND status = 'failed' ORDER BY id
          """)
      return rows.map { row in
        FailedTrial(
          model: row[0], example: row[1], condition: row[2],
          failure: TrialFailure(plugin: row[3] ?? "", hookPoint: row[4] ?? "", reason: row[5] ?? ""))
      }
    }
  }

  package struct MeanRow: Sendable, Equatable {
    package var model: String
    package var condition: String
    package var probe: String
    package var metric: String
    package var mean: Double
    /// How many rows have a number.
    package var count: Int
  }

  /// Means of what is measured once per trial (no hook point, no token), in the order of the first rows.
  package func scalarMeans() throws -> [MeanRow] {
    try read { connection in
      let rows = try Row.fetchAll(
        connection,
        sql: """
          SELECT t.model, t.condition, m.probe, m.metric, avg(m.value), count(m.value)
          FROM measurements m JOIN trials t ON t.id = m.trial WHERE m.point = '' AND m.token IS NULL
          GROUP BY t.model, t.condition, m.probe, m.metric HAVING count(m.value) > 0 ORDER BY min(m.rowid)
          """)
      return rows.map { row in
        MeanRow(model: row[0], condition: row[1], probe: row[2], metric: row[3], mean: row[4], count: row[5])
      }
    }
  }

  package struct ReceiptNote: Sendable, Equatable {
    package var model: String
    package var condition: String
    package var plugin: String
    package var note: Note
    package var trials: Int
  }

  /// What receipts say in words, with the number of trials in which they say it.
  package func receiptNotes() throws -> [ReceiptNote] {
    try read { connection in
      let rows = try Row.fetchAll(
        connection,
        sql: """
          SELECT t.model, t.condition, r.plugin, r.note, count(DISTINCT t.key), r.note_kind
          FROM receipts r JOIN trials t ON t.id = r.trial WHERE r.note IS NOT NULL
          GROUP BY t.model, t.condition, r.position, r.plugin, r.note_kind, r.note ORDER BY min(r.rowid)
          """)
      return rows.map { row in
        let kind: String? = row[5]
        return ReceiptNote(
          model: row[0], condition: row[1], plugin: row[2],
          note: Note(kind.flatMap(Note.Kind.init) ?? .warning, row[3]), trials: row[4])
      }
    }
  }

  /// The plugins that matched nothing in any example, as `plugin (model, condition)`.
  package func idlePlugins() throws -> [String] {
    try read { connection in
      let rows = try Row.fetchAll(
        connection,
        sql: """
          SELECT r.plugin, t.model, t.condition FROM receipts r JOIN trials t ON t.id = r.trial
          GROUP BY t.model, t.condition, r.position, r.plugin HAVING sum(r.not_applicable) = count(*)
          ORDER BY min(r.rowid)
          """)
      return rows.map { row in
        let (plugin, model, condition): (String, String, String) = (row[0], row[1], row[2])
        return "\(plugin) (\(model), \(condition))"
      }
    }
  }

  /// Per example it is a counted `not_applicable`; in all of them it is an error.
  package func checkMatches(_ folder: RunFolder) throws {
    let idle = try idlePlugins()
    guard !idle.isEmpty else { return }
    throw ExperimentError.matchedNothing(folder: folder.path, plugins: idle)
  }

  package struct Totals: Sendable, Equatable {
    package var attempts: Int
    /// Trials that have at least one completed attempt.
    package var completed: Int
    /// Spent on trials, in all sessions.
    package var seconds: Double
  }

  package func totals() throws -> Totals {
    try read { connection in
      let completed = "SELECT count(DISTINCT key) FROM trials WHERE status = 'completed'"
      return Totals(
        attempts: try Int.fetchOne(connection, sql: "SELECT count(*) FROM trials") ?? 0,
        completed: try Int.fetchOne(connection, sql: completed) ?? 0,
        seconds: try Double.fetchOne(connection, sql: "SELECT coalesce(sum(milliseconds), 0) / 1000 FROM timings") ?? 0)
    }
  }
}

extension JSON {
  /// Reads JSON text that this program wrote.
  package init(parsing text: String) throws {
    guard let value = try ManifestNode.parse(text, file: "JSON").json() else {
      throw ExperimentError.store(path: "JSON", what: "a JSON text in the store is damaged")
    }
    self = value
  }
}

extension ManifestNode {
  /// The node as JSON, keys in their order.
  fileprivate func json() throws -> JSON? {
    switch node {
    case .mapping: .object(try namedChildren().map { ($0, try $1.value.json() ?? .null) })
    case .sequence: .array(try list().map { try $0.json() ?? .null })
    default: try scalar()?.json ?? .null
    }
  }
}
