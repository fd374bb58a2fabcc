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
    let x = Tensor(zeros: [rows, width])
    if options.normed {
      text.norm(hidden.base, rows: rows, width: width, into: x.base)
    } else {
      x.base.update(from: hidden.base, count: x.count)
    }
    var readings = (0..<rows).map { _ in LensRow(targets: targets) }
    return try lifting { () throws(TensorError) in
      // Two sweeps: a rank needs the target's logit first.
      try text.unembedding.forEachBlock(x.base, rows: rows) { first, logits, count in
        for row in 0..<rows { readings[row].take(logits + row * count, ids: first..<(first + count)) }
      }
      try text.unembedding.forEachBlock(x.base, rows: rows) { first, logits, count in
        for row in 0..<rows { readings[row].rank(logits + row * count, ids: first..<(first + count), within: range) }
      }
      return readings.map { $0.answers(options.ties) }
    }
  }
}

/// The running state of one row of a lens.
private struct LensRow {
  let targets: [Int]
  private var logits: [Float]
  private var above: [Int64]
  private var ties: [Int64]
  private var maximum = -Float.infinity
  private var sum = 0.0

  init(targets: [Int]) {
    self.targets = targets
    logits = Array(repeating: 0, count: targets.count)
    above = Array(repeating: 0, count: targets.count)
    ties = above
  }

  mutating func take(_ block: ConstFloats, ids: Range<Int>) {
    for (i, target) in targets.enumerated() where ids.contains(target) { logits[i] = block[target - ids.lowerBound] }
  }

  mutating func rank(_ block: ConstFloats, ids: Range<Int>, within range: Range<Int>) {
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
