import Diagnostics
import GRDB

/// The receipts of one plugin of one condition (or of one probe) over all trials of a model.
package struct ReceiptTotal: Sendable, Equatable {
  package var model: String
  package var condition: String
  package var plugin: String
  package var points: String
  package var trials: Int
  package var visitsPlanned: Int
  package var visitsMade: Int
  package var rowsChanged: Int
  package var elementsChanged: Int
  /// The largest of all trials; nil where it is not finite, as for a dropped edge.
  package var largestChange: Double?
  /// Trials in which nothing that was read depends on what it changed.
  package var unreachable: Int
  package var notApplicable: Int
}

extension RunStore {
  /// In the order of the first trials.
  package func receiptTotals() throws -> [ReceiptTotal] {
    try read { connection in
      let rows = try Row.fetchAll(
        connection,
        sql: """
          SELECT t.model, t.condition, r.plugin, r.points, count(*), sum(r.visits_planned), sum(r.visits_made),
            sum(r.rows_changed), sum(r.elements_changed),
            CASE WHEN count(r.largest_change) = count(*) THEN max(r.largest_change) END,
            sum(NOT r.reachable), sum(r.not_applicable)
          FROM receipts r JOIN trials t ON t.id = r.trial
          GROUP BY t.model, t.condition, r.position, r.plugin, r.points ORDER BY min(r.rowid)
          """)
      return rows.map { row in
        ReceiptTotal(
          model: row[0], condition: row[1], plugin: row[2], points: row[3], trials: row[4], visitsPlanned: row[5],
          visitsMade: row[6], rowsChanged: row[7], elementsChanged: row[8], largestChange: row[9], unreachable: row[10],
          notApplicable: row[11])
      }
    }
  }

  /// What computed, by model, one object per session that ran it.
  package func engineFacts() throws -> [(model: String, facts: JSON)] {
    try read { connection in
      try Row.fetchAll(connection, sql: "SELECT DISTINCT model, facts FROM engines ORDER BY session, model")
        .map { row -> (String, String) in (row[0], row[1]) }
    }.map { ($0.0, try JSON(parsing: $0.1)) }
  }
}
