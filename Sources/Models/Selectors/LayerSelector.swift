/// Which layers: `all`, or a list of indices and inclusive ranges, negative from the end: `0`, `4-11`, `-1`, `0-2,-1`; or a window of k
/// layers around one, `12~9`, clipped at the ends of the tower.
/// In the vision tower -1 is the last layer that the projector depends on; dead layers behind it are refused by name.
package struct LayerSelector: Sendable, Equatable {
  private enum Item: Equatable, Sendable {
    case all
    case range(Int, Int)
    /// k layers around l, range(max(0, l - k / 2), min(L, l + ceil(k / 2))), as Geva et al. (2304.14767) sweep them in their code.
    case window(centre: Int, count: Int)
  }
  private let text: String
  private let items: [Item]

  package init(_ text: String) throws(ModelError) {
    self.text = text
    items = try text.split(separator: ",", omittingEmptySubsequences: false).map { part throws(ModelError) in
      guard let item = LayerSelector.item(part.filter { $0 != " " }) else {
        throw .selector(text, problem: "'\(part)' is no layer", remedy: "for example all, 0, 4-11, -1, 0-2,-1 or 12~9")
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
    if let tilde = text.firstIndex(of: "~") {
      guard let centre = Int(text[..<tilde]), let count = Int(text[text.index(after: tilde)...]), count > 0 else {
        return nil
      }
      return .window(centre: centre, count: count)
    }
    guard let dash = text.dropFirst().firstIndex(of: "-"), let first = Int(text[..<dash]),
      let last = Int(text[text.index(after: dash)...])
    else { return nil }
    return .range(first, last)
  }

  /// Sorted layer indices of `tower`. A layer that does not exist, or that nothing reads, is an error that says so.
  package func resolve(_ table: HookTable, tower: Tower) throws(ModelError) -> [Int] {
    let count = table.layers(of: tower)
    var layers: Set<Int> = []
    for item in items {
      switch item {
      case .all: layers.formUnion(0..<count)
      case .range(let first, let last): layers.formUnion(try existing(first, last, table, tower))
      case .window(let centre, let size):
        let centre = try existing(centre, centre, table, tower).lowerBound
        layers.formUnion(max(0, centre - size / 2)..<min(count, centre + (size + 1) / 2))
      }
    }
    return layers.sorted()
  }

  private func existing(
    _ first: Int, _ last: Int, _ table: HookTable, _ tower: Tower
  ) throws(ModelError) -> ClosedRange<Int> {
    let count = table.layers(of: tower)
    let inFile = tower == .vision ? table.visionLayersInCheckpoint : count
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
    return low...high
  }
}
