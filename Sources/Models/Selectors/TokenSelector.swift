/// Which rows, in the words of the field. The grammar is published in docs/selectors.md:
///
///     expression = term { ("+" | "-" | "&") term }          union, difference, intersection, from left to right
///     term       = "(" expression ")" | "[" indices "]" | name [ "[" slice "," slice "]" ]
///     name       = all | image | patches | base | newline | cls | prefix | question | last | generated | mask:NAME
///     slice      = index | [first] ":" [end]                 half-open, as in Python; negative from the end
package indirect enum TokenSelector: Sendable, Equatable {
  case named(String)
  case mask(String)
  case grid(rows: Slice, cols: Slice)
  case indices([Slice])
  case union(TokenSelector, TokenSelector)
  case difference(TokenSelector, TokenSelector)
  case intersection(TokenSelector, TokenSelector)

  package struct Slice: Sendable, Equatable {
    var first: Int?
    var end: Int?
    var single: Bool
  }

  static let names = ["all", "image", "patches", "base", "newline", "cls", "prefix", "question", "last", "generated"]

  package init(_ text: String) throws(ModelError) {
    var parser = SelectorParser(text)
    self = try parser.expression()
    try parser.end()
  }

  /// Sorted rows. An empty result is legal (the caller counts it as not applicable); an index beyond the sequence is not.
  package func resolve(_ rows: TowerRows) throws(ModelError) -> [Int] {
    try set(rows).sorted()
  }

  private func set(_ rows: TowerRows) throws(ModelError) -> Set<Int> {
    switch self {
    case .named(let name): try TokenSelector.named(name, rows)
    case .mask(let name): rows.rows(ofMask: name) ?? []
    case .grid(let r, let c): try TokenSelector.grid(r, c, rows)
    case .indices(let slices):
      Set(
        try slices.map { slice throws(ModelError) in
          try slice.resolve(count: rows.count, of: "the \(rows.tower.rawValue) tower's rows")
        }.joined())
    case .union(let a, let b): try a.set(rows).union(b.set(rows))
    case .difference(let a, let b): try a.set(rows).subtracting(b.set(rows))
    case .intersection(let a, let b): try a.set(rows).intersection(b.set(rows))
    }
  }

  private static func named(_ name: String, _ rows: TowerRows) throws(ModelError) -> Set<Int> {
    func only(_ set: Set<Int>?) throws(ModelError) -> Set<Int> {
      guard let set else {
        throw .selector(
          name, problem: "the \(rows.tower.rawValue) tower has no '\(name)' rows",
          remedy: "'\(name)' names rows of the text tower")
      }
      return set
    }
    switch name {
    case "all": return Set(0..<rows.count)
    case "patches": return rows.patches
    case "image": return rows.tower == .text ? try only(rows.rows(of: .image)) : rows.patches
    case "base", "newline":
      guard let found = name == "base" ? rows.base : rows.newlines else {
        throw .selector(
          name, problem: "the \(rows.tower.rawValue) tower of this model has no '\(name)' rows",
          remedy: name == "base"
            ? "only LLaVA-NeXT has a base tile beside others" : "'newline' names rows of LLaVA-NeXT's text tower")
      }
      return Set(found)
    case "prefix": return try only(rows.rows(of: .prefix))
    case "question": return try only(rows.rows(of: .question))
    case "generated": return try only(rows.rows(of: .generated))
    case "last": return try only(rows.segments.map { [$0.promptLength - 1] })
    default:
      guard !rows.classRows.isEmpty else {
        throw .selector(
          name, problem: "the \(rows.tower.rawValue) tower of this model has no CLS row",
          remedy: "vision_feature_select_strategy is default, which drops it; 'cls' names a row of the vision tower")
      }
      return Set(rows.classRows)
    }
  }

  private static func grid(_ r: Slice, _ c: Slice, _ rows: TowerRows) throws(ModelError) -> Set<Int> {
    let r = try r.resolve(count: rows.grid.rows, of: "the patch grid's rows")
    let c = try c.resolve(count: rows.grid.cols, of: "the patch grid's columns")
    return Set(rows.grids.flatMap { grid in r.flatMap { row in c.map { grid[row * rows.grid.cols + $0] } } })
  }
}

extension TokenSelector.Slice {
  func resolve(count: Int, of what: String) throws(ModelError) -> Range<Int> {
    func absolute(_ index: Int) -> Int { index < 0 ? index + count : index }
    let low = absolute(first ?? 0)
    let high = single ? low + 1 : absolute(end ?? count)
    guard low >= 0, low <= high, high <= count else {
      throw .selector(
        single ? "\(first ?? 0)" : "\(first.map(String.init) ?? ""):\(end.map(String.init) ?? "")",
        problem: "beyond \(what): there are \(count)", remedy: "indices run from 0 to \(count - 1)")
    }
    return low..<high
  }
}
