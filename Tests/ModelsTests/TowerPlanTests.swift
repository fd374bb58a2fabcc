import Models
import TestSupport
import Testing

/// Plans by hand: six rows, three layers, two heads; row 5 is read behind the last layer.
struct TowerPlanTests {
  @Test func `a set of rows does what a set does`() {
    var numbers = SeededNumbers(1)
    for _ in 0..<200 {
      let (a, b) = (numbers.some(of: 0..<200, atMost: 40), numbers.some(of: 0..<90, atMost: 40))
      let (x, y) = (RowSet(a), RowSet(b))
      #expect(x.rows == a && x.count == a.count && x.first == a.first && x.last == a.last)
      #expect(x.union(y).rows == Set(a).union(b).sorted() && x.intersection(y).rows == Set(a).intersection(b).sorted())
      #expect(x.subtracting(y).rows == Set(a).subtracting(b).sorted() && x.subtracting(x) == [])
      #expect(x.ranges.flatMap(Array.init) == a)
      let last = numbers.some(of: 0..<200, atMost: 1)[0]
      #expect(x.through(last).rows == a.filter { $0 <= last })
      #expect(x.hasRow(through: last, outside: y) == a.contains { $0 <= last && !b.contains($0) })
      #expect(RowSet(last..<200).rows == Array(last..<200))
    }
  }

  @Test func `a write behind the attention spreads from the next layer on`() throws {
    let write = (Op(.scale(2), rows: [2]), 1, Site.residMid)
    #expect(rows([write]) == [none, all([2]), rows([2, 5], [5])])
    #expect(rows([write], read: [3, 5]) == [none, all([2]), rows([2, 3, 5], [3, 5])])
  }

