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
    /// Of probes that learn: the examples whose rows were learned anew, and the fits that this took.
    package var learned: [String] = []
    package var fits = 0
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

  /// - Parameters:
  ///   - scratch: an empty folder, for what probes learn again.
  ///   - evaluator: of a model, without reuse.
  /// - Throws: `differs`, with the trials and their first value that is another one.
  package func run(
    learningIn scratch: RunFolder, _ evaluator: (ModelReference) throws -> ModelEvaluator
  ) throws -> Outcome {
    var outcome = Outcome(trials: trials.count, values: 0, isExact: true)
    var differences: [String] = []
    for trial in trials {
      guard let model = plan.manifest.models.first(where: { $0.name == trial.model }),
        let example = plan.dataset.examples.first(where: { $0.id == trial.example })
      else { continue }
      var evaluator = try evaluator(model)
      let isExact = try evaluator.model.rowsAreInvariant()
      // What a probe has learned from other images is not in this trial's pass.
      let stored = try store.values(ofKey: trial.key).filter { !learning.contains($0.probe) }
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
    for model in plan.manifest.models where !learning.isEmpty {
      differences += try learnAgain(model, in: scratch, evaluator(model), &outcome)
    }
    guard differences.isEmpty else {
      throw ExperimentError.differs(folder: folder.path, trials: trials.count, differences: differences)
    }
    return outcome
  }

  /// Names of the probes that learn.
  private var learning: Set<String> { Set(plan.manifest.probes.filter { $0.fit != nil }.map(\.name)) }

  /// The first of a model's trials whose example all probes have learned about, under all sampled conditions: one fold, learned anew.
  ///
  /// - Returns: what differs, in words.
  private func learnAgain(
    _ model: ModelReference, in scratch: RunFolder, _ concrete: ModelEvaluator, _ outcome: inout Outcome
  ) throws -> [String] {
    let sampled = trials.filter { $0.model == model.name }
    guard let example = plan.dataset.examples.first(where: { $0.id == sampled.first?.example }) else { return [] }
    let conditions = plan.manifest.conditions.map(\.name).filter { name in sampled.contains { $0.condition == name } }
    var evaluator: any Evaluator = concrete
    let isExact = try concrete.model.rowsAreInvariant()
    var runner = try LearningRunner(plan, store, scratch, model: model.name, evaluator: evaluator)
    let again = try runner.again(example, conditions: conditions, &evaluator)
    outcome.learned.append("\(model.name), \(example.id)")
    outcome.fits += runner.fits.made
    return try plan.trials.compactMap { trial in
      guard trial.model == model.name, trial.example == example.id, conditions.contains(trial.condition) else {
        return nil
      }
      let stored = try store.values(ofKey: trial.key).filter { learning.contains($0.probe) }
      outcome.values += stored.count
      let difference = Verification.difference(
        Verification.comparable(stored, isExact), Verification.comparable(again[trial.key] ?? [], isExact),
        isExact: isExact, bound: Verification.learnedBound)
      return difference.map { "\(trial.model), \(trial.example), \(trial.condition): \($0)" }
    }
  }

  /// Where activations are equal within a bound only, a fit on them may tip a class to the other side of an edge: then only what is
  /// continuous in them is compared, log-probabilities within a hundredth of a nat.
  private static func comparable(_ values: [MeasuredValue], _ isExact: Bool) -> [MeasuredValue] {
    isExact ? values : values.filter { $0.metric == "logprob" }
  }

  private static let learnedBound = 1e-2

  /// The first value that is not the stored one, in words.
  static func difference(
    _ stored: [MeasuredValue], _ again: [MeasuredValue], isExact: Bool, bound: Double = 1e-5
  ) -> String? {
    guard stored.count == again.count else { return "\(stored.count) values are stored, \(again.count) come out" }
    for (a, b) in zip(stored.sorted(by: MeasuredValue.inOrder), again.sorted(by: MeasuredValue.inOrder)) {
      let place = [a.probe, a.point, a.token.map { "row \($0)" } ?? "", a.label ?? "", a.metric].filter { !$0.isEmpty }
      guard a.place == b.place else { return "\(place.joined(separator: " ")) is stored and does not come out" }
      guard a.text == b.text else {
        return "\(place.joined(separator: " ")) is '\(a.text ?? "")' in the store and '\(b.text ?? "")' anew"
      }
      let isSame = a.value == b.value || a.value.isNaN && b.value.isNaN
      let isNear = abs(a.value - b.value) <= bound * max(1, abs(a.value))
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
    // A merge is a session without a manifest of its own.
    let sql =
      "SELECT json_extract(provenance, '$.manifest') AS path FROM sessions WHERE path IS NOT NULL ORDER BY id DESC"
    guard let path = try read({ try String.fetchOne($0, sql: sql) }) else {
      throw ExperimentError.noRun(
        folder: folder.path, what: "the run does not say where its manifest is; give --manifest")
    }
    return path
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
