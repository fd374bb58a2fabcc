import CKernels
import Foundation
import Tensors

/// What the logit lens says of one label at one row.
package struct LensAnswer: Sendable, Equatable {
  /// 1-based among the vocabulary range.
  package let rank: Double
  package let logit: Double
  /// Log-probability over the vocabulary range.
  package let logProbability: Double

  package init(rank: Double, logit: Double, logProbability: Double) {
    (self.rank, self.logit, self.logProbability) = (rank, logit, logProbability)
  }
}

/// An id that the lens reads at one row, with its logit and its log-probability over the vocabulary range.
package struct LensWord: Sendable, Equatable {
  package let id: Int
  package let logit: Double
  package let logProbability: Double
}

/// What the lens says at one row.
package struct LensReading: Sendable, Equatable {
  /// In the order of the targets.
  package let answers: [LensAnswer]
  /// The ids of the largest logits within the vocabulary range, the largest first, of equal ones the lower id.
  package let top: [LensWord]
}

package struct LensOptions: Sendable, Equatable {
  package enum Ties: Sendable {
    /// 1 + entries above + half of the other entries that are equal.
    case mean
    /// 1 + entries above.
    case best
  }
  /// What a word is scored by.
  package enum Matrix: Sendable {
    /// What the model would say next.
    case unembedding
    /// Which word of the input it looks like.
    case embedding
  }
  /// Through the final norm first. `resid_post` of the last layer is not yet normed, so the same holds there.
  package var normed = true
  package var matrix = Matrix.unembedding
  /// By the direction of both vectors alone, their cosine in the place of their product.
  package var cosine = false
  package var ties = Ties.mean
  /// Rows that pass through the vocabulary together: a block of their logits is what the lens holds at a time.
  static let rowsAtOnce = 1024
  /// Ids among which the rank is taken; nil: all.
  package var vocabulary: Range<Int>?

  package init(
    normed: Bool = true, matrix: Matrix = .unembedding, cosine: Bool = false, ties: Ties = .mean,
    vocabulary: Range<Int>? = nil
  ) {
    (self.normed, self.matrix, self.cosine) = (normed, matrix, cosine)
    (self.ties, self.vocabulary) = (ties, vocabulary)
  }
}

extension VisionLanguageModel {
  /// The logit lens: hidden states through final norm and unembedding, streamed over the vocabulary: rows x vocabulary logits never
  /// exist at once, only a block of them. By the options the embedding lens: against the input embeddings.
  ///
  /// - Parameters:
  ///   - hidden: [rows, width] un-normed residual stream.
  ///   - targets: the ids asked for, the same for each row.
  ///   - top: how many of the ids that are read first are wanted too.
  /// - Returns: one reading per row.
  package func lens(
    _ hidden: Tensor, targets: [Int], top: Int = 0, _ options: LensOptions
  ) throws(ModelError) -> [LensReading] {
    let (rows, width) = (hidden.shape[0], hidden.shape[1])
    let range = options.vocabulary ?? 0..<configuration.text.vocabulary
    guard targets.allSatisfy({ range.contains($0) }) else {
      throw .input(
        place: "lens", problem: "a label's id lies outside the vocabulary range \(range)", remedy: "widen the range")
    }
    return try lifting { () throws(TensorError) in
      let matrix = try matrix(options.matrix)
      let early = targets.isEmpty ? nil : try matrix.linear(of: targets, on: engine)
      let scale = options.cosine ? matrix.inverseLengths : nil
      var readings: [LensReading] = []
      for first in stride(from: 0, to: rows, by: LensOptions.rowsAtOnce) {
        let count = min(LensOptions.rowsAtOnce, rows - first)
        let x = normed(hidden.base + first * width, rows: count, options)
        let rows = try sweep(x, over: matrix, early: early, scale: scale, targets: targets, top: top, within: range)
        readings += rows.map { $0.reading(options.ties) }
      }
      return readings
    }
  }

  private func matrix(_ matrix: LensOptions.Matrix) throws(TensorError) -> VocabularyMatrix {
    if matrix == .unembedding || configuration.text.tiedEmbeddings { return text.unembedding }
    if let wordEmbeddings { return wordEmbeddings }
    let made = try VocabularyMatrix(
      text.embedTokens, vocabulary: configuration.text.vocabulary, width: configuration.text.width, type: dtype,
      residency: residency, on: engine)
    wordEmbeddings = made
    return made
  }

