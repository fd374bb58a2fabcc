import Datasets
import Diagnostics
import Foundation
import PluginHost
import PluginRuntime

/// Makes the rows of one probe that learns, on one model, from what passes have left in `features`: fits, and what they say of images that
/// they have not seen. No pass is made.
struct ProbeTraining {
  /// The images that are asked about.
  let plan: Plan
  /// Those that are learned from: the same, in folds, or others.
  let lessons: Plan
  let model: String
  let probe: ProbeDefinition
  let fit: FitDefinition
  /// What the probe captures, in words.
  let captures: String
  let features: FeatureFiles
  let fits: FitFiles
  let units: UnitNumbers
  /// The one unit that is asked about; nil: all.
  let only: Int?
  /// A probe that has learned nothing; its random numbers follow from the name.
  let make: (_ name: String) throws -> LearnedProbe
  /// How what it says is read, if it is a lens; nil of a probe that tells classes apart.
  let lens: LensReader?
  /// Called before each hook point; throws to stop.
  let checkpoint: () throws -> Void
  /// What a reader of the results must know, with the number of fits that say it.
  private(set) var noted: [(words: String, fits: Int)] = []

  var caveats: [String] { noted.map { $0.fits < 2 ? $0.words : "\($0.words) (in \($0.fits) fits)" } }

  var seed: UInt64 { UInt64(bitPattern: Int64(plan.manifest.seed)) }

  /// The units of the dataset; their numbers come before those of other images.
  var askedUnits: Int { UnitNumbers(plan.dataset.examples).count }

  /// The rows of the trials under `conditions`, by the trial's key.
  mutating func rows(conditions: [String]) throws -> [String: [MeasuredValue]] {
    guard fit.train != nil || askedUnits >= fit.folds else {
      throw ExperimentError.learning(
        probe: probe.name,
        what: "\(plan.dataset.unit.counted(askedUnits)) cannot be dealt into \(fit.folds) folds",
        remedy: "take more examples, or fewer folds")
    }
    var found: [String: [MeasuredValue]] = [:]
    let learned = fit.condition.map { [$0] } ?? conditions
    for source in learned {
      let read = fit.condition == nil ? [source] : conditions
      for point in try points(source) {
        try checkpoint()
        if let lens {
          try learn(lens, at: point, from: source, reading: read, into: &found)
        } else {
          try learnClasses(at: point, from: source, reading: read, into: &found)
        }
      }
    }
    return found
  }

  /// The trials of a plan under a condition whose features are there, in its order.
  private func trials(_ condition: String, _ plan: Plan) -> [Trial] {
    plan.trials.filter {
      $0.model == model && $0.condition == condition && features.has(trial: $0.key, captures: captures)
    }
  }

  private func points(_ condition: String) throws -> [String] {
    var points: [String] = []
    for trial in trials(condition, lessons) {
      points += try features.points(trial: trial.key, captures: captures).filter { !points.contains($0) }
    }
    return points
  }

  func rows(_ point: String, _ condition: String, _ plan: Plan) throws -> LearningRows {
    let examples = Dictionary(plan.dataset.examples.map { ($0.id, $0) }) { first, _ in first }
    var rows = LearningRows()
    for trial in trials(condition, plan) {
      guard let example = examples[trial.example],
        let table = try features.read(point, trial: trial.key, captures: captures)
      else { continue }
      rows.add(table, trial, unit: units[example], picture: example.picture, className: example.className)
    }
    return rows
  }

  /// Folds of the units, or all others against all of these.
  var splits: [UnitSplit] {
    guard fit.train != nil else { return UnitSplit.folds(fit.folds, of: askedUnits, seed: seed) }
    let (train, test) = (lessons, plan)
    return [
      UnitSplit(
        name: "other images", train: Set(train.dataset.examples.map { units[$0] }),
        test: Set(test.dataset.examples.map { units[$0] }))
    ]
  }

  /// Whether any unit that is asked about is read by a fit of this split.
  func isAsked(_ split: UnitSplit) -> Bool { only.map(split.test.contains) ?? true }

  /// One fit: what it learns from, and how it is found again.
  struct Lesson {
    var point: String
    /// The condition whose activations are learned from.
    var source: String
    var split: UnitSplit
    /// `classes`, `control` or `lens`.
    var task: String
    var classes: [String] = []
    var rows: [LearningRows.Row]
    /// What is to be learned of the rows, in words that the key takes in: their classes by number; of a lens where the finals lie.
    var targets: String
    /// What the probe answers of each row.
    var outputs: Int
  }

  /// A probe that has had the lesson, now or in an earlier run.
  mutating func fitted(_ lesson: Lesson, learn: (LearnedProbe) throws -> Void) throws -> LearnedProbe {
    let key = key(lesson)
    let place = "\(self.probe.name) (\(model), \(lesson.source), \(lesson.point))"
    let name = "\(place)\(lesson.task == "control" ? ", control task" : "")"
    do {
      let (probe, warnings) = try fits.fit(key, outputs: lesson.outputs, facts: facts(lesson)) {
        try make(key)
      } learn: {
        try learn($0)
      }
      for warning in warnings { note("\(name): \(warning)") }
      return probe
    } catch PluginError.failed(let plugin, let call, let reason) {
      throw PluginError.failed(plugin: plugin, at: "\(name), \(call)", reason: reason)
    }
  }

  /// Digest of all that a fit depends on. A trial's key stands for model, example, condition, seed and numerics.
  private func key(_ lesson: Lesson) -> String {
    var trials: [String] = []
    for row in lesson.rows where trials.last != row.trial.key { trials.append(row.trial.key) }
    let places = lesson.rows.map { "\($0.place.row)" }.joined(separator: " ")
    let all: [JSON] = [
      .string("fit 1"), .string(plan.fingerprints.plugins[probe.use.plugin] ?? ""), probe.use.json,
      .string(captures), .string(lesson.point), .strings(trials), .string(SHA256.hex(places)),
      .string(SHA256.hex(lesson.targets)), .int(lesson.outputs),
    ]
    let parts = all + (probe.seed.map { [.int($0)] } ?? [])
    return SHA256.hex(JSON.array(parts).compact)
  }

  private func facts(_ lesson: Lesson) -> JSON {
    var examples: [String] = []
    for row in lesson.rows where examples.last != row.trial.example { examples.append(row.trial.example) }
    return .object([
      ("probe", .string(probe.name)), ("plugin", .string(probe.use.plugin)),
      ("plugin_digest", .string(plan.fingerprints.plugins[probe.use.plugin] ?? "")), ("model", .string(model)),
      ("model_digest", .string(plan.fingerprints.models[model] ?? "")),
      ("dataset_digest", .string(lessons.datasetDigest)),
      ("condition", .string(lesson.source)), ("point", .string(lesson.point)),
      ("task", .string(lesson.task)), ("split", .string(lesson.split.name)),
      ("classes", .strings(lesson.classes)), ("rows", .int(lesson.rows.count)), ("examples", .strings(examples)),
    ])
  }

  /// - Parameter fits: of how many fits it holds; 0 where it is of none in particular.
  mutating func note(_ words: String, fits: Int = 1) {
    if let index = noted.firstIndex(where: { $0.words == words }) {
      noted[index].fits += fits
    } else {
      noted.append((words, fits))
    }
  }
}
