import Diagnostics
import GRDB

/// A run's numbers in tables that several people share: `ablate export RUN --to postgres://...`.
///
/// Rows stand under the trial's key, which covers all that their numbers depend on. What is there already with equal values
/// is left alone, so that exporting again, or the same study of a colleague, changes nothing; other values are refused.
/// Everything happens in one transaction.
package struct PostgresExport {
  private let run: RunFolder
  private let store: RunStore
  private let study: String
  private let instructionSets: String

  package struct Outcome: Sendable, Equatable {
    package var measurements: Int
    package var added: Int
  }

  package init(_ run: RunFolder, _ store: RunStore) throws {
    self.run = run
    self.store = store
    guard let session = try store.lastSession() else {
      throw ExperimentError.noRun(folder: run.path, what: "the run store is empty")
    }
    study = session.manifest["name"]?.text ?? ""
    instructionSets = try store.instructionSets().joined(separator: " ")
  }

  private static let tables = """
    CREATE TABLE IF NOT EXISTS ablate_trials (
      study text, key text, instruction_set text, model text NOT NULL, example text NOT NULL, class text,
      condition text NOT NULL, status text NOT NULL, plugin text, hook_point text, reason text,
      PRIMARY KEY (study, key, instruction_set));
    CREATE TABLE IF NOT EXISTS ablate_measurements (
      study text, key text, instruction_set text, probe text, digest text, ordinal integer,
      model text NOT NULL, example text NOT NULL, class text, condition text NOT NULL,
      point text NOT NULL, token integer, label text, metric text NOT NULL, value double precision,
      PRIMARY KEY (study, key, instruction_set, probe, digest, ordinal));
    CREATE TEMP TABLE incoming_trials (LIKE ablate_trials) ON COMMIT DROP;
    CREATE TEMP TABLE incoming (LIKE ablate_measurements) ON COMMIT DROP;
    """

  /// - Throws: `database`: what the server says, or values that differ from those that are there.
  package func send(to address: String) throws -> Outcome {
    let server = try PostgresConnection(address)
    // Two first exports at once would both make the tables; the second waits here for the first.
    try server.run("SET client_min_messages = warning; BEGIN; SELECT pg_advisory_xact_lock(4702111)")
    try server.run(PostgresExport.tables)
    try server.copy(to: "incoming_trials", trials)
    try server.copy(to: "incoming", measurements)
    try refuseDifferences(server, address)
    // A failure gives way to a completed attempt, and to nothing else.
    try server.run(
      """
      INSERT INTO ablate_trials SELECT * FROM incoming_trials
        ON CONFLICT (study, key, instruction_set) DO UPDATE SET status = EXCLUDED.status, plugin = NULL,
          hook_point = NULL, reason = NULL
        WHERE ablate_trials.status = 'failed' AND EXCLUDED.status = 'completed'
      """)
    let total = try server.run("SELECT count(*) FROM incoming").flatMap { Int($0) } ?? 0
    let added = try server.run(
      """
      WITH new AS (INSERT INTO ablate_measurements SELECT * FROM incoming ON CONFLICT DO NOTHING RETURNING 1)
      SELECT count(*) FROM new
      """)
    try server.run("COMMIT")
    return Outcome(measurements: total, added: added.flatMap { Int($0) } ?? 0)
  }

  private func refuseDifferences(_ server: PostgresConnection, _ address: String) throws {
    let first = try server.run(
      """
      SELECT concat_ws(', ', i.model, i.example, i.condition, i.probe, i.point, i.metric)
        || ' is ' || coalesce(i.value::text, 'no number') || ' here and ' || coalesce(m.value::text, 'no number') || ' there'
      FROM incoming i JOIN ablate_measurements m USING (study, key, instruction_set, probe, digest, ordinal)
      WHERE (i.point, i.token, i.label, i.metric, i.value) IS DISTINCT FROM (m.point, m.token, m.label, m.metric, m.value)
      ORDER BY i.key, i.probe, i.ordinal LIMIT 1
      """)
    guard let first else { return }
    throw ExperimentError.database(
      place: PostgresConnection.withoutPassword(address),
      what: "the table has other values for trials of this run, and nothing was stored; first: \(first)",
      remedy: "find out which run is wrong; rows are deleted with SQL", exit: .badData)
  }

  /// The last attempt at each trial, and the completed one if there is one.
  private func trials(_ row: ([String?]) throws -> Void) throws {
    try store.read { connection in
      let rows = try Row.fetchCursor(
        connection,
        sql: """
          SELECT key, model, example, class, condition, status, plugin, hook_point, reason, max(status = 'completed'), max(id)
          FROM trials GROUP BY key ORDER BY max(id)
          """)
      while let trial = try rows.next() {
        let texts = (0..<9).map { trial[$0] as String? }
        try row([study, texts[0], instructionSets] + texts[1...])
      }
    }
  }

  private func measurements(_ row: ([String?]) throws -> Void) throws {
    try store.read { connection in
      let rows = try Row.fetchCursor(
        connection,
        sql: """
          SELECT t.key, m.probe, r.digest,
            CAST(row_number() OVER (PARTITION BY m.trial, m.probe ORDER BY m.rowid) AS TEXT),
            t.model, t.example, t.class, t.condition, m.point, CAST(m.token AS TEXT), coalesce(m.label, m.text), m.metric, m.value
          FROM measurements m JOIN trials t ON t.id = m.trial JOIN readings r ON r.trial = m.trial AND r.probe = m.probe
          WHERE m.value IS NOT NULL OR m.text IS NULL
          """)
      while let measured = try rows.next() {
        let texts = (0..<12).map { measured[$0] as String? }
        let value: Double? = measured[12]
        try row([study, texts[0], instructionSets] + texts[1...] + [value.map { "\($0)" }])
      }
    }
  }
}
