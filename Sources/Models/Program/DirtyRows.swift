extension Program {
  /// Per layer, the sorted rows to compute: those that can differ from the clean pass, or that are read there.
  ///
  /// A pure function of the program: rows written (or whose edges change) at a layer, and from then on every row that can attend to a
  /// row that differs through an edge that no rule cuts for all heads. Errs on the side of computing.
  package func rowsToCompute(tower: Tower, layers: Int, length: Int, causal: Bool) -> [[Row]] {
    let embed = HookPoint(tower, nil, .embed)
    var dirty = Set(writtenRows(at: embed))
    return (0..<layers).map { layer in
      var read = layer == 0 ? Set(self[embed].flatMap(\.rows)) : []
      for site in Site.ofLayer {
        let point = HookPoint(tower, layer, site)
        dirty.formUnion(writtenRows(at: point))
        read.formUnion(self[point].flatMap(\.rows))
      }
      let mask = edges[HookPoint(tower, layer, .attnScores)]
      mask?.classes.forEach { dirty.formUnion($0.queries) }
      let sources = dirty
      for query in 0..<length where !dirty.contains(query) {
        let reached = sources.contains { key in
          (!causal || key <= query) && !(mask?.cutsForAllHeads(query, key) ?? false)
        }
        if reached { dirty.insert(query) }
      }
      return dirty.union(read).sorted()
    }
  }

  private func writtenRows(at point: HookPoint) -> [Row] {
    self[point].flatMap { op -> [Row] in
      switch op.action {
      case .scale, .set, .add, .patch, .call(_, true): op.rows
      case .call(_, false), .capture, .mass: []
      }
    }
  }
}

extension EdgeMask.HeadClass {
  var queries: Set<Row> { Set(dropped.keys).union(biased.keys).union(zeroed.keys) }
}

extension EdgeMask {
  /// Conservative: only a class that holds every head can cut an edge for all of them.
  func cutsForAllHeads(_ query: Row, _ key: Row) -> Bool {
    classes.count == 1 && classes[0].dropped[query]?.contains { $0.contains(key) } == true && classes[0].holdsAllHeads
  }
}
