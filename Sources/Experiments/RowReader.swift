import GRDB

/// One number, or one reading in words, of a run with the names of its trial: what is exported.
package struct StoredRow: Sendable, Equatable {
  package var model: String
  package var example: String
  package var className: String?
  /// What the example belongs to that is independent of the others.
  package var cluster: String
  package var condition: String
  package var probe: String
  package var point: String
  package var token: Int?
  package var label: String?
  package var metric: String
  /// nil: not a number.
  package var value: Double?
  package var text: String?

  package static let columns = [
    "model", "example", "class", "cluster", "condition", "probe", "point", "token", "label", "metric", "value",
    "text",
  ]

  package static let textColumns = columns.filter { $0 != "token" && $0 != "value" }

  /// The columns that are text, in the order of `textColumns`.
  package var texts: [String?] { [model, example, className, cluster, condition, probe, point, label, metric, text] }
}

extension RunStore {
  /// Every number of the run, in the order in which they were stored, without holding them all.
  package func forEachRow(_ body: (StoredRow) throws -> Void) throws {
    try read { connection in
      let rows = try Row.fetchCursor(
        connection,
        sql: """
          SELECT t.model, t.example, t.class, coalesce(e.cluster, t.example), t.condition, m.probe, m.point, m.token, m.label, m.metric, m.value,
            m.text
          FROM measurements m JOIN trials t ON t.id = m.trial LEFT JOIN examples e USING (example) ORDER BY m.rowid
          """)
      while let row = try rows.next() {
        try body(
          StoredRow(
            model: row[0], example: row[1], className: row[2], cluster: row[3], condition: row[4], probe: row[5],
            point: row[6], token: row[7], label: row[8], metric: row[9], value: row[10], text: row[11]))
      }
    }
  }
}