  func normed(_ hidden: ConstFloats, rows: Int, _ options: LensOptions) -> Tensor {
    let x = Tensor(zeros: [rows, text.transformer.shape.width])
    if options.normed {
      text.norm(hidden, rows: rows, width: x.shape[1], into: x.base)
    } else {
      x.base.update(from: hidden, count: x.count)
    }
    guard options.cosine else { return x }
    for row in 0..<rows {
      let start = x.base + row * x.shape[1]
      let scale = inverseLength(start, x.shape[1])
      for i in 0..<x.shape[1] { start[i] *= scale }
    }
    return x
  }

  /// A rank needs the target's logit first: a product with the targets' rows alone gives it. Its bits are held against those of the sweep
  /// itself; should a kernel round otherwise, the sweep is made again with its own.
  ///
  /// - Parameter scale: of each word's score, [vocabulary]; nil: none.
  private func sweep(
    _ x: Tensor, over matrix: VocabularyMatrix, early: Linear?, scale: [Float]?, targets: [Int], top: Int,
    within range: Range<Int>
  ) throws(TensorError) -> [LensRow] {
    let logits = Tensor(zeros: [x.shape[0], targets.count])
    try early?(x.base, rows: x.shape[0], into: logits.base)
    if let scale {
      for i in 0..<logits.count { logits.base[i] *= scale[targets[i % targets.count]] }
    }
    var rows = (0..<x.shape[0]).map { LensRow(targets: targets, logits: logits.base + $0 * targets.count, top: top) }
    while true {
      try matrix.forEachBlock(x.base, rows: rows.count) { first, logits, count in
        rows.withUnsafeMutableBufferPointer { rows in
          parallelFor(rows.count) { share in
            for row in share {
              let block = logits + row * count
              if let scale { for i in 0..<count { block[i] *= scale[first + i] } }
              rows[row].take(block, ids: first..<(first + count), within: range)
            }
          }
        }
      }
      if rows.allSatisfy(\.isConsistent) { return rows }
      rows = rows.map { LensRow(targets: targets, logits: $0.seen, top: top) }
    }
  }
}

/// The running state of one row of a lens.
private struct LensRow {
  let targets: [Int]
  /// The targets' logits that ranks are counted against, and those that the sweep gave.
  private let logits: [Float]
  private(set) var seen: [Float]
  private var above: [Int64]
  private var ties: [Int64]
  private var largest: LargestLogits
  private var maximum = -Float.infinity
  private var sum = 0.0

  init(targets: [Int], logits: ConstFloats, top: Int) {
    self.targets = targets
    largest = LargestLogits(count: top)
    self.logits = (0..<targets.count).map { logits[$0] }
    seen = self.logits
    above = Array(repeating: 0, count: targets.count)
    ties = above
  }

  var isConsistent: Bool { zip(logits, seen).allSatisfy { $0.bitPattern == $1.bitPattern } }

  /// One block of logits, of the ids `ids`.
  mutating func take(_ block: ConstFloats, ids: Range<Int>, within range: Range<Int>) {
    for (i, target) in targets.enumerated() where ids.contains(target) { seen[i] = block[target - ids.lowerBound] }
    let part = ids.clamped(to: range)
    guard !part.isEmpty else { return }
    let (start, count) = (block + (part.lowerBound - ids.lowerBound), Int64(part.count))
    for i in targets.indices { ck_rank_block(start, count, logits[i], &above[i], &ties[i]) }
    ck_log_sum_exp_block(start, count, &maximum, &sum)
    largest.take(start, ids: part)
  }

  func reading(_ rule: LensOptions.Ties) -> LensReading {
    let logSum = Double(maximum) + log(sum)
    let answers = targets.indices.map { i in
      let tied = rule == .mean ? Double(ties[i] - 1) / 2 : 0  // the target ties with itself
      return LensAnswer(
        rank: 1 + Double(above[i]) + tied, logit: Double(logits[i]), logProbability: Double(logits[i]) - logSum)
    }
    let top = largest.entries.map { entry in
      LensWord(id: entry.id, logit: Double(entry.logit), logProbability: Double(entry.logit) - logSum)
    }
    return LensReading(answers: answers, top: top)
  }
}

/// The largest logits of those that have been seen, the largest first.
private struct LargestLogits {
  private let count: Int
  private(set) var entries: [(id: Int, logit: Float)] = []
  /// What a logit must exceed to be among them.
  private var bar = -Float.infinity

  init(count: Int) { self.count = count }

  mutating func take(_ block: ConstFloats, ids: Range<Int>) {
    guard count > 0 else { return }
    for (n, id) in ids.enumerated() where block[n] > bar || entries.count < count {
      let logit = block[n]
      entries.insert((id, logit), at: entries.firstIndex { logit > $0.logit } ?? entries.count)
      if entries.count > count { entries.removeLast() }
      if entries.count == count { bar = entries[count - 1].logit }
    }
  }
}
