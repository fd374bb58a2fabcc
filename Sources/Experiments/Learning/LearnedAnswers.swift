import Foundation

/// What fits say of rows that they have not seen, and the numbers that are stored of it.
package struct LearnedAnswers {
  private let rows: [LearningRows.Row]
  private let task: LearningTask
  private let targets: [Int32?]
  private let random: [Int32?]
  private var classes: [Int: [Float]] = [:]
  private var control: [Int: [Float]] = [:]
  /// Bits that the right class costs in the online code.
  private var bits: [Int: Double] = [:]

  package enum Kind {
    case classes
    case control
    /// A fit that has learned from so many rows.
    case code(learned: Int)
  }

  package init(rows: [LearningRows.Row], task: LearningTask) {
    (self.rows, self.task) = (rows, task)
    (targets, random) = (task.targets(rows, control: false), task.targets(rows, control: true))
  }

  /// - Parameter answers: log-probabilities of the classes in nats, by row.
  package mutating func take(_ answers: [Int: [Float]], as kind: Kind) {
    switch kind {
    case .classes: classes.merge(answers) { $1 }
    case .control: control.merge(answers) { $1 }
    case .code(let learned):
      for (row, answer) in answers {
        if let target = targets[row] { bits[row] = codeLength(answer[Int(target)], learned: learned) }
      }
    }
  }

  /// -log2 of the probability, mixed with that of equal classes as if each had been seen once more: a class that was not seen yet costs a
  /// finite number of bits.
  private func codeLength(_ logProbability: Float, learned: Int) -> Double {
    let count = Double(task.classes.count)
    return -log2((Double(learned) * exp(Double(logProbability)) + 1) / (Double(learned) + count))
  }

  /// By the trial's key, in the order of the rows.
  package func measurements(probe: String, point: String) -> [(key: String, values: [MeasuredValue])] {
    var found: [(key: String, values: [MeasuredValue])] = []
    for index in rows.indices {
      guard let target = targets[index], let answer = classes[index] else { continue }
      let row = rows[index]
      if found.last?.key != row.trial.key { found.append((row.trial.key, [])) }
      let field = row.place.field
      found[found.count - 1].values += numbers(index, Int(target), answer).map { metric, value in
        MeasuredValue(
          probe: probe, point: point, token: row.place.row,
          label: field.hasPrefix("part/") ? String(field.dropFirst(5)) : field, metric: metric, value: value,
          text: metric == "accuracy" ? task.classes[LearnedAnswers.best(answer)] : nil)
      }
    }
    return found
  }

  private func numbers(_ index: Int, _ target: Int, _ answer: [Float]) -> [(String, Double)] {
    let accuracy = LearnedAnswers.best(answer) == target ? 1.0 : 0
    let above = answer.filter { $0 > answer[target] }.count
    let ties = answer.filter { $0 == answer[target] }.count - 1
    var numbers: [(String, Double)] = [
      ("accuracy", accuracy), ("logprob", Double(answer[target])), ("rank", 1 + Double(above) + Double(ties) / 2),
    ]
    if let answer = control[index], let target = random[index] {
      let chance = LearnedAnswers.best(answer) == Int(target) ? 1.0 : 0
      numbers += [("control_accuracy", chance), ("selectivity", accuracy - chance)]
    }
    if let bits = bits[index] {
      numbers += [("code_bits", bits), ("uniform_bits", log2(Double(task.classes.count)))]
    }
    return numbers
  }

  /// The most probable class; of equal ones the first.
  private static func best(_ answer: [Float]) -> Int {
    answer.indices.reduce(0) { answer[$1] > answer[$0] ? $1 : $0 }
  }
}