  @Test func `a query's write stays in its row, a key's reaches the rows that may attend to it`() throws {
    #expect(rows([(Op(.scale(2), rows: [2]), 1, .q)]) == [none, all([2]), rows([2, 5], [5])])
    #expect(rows([(Op(.scale(2), rows: [5]), 1, .q)]) == [none, all([5]), all([5])])
    #expect(rows([(Op(.scale(2), rows: [2]), 1, .k)]) == [none, all([2, 3, 4, 5]), rows([2, 3, 4, 5], [5])])
    #expect(rows([(Op(.scale(2), rows: [2]), 2, .k)]) == [none, none, rows([2, 5], [5])])
    #expect(
      rows([(Op(.scale(2), rows: [2]), 2, .residMid)]) == [none, none, rows([2], [2], [])],
      "an op gets its rows, read or not, and no more")
  }

  @Test func `a knockout of the last row computes that row from its layer on`() throws {
    #expect(try rows(edges: [1: [EdgeRule(.drop, queries: [5], keys: [1, 2])]]) == [none, all([5]), all([5])])
    #expect(try rows(edges: [1: [EdgeRule(.drop, heads: [0], queries: [5], keys: [1])]]) == [none, all([5]), all([5])])
    #expect(
      try rows(edges: [1: [EdgeRule(.drop, queries: [1], keys: [4, 5])]]) == [none, none, none], "no edge is lost")
  }

  @Test func `what no head lets through does not spread`() throws {
    let write = (Op(.scale(2), rows: [2]), 0, Site.residMid)
    let cut = { (heads: [Int]?) in [EdgeRule(.drop, heads: heads, queries: [3, 4, 5], keys: [2])] }
    #expect(
      try rows([write], edges: [1: cut(nil), 2: cut(nil)]) == [
        rows([2], [2], []), all([3, 4, 5]), rows([3, 4, 5], [5]),
      ])
    #expect(
      try rows([write], edges: [1: cut([0]), 2: cut([0])]) == [
        all([2]), all([2, 3, 4, 5]), rows([2, 3, 4, 5], [5]),
      ])
    // Two classes of heads sever what both drop.
    let both = [
      EdgeRule(.drop, heads: [0], queries: [5], keys: [1, 2]), EdgeRule(.drop, heads: [1], queries: [5], keys: [2]),
    ]
    #expect(
      try rows([write], edges: [2: both]) == [all([2]), rows([2, 3, 4, 5], [3, 4, 5]), rows([3, 4, 5], [5])])
  }

  @Test func `a reading costs nothing where the clean pass has the row, and one row where it has not`() throws {
    let reading = Op.Action.capture(reading: 0)
    #expect(
      rows([(Op(reading, rows: [1, 4]), 1, .residPost), (Op(reading, rows: [3]), 2, .residPre)]) == [none, none, none])
    #expect(rows([(Op(reading, rows: [4]), 1, .z)]) == [none, rows([4], [4], []), none])
    #expect(rows([(Op(reading, rows: [4]), 1, .v)]) == [none, rows([4], [], []), none])
    #expect(rows([(Op(.call(access: 0, writes: false), rows: [1]), 1, .mlpOut)]) == [none, all([1]), none])
    let write = (Op(.scale(2), rows: [2]), 0, Site.mlpOut)
    #expect(rows([write, (Op(reading, rows: [1, 4]), 0, .residPost)], read: []) == [all([2]), none, none])
    #expect(
      rows([write, (Op(reading, rows: [1, 4]), 1, .residPost)], read: []) == [all([2]), rows([2, 4], [4]), none])
  }

  @Test func `without a clean pass a lane computes what is read and no more`() throws {
    let everything = RowSet(0..<6)
    #expect(rows([], from: everything) == [all(0...5), all(0...5), rows(0...5, [5])])
    let prefix = (Op(.capture(reading: 0), rows: [1]), 1, Site.z)
    #expect(rows([prefix], from: everything, read: []) == [all([0, 1]), rows([0, 1], [1], []), none])
    #expect(rows([], from: everything, read: [], later: 6..<7).last == rows(0...5, [], []))
  }

  @Test func `decoding needs the keys of rows that differ, unless its edges to them are cut`() throws {
    let write = (Op(.scale(2), rows: [2]), 0, Site.residMid)
    #expect(rows([write], later: 6..<7) == [all([2]), all([2, 3, 4, 5]), rows([2, 3, 4, 5], [5])])
    let cut = [EdgeRule(.drop, queries: [3, 4, 5, 6], keys: [2])]
    #expect(
      try rows([write], edges: [1: cut, 2: cut], later: 6..<7) == [
        rows([2], [2], []), all([3, 4, 5]), rows([3, 4, 5], [5]),
      ])
  }

  @Test func `a plugin that declares everything gets a full pass`() {
    let ops = Site.ofLayer.flatMap { site in
      (0..<3).map { (Op(.call(access: 0, writes: true), rows: Array(0..<6)), $0, site) }
    }
    #expect(rows(ops) == [all(0...5), all(0...5), all(0...5)])
  }

  @Test func `in a tower without causality everything spreads everywhere`() {
    let write = (Op(.scale(2), rows: [4]), 1, Site.residMid)
    #expect(rows([write], tower: .vision, read: [0, 1]) == [none, all([4]), rows([0, 1, 4], [0, 1])])
  }

  @Test func `readings at the embedding take no layer`() {
    var program = Program()
    program.add(Op(.call(access: 0, writes: true), rows: [3]), at: HookPoint(.text, nil, .embed))
    let plan = TowerPlan(program, on: TowerPlanTests.tower(.text), read: [2])
    #expect(plan.embedded == [3] && plan.layers.allSatisfy { $0 == none } && plan.read == [2])
  }

  // MARK: words

  private static func tower(_ tower: Tower) -> PlannedTower {
    PlannedTower(tower, layers: 3, heads: 2, rows: 6, causal: tower == .text)
  }

  private var none: LayerRows { all([Row]()) }
  private func all(_ rows: some Sequence<Row>) -> LayerRows { self.rows(rows, Array(rows)) }
  private func rows(_ keyed: some Sequence<Row>, _ attending: [Row], _ leaving: [Row]? = nil) -> LayerRows {
    LayerRows(keyed: Array(keyed), attending: attending, leaving: leaving ?? attending)
  }

  private func rows(
    _ ops: [(Op, Int, Site)] = [], tower: Tower = .text, from differing: RowSet = [], read: [Row] = [5],
    later: Range<Row> = 0..<0
  ) -> [LayerRows] {
    var program = Program()
    for (op, layer, site) in ops { program.add(op, at: HookPoint(tower, layer, site)) }
    return TowerPlan(program, on: TowerPlanTests.tower(tower), differing: differing, read: read, later: later).layers
  }

  private func rows(
    _ ops: [(Op, Int, Site)] = [], edges: [Int: [EdgeRule]], later: Range<Row> = 0..<0
  ) throws -> [LayerRows] {
    var program = Program()
    for (op, layer, site) in ops { program.add(op, at: HookPoint(.text, layer, site)) }
    for (layer, rules) in edges {
      program.edges[HookPoint(.text, layer, .attnScores)] = try EdgeMask(
        rules, heads: 2, length: 8, causal: true, place: "")
    }
    return TowerPlan(program, on: TowerPlanTests.tower(.text), read: [5], later: later).layers
  }
}
