import Models
import PluginHost
import Tensors

/// Mean over rows of |x| / |clean| and of cos(x, clean) at one hook point; rows whose clean activation is zero do not count.
func displacement(
  of outcome: ConditionOutcome, from clean: ConditionOutcome, at point: HookPoint, rows: [Row]
) -> [MeasuredValue] {
  guard let x = outcome.activation(at: point), let reference = clean.activation(at: point) else { return [] }
  let width = x.count / max(1, x.shape[0])
  let pairs = rows.filter { $0 < x.shape[0] }.compactMap { row in
    Pair(x.base + row * width, reference.base + row * width, width: width)
  }
  func mean(_ metric: String, _ value: (Pair) -> Double) -> MeasuredValue {
    let mean = pairs.reduce(0) { $0 + value($1) } / Double(pairs.count)
    return MeasuredValue(
      probe: Reading.displacement.rawValue, point: "\(point)", token: nil, label: nil, metric: metric, value: mean)
  }
  return pairs.isEmpty ? [] : [mean("norm_ratio", \.ratio), mean("cosine", \.cosine)]
}

private struct Pair {
  let ratio: Double
  let cosine: Double

  init?(_ x: ConstFloats, _ clean: ConstFloats, width: Int) {
    var (xx, cc, xc) = (0.0, 0.0, 0.0)
    for i in 0..<width {
      let (a, b) = (Double(x[i]), Double(clean[i]))
      (xx, cc, xc) = (xx + a * a, cc + b * b, xc + a * b)
    }
    guard cc > 0 else { return nil }
    ratio = (xx / cc).squareRoot()
    cosine = xx > 0 ? xc / (xx * cc).squareRoot() : 0
  }
}

extension ConditionOutcome {
  /// A captured activation of all prompt rows.
  fileprivate func activation(at point: HookPoint) -> Tensor? {
    output.results.captures.first { $0.plugin == Program.reader && $0.point == point }?.tensor
  }
}
