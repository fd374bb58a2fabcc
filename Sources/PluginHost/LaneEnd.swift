import Foundation
import Models
import PluginRuntime
import Tensors

/// Everything that is known about a lane once the pass is over.
struct LaneEnd {
  let lane: Int
  let condition: String
  let attachments: [Attachment]
  let probeNames: [String]
  let resolver: Resolver
  let program: Program
  let output: LaneOutput
  let item: Item
  /// What lenses have said of rows that no condition changes; nil where nothing is shared.
  let memo: LensMemo?
  /// Pixel values that the condition's image changed.
  let pixelsChanged: Int
}

// MARK: answers to readings

extension LaneEnd {
  /// One row of the answers to a plan's readings.
  private struct Answer {
    let reading: Int
    let layer: Int
    let row: Int
    var head = -1
    var label = -1
    var lens: LensAnswer?
    /// Of a word that the lens reads first.
    var word: String?
    var mass = Double.nan
  }

  /// Per attachment, the columns that its end_lane gets.
  func answers(_ model: VisionLanguageModel) throws(ModelError) -> [Int: [Column]] {
    guard output.failure == nil else { return [:] }
    var answers: [Int: [Answer]] = [:]
    for mass in output.results.masses {
      let reading = resolver.readings[mass.reading]
      answers[reading.attachment, default: []] += rows(of: mass, reading.index)
    }
    for (options, captures) in lensCaptures {
      let answered = try lens(captures, options, model)
      for (attachment, rows) in answered { answers[attachment, default: []] += rows }
    }
    return answers.mapValues(columns)
  }

  private func rows(of mass: LaneResults.Mass, _ index: Int) -> [Answer] {
    let heads = mass.tensor.shape[0]
    return (0..<heads).flatMap { head in
      mass.rows.enumerated().map { n, row in
        Answer(
          reading: index, layer: mass.point.layer ?? -1, row: row, head: head,
          mass: Double(mass.tensor.base[head * mass.rows.count + n]))
      }
    }
  }

  /// The captures that a lens reads, in groups of equal options: one sweep over the vocabulary each.
  private var lensCaptures: [(LensOptions, [LaneResults.Capture])] {
    var groups: [(LensOptions, [LaneResults.Capture])] = []
    for capture in output.results.captures where capture.plugin != Program.reader {
      guard resolver.readings[capture.reading].request.operation == .lens else { continue }
      let options = resolver.readings[capture.reading].request.lensOptions
      if let i = groups.firstIndex(where: { $0.0 == options }) {
        groups[i].1.append(capture)
      } else {
        groups.append((options, [capture]))
      }
    }
    return groups
  }

  private func lens(
    _ captures: [LaneResults.Capture], _ options: LensOptions, _ model: VisionLanguageModel
  ) throws(ModelError) -> [Int: [Answer]] {
    let asked = captures.map { spellings(of: resolver.readings[$0.reading]) }
    let targets = Set(asked.joined().flatMap { $0.spellings.joined() }).sorted()
    let top = captures.map { resolver.readings[$0.reading].request.top }.max() ?? 0
    guard !targets.isEmpty || top > 0 else { return [:] }
    let readings = try readings(captures, LensQuestion(options: options, targets: targets, top: top), model)
    let place = Dictionary(uniqueKeysWithValues: targets.enumerated().map { ($1, $0) })
    var result: [Int: [Answer]] = [:]
    for (index, (capture, labels)) in zip(captures, asked).enumerated() {
      let reading = resolver.readings[capture.reading]
      for (row, said) in zip(capture.rows, readings[index]) {
        func answer(label: Int = -1, _ lens: LensAnswer?, word: String? = nil) -> Answer {
          Answer(
            reading: reading.index, layer: capture.point.layer ?? -1, row: row, label: label, lens: lens, word: word)
        }
        let ranked = labels.map { label, spellings in
          answer(label: label, said.answer(to: spellings, place, reading.request.pieces))
        }
        let first = said.top.prefix(reading.request.top).enumerated().map { index, word in
          let lens = LensAnswer(rank: Double(index + 1), logit: word.logit, logProbability: word.logProbability)
          return answer(lens, word: model.word(word.id))
        }
        result[reading.attachment, default: []] += ranked + first
      }
    }
    return result
  }

