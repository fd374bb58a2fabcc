import Datasets
import Diagnostics
import Foundation
import PluginHost
import PluginRuntime

/// Makes the rows of one probe that learns, on one model, from what passes have left in `features`: fits, and predictions of images that
/// the fit has not seen. No model is run.
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
  /// Called before each hook point; throws to stop.
  let checkpoint: () throws -> Void
  /// What a reader of the results must know, with the number of fits that say it.
  private(set) var noted: [(words: String, fits: Int)] = []

  var caveats: [String] { noted.map { $0.fits < 2 ? $0.words : "\($0.words) (in \($0.fits) fits)" } }

  private var seed: UInt64 { UInt64(bitPattern: Int64(plan.manifest.seed)) }

  /// The units of the dataset; their numbers come before those of other images.
  private var askedUnits: Int { UnitNumbers(plan.dataset.examples).count }

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
        try learn(point, from: source, reading: read, into: &found)
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

  private func rows(_ point: String, _ condition: String, _ plan: Plan) throws -> LearningRows {
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
  private var splits: [UnitSplit] {
    guard fit.train != nil else { return UnitSplit.folds(fit.folds, of: askedUnits, seed: seed) }
    let (train, test) = (lessons, plan)
    return [
      UnitSplit(
        name: "other images", train: Set(train.dataset.examples.map { units[$0] }),
        test: Set(test.dataset.examples.map { units[$0] }))
    ]
  }

  private mutating func learn(
    _ point: String, from source: String, reading conditions: [String], into found: inout [String: [MeasuredValue]]
  ) throws {
    let data = try rows(point, source, lessons)
    let folds = splits
    let portions = fit.train == nil ? UnitSplit.portions(fit.portions, of: askedUnits, seed: seed) : []
    func isAsked(_ split: UnitSplit) -> Bool { only.map(split.test.contains) ?? true }
    let task = try LearningTask(data, folds: folds, fit, by: lessons.dataset.unit, probe: probe.name, seed: seed)
    let place = "\(probe.name) (\(model), \(source), \(point))"
    for caveat in task.caveats { note("\(probe.name) (\(model)): \(caveat)", fits: 0) }
    if data.isConstant {
      note("\(place): all features are constant: the probe can only learn how frequent classes are", fits: 0)
    }
    let lesson = Lesson(data: data, task: task, point: point, source: source)
    for condition in conditions {
      let isSame = condition == source && fit.train == nil
      let asked = isSame ? data : try rows(point, condition, plan)
      var answers = LearnedAnswers(rows: asked.rows, task: task)
      for split in folds.filter(isAsked) {
        answers.take(try predict(asked, split, lesson, control: false, place), as: .classes)
        if fit.controlTask { answers.take(try predict(asked, split, lesson, control: true, place), as: .control) }
      }
      for split in portions.filter(isAsked) {
        answers.take(try predict(asked, split, lesson, control: false, place), as: .code(learned: lesson.count(split)))
      }
      for (key, values) in answers.measurements(probe: probe.name, point: point) { found[key, default: []] += values }
    }
  }

  /// What is learned at one hook point.
  private struct Lesson {
    let data: LearningRows
    let task: LearningTask
    let point: String
    let source: String

    /// Rows that a split learns from.
    func chosen(_ split: UnitSplit) -> [Int] {
      let targets = task.targets(data.rows, control: false)
      return data.rows.indices.filter { split.train.contains(data.rows[$0].unit) && targets[$0] != nil }
    }

    func count(_ split: UnitSplit) -> Int { chosen(split).count }
  }

  /// Log-probabilities of the classes for the split's test rows, by row; where there is nothing to learn from all classes are equal.
  private mutating func predict(
    _ asked: LearningRows, _ split: UnitSplit, _ lesson: Lesson, control: Bool, _ place: String
  ) throws -> [Int: [Float]] {
    let targets = lesson.task.targets(asked.rows, control: false)
    let test = asked.rows.indices.filter { split.test.contains(asked.rows[$0].unit) && targets[$0] != nil }
    guard !test.isEmpty else { return [:] }
    let count = lesson.task.classes.count
    guard let probe = try fitted(split, lesson, control: control, place) else {
      let equal = [Float](repeating: -log(Float(count)), count: count)
      return Dictionary(test.map { ($0, equal) }) { first, _ in first }
    }
    let answers = try probe.predict(asked.values(of: test), width: asked.width)
    return Dictionary(
      test.enumerated().map { ($1, Array(answers[($0 * count)..<(($0 + 1) * count)])) }
    ) { first, _ in first }
  }

  /// nil where the split has no rows to learn from.
  private mutating func fitted(
    _ split: UnitSplit, _ lesson: Lesson, control: Bool, _ place: String
  ) throws -> LearnedProbe? {
    let (data, task) = (lesson.data, lesson.task)
    let chosen = lesson.chosen(split)
    guard !chosen.isEmpty else { return nil }
    let all = task.targets(data.rows, control: control)
    let targets = chosen.compactMap { all[$0] }
    let key = key(lesson, chosen, targets)
    let facts = facts(lesson, split, control: control, chosen)
    let name = "\(place)\(control ? ", control task" : "")"
    do {
      let (probe, warnings) = try fits.fit(key, classes: task.classes.count, facts: facts) {
        try make(key)
      } learn: { probe in
        try probe.learn(
          data.values(of: chosen), width: data.width, classes: targets,
          images: chosen.map { UInt64(data.rows[$0].unit) }, of: task.classes.count)
      }
      for warning in warnings { note("\(name): \(warning)") }
      return probe
    } catch PluginError.failed(let plugin, let call, let reason) {
      throw PluginError.failed(plugin: plugin, at: "\(name), \(call)", reason: reason)
    }
  }

  /// Digest of all that a fit depends on. A trial's key stands for model, example, condition, seed and numerics.
  private func key(_ lesson: Lesson, _ chosen: [Int], _ targets: [Int32]) -> String {
    let rows = lesson.data.rows
    var trials: [String] = []
    for row in chosen where trials.last != rows[row].trial.key { trials.append(rows[row].trial.key) }
    let places = chosen.map { "\(rows[$0].place.row)" }.joined(separator: " ")
    let classes = targets.map(String.init).joined(separator: " ")
    let all: [JSON] = [
      .string("fit 1"), .string(plan.fingerprints.plugins[probe.use.plugin] ?? ""), probe.use.json,
      .string(captures), .string(lesson.point), .strings(trials), .string(SHA256.hex(places)),
      .string(SHA256.hex(classes)), .int(lesson.task.classes.count),
    ]
    let parts = all + (probe.seed.map { [.int($0)] } ?? [])
    return SHA256.hex(JSON.array(parts).compact)
  }

  private func facts(_ lesson: Lesson, _ split: UnitSplit, control: Bool, _ chosen: [Int]) -> JSON {
    var examples: [String] = []
    for row in chosen where examples.last != lesson.data.rows[row].trial.example {
      examples.append(lesson.data.rows[row].trial.example)
    }
    return .object([
      ("probe", .string(probe.name)), ("plugin", .string(probe.use.plugin)),
      ("plugin_digest", .string(plan.fingerprints.plugins[probe.use.plugin] ?? "")), ("model", .string(model)),
      ("model_digest", .string(plan.fingerprints.models[model] ?? "")),
      ("dataset_digest", .string(lessons.datasetDigest)),
      ("condition", .string(lesson.source)), ("point", .string(lesson.point)),
      ("task", .string(control ? "control" : "classes")), ("split", .string(split.name)),
      ("classes", .strings(lesson.task.classes)), ("rows", .int(chosen.count)), ("examples", .strings(examples)),
    ])
  }

  private mutating func note(_ words: String, fits: Int = 1) {
    if let index = noted.firstIndex(where: { $0.words == words }) {
      noted[index].fits += fits
    } else {
      noted.append((words, fits))
    }
  }
}
