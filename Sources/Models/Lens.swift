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

package struct LensOptions: Sendable, Equatable {
  package enum Ties: Sendable {
    /// 1 + entries above + half of the other entries that are equal.
    case mean
    /// 1 + entries above.
    case best
  }
  /// Through the final norm first. `resid_post` of the last layer is not yet normed, so the same holds there.
  package var normed = true
  package var ties = Ties.mean
  /// Rows that pass through the vocabulary together: a block of their logits is what the lens holds at a time.
  static let rowsAtOnce = 1024
  /// Ids among which the rank is taken; nil: all.
  package var vocabulary: Range<Int>?

  package init(normed: Bool = true, ties: Ties = .mean, vocabulary: Range<Int>? = nil) {
    self.normed = normed
    self.ties = ties
    self.vocabulary = vocabulary
  }
}

extension VisionLanguageModel {
  /// The logit lens: hidden states through final norm and unembedding, streamed over the vocabulary: rows x vocabulary logits never
  /// exist at once, only a block of them.
  ///
  /// - Parameters:
  ///   - hidden: [rows, width] un-normed residual stream.
  ///   - targets: the ids asked for, the same for each row.
  /// - Returns: answers [row][target].
  package func lens(_ hidden: Tensor, targets: [Int], _ options: LensOptions) throws(ModelError) -> [[LensAnswer]] {
    let (rows, width) = (hidden.shape[0], hidden.shape[1])
    let range = options.vocabulary ?? 0..<configuration.text.vocabulary
    guard targets.allSatisfy({ range.contains($0) }) else {
      throw .input(
        place: "lens", problem: "a label's id lies outside the vocabulary range \(range)", remedy: "widen the range")
    }
    return try lifting { () throws(TensorError) in
      let early = try text.unembedding.linear(of: targets, on: engine)
      var answers: [[LensAnswer]] = []
      for first in stride(from: 0, to: rows, by: LensOptions.rowsAtOnce) {
        let count = min(LensOptions.rowsAtOnce, rows - first)
        let x = normed(hidden.base + first * width, rows: count, options)
        answers += try sweep(x, early: early, targets: targets, within: range).map { $0.answers(options.ties) }
      }
      return answers
    }
  }

  private func normed(_ hidden: ConstFloats, rows: Int, _ options: LensOptions) -> Tensor {
    let x = Tensor(zeros: [rows, text.transformer.shape.width])
    if options.normed {
      text.norm(hidden, rows: rows, width: x.shape[1], into: x.base)
    } else {
      x.base.update(from: hidden, count: x.count)
    }
    return x
  }

  /// A rank needs the target's logit first: a product with the targets' rows alone gives it. Its bits are held against those of the sweep
  /// itself; should a kernel round otherwise, the sweep is made again with its own.
  private func sweep(
    _ x: Tensor, early: Linear, targets: [Int], within range: Range<Int>
  ) throws(TensorError) -> [LensRow] {
    let logits = Tensor(zeros: [x.shape[0], targets.count])
    try early(x.base, rows: x.shape[0], into: logits.base)
    var rows = (0..<x.shape[0]).map { LensRow(targets: targets, logits: logits.base + $0 * targets.count) }
    while true {
      try text.unembedding.forEachBlock(x.base, rows: rows.count) { first, logits, count in
        rows.withUnsafeMutableBufferPointer { rows in
          parallelFor(rows.count) { share in
            for row in share { rows[row].take(logits + row * count, ids: first..<(first + count), within: range) }
          }
        }
      }
      if rows.allSatisfy(\.isConsistent) { return rows }
      rows = rows.map { LensRow(targets: targets, logits: $0.seen) }
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
  private var maximum = -Float.infinity
  private var sum = 0.0

  init(targets: [Int], logits: ConstFloats) {
    self.targets = targets
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
  }

  func answers(_ rule: LensOptions.Ties) -> [LensAnswer] {
    let logSum = Double(maximum) + log(sum)
    return targets.indices.map { i in
      let tied = rule == .mean ? Double(ties[i] - 1) / 2 : 0  // the target ties with itself
      return LensAnswer(
        rank: 1 + Double(above[i]) + tied, logit: Double(logits[i]), logProbability: Double(logits[i]) - logSum)
    }
  }
}
