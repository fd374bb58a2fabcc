import Diagnostics
import Foundation
import GRDB

/// The rows of a run, in one SQLite file. Rows are appended, never changed.
///
/// One process writes (see `RunLock`), in one transaction per example's batch of conditions. The journal is SQLite's
/// rollback journal with full synchronisation: an acknowledged row outlives a crash of the process or of the machine, the
/// file is complete by itself at every moment, and it works on network file systems, where a write-ahead log does not.
/// Nothing that a clock gives stands in a row of results: `timings` and `sessions` are beside them.
package struct RunStore: Sendable {
  private let database: DatabaseQueue
  package let path: String

  /// - Parameters:
  ///   - readOnly: for reports, also while a run is writing. A file that may be written is still opened for writing:
  ///     only so can SQLite take back what a killed run left half-done, and an older schema become this one.
  ///   - isDurable: false for a file that is made beside its place and thrown away if anything fails: no journal, no
  ///     synchronisation.
  ///   - pageLimit: the file grows no further than so many pages; a test's way to a full disk.
  package init(path: String, readOnly: Bool = false, isDurable: Bool = true, pageLimit: Int? = nil) throws {
    self.path = path
    var configuration = Configuration()
    configuration.readonly = readOnly && !FileManager.default.isWritableFile(atPath: path)
    configuration.busyMode = .timeout(10)
    configuration.prepareDatabase { connection in
      if !readOnly { try connection.execute(sql: "PRAGMA synchronous = \(isDurable ? "FULL" : "OFF")") }
      if !isDurable { try connection.execute(sql: "PRAGMA journal_mode = OFF") }
      if let pageLimit { try connection.execute(sql: "PRAGMA max_page_count = \(pageLimit)") }
    }
    database = try RunStore.translating(path) { try DatabaseQueue(path: path, configuration: configuration) }
    try RunStore.translating(path) { [database] in
      let applied = try database.read(RunStore.applied)
      if let later = applied.subtracting(RunStore.schema.map(\.version)).min() {
        throw ExperimentError.store(path: path, what: "written by a later version of ablate (schema '\(later)')")
      }
      if applied.count == RunStore.schema.count { return }
      if readOnly, applied.isEmpty { throw ExperimentError.store(path: path, what: "not a run store") }
      if configuration.readonly {
        throw ExperimentError.store(
          path: path, what: "written by an earlier version of ablate: make it writable once, to be brought up to date")
      }
      try database.write(RunStore.update)
    }
  }

  /// The versions of the schema that a file has, in the table where GRDB's migrator kept them.
  private static func applied(_ connection: Database) throws -> Set<String> {
    guard try connection.tableExists("grdb_migrations") else { return [] }
    return try String.fetchSet(connection, sql: "SELECT identifier FROM grdb_migrations")
  }

  /// In one transaction, which looks again at what is there: a report may open the file while a run makes it. GRDB's migrator takes a
  /// transaction for each version and does not look again.
  private static func update(_ connection: Database) throws {
    try connection.execute(
      sql: "CREATE TABLE IF NOT EXISTS grdb_migrations (identifier TEXT NOT NULL PRIMARY KEY)")
    let applied = try applied(connection)
    for (version, statements) in schema where !applied.contains(version) {
      for statement in statements { try connection.execute(sql: statement) }
      try connection.execute(sql: "INSERT INTO grdb_migrations VALUES (?)", arguments: [version])
    }
  }

  /// Runs `body` with SQLite's errors translated to this module's.
  private static func translating<T>(_ path: String, _ body: () throws -> T) throws -> T {
    do {
      return try body()
    } catch let error as DatabaseError {
      if error.resultCode == .SQLITE_FULL { throw ExperimentError.diskFull(folder: path, done: 0, total: 0) }
      throw ExperimentError.store(path: path, what: error.message ?? "SQLite error \(error.resultCode.rawValue)")
    }
  }

  package func write<T>(_ body: (Database) throws -> T) throws -> T {
    try RunStore.translating(path) { try database.write(body) }
  }

  /// For statements that SQLite refuses inside of a transaction.
  func withoutTransaction(_ body: (Database) throws -> Void) throws {
    try RunStore.translating(path) { try database.writeWithoutTransaction(body) }
  }

  /// The file is no longer used by this process; what is asked later fails.
  func close() { try? database.close() }

  package func read<T>(_ body: (Database) throws -> T) throws -> T {
    try RunStore.translating(path) { try database.read(body) }
  }
}