  /// Readings [capture][row]. One look at each row, whatever the number of probes that read it, and none at a row that the memo
  /// knows.
  private func readings(
    _ captures: [LaneResults.Capture], _ question: LensQuestion, _ model: VisionLanguageModel
  ) throws(ModelError) -> [[LensReading]] {
    let width = model.configuration.text.width
    let known = memo?.readings(question) ?? [:]
    var asked: [(place: LensMemo.Place, hidden: ConstFloats, isClean: Bool)] = []
    var firsts: [LensMemo.Place: Int] = [:]
    let sources = captures.map { capture in
      capture.rows.enumerated().map { n, row -> Source in
        let place = LensMemo.Place(point: capture.point, row: row)
        let isClean = memo != nil && capture.clean.contains(row)
        if isClean, let reading = known[place] { return .known(reading) }
        let hidden = ConstFloats(capture.tensor.base + n * width)
        // A plugin between two readings may have written: then they are not the same.
        if let first = firsts[place], memcmp(asked[first].hidden, hidden, width * 4) == 0 { return .asked(first) }
        firsts[place] = asked.count
        asked.append((place, hidden, isClean))
        return .asked(asked.count - 1)
      }
    }
    let hidden = Tensor(zeros: [asked.count, width])
    for (n, row) in asked.enumerated() { (hidden.base + n * width).update(from: row.hidden, count: width) }
    let readings = try model.lens(hidden, targets: question.targets, top: question.top, question.options)
    for (row, reading) in zip(asked, readings) where row.isClean { memo?.take(reading, at: row.place, question) }
    return sources.map { rows in
      rows.map { source in
        switch source {
        case .known(let reading): reading
        case .asked(let n): readings[n]
        }
      }
    }
  }

  private enum Source {
    case known(LensReading)
    case asked(Int)
  }

  /// Labels of a field, exact or below it, with the spellings that count; without any a label has no rank.
  private func spellings(of reading: Resolver.ResolvedReading) -> [(label: Int, spellings: [[Int]])] {
    let labels = resolver.items[reading.attachment].labels
    return labels.indices.compactMap { i in
      guard labels[i].belongs(to: reading.request.labels) else { return nil }
      let spellings = labels[i].spellings(reading.request)
      return spellings.isEmpty ? nil : (i, spellings)
    }
  }

  private func columns(_ answers: [Answer]) -> [Column] {
    func integers(_ name: String, _ value: (Answer) -> Int) -> Column {
      Column(name, .integers(answers.map { Int64(value($0)) }))
    }
    func numbers(_ name: String, _ value: (Answer) -> Double?) -> Column {
      Column(name, .numbers(answers.map { value($0) ?? .nan }))
    }
    // A column of empty texts would cost those who did not ask.
    let words = answers.contains { $0.word != nil } ? [Column("word", .strings(answers.map { $0.word ?? "" }))] : []
    return [
      integers("reading", \.reading), integers("layer", \.layer), integers("row", \.row), integers("head", \.head),
      integers("label", \.label), numbers("rank") { $0.lens?.rank }, numbers("logit") { $0.lens?.logit },
      numbers("logprob") { $0.lens?.logProbability }, numbers("mass") { $0.mass },
    ] + words
  }
}

extension ItemFacts.Label {
  /// A label field, exact, or any field below it.
  func belongs(to field: String) -> Bool { self.field == field || self.field.hasPrefix(field + "/") }

  /// The ids of each spelling that a lens reads, in the order of the forms.
  func spellings(_ reading: ReadingRequest) -> [[Int]] {
    ReadingRequest.Form.allCases.filter(reading.forms.contains).compactMap { form in
      let ids = (form == .spaced ? ids : forms[form] ?? []).map(Int.init)
      return ids.isEmpty || (ids.count > 1 && reading.pieces == .exclude) ? nil : ids
    }
  }
}

extension ReadingRequest.Pieces {
  /// One answer for a spelling; nil for one without pieces.
  func combine(_ pieces: [LensAnswer]) -> LensAnswer? {
    func mean(_ value: (LensAnswer) -> Double) -> Double { pieces.reduce(0) { $0 + value($1) } / Double(pieces.count) }
    switch self {
    case .exclude, .first: return pieces.first
    case .min: return pieces.min { $0.rank < $1.rank }
    case .mean:
      return pieces.isEmpty
        ? nil : LensAnswer(rank: mean(\.rank), logit: mean(\.logit), logProbability: mean(\.logProbability))
    }
  }
}

extension ReadingRequest {
  var lensOptions: LensOptions {
    LensOptions(
      normed: normed, matrix: embedding ? .embedding : .unembedding, cosine: cosine,
      ties: ties == .best ? .best : .mean, vocabulary: vocabulary)
  }
}
