import Foundation
import PluginHost

/// Probes that tell classes apart.
extension ProbeTraining {
  mutating func learnClasses(
    at point: String, from source: String, reading conditions: [String],
    into found: inout [String: [MeasuredValue]]
  ) throws {
    let data = try rows(point, source, lessons)
    let folds = splits
    let portions = fit.train == nil ? UnitSplit.portions(fit.portions, of: askedUnits, seed: seed) : []
    let task = try LearningTask(data, folds: folds, fit, by: lessons.dataset.unit, probe: probe.name, seed: seed)
    for caveat in task.caveats { note("\(probe.name) (\(model)): \(caveat)", fits: 0) }
    if data.isConstant {
      let place = "\(probe.name) (\(model), \(source), \(point))"
      note("\(place): all features are constant: the probe can only learn how frequent classes are", fits: 0)
    }
    let material = Material(data: data, task: task, point: point, source: source)
    for condition in conditions {
      let isSame = condition == source && fit.train == nil
      let asked = isSame ? data : try rows(point, condition, plan)
      var answers = LearnedAnswers(rows: asked.rows, task: task)
      for split in folds.filter(isAsked) {
        answers.take(try predict(asked, split, material, control: false), as: .classes)
        if fit.controlTask { answers.take(try predict(asked, split, material, control: true), as: .control) }
      }
      for split in portions.filter(isAsked) {
        let learned = material.chosen(split).count
        answers.take(try predict(asked, split, material, control: false), as: .code(learned: learned))
      }
      for (key, values) in answers.measurements(probe: probe.name, point: point) { found[key, default: []] += values }
    }
  }

  /// What is learned at one hook point, in all its splits.
  private struct Material {
    let data: LearningRows
    let task: LearningTask
    let point: String
    let source: String

    /// Rows that a split learns from.
    func chosen(_ split: UnitSplit) -> [Int] {
      let targets = task.targets(data.rows, control: false)
      return data.rows.indices.filter { split.train.contains(data.rows[$0].unit) && targets[$0] != nil }
    }
  }

  /// Log-probabilities of the classes for the split's test rows, by row; where there is nothing to learn from all classes are equal.
  private mutating func predict(
    _ asked: LearningRows, _ split: UnitSplit, _ material: Material, control: Bool
  ) throws -> [Int: [Float]] {
    let targets = material.task.targets(asked.rows, control: false)
    let test = asked.rows.indices.filter { split.test.contains(asked.rows[$0].unit) && targets[$0] != nil }
    guard !test.isEmpty else { return [:] }
    let count = material.task.classes.count
    guard let probe = try fitted(split, material, control: control) else {
      let equal = [Float](repeating: -log(Float(count)), count: count)
      return Dictionary(test.map { ($0, equal) }) { first, _ in first }
    }
    let answers = try probe.predict(asked.values(of: test), width: asked.width)
    return Dictionary(
      test.enumerated().map { ($1, Array(answers[($0 * count)..<(($0 + 1) * count)])) }
    ) { first, _ in first }
  }

  /// nil where the split has no rows to learn from.
  private mutating func fitted(_ split: UnitSplit, _ material: Material, control: Bool) throws -> LearnedProbe? {
    let (data, task) = (material.data, material.task)
    let chosen = material.chosen(split)
    guard !chosen.isEmpty else { return nil }
    let all = task.targets(data.rows, control: control)
    let targets = chosen.compactMap { all[$0] }
    let rows = chosen.map { data.rows[$0] }
    let lesson = Lesson(
      point: material.point, source: material.source, split: split, task: control ? "control" : "classes",
      classes: task.classes, rows: rows, targets: targets.map(String.init).joined(separator: " "),
      outputs: task.classes.count)
    return try fitted(lesson) { probe in
      try probe.learn(
        data.values(of: chosen), width: data.width, classes: targets, images: rows.map { UInt64($0.unit) },
        of: task.classes.count)
    }
  }
}
