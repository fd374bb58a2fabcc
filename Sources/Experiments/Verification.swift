import Datasets
import Diagnostics
import Foundation
import GRDB
import Models

/// A sample of a run's completed trials computed again, each alone and without reuse, against the values in the store.
package struct Verification {
  private let plan: Plan
  private let folder: RunFolder
  private let store: RunStore
  /// In the order of the plan.
  private let trials: [Trial]

  package struct Outcome: Sendable, Equatable {
    package var trials: Int
    package var values: Int
    /// Whether values had to be equal bit for bit.
    package var isExact: Bool
  }

  /// - Parameters:
  ///   - sample: how many trials, picked by `seed`.
  /// - Throws: `changed` if the folder holds rows that today's manifest, models and plugins do not explain.
  package init(plan: Plan, folder: RunFolder, store: RunStore, sample: Int, seed: Int) throws {
    let strangers = try store.strangers(to: plan)
    guard strangers.isEmpty else { throw ExperimentError.changed(folder: folder.path, differences: strangers) }
    let stored = try store.completedKeys()
    let picked = plan.trials.map(\.key).filter(stored.contains)
      .sorted { SHA256.hex("\(seed) \($0)") < SHA256.hex("\(seed) \($1)") }.prefix(sample)
    guard !picked.isEmpty else { throw ExperimentError.noRun(folder: folder.path, what: "no trial is completed") }
    (self.plan, self.folder, self.store) = (plan, folder, store)
    trials = plan.trials.filter { picked.contains($0.key) }
  }

  /// - Parameter evaluator: of a model, without reuse.
  /// - Throws: `differs`, with the trials and their first value that is another one.
  package func run(_ evaluator: (ModelReference) throws -> ModelEvaluator) throws -> Outcome {
    var outcome = Outcome(trials: trials.count, values: 0, isExact: true)
    var differences: [String] = []
    for trial in trials {
      guard let model = plan.manifest.models.first(where: { $0.name == trial.model }),
        let example = plan.dataset.examples.first(where: { $0.id == trial.example })
      else { continue }
      var evaluator = try evaluator(model)
      let isExact = try evaluator.model.rowsAreInvariant()
      // What a probe has learned from other images is not in this trial's pass.
      let learned = Set(plan.manifest.probes.filter { $0.fit != nil }.map(\.name))
      let stored = try store.values(ofKey: trial.key).filter { !learned.contains($0.probe) }
      let probes = Set(stored.map(\.probe))
      let results = try evaluator.evaluate(example, conditions: [trial.condition], probes: plan.probes.map(\.name))
      let name = "\(trial.model), \(trial.example), \(trial.condition)"
      guard case .completed(let values, _)? = results.first?.result else {
        differences.append("\(name): failed")
        continue
      }
      let again = values.filter { probes.contains($0.probe) }
      if let difference = Verification.difference(stored, again, isExact: isExact) {
        differences.append("\(name): \(difference)")
      }
      outcome.values += stored.count
      outcome.isExact = outcome.isExact && isExact
    }
    guard differences.isEmpty else {
      throw ExperimentError.differs(folder: folder.path, trials: trials.count, differences: differences)
    }
    return outcome
  }

  /// The first value that is not the stored one, in words.
  static func difference(_ stored: [MeasuredValue], _ again: [MeasuredValue], isExact: Bool) -> String? {
    guard stored.count == again.count else { return "\(stored.count) values are stored, \(again.count) come out" }
    for (a, b) in zip(stored.sorted(by: MeasuredValue.inOrder), again.sorted(by: MeasuredValue.inOrder)) {
      let place = [a.probe, a.point, a.token.map { "row \($0)" } ?? "", a.label ?? "", a.metric].filter { !$0.isEmpty }
      guard a.place == b.place else { return "\(place.joined(separator: " ")) is stored and does not come out" }
      guard a.text == b.text else {
        return "\(place.joined(separator: " ")) is '\(a.text ?? "")' in the store and '\(b.text ?? "")' anew"
      }
      let isSame = a.value == b.value || a.value.isNaN && b.value.isNaN
      let isNear = abs(a.value - b.value) <= 1e-5 * max(1, abs(a.value))
      if !(isExact ? isSame : isNear || isSame) {
        return "\(place.joined(separator: " ")) is \(a.value) in the store and \(b.value) anew"
      }
    }
    return nil
  }
}

extension MeasuredValue {
  /// Where the value belongs; NULL sorts first.
  fileprivate var place: [String] {
    [probe, point, token.map { String(format: "%09d", $0) } ?? "", label ?? "", metric]
  }

  fileprivate static func inOrder(_ a: MeasuredValue, _ b: MeasuredValue) -> Bool {
    let (x, y) = (a.place, b.place)
    return x == y ? a.value < b.value : x.lexicographicallyPrecedes(y)
  }
}

extension RunStore {
  /// The manifest's path as the last session noted it.
  package func manifestPath(_ folder: RunFolder) throws -> String {
    guard case .string(let path)? = try lastSession()?.provenance["manifest"] else {
      throw ExperimentError.noRun(
        folder: folder.path, what: "the run does not say where its manifest is; give --manifest")
    }
    return path
  }

  /// Keys of the trials that have been completed.
  fileprivate func completedKeys() throws -> Set<String> {
    try read { try String.fetchSet($0, sql: "SELECT DISTINCT key FROM trials WHERE status = 'completed'") }
  }

  /// All values of a trial, from every attempt.
  fileprivate func values(ofKey key: String) throws -> [MeasuredValue] {
    try read { connection in
      let rows = try GRDB.Row.fetchAll(
        connection,
        sql: """
          SELECT m.probe, m.point, m.token, m.label, m.metric, m.value, m.text
          FROM measurements m JOIN trials t ON t.id = m.trial WHERE t.key = ? ORDER BY m.rowid
          """, arguments: [key])
      return rows.map { row in
        MeasuredValue(
          probe: row[0], point: row[1], token: row[2], label: row[3], metric: row[4], value: row[5] ?? .nan,
          text: row[6])
      }
    }
  }
}
