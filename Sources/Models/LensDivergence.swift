import CKernels
import Foundation
import Tensors

/// How far the words that the lens reads in some rows are from those that it reads in others.
package struct LensDivergence {
  /// KL(finals || hidden) in nats, of each row.
  package let values: [Double]
  /// Its gradient at `hidden`, [rows, width]; nil where it was not asked for.
  package let gradient: Tensor?
}

extension VisionLanguageModel {
  /// Rows that are in hand together, each with the whole vocabulary.
  private static let divergenceRows = 256

  /// KL(finals || hidden) over the vocabulary range, through the unembedding and, where `options` says so, the final norm: what a lens
  /// that learns makes small (Belrose et al. 2023, equation 6).
  ///
  /// - Parameters:
  ///   - hidden, finals: [rows, width] un-normed residual streams.
  ///   - options: of these the norm and the vocabulary.
  package func divergence(
    _ hidden: Tensor, from finals: Tensor, gradient wanted: Bool, _ options: LensOptions
  ) throws(ModelError) -> LensDivergence {
    let (rows, width) = (hidden.shape[0], hidden.shape[1])
    var options = options
    (options.matrix, options.cosine) = (.unembedding, false)
    var values: [Double] = []
    let gradient = wanted ? Tensor(zeros: [rows, width]) : nil
    return try lifting { () throws(TensorError) in
      for first in stride(from: 0, to: rows, by: Self.divergenceRows) {
        let count = min(Self.divergenceRows, rows - first)
        let x = hidden.base + first * width
        let own = try logits(x, rows: count, options)
        let last = try logits(finals.base + first * width, rows: count, options)
        values += compare(own, with: last, options)
        guard let gradient else { continue }
        let target = gradient.base + first * width
        try transposedUnembedding()(own.base, rows: count, into: target)
        // A decoder's final norm is an RMSNorm.
        if options.normed, case .rms(let gain, let eps) = text.norm {
          pullBack(target, at: x, gain: gain, eps: eps, rows: count)
        }
      }
      return LensDivergence(values: values, gradient: gradient)
    }
  }

  private func logits(_ x: ConstFloats, rows: Int, _ options: LensOptions) throws(TensorError) -> Tensor {
    let x = normed(x, rows: rows, options)
    return try text.unembedding.logits(x.base, rows: rows)
  }

  /// KL(last || own) of each row. `own` becomes its gradient, softmax(own) - softmax(last), and zero outside of the range.
  private func compare(_ own: Tensor, with last: Tensor, _ options: LensOptions) -> [Double] {
    let vocabulary = own.shape[1]
    let range = (options.vocabulary ?? 0..<vocabulary).clamped(to: 0..<vocabulary)
    var values = [Double](repeating: 0, count: own.shape[0])
    values.withUnsafeMutableBufferPointer { values in
      parallelFor(values.count) { share in
        let difference = FloatStorage(zeros: range.count)
        for row in share {
          let (q, p) = (own.base + row * vocabulary, last.base + row * vocabulary)
          values[row] = divergence(q + range.lowerBound, p + range.lowerBound, range.count, difference.base)
          for id in 0..<range.lowerBound { q[id] = 0 }
          for id in range.upperBound..<vocabulary { q[id] = 0 }
        }
      }
    }
    return values
  }

  /// Sums p (log p - log q); the difference of logits is taken before both become probabilities, so that equal rows give 0 exactly.
  private func divergence(_ q: Floats, _ p: Floats, _ count: Int, _ difference: Floats) -> Double {
    for id in 0..<count { difference[id] = p[id] - q[id] }
    let offset = logSum(p, count) - logSum(q, count)
    ck_softmax(q, Int64(count), Int64(count))
    ck_softmax(p, Int64(count), Int64(count))
    var sum = 0.0
    for id in 0..<count {
      sum += Double(p[id]) * (Double(difference[id]) - offset)
      q[id] -= p[id]
    }
    return sum
  }

  private func logSum(_ logits: ConstFloats, _ count: Int) -> Double {
    var (maximum, sum) = (-Float.infinity, 0.0)
    ck_log_sum_exp_block(logits, Int64(count), &maximum, &sum)
    return Double(maximum) + log(sum)
  }

  /// [width, vocabulary], made when a lens first learns.
  private func transposedUnembedding() throws(TensorError) -> Linear {
    if let backwards { return backwards }
    let made = try text.unembedding.transposed(on: engine)
    backwards = made
    return made
  }
}

/// RMSNorm backwards: a gradient at what the norm gives becomes that at what it was given, x [rows, width].
private func pullBack(_ gradient: Floats, at x: ConstFloats, gain: Tensor, eps: Float, rows: Int) {
  let width = gain.count
  parallelFor(rows, grain: 8) { share in
    for row in share {
      let (d, x) = (gradient + row * width, x + row * width)
      let square = dot(x, x, width) / Double(width) + Double(eps)
      for i in 0..<width { d[i] *= gain.base[i] }
      let along = dot(d, x, width) / (square * Double(width))
      for i in 0..<width { d[i] = Float((Double(d[i]) - Double(x[i]) * along) / square.squareRoot()) }
    }
  }
}

private func dot(_ a: ConstFloats, _ b: ConstFloats, _ count: Int) -> Double {
  var sum = 0.0
  for i in 0..<count { sum += Double(a[i]) * Double(b[i]) }
  return sum
}
