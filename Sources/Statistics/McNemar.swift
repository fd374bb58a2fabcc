import Foundation

/// The exact McNemar test of two binary readings of the same independent items.
package struct McNemar: Sendable, Equatable {
  /// Items that only A has right, and that only B has right. The others say nothing.
  package var onlyA: Int
  package var onlyB: Int
  /// Two-sided: a fair coin tossed once per item on which A and B differ.
  package var p: Double

  package init(onlyA: Int, onlyB: Int) {
    (self.onlyA, self.onlyB) = (onlyA, onlyB)
    let tosses = onlyA + onlyB
    let tail = (0...min(onlyA, onlyB)).reduce(0.0) { sum, heads in
      let ways = lgamma(Double(tosses + 1)) - lgamma(Double(heads + 1)) - lgamma(Double(tosses - heads + 1))
      return sum + exp(ways - Double(tosses) * log(2))
    }
    p = min(1, 2 * tail)
  }
}
