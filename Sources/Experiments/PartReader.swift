import GRDB

/// What one probe read of a part of an image (or of a whole example), in one trial at one hook point.
package struct PartReading: Sendable, Equatable {
  package var model: String
  package var condition: String
  package var example: String
  /// What the example belongs to that is independent of the others.
  package var cluster: String
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

/// The words that a lens reads first at the patches of a part, under one condition at one hook point.
package struct PartWords: Sendable, Equatable {
  package var condition: String
  package var point: String
  /// Of each patch, in the order of the sequence, best first.
  package var patches: [[String]]
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
            m.token, m.value, m.trial, coalesce(e.cluster, t.example)
          FROM measurements m JOIN trials t ON t.id = m.trial LEFT JOIN examples e USING (example)
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
              model: row[0], condition: row[1], example: row[2], cluster: row[9], className: row[3], point: place.point,
              label: place.label, tokens: [], values: []))
          last = place
        }
        if let token: Int = row[6] { readings[readings.count - 1].tokens.append(token) }
        readings[readings.count - 1].values.append(row[7])
      }
      return readings
    }
  }

  /// The words that a probe's `word_1`, `word_2`, ... name for one part of one example.
  package func partWords(model: String, example: String, probe: String, label: String) throws -> [PartWords] {
    try read { connection in
      let rows = try Row.fetchCursor(
        connection,
        sql: """
          SELECT t.condition, m.point, m.token, m.text FROM measurements m JOIN trials t ON t.id = m.trial
          WHERE t.model = ? AND t.example = ? AND m.probe = ? AND m.label = ? AND m.metric GLOB 'word_*' AND m.text IS NOT NULL
          ORDER BY t.condition, m.point, m.trial, m.token, m.rowid
          """, arguments: [model, example, probe, label])
      var found: [PartWords] = []
      var last: Int?
      while let row = try rows.next() {
        let (condition, point, token): (String, String, Int?) = (row[0], row[1], row[2])
        if found.last?.condition != condition || found.last?.point != point {
          found.append(PartWords(condition: condition, point: point, patches: [[]]))
        } else if token != last {
          found[found.count - 1].patches.append([])
        }
        let (part, patch) = (found.count - 1, found[found.count - 1].patches.count - 1)
        found[part].patches[patch].append(row[3])
        last = token
      }
      return found
    }
  }

  /// How many rows of each metric hold no number, in words; they are in no mean, and pairs with them are unmatched.
  package func missingNumbers() throws -> [String] {
    try read { connection in
      let rows = try Row.fetchAll(
        connection,
        sql: """
          SELECT probe, metric, count(*), count(DISTINCT trial) FROM measurements WHERE value IS NULL AND text IS NULL
          GROUP BY probe, metric ORDER BY probe, metric
          """)
      return rows.map { row in
        let (probe, metric, count, trials): (String, String, Int, Int) = (row[0], row[1], row[2], row[3])
        return "\(probe): '\(metric)' is not a number in \(count) rows of \(trials) trials, which are left out"
      }
    }
  }
}
