import Foundation
import PluginHost
import PluginRuntime

/// Lenses that learn: from what the last layer leaves of the same rows.
extension ProbeTraining {
  mutating func learn(
    _ lens: LensReader, at point: String, from source: String, reading conditions: [String],
    into found: inout [String: [MeasuredValue]]
  ) throws {
    let data = try paired(lens, point, source, lessons)
    for condition in conditions {
      let isSame = condition == source && fit.train == nil
      let asked = isSame ? data : try paired(lens, point, condition, plan)
      let labels = try labels(of: asked.rows, lens)
      for split in splits.filter(isAsked) {
        let test = asked.rows.rows.indices.filter { split.test.contains(asked.rows.rows[$0].unit) }
        guard !test.isEmpty, let probe = try fitted(split, lens, data, point, source) else { continue }
        let (width, before) = (asked.rows.width, asked.rows.values(of: test))
        let (after, finals) = (try probe.predict(before, width: width), asked.finals.values(of: test))
        let lines = try lens.read(after, width: width, labels: test.map { labels[$0] })
        let divergence = try lens.divergence(after, from: finals, width: width)
        let untuned = try lens.divergence(before, from: finals, width: width)
        for (n, index) in test.enumerated() {
          let row = asked.rows.rows[index]
          found[row.trial.key, default: []] += measurements(
            row, point, lines[n], [("kl", divergence[n]), ("untuned_kl", untuned[n])])
        }
      }
    }
  }

  /// The label of each row; the result says which have no rank.
  private mutating func labels(of rows: LearningRows, _ lens: LensReader) throws -> [ItemFacts.Label] {
    var known: [String: ItemFacts.Label] = [:]
    let labels = try rows.rows.map { row in
      let label = try known[row.place.text] ?? lens.model.label(row.place.field, row.place.text)
      known[row.place.text] = label
      return label
    }
    let unread = known.filter { !lens.reads($0.value) }.keys.sorted()
    if !unread.isEmpty {
      note(
        "\(probe.name) (\(model)): does not rank what is not one token: \(unread.joined(separator: ", "))", fits: 0)
    }
    return labels
  }

  /// Rows of a hook point, and the last layer's in the same order.
  private struct Paired {
    let rows: LearningRows
    let finals: LearningRows
  }

  private func paired(_ lens: LensReader, _ point: String, _ condition: String, _ plan: Plan) throws -> Paired {
    let pair = Paired(rows: try rows(point, condition, plan), finals: try rows(lens.finalPoint, condition, plan))
    let places = (pair.rows.rows.map(\.place), pair.finals.rows.map(\.place))
    guard places.0 == places.1, pair.rows.width == pair.finals.width else {
      throw ExperimentError.learning(
        probe: probe.name, what: "\(point) has \(places.0.count) rows, \(lens.finalPoint) \(places.1.count) others",
        remedy: "a lens that learns captures both, at the same tokens of the text tower")
    }
    return pair
  }

  /// nil where the split has no rows to learn from. A row counts once, however many labels it stands for.
  private mutating func fitted(
    _ split: UnitSplit, _ lens: LensReader, _ data: Paired, _ point: String, _ source: String
  ) throws -> LearnedProbe? {
    var seen: Set<String> = []
    let chosen = data.rows.rows.indices.filter { index in
      let row = data.rows.rows[index]
      return split.train.contains(row.unit) && seen.insert("\(row.trial.key) \(row.place.row)").inserted
    }
    guard !chosen.isEmpty else { return nil }
    let rows = chosen.map { data.rows.rows[$0] }
    let lesson = Lesson(
      point: point, source: source, split: split, task: "lens", rows: rows, targets: lens.finalPoint,
      outputs: data.rows.width)
    return try fitted(lesson) { probe in
      try probe.learn(
        data.rows.values(of: chosen), width: data.rows.width, finals: data.finals.values(of: chosen),
        images: rows.map { UInt64($0.unit) })
    }
  }

  private func measurements(
    _ row: LearningRows.Row, _ point: String, _ line: LensReader.Line, _ numbers: [(String, Double)]
  ) -> [MeasuredValue] {
    let field = row.place.field
    func value(_ metric: String, _ value: Double, _ text: String? = nil) -> MeasuredValue {
      MeasuredValue(
        probe: probe.name, point: point, token: row.place.row,
        label: field.hasPrefix("part/") ? String(field.dropFirst(5)) : field, metric: metric, value: value, text: text)
    }
    let answer = line.answer.map { [("rank", $0.rank), ("logit", $0.logit), ("logprob", $0.logProbability)] } ?? []
    return (answer + numbers).map { value($0.0, $0.1) }
      + line.words.enumerated().map { value("word_\($0.offset + 1)", .nan, $0.element) }
  }
}
