import Diagnostics
import GRDB

/// A trial by its names.
package struct TrialName: Hashable, Sendable {
  package var model: String
  package var example: String
  package var condition: String
}

extension ShardList {
  /// The trials of a shard in the plan's order.
  package func trials(ofShard number: Int, _ manifest: Manifest) -> [TrialName] {
    manifest.models.flatMap { model in
      shards[number - 1].examples.flatMap { example in
        manifest.conditions.map { TrialName(model: model.name, example: example, condition: $0.name) }
      }
    }
  }

  /// The trials of a shard that none of its attempts has settled.
  package func missing(inShard number: Int, of folder: RunFolder, _ manifest: Manifest) throws -> [TrialName] {
    let settled = try folder.attempts(ofShard: number).reduce(into: Set<TrialName>()) { settled, attempt in
      settled.formUnion(try RunStore(path: attempt.store, readOnly: true).settled(manifest.passReadings))
    }
    return trials(ofShard: number, manifest).filter { !settled.contains($0) }
  }
}

extension RunStore {
  /// The trials that need no more passes: they have all `readings`, or their last attempt failed.
  func settled(_ readings: [String]) throws -> Set<TrialName> {
    try read { connection in
      let rows = try Row.fetchCursor(
        connection,
        sql: """
          SELECT model, example, condition FROM trials t
          LEFT JOIN readings r ON r.trial = t.id AND r.probe IN (SELECT value FROM json_each(?))
          GROUP BY t.key HAVING count(DISTINCT r.probe) = ? OR t.key IN (
            SELECT key FROM trials WHERE id IN (SELECT max(id) FROM trials GROUP BY key) AND status = 'failed')
          """, arguments: [JSON.strings(readings).compact, readings.count])
      var settled: Set<TrialName> = []
      while let row = try rows.next() {
        settled.insert(TrialName(model: row[0], example: row[1], condition: row[2]))
      }
      return settled
    }
  }
}
