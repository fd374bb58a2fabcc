/// How the conditions of one example share the work of the text tower: a pure function of their programs.
///
/// Either one clean pass runs first and the conditions borrow from it, or each condition computes by itself what it needs; whichever
/// multiplies less.
package struct SweepPlan: Sendable, Equatable {
  /// Of the clean pass, if there is one to run or to borrow from.
  package let clean: TowerPlan?
  /// The condition that changes nothing and therefore is the clean pass; only reads happen in it.
  package let rider: Int?
  /// By request; the rider's is the clean pass's.
  package let lanes: [TowerPlan]
  /// Multiply-adds of the lanes' products, and of the clean pass where it has no rider.
  package let costs: [Int]
  package let cleanCost: Int

  /// Rows at the beginning that the clean pass takes from an earlier one.
  package let prefix: Int

  package var total: Int { costs.reduce(cleanCost, +) }

  /// - Parameters:
  ///   - differing: per request, the rows that enter the tower with other values than without any intervention.
  ///   - later: rows that are decoded behind the prefill.
  ///   - kept: what an earlier clean pass has of this one.
  ///   - cost: of what a plan computes, in multiply-adds.
  package init(
    _ requests: [LaneRequest], on tower: PlannedTower, differing: [RowSet], later: Range<Row>,
    kept: KeptRows = KeptRows(), cost: (TowerPlan) -> Int
  ) {
    let all = RowSet(0..<tower.rows)
    let own = requests.map { TowerPlan($0.program, on: tower, differing: all, read: $0.outputRows, later: later) }
    let ownCosts = own.map(cost)
    let borrowing = zip(requests, differing).map { request, rows in
      TowerPlan(request.program, on: tower, differing: rows, read: request.outputRows, later: later)
    }
    let rider = requests.firstIndex { $0.program.onlyReads }
    // Behind the last layer the clean pass has only the rows that somebody takes from there; before, all of them.
    let last = HookPoint(tower.tower, tower.layers - 1, .residPost)
    let taken = zip(requests, borrowing).reduce(RowSet()) { taken, lane in
      let read = RowSet(lane.0.outputRows + lane.0.program[last].flatMap(\.rows))
      return taken.union(read.subtracting(lane.1.differing.last ?? []))
    }
    // From the first row on that somebody takes from there and the earlier pass has not.
    prefix = min(kept.prefix, taken.subtracting(kept.behindLast).first ?? kept.prefix)
    let clean = TowerPlan(
      rider.map { requests[$0].program } ?? Program(), on: tower, differing: RowSet(prefix..<tower.rows),
      read: taken.rows,
      later: tower.rows..<(tower.rows + 1))
    var costs = borrowing.map(cost)
    if let rider { costs[rider] = cost(clean) }
    let cleanCost = rider == nil ? cost(clean) : 0
    if costs.reduce(cleanCost, +) <= ownCosts.reduce(0, +) {
      var lanes = borrowing
      if let rider { lanes[rider] = clean }
      (self.clean, self.rider, self.lanes, self.costs, self.cleanCost) = (clean, rider, lanes, costs, cleanCost)
    } else {
      (self.clean, self.rider, lanes, self.costs, self.cleanCost) = (nil, nil, own, ownCosts, 0)
    }
  }
}

/// What an earlier clean pass, of another prompt about the same image, has of this one.
package struct KeptRows: Sendable {
  /// So many rows have the same ids and image: causality hides the rest from them.
  package var prefix = 0
  /// Of those, the rows that it has behind the last layer.
  package var behindLast: RowSet = []

  package init(prefix: Int = 0, behindLast: RowSet = []) { (self.prefix, self.behindLast) = (prefix, behindLast) }
}

extension Program {
  /// Whether nothing is changed anywhere.
  package var onlyReads: Bool { edges.isEmpty && !ops.values.contains { $0.contains(where: \.writes) } }

  /// Whether the rows that enter the text tower may be others than without the condition.
  package var changesImage: Bool {
    edges.keys.contains { $0.tower == .vision }
      || ops.contains { $0.key.tower != .text && $0.value.contains(where: \.writes) }
  }
}

extension TowerShape {
  /// Multiply-adds of the matrix products of a plan.
  func multiplyAdds(_ plan: TowerPlan, capacity: Int) -> Int {
    plan.layers.reduce(0) { sum, rows in
      sum
        + multiplyAdds(
          keyed: rows.keyed.count, attending: rows.attending.count, leaving: rows.leaving.count, capacity: capacity)
    }
  }

  /// Of one layer, by the rows in each of its stages.
  func multiplyAdds(keyed: Int, attending: Int, leaving: Int, capacity: Int) -> Int {
    let (queries, keys) = (heads * headWidth, kvHeads * headWidth)
    return keyed * 2 * width * keys + attending * 2 * queries * (width + capacity)
      + leaving * (tower == .text ? 3 : 2) * width * mlpWidth
  }
}
