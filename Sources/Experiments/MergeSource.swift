import GRDB

/// One model's rows of one store on their way into a merged one.
///
/// `expected` says which trials may come, in their order; `incoming` holds the attempts that do, under their new ids; `shared`
/// the readings that the merged store has already.
struct MergeSource {
  private let folder: RunFolder
  private let model: String

  init(_ folder: RunFolder, _ model: String) {
    self.folder = folder
    self.model = model
  }

  static func prepare(_ connection: Database) throws {
    try connection.execute(
      sql: """
        PRAGMA temp_store = MEMORY;
        CREATE TEMP TABLE expected (
          position INTEGER PRIMARY KEY, model TEXT, example TEXT, condition TEXT, UNIQUE (model, example, condition));
        CREATE TEMP TABLE incoming (id INTEGER PRIMARY KEY, source INTEGER, key TEXT, failed INTEGER);
        CREATE TEMP TABLE shared (
          source INTEGER, probe TEXT, key TEXT, ours INTEGER, PRIMARY KEY (source, probe)) WITHOUT ROWID;
        """)
  }

  static func expect(_ trials: [TrialName], _ connection: Database) throws {
    try connection.inTransaction {
      try connection.execute(sql: "DELETE FROM expected")
      let insert = try connection.cachedStatement(
        sql: "INSERT INTO expected (model, example, condition) VALUES (?, ?, ?)")
      for trial in trials { try insert.execute(arguments: [trial.model, trial.example, trial.condition]) }
      return .commit
    }
  }

  func append(to connection: Database) throws {
    try attached(to: connection) {
      try refuseStrangers(connection)
      try collect(connection)
      try refuseDifferences(connection)
      try insert(connection)
    }
  }

  /// Those that are not there yet: a source that is merged again has the same ones.
  func appendTimings(to connection: Database) throws {
    try attached(to: connection) {
      try connection.execute(
        sql: "INSERT INTO main.timings SELECT * FROM source.timings EXCEPT SELECT * FROM main.timings")
    }
  }

  /// What is independent of what; `MergedSessions` has seen that all sources are of one dataset.
  func appendExamples(to connection: Database) throws {
    try attached(to: connection) {
      try connection.execute(sql: "INSERT OR REPLACE INTO main.examples SELECT * FROM source.examples")
    }
  }

  /// SQLite attaches files outside of transactions only.
  private func attached(to connection: Database, _ body: () throws -> Void) throws {
    try connection.execute(sql: "ATTACH DATABASE ? AS source", arguments: [folder.store])
    defer { try? connection.execute(sql: "DETACH DATABASE source") }
    try connection.inTransaction {
      try body()
      return .commit
    }
  }

  private func refuseStrangers(_ connection: Database) throws {
    let stranger = try Row.fetchOne(
      connection,
      sql: """
        SELECT example, condition FROM source.trials t WHERE model = ? AND NOT EXISTS (
          SELECT 1 FROM expected e
          WHERE e.model = t.model AND e.example = t.example AND e.condition = t.condition)
        """, arguments: [model])
    guard let stranger else { return }
    let (example, condition): (String, String) = (stranger[0], stranger[1])
    throw ExperimentError.shards(
      folder: folder.path, what: "a trial that the shard list does not have here: \(model), \(example), \(condition)",
      remedy: "the folder belongs to another run: take it away", exit: .badData)
  }

  /// New attempts go to `incoming`. A failure goes there only if the merged store has nothing better and not the same one.
  private func collect(_ connection: Database) throws {
    try connection.execute(
      sql: """
        DELETE FROM incoming;
        DELETE FROM shared;
        INSERT INTO incoming
          SELECT (SELECT coalesce(max(id), 0) FROM main.trials) + row_number() OVER (ORDER BY e.position, t.id),
            t.id, t.key, t.status = 'failed'
          FROM source.trials t JOIN expected e USING (model, example, condition);
        INSERT INTO shared
          SELECT i.source, r.probe, i.key, max(t.id) FROM incoming i
          JOIN main.trials t ON t.key = i.key JOIN source.readings r ON r.trial = i.source
          JOIN main.readings o ON o.trial = t.id AND o.probe = r.probe GROUP BY i.source, r.probe;
        DELETE FROM incoming WHERE failed AND EXISTS (
          SELECT 1 FROM main.trials t JOIN source.trials s ON s.id = incoming.source WHERE t.key = incoming.key
            AND (t.status = 'completed'
              OR (t.plugin, t.hook_point, t.reason) IS (s.plugin, s.hook_point, s.reason)));
        """)
  }

