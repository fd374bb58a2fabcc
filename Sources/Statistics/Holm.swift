/// p values of several planned comparisons, adjusted so that the chance of one false claim among them stays at the level
/// (Holm, "A simple sequentially rejective multiple test procedure", 1979). In the order given.
package func holm(_ p: [Double]) -> [Double] {
  var adjusted = p
  var largest = 0.0
  for (rank, index) in p.indices.sorted(by: { (p[$0], $0) < (p[$1], $1) }).enumerated() {
    largest = max(largest, min(1, Double(p.count - rank) * p[index]))
    adjusted[index] = largest
  }
  return adjusted
}
