/// The edges that a layer's rules block, compiled per class of heads that share the same rules.
///
/// A row's edges are ranges of keys, so that applying them costs what they block and no T x T mask exists.
package struct EdgeMask: Sendable {
  package struct HeadClass: Sendable {
    package let heads: [Int]
    let holdsAllHeads: Bool
    /// Keys at minus infinity, by query row.
    var dropped: [Row: [Range<Row>]] = [:]
    /// Added to the scores, by query row.
    var biased: [Row: [(keys: Range<Row>, value: Float)]] = [:]
    /// Zero after the softmax, by query row.
    var zeroed: [Row: [Range<Row>]] = [:]
  }

  package var classes: [HeadClass] = []
  /// (rows, edges) that each plugin blocks or changes, counted in visible edges x heads.
  package var counts: [Int: (rows: Int, edges: Int)] = [:]

  /// - Parameters:
  ///   - rules: the rules of one layer, in the order of the condition.
  ///   - length: rows of the tower. `causal`: a query sees only keys up to itself.
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
      classes.append(try compiler.headClass(heads, isWhole: byRules.count == 1, counts: &counts))
    }
  }

  package var isEmpty: Bool { classes.isEmpty }
}

/// Gathers the rules of one class of heads, row by row.
private struct EdgeCompiler {
  let length: Int
  let causal: Bool
  let place: String
  private var dropped: [Row: Set<Row>] = [:]
  private var kept: [Row: Set<Row>] = [:]
  private var zeroed: [Row: Set<Row>] = [:]
  private var biased: [Row: [(Range<Row>, Float)]] = [:]
  private var onEmpty: [Row: EdgeRule.OnEmpty] = [:]
  /// Per plugin and row: the visible edges that it names.
  private var touched: [Int: [Row: Set<Row>]] = [:]

  init(length: Int, causal: Bool, place: String) {
    self.length = length
    self.causal = causal
    self.place = place
  }

  private func visible(_ query: Row) -> Range<Row> { 0..<(causal ? query + 1 : length) }

  mutating func add(_ rule: EdgeRule) {
    let keys = Set(rule.keys)
    for query in rule.queries {
      var named = keys.filter { visible(query).contains($0) }
      if rule.keepSelf { if rule.action == .keepOnly { named.insert(query) } else { named.remove(query) } }
      switch rule.action {
      case .drop:
        dropped[query, default: []].formUnion(named)
        onEmpty[query] = rule.onEmpty
      case .keepOnly:
        kept[query, default: []].formUnion(named)
        onEmpty[query] = rule.onEmpty
        named = Set(visible(query)).subtracting(named)
      case .zero: zeroed[query, default: []].formUnion(named)
      case .bias(let value): biased[query, default: []] += ranges(named).map { ($0, value) }
      }
      touched[rule.plugin, default: [:]][query, default: []].formUnion(named)
    }
  }

  func headClass(
    _ heads: [Int], isWhole: Bool, counts: inout [Int: (rows: Int, edges: Int)]
  ) throws(ModelError) -> EdgeMask.HeadClass {
    var result = EdgeMask.HeadClass(heads: heads, holdsAllHeads: isWhole)
    for query in Set(dropped.keys).union(kept.keys).sorted() {
      var gone = dropped[query] ?? []
      if let kept = kept[query] { gone.formUnion(Set(visible(query)).subtracting(kept)) }
      if gone.count == visible(query).count { try fill(&gone, query: query) }
      result.dropped[query] = ranges(gone)
    }
    result.zeroed = zeroed.mapValues(ranges)
    result.biased = biased.mapValues { $0.map { (keys: $0.0, value: $0.1) } }
    for (plugin, rows) in touched {
      let edges = rows.values.reduce(0) { $0 + $1.count } * heads.count
      counts[plugin, default: (0, 0)].rows += rows.values.count { !$0.isEmpty }
      counts[plugin, default: (0, 0)].edges += edges
    }
    return result
  }

  /// A query that may attend to nothing: by its rule an error, itself, or (all stay blocked) a pattern of zeros.
  private func fill(_ gone: inout Set<Row>, query: Row) throws(ModelError) {
    switch onEmpty[query] ?? .error {
    case .zero: break
    case .attendSelf: gone.remove(query)
    case .error:
      throw .edit(
        place: place, problem: "row \(query) may attend to nothing",
        remedy: "set keep_self, or on_empty to self or zero")
    }
  }

  private func ranges(_ rows: Set<Row>) -> [Range<Row>] {
    var result: [Range<Row>] = []
    for row in rows.sorted() {
      if let last = result.last, last.upperBound == row {
        result[result.count - 1] = last.lowerBound..<(row + 1)
      } else {
        result.append(row..<(row + 1))
      }
    }
    return result
  }
}
