/// Which layers: `all`, or a list of indices and inclusive ranges, negative from the end: `0`, `4-11`, `-1`, `0-2,-1`.
/// In the vision tower -1 is the last layer that the projector depends on; dead layers behind it are refused by name.
package struct LayerSelector: Sendable, Equatable {
  private enum Item: Equatable, Sendable {
    case all
    case range(Int, Int)
  }
  private let text: String
  private let items: [Item]

  package init(_ text: String) throws(ModelError) {
    self.text = text
    items = try text.split(separator: ",", omittingEmptySubsequences: false).map { part throws(ModelError) in
      guard let item = LayerSelector.item(part.filter { $0 != " " }) else {
        throw .selector(text, problem: "'\(part)' is no layer", remedy: "for example all, 0, 4-11, -1 or 0-2,-1")
      }
      return item
    }
  }

  package init(first: Int, last: Int) {
    text = "\(first)-\(last)"
    items = [.range(first, last)]
  }

  private static func item(_ text: String) -> Item? {
    if text == "all" || text == "*" { return .all }
    if let index = Int(text) { return .range(index, index) }
    guard let dash = text.dropFirst().firstIndex(of: "-"), let first = Int(text[..<dash]),
      let last = Int(text[text.index(after: dash)...])
    else { return nil }
    return .range(first, last)
  }

  /// Sorted layer indices of `tower`. A layer that does not exist, or that nothing reads, is an error that says so.
  package func resolve(_ table: HookTable, tower: Tower) throws(ModelError) -> [Int] {
    let count = table.layers(of: tower)
    let inFile = tower == .vision ? table.visionLayersInCheckpoint : count
    var layers: Set<Int> = []
    for item in items {
      switch item {
      case .all: layers.formUnion(0..<count)
      case .range(let first, let last):
        let (low, high) = (first < 0 ? first + count : first, last < 0 ? last + count : last)
        guard low >= 0, high < inFile, low <= high else {
          throw .selector(text, problem: "\(tower.rawValue) has layers 0 to \(inFile - 1)", remedy: "change the layers")
        }
        guard high < count else {
          throw .selector(
            text,
            problem: "vision layer \(high) cannot affect the output: the projector reads hidden state \(count), "
              + "the output of layer \(count - 1)",
            remedy: "use layers 0 to \(count - 1), or all")
        }
        layers.formUnion(low...high)
      }
    }
    return layers.sorted()
  }
}
