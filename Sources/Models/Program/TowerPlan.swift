/// The parts of a layer, each computed for no more rows than the next thing needs.
package enum Stage: CaseIterable, Sendable {
  /// The residual stream on entry, its norm, keys and values.
  case keyed
  /// Queries, attention and its output.
  case attending
  /// The feed-forward part and the residual stream that leaves the layer.
  case leaving
}

extension Site {
  package var stage: Stage {
    switch self {
    case .residPre, .k, .v, .rotK: .keyed
    case .q, .rotQ, .attnScores, .pattern, .z, .attnOut, .residMid: .attending
    default: .leaving
    }
  }
}

/// The rows of one layer that a lane computes, sorted; every stage has all rows of the next.
package struct LayerRows: Sendable, Equatable {
  package var keyed: [Row]
  package var attending: [Row]
  package var leaving: [Row]

  package init(keyed: [Row], attending: [Row], leaving: [Row]) {
    (self.keyed, self.attending, self.leaving) = (keyed, attending, leaving)
  }

  package subscript(stage: Stage) -> [Row] {
    switch stage {
    case .keyed: keyed
    case .attending: attending
    case .leaving: leaving
    }
  }
}

/// A tower as a plan sees it.
package struct PlannedTower: Sendable {
  package let tower: Tower
  package let layers: Int
  package let heads: Int
  /// Rows of the prefill.
  package let rows: Int
  package let causal: Bool

  package init(_ tower: Tower, layers: Int, heads: Int, rows: Int, causal: Bool) {
    (self.tower, self.layers, self.heads, self.rows, self.causal) = (tower, layers, heads, rows, causal)
  }
}

/// What one lane computes in one tower: a pure function of its program, made before anything runs.
///
/// Forwards: the rows that can differ from the clean pass, site by site: where something is written or an edge changes, and from there
/// along the edges that are not cut for every head. Backwards: what later layers, ops and the reader need of those. A row that is needed
/// and cannot differ comes from the clean pass; where it has to be computed to be seen (a query, a pattern), it is, and stays clean.
/// Every op gets all its rows, so that receipts do not depend on the plan. Errs on the side of computing.
package struct TowerPlan: Sendable, Equatable {
  /// Rows that are in the pack where the tower begins.
  package let embedded: [Row]
  package let layers: [LayerRows]
  /// Rows that are read behind the last layer (and behind others, where the plan was asked for that).
  package let read: [Row]
  /// Of all rows, those that can differ behind 0, 1, ... all layers.
  package let differing: [RowSet]

  /// - Parameters:
  ///   - differing: rows that are not the clean pass's where the tower begins; all of them for a lane that has no clean pass to borrow.
  ///   - read: rows that are wanted behind the last layer.
  ///   - depths: they are wanted behind so many layers too: features that a projector takes from several layers.
  ///   - later: rows that will be computed after this pass, and may then attend to it.
  package init(
    _ program: Program, on tower: PlannedTower, differing: RowSet = [], read: [Row], depths: Set<Int> = [],
    later: Range<Row> = 0..<0
  ) {
    let all = RowSet(0..<tower.rows)
    let spread = Spread(program, on: tower, from: differing)
    self.read = read.filter(all.contains)
    self.differing = [spread.embedded] + spread.layers.map(\.leaving)
    var needed = RowSet(self.read)
    var layers: [LayerRows] = []
    for layer in (0..<tower.layers).reversed() {
      let differing = spread.layers[layer]
      func seen(_ stage: Stage) -> RowSet {
        program.rowsSeen(tower, layer, stage, differing: stage == .keyed ? differing.entering : differing.leaving)
          .intersection(all)
      }
      let leaving = needed.intersection(differing.leaving).union(seen(.leaving))
      let attending = leaving.union(seen(.attending))
      let edges = Edges(program, tower, layer)
      let keyed = edges.keys(for: attending, and: later, among: differing.keys).union(seen(.keyed)).union(attending)
      layers.append(LayerRows(keyed: keyed.rows, attending: attending.rows, leaving: leaving.rows))
      needed = depths.contains(layer) ? keyed.union(RowSet(self.read)) : keyed
    }
    self.layers = layers.reversed()
    let embed = HookPoint(tower.tower, nil, .embed)
    embedded = needed.union(program.rowsSeen(at: embed, differing: spread.embedded).intersection(all)).rows
  }
}