  /// Equal values for one reading of one trial are accepted, others are not.
  private func refuseDifferences(_ connection: Database) throws {
    guard try Bool.fetchOne(connection, sql: "SELECT count(*) > 0 FROM shared") == true else { return }
    func rows(_ store: String, _ trial: String) -> String {
      """
      SELECT s.key, m.probe, m.point, m.token, m.label, m.metric, +m.value AS value  -- of no type, so that a count stays one
        FROM shared s JOIN \(store).measurements m ON m.trial = s.\(trial) AND m.probe = s.probe
        WHERE m.value IS NOT NULL OR m.text IS NULL
      UNION ALL
      SELECT s.key, m.probe, m.point, m.token, m.label, m.metric || ' in words', m.text
        FROM shared s JOIN \(store).measurements m ON m.trial = s.\(trial) AND m.probe = s.probe WHERE m.text IS NOT NULL
      UNION ALL
      SELECT s.key, s.probe, '', NULL, NULL, 'number of rows', count(*)
        FROM shared s JOIN \(store).measurements m ON m.trial = s.\(trial) AND m.probe = s.probe GROUP BY s.key, s.probe
      """
    }
    try connection.execute(
      sql: """
        CREATE TEMP TABLE ours AS \(rows("main", "ours"));
        CREATE TEMP TABLE theirs AS \(rows("source", "source"));
        CREATE TEMP TABLE differing AS
          SELECT 0 AS side, * FROM (SELECT * FROM ours EXCEPT SELECT * FROM theirs)
          UNION ALL SELECT 1, * FROM (SELECT * FROM theirs EXCEPT SELECT * FROM ours);
        DROP TABLE ours;
        DROP TABLE theirs;
        """)
    defer { try? connection.execute(sql: "DROP TABLE differing") }
    let trials = try Int.fetchOne(connection, sql: "SELECT count(DISTINCT key) FROM differing") ?? 0
    guard trials > 0 else { return }
    throw ExperimentError.conflict(
      folder: folder.path, trials: trials, first: try firstDifference(connection) ?? "")
  }

  /// `demo, 0.png, clean: lens at text.0.resid_post, token 3, 'leg', rank is 2.0, was 1.0`
  private func firstDifference(_ connection: Database) throws -> String? {
    let sql = "SELECT * FROM differing ORDER BY key, probe, point, token, label, metric, side LIMIT 1"
    guard let row = try Row.fetchOne(connection, sql: sql) else { return nil }
    let (key, probe, point, metric): (String, String, String, String) = (row[1], row[2], row[3], row[6])
    let token: Int? = row["token"]
    let label: String? = row["label"]
    func value(_ side: Int) throws -> String {
      let values = try DatabaseValue.fetchAll(
        connection,
        sql: """
          SELECT value FROM differing WHERE side = ? AND key = ? AND probe = ? AND point = ? AND token IS ? AND label IS ?
            AND metric = ?
          """, arguments: [side, key, probe, point, token, label, metric])
      return values.isEmpty ? "absent" : values.map(\.words).joined(separator: " and ")
    }
    let trial = try Row.fetchOne(
      connection, sql: "SELECT model, example, condition FROM main.trials WHERE key = ?", arguments: [key])
    let names = trial.map { row in (0..<3).map { row[$0] as String }.joined(separator: ", ") } ?? key
    let place = [point.isEmpty ? nil : "at \(point)", token.map { "token \($0)" }, label.map { "'\($0)'" }]
    let words = ([probe] + place.compactMap(\.self) + [metric]).joined(separator: ", ")
    return try "\(names): \(words) is \(value(1)), and \(value(0)) elsewhere"
  }

  /// Readings that are there already are left out, and with them the attempts that have no other.
  private func insert(_ connection: Database) throws {
    let isNew = "NOT EXISTS (SELECT 1 FROM shared s WHERE s.source = i.source AND s.probe = x.probe)"
    try connection.execute(
      sql: """
        DELETE FROM incoming WHERE source IN (SELECT source FROM shared) AND NOT EXISTS (
          SELECT 1 FROM source.readings r WHERE r.trial = incoming.source AND NOT EXISTS (
            SELECT 1 FROM shared s WHERE s.source = r.trial AND s.probe = r.probe));
        INSERT INTO main.trials
          SELECT i.id, x.key, x.model, x.example, x.class, x.condition, x.status, x.plugin, x.hook_point, x.reason
          FROM incoming i JOIN source.trials x ON x.id = i.source ORDER BY i.id;
        INSERT INTO main.readings
          SELECT i.id, x.probe, x.digest FROM incoming i JOIN source.readings x ON x.trial = i.source
          WHERE \(isNew) ORDER BY i.id, x.probe;
        INSERT INTO main.measurements
          SELECT i.id, x.probe, x.point, x.token, x.label, x.metric, x.value, x.text
          FROM incoming i JOIN source.measurements x ON x.trial = i.source WHERE \(isNew) ORDER BY i.id, x.rowid;
        INSERT INTO main.receipts
          SELECT i.id, x.position, x.plugin, x.points, x.visits_planned, x.visits_made, x.rows_changed,
            x.elements_changed, x.largest_change, x.reachable, x.not_applicable, x.note, x.note_kind
          FROM incoming i JOIN source.receipts x ON x.trial = i.source ORDER BY i.id, x.rowid;
        """)
  }
}

extension DatabaseValue {
  /// A measurement's value in a message.
  fileprivate var words: String {
    switch storage {
    case .double(let number): "\(number)"
    case .int64(let number): "\(number)"
    case .string(let text): "'\(text)'"
    case .blob, .null: "no number"
    }
  }
}
