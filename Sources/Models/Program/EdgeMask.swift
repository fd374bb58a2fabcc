/// The edges that a layer's rules block, compiled per class of heads that share the same rules.
///
/// A row's edges are ranges of keys, so that applying them costs what they block and no T x T mask exists.
package struct EdgeMask: Sendable {
  package struct HeadClass: Sendable {
    package let heads: [Int]
    /// Keys at minus infinity, by query row.
    var dropped: [Row: [Range<Row>]] = [:]
    /// Added to the scores, by query row.
    var biased: [Row: [(keys: Range<Row>, value: Float)]] = [:]
    /// Zero after the softmax, by query row.
    var zeroed: [Row: [Range<Row>]] = [:]
  }

  package var classes: [HeadClass] = []
  /// Queries with an edge that a rule changes.
  package private(set) var queries: RowSet = []
  /// Per query, the keys that no head lets through any more.
  package private(set) var severed: [Row: RowSet] = [:]
  /// (rows, edges) that each plugin blocks or changes, counted in visible edges x heads.
  package var counts: [Int: (rows: Int, edges: Int)] = [:]

  /// - Parameters:
  ///   - rules: the rules of one layer, in the order of the condition.
  ///   - length: rows of one sequence; the rules' rows may be of several, one behind the other, and a query sees only its own.
  ///   - causal: a query sees only keys up to itself.
  ///   - place: for errors: the tower and layers.
  package init(
    _ rules: [EdgeRule], heads: Int, length: Int, causal: Bool, place: String
  ) throws(ModelError) {
    for rule in rules {
      if let bad = rule.heads?.first(where: { !(0..<heads).contains($0) }) {
        throw .edit(place: place, problem: "head \(bad) does not exist", remedy: "heads run from 0 to \(heads - 1)")
      }
    }
    let byRules = Dictionary(grouping: 0..<heads) { head in
      rules.indices.filter { rules[$0].heads?.contains(head) ?? true }
    }
    for (indices, heads) in byRules.sorted(by: { $0.value[0] < $1.value[0] }) where !indices.isEmpty {
      var compiler = EdgeCompiler(length: length, causal: causal, place: place)
      for index in indices { compiler.add(rules[index]) }
      classes.append(try compiler.headClass(heads, counts: &counts))
    }
    for edges in classes {
      for (query, keys) in edges.dropped where !keys.isEmpty { queries.insert(query) }
      for (query, keys) in edges.zeroed where !keys.isEmpty { queries.insert(query) }
      for (query, biases) in edges.biased where !biases.isEmpty { queries.insert(query) }
    }
    if let first = classes.first, classes.reduce(0, { $0 + $1.heads.count }) == heads { sever(first) }
  }

  /// What the first class drops and all others too.
  private mutating func sever(_ first: HeadClass) {
    for (query, ranges) in first.dropped {
      let shared = classes.dropFirst().reduce(RowSet(ranges.joined())) { shared, edges in
        shared.intersection(RowSet((edges.dropped[query] ?? []).joined()))
      }
      if !shared.isEmpty { severed[query] = shared }
    }
  }

  package var isEmpty: Bool { classes.isEmpty }

  /// The edges of one sequence of several, whose rows are `range` of all, counted from its first.
  func part(_ range: Range<Row>) -> EdgeMask {
    func moved(_ keys: Range<Row>) -> Range<Row> {
      keys.lowerBound - range.lowerBound..<keys.upperBound - range.lowerBound
    }
    func own<T>(_ rows: [Row: T], _ change: (T) -> T) -> [Row: T] {
      rows.reduce(into: [:]) { own, entry in
        if range.contains(entry.key) { own[entry.key - range.lowerBound] = change(entry.value) }
      }
    }
    var part = self
    part.classes = classes.map { edges in
      HeadClass(
        heads: edges.heads, dropped: own(edges.dropped) { $0.map(moved) },
        biased: own(edges.biased) { $0.map { (keys: moved($0.keys), value: $0.value) } },
        zeroed: own(edges.zeroed) { $0.map(moved) })
    }
    part.queries = RowSet(queries.rows.filter(range.contains).map { $0 - range.lowerBound })
    part.severed = own(severed) { RowSet($0.ranges.map(moved).joined()) }
    return part
  }
}

/// Gathers the rules of one class of heads, row by row.
private struct EdgeCompiler {
  let length: Int
  let causal: Bool
  let place: String
  private var dropped: [Row: RowSet] = [:]
  private var kept: [Row: RowSet] = [:]
  private var zeroed: [Row: RowSet] = [:]
  private var biased: [Row: [(Range<Row>, Float)]] = [:]
  private var onEmpty: [Row: EdgeRule.OnEmpty] = [:]
  /// Per plugin and row: the visible edges that it names.
  private var touched: [Int: [Row: RowSet]] = [:]

  init(length: Int, causal: Bool, place: String) {
    self.length = length
    self.causal = causal
    self.place = place
  }

  private func visible(_ query: Row) -> RowSet {
    let first = query / length * length
    return RowSet(first..<(causal ? query + 1 : first + length))
  }

  mutating func add(_ rule: EdgeRule) {
    let keys = RowSet(rule.keys)
    for query in rule.queries {
      var named = keys.intersection(visible(query))
      if rule.keepSelf { named = rule.action == .keepOnly ? named.union([query]) : named.subtracting([query]) }
      switch rule.action {
      case .drop:
        dropped[query, default: []].formUnion(named)
        onEmpty[query] = rule.onEmpty
      case .keepOnly:
        kept[query, default: []].formUnion(named)
        onEmpty[query] = rule.onEmpty
        named = visible(query).subtracting(named)
      case .zero: zeroed[query, default: []].formUnion(named)
      case .bias(let value): biased[query, default: []] += named.ranges.map { ($0, value) }
      }
      touched[rule.plugin, default: [:]][query, default: []].formUnion(named)
    }
  }

  func headClass(
    _ heads: [Int], counts: inout [Int: (rows: Int, edges: Int)]
  ) throws(ModelError) -> EdgeMask.HeadClass {
    var result = EdgeMask.HeadClass(heads: heads)
    for query in Set(dropped.keys).union(kept.keys).sorted() {
      var gone = dropped[query] ?? []
      if let kept = kept[query] { gone.formUnion(visible(query).subtracting(kept)) }
      if gone.count == visible(query).count { try fill(&gone, query: query) }
      result.dropped[query] = gone.ranges
    }
    result.zeroed = zeroed.mapValues(\.ranges)
    result.biased = biased.mapValues { $0.map { (keys: $0.0, value: $0.1) } }
    for (plugin, rows) in touched {
      let edges = rows.values.reduce(0) { $0 + $1.count } * heads.count
      counts[plugin, default: (0, 0)].rows += rows.values.count { !$0.isEmpty }
      counts[plugin, default: (0, 0)].edges += edges
    }
    return result
  }

  /// A query that may attend to nothing: by its rule an error, itself, or (all stay blocked) a pattern of zeros.
  private func fill(_ gone: inout RowSet, query: Row) throws(ModelError) {
    switch onEmpty[query] ?? .error {
    case .zero: break
    case .attendSelf: gone = gone.subtracting([query])
    case .error:
      throw .edit(
        place: place, problem: "row \(query) may attend to nothing",
        remedy: "set keep_self, or on_empty to self or zero")
    }
  }
}