extension RunStore {
  /// Version by version. A landed version is never edited.
  private static let schema: [(version: String, statements: [String])] = [
    ("1", schema1), ("2", schema2), ("3", schema3), ("4", schema4),
  ]

  private static let schema4 = [
    """
    CREATE TABLE examples (          -- what is independent of what, as the dataset of the last session has it
      example TEXT PRIMARY KEY,
      cluster TEXT NOT NULL,         -- examples of one cluster are not independent of each other
      cluster_by TEXT NOT NULL       -- 'image': its content; else the dataset's key that names the cluster
    ) WITHOUT ROWID
    """
  ]

  private static let schema2 = [
    // Of a reading in words, such as the words that a lens reads first; its value is NULL.
    "ALTER TABLE measurements ADD COLUMN text TEXT"
  ]

  private static let schema3 = [
    // 'fact', 'omission' or 'warning'; of older rows as far as their wording tells.
    "ALTER TABLE receipts ADD COLUMN note_kind TEXT",
    """
    UPDATE receipts SET note_kind = CASE WHEN note LIKE 'read %' THEN 'fact'
      WHEN note LIKE '% not matched: %' OR note LIKE '%does not rank what is not one token: %' THEN 'omission'
      ELSE 'warning' END WHERE note IS NOT NULL
    """,
  ]

  private static let schema1 = [
    """
    CREATE TABLE sessions (          -- one row per start of `ablate run` in this folder
      id INTEGER PRIMARY KEY,
      manifest TEXT NOT NULL,        -- resolved, JSON
      provenance TEXT NOT NULL       -- JSON
    )
    """,
    """
    CREATE TABLE engines (           -- what computed: one row per session and model
      session INTEGER NOT NULL REFERENCES sessions (id),
      model TEXT NOT NULL,
      facts TEXT NOT NULL            -- JSON: kernels, threads
    )
    """,
    """
    CREATE TABLE trials (            -- one row per attempt; a retried failure adds one
      id INTEGER PRIMARY KEY,
      key TEXT NOT NULL,             -- SHA-256 over everything that the numbers depend on
      model TEXT NOT NULL,
      example TEXT NOT NULL,
      class TEXT,
      condition TEXT NOT NULL,
      status TEXT NOT NULL CHECK (status IN ('completed', 'failed')),
      plugin TEXT,                   -- of a failure: who, where and why
      hook_point TEXT,
      reason TEXT
    )
    """,
    "CREATE INDEX trials_by_key ON trials (key)",
    """
    CREATE TABLE readings (          -- which probes and built-in readings an attempt has answered
      trial INTEGER NOT NULL REFERENCES trials (id),
      probe TEXT NOT NULL,
      digest TEXT NOT NULL,          -- of the probe's plugin and parameters
      PRIMARY KEY (trial, probe)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE measurements (
      trial INTEGER NOT NULL REFERENCES trials (id),
      probe TEXT NOT NULL,
      point TEXT NOT NULL,           -- hook point, '' for readings without one
      token INTEGER,                 -- position in the sequence or patch grid
      label TEXT,
      metric TEXT NOT NULL,
      value REAL                     -- NULL: not a number
    )
    """,
    "CREATE INDEX measurements_by_trial ON measurements (trial)",
    """
    CREATE TABLE receipts (          -- what each plugin of the trial's condition, and each probe, did
      trial INTEGER NOT NULL REFERENCES trials (id),
      position INTEGER NOT NULL,     -- in the condition's list of steps, then among the probes
      plugin TEXT NOT NULL,
      points TEXT NOT NULL,
      visits_planned INTEGER NOT NULL,
      visits_made INTEGER NOT NULL,
      rows_changed INTEGER NOT NULL,
      elements_changed INTEGER NOT NULL,
      largest_change REAL,           -- NULL: not finite, as for a dropped edge
      reachable INTEGER NOT NULL,
      not_applicable INTEGER NOT NULL,
      note TEXT
    )
    """,
    "CREATE INDEX receipts_by_trial ON receipts (trial)",
    """
    CREATE TABLE timings (           -- one row per batch; not part of the results
      model TEXT NOT NULL,
      example TEXT NOT NULL,
      trials INTEGER NOT NULL,
      milliseconds REAL NOT NULL
    )
    """,
  ]
}
