import Datasets
import PluginHost

/// The independent units of examples, by number: pictures, or clusters that the dataset names. No split tears one apart.
package struct UnitNumbers {
  private var numbers: [String: Int] = [:]

  package init(_ examples: [Example]) {
    for example in examples where numbers[example.unit] == nil { numbers[example.unit] = numbers.count }
  }

  package var count: Int { numbers.count }

  package subscript(example: Example) -> Int { numbers[example.unit] ?? -1 }
}

/// Units to learn from and units that are read by what was learned; none is in both.
package struct UnitSplit {
  /// `fold 2 of 5`
  package var name: String
  package var train: Set<Int>
  package var test: Set<Int>

  /// Each fold once as the test units. Dealt by the seed, in the same way for every probe.
  package static func folds(_ count: Int, of units: Int, seed: UInt64) -> [UnitSplit] {
    let order = shuffled(units, seed: seed, "folds")
    return (0..<count).map { fold in
      let test = Set(order.indices.filter { $0 % count == fold }.map { order[$0] })
      return UnitSplit(name: "fold \(fold + 1) of \(count)", train: Set(order).subtracting(test), test: test)
    }
  }

  /// The portions of an online code: each is read by a fit on all before it; of the first there is none.
  package static func portions(_ shares: [Double], of units: Int, seed: UInt64) -> [UnitSplit] {
    let order = shuffled(units, seed: seed, "online code")
    var (first, splits) = (0, [UnitSplit]())
    for (index, share) in shares.enumerated() {
      let end = min(units, Int((share * Double(units)).rounded(.up)))
      guard end > first else { continue }
      splits.append(
        UnitSplit(
          name: "portion \(index + 1) of \(shares.count)", train: Set(order[..<first]), test: Set(order[first..<end])))
      first = end
    }
    return splits
  }

  private static func shuffled(_ count: Int, seed: UInt64, _ name: String) -> [Int] {
    var draw = Draw(seed: seed, name)
    return draw.pick(count, of: Array(0..<count)) ?? []
  }
}
