import GRDB

/// What one probe read of a part of an image (or of a whole example), in one trial at one hook point.
package struct PartReading: Sendable, Equatable {
  package var model: String
  package var condition: String
  package var example: String
  /// Of the example; nil where the dataset has none.
  package var className: String?
  /// Empty for readings that are taken once per trial.
  package var point: String
  /// Empty for readings that are taken once per trial.
  package var label: String
  /// The patches' places in the tower's sequence, ascending; empty for readings without one.
  package var tokens: [Int]
  /// One stored value per token.
  package var values: [Double]
}

extension RunStore {
  /// The numbers of one metric of one probe, part by part. Rows without a number are left out. Sorted, so that nothing
  /// made of them depends on the order in which they were computed.
  package func partReadings(probe: String, metric: String) throws -> [PartReading] {
    try read { connection in
      let rows = try Row.fetchCursor(
        connection,
        sql: """
          SELECT t.model, t.condition, t.example, t.class, m.point, CASE m.point WHEN '' THEN '' ELSE coalesce(m.label, '') END AS part,
            m.token, m.value, m.trial
          FROM measurements m JOIN trials t ON t.id = m.trial
          WHERE m.probe = ? AND m.metric = ? AND m.value IS NOT NULL
          ORDER BY t.model, t.condition, t.example, m.point, part, m.trial, m.token
          """, arguments: [probe, metric])
      var readings: [PartReading] = []
      var last: (trial: Int64, point: String, label: String)?
      while let row = try rows.next() {
        let place: (trial: Int64, point: String, label: String) = (row[8], row[4], row[5])
        if last.map({ $0 == place }) != true {
          readings.append(
            PartReading(
              model: row[0], condition: row[1], example: row[2], className: row[3], point: place.point,
              label: place.label, tokens: [], values: []))
          last = place
        }
        if let token: Int = row[6] { readings[readings.count - 1].tokens.append(token) }
        readings[readings.count - 1].values.append(row[7])
      }
      return readings
    }
  }

  /// How many rows of each metric hold no number, in words; they are in no mean, and pairs with them are unmatched.
  package func missingNumbers() throws -> [String] {
    try read { connection in
      let rows = try Row.fetchAll(
        connection,
        sql: """
          SELECT probe, metric, count(*), count(DISTINCT trial) FROM measurements WHERE value IS NULL
          GROUP BY probe, metric ORDER BY probe, metric
          """)
      return rows.map { row in
        let (probe, metric, count, trials): (String, String, Int, Int) = (row[0], row[1], row[2], row[3])
        return "\(probe): '\(metric)' is not a number in \(count) rows of \(trials) trials, which are left out"
      }
    }
  }
}