/// The rows that can differ from the clean pass, forwards through a tower.
private struct Spread {
  struct Layer {
    /// Where the residual stream enters, behind what is written there.
    let entering: RowSet
    /// Keys or values.
    let keys: RowSet
    let leaving: RowSet
  }
  let embedded: RowSet
  private(set) var layers: [Layer] = []

  init(_ program: Program, on tower: PlannedTower, from start: RowSet) {
    let all = RowSet(0..<tower.rows)
    func written(_ layer: Int?, _ sites: [Site]) -> RowSet {
      sites.reduce(RowSet()) { $0.union(program.rowsWritten(at: HookPoint(tower.tower, layer, $1))) }.intersection(all)
    }
    embedded = start.union(written(nil, [.embed]))
    var differing = embedded
    for layer in 0..<tower.layers {
      let entering = differing.union(written(layer, [.residPre]))
      let keys = entering.union(written(layer, [.k, .v, .rotK]))
      let edges = Edges(program, tower, layer)
      differing = entering.union(edges.changed).union(edges.queries(reachedFrom: keys))
        .union(written(layer, Site.ofLayer.filter { $0.stage != .keyed }))
      layers.append(Layer(entering: entering, keys: keys, leaving: differing))
    }
  }
}

/// Who may attend to whom in one layer.
private struct Edges {
  private let tower: PlannedTower
  private let mask: EdgeMask?

  init(_ program: Program, _ tower: PlannedTower, _ layer: Int) {
    self.tower = tower
    mask = program.edges[HookPoint(tower.tower, layer, .attnScores)]
  }

  private func lastKey(of query: Row) -> Row { tower.causal ? query : tower.rows - 1 }

  /// Queries that have lost an edge, or have one that weighs otherwise.
  var changed: RowSet { mask?.queries.through(tower.rows - 1) ?? [] }

  /// Queries of this pass that attend to one of `keys` through any head.
  func queries(reachedFrom keys: RowSet) -> RowSet {
    guard let first = keys.first else { return [] }
    let reached = RowSet((tower.causal ? first : 0)..<tower.rows)
    guard let severed = mask?.severed, !severed.isEmpty else { return reached }
    return reached.subtracting(
      RowSet(severed.lazy.filter { !keys.hasRow(through: lastKey(of: $0.key), outside: $0.value) }.map(\.key)))
  }

  /// Of `keys`, those to which one of `queries` or a later row attends through any head.
  func keys(for queries: RowSet, and later: Range<Row>, among keys: RowSet) -> RowSet {
    guard !keys.isEmpty else { return [] }
    let severed = mask?.severed ?? [:]
    let asking = queries.union(RowSet(later)).rows.reversed()
    // Most queries are whole: the last of them sees what all of them see.
    let whole = asking.first { severed[$0] == nil }.map(lastKey) ?? -1
    return asking.reduce(keys.through(whole)) { seen, query in
      guard let cut = severed[query], tower.causal ? query > whole : whole < 0 else { return seen }
      return seen.union(keys.through(lastKey(of: query)).subtracting(cut))
    }
  }
}

extension Program {
  fileprivate func rowsWritten(at point: HookPoint) -> RowSet {
    RowSet(self[point].lazy.filter(\.writes).flatMap(\.rows))
  }

  /// Rows that ops at a point must find in the pack: those that they write, and those that they read where no clean pass has them.
  fileprivate func rowsSeen(at point: HookPoint, differing: RowSet) -> RowSet {
    self[point].reduce(RowSet()) { seen, op in
      let rows = RowSet(op.rows)
      return seen.union(op.writes || !point.isKept ? rows : rows.intersection(differing))
    }
  }

  fileprivate func rowsSeen(_ tower: PlannedTower, _ layer: Int, _ stage: Stage, differing: RowSet) -> RowSet {
    Site.ofLayer.lazy.filter { $0.stage == stage }.reduce(RowSet()) {
      $0.union(rowsSeen(at: HookPoint(tower.tower, layer, $1), differing: differing))
    }
  }
}

extension Op {
  package var writes: Bool {
    switch action {
    case .scale, .set, .add, .patch, .call(_, true): true
    case .call(_, false), .capture, .mass: false
    }
  }
}

extension Op {
  var isCapture: Bool { if case .capture = action { true } else { false } }
}

extension HookPoint {
  /// Whether a clean pass keeps the activation: readings of rows that do not differ are answered from there.
  package var isKept: Bool {
    tower == .text && [.embed, .residPre, .residPost].contains(site)
      || tower == .vision && layer != nil
        && [.residPre, .residPost].contains(site)
  }
}
