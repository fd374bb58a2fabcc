/// Two one-sided t tests (Schuirmann 1987): is a mean so near to zero that it does not matter?
package struct Equivalence: Sendable, Equatable {
  /// What is still called nothing, in the unit of the mean.
  package var margin: Double
  /// The larger of the two one-sided p values.
  package var p: Double
  /// Both tests reject at 1 - level: the (2 level - 1) interval lies within the margin.
  package var holds: Bool

  package init(_ estimate: Estimate, margin: Double, level: Double = 0.95) {
    self.margin = margin
    let slack = margin - abs(estimate.mean)
    if estimate.standardError > 0 {
      p = StudentT.cdf(-slack / estimate.standardError, degrees: estimate.degrees)
    } else {
      p = slack > 0 ? 0 : 1
    }
    holds = p < 1 - level
  }
}
