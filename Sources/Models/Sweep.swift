import Tensors

/// What the conditions of one example cost, in multiply-adds.
package struct SweepCost: Sendable, Equatable {
  /// By request: what is computed for it alone.
  package let lanes: [Int]
  /// What is computed once for all: the image, and a clean pass that no request asked for.
  package let shared: Int
  /// One pass of one condition with every row.
  package let full: Int
  /// How many packs one after the other, the clean pass among them, as far as memory allows today.
  package let packs: Int

  package init(lanes: [Int], shared: Int, full: Int, packs: Int) {
    (self.lanes, self.shared, self.full, self.packs) = (lanes, shared, full, packs)
  }
}

extension VisionLanguageModel {
  /// As `run`, computing only what the conditions can change and something reads: they borrow from one clean pass, or each runs what it
  /// needs, as the plan says. Where the kernels are row-invariant, every bit is that of `run`.
  package func sweep(
    _ input: ModelInput, _ requests: [LaneRequest], visitor: (any HookVisitor)? = nil
  ) throws(ModelError) -> [LaneOutput] {
    let plan = sweepPlan(input, requests, kept: keptRows(input))
    let imagePlan = imagePlan(input, requests, needsClean: plan.needsCleanImage(requests))
    work.full += requests.count * layerMultiplyAdds(input)
    if imagePlan.borrows { _ = try cleanImage(input, forBorrowing: true) }
    let asked = requests + [LaneRequest(Program(), outputRows: [])]  // the last is the clean pass, if nobody is
    var outputs = requests.map { _ in LaneOutput(logits: Tensor(zeros: [0]), rows: []) }
    func run(_ ids: [Int], _ lane: (Int) -> Lane) throws(ModelError) {
      let image = try imageRows(input, ids, of: asked, imagePlan, visitor: visitor)
      let lanes = ids.map { lane($0).taking(over: image[$0]) }
      let results = try readText(input, lanes, asked, image, visitor: visitor)
      for (id, output) in zip(ids, results) where id < outputs.count { outputs[id] = output }
    }
    var clean: PassStore?
    if let cleanPlan = plan.clean {
      let store = textStore(input, keepsResiduals: true)
      if plan.prefix > 0 { keptPass?.store.copy(rows: plan.prefix, to: store) }
      try run([plan.rider ?? requests.count]) { id in
        Lane(
          asked[id].program, id: id, store: store, role: .clean, rows: cleanPlan.embedded, plan: cleanPlan,
          own: ownKeys(input, nil))
      }
      clean = store
      keptPass = CleanPass(input: input, store: store, behindLast: RowSet(cleanPlan.read))
    }
    let packs = packs(input, requests, plan)
    work.packs = max(work.packs, packs.count + (clean == nil ? 0 : 1))
    for pack in packs {
      try run(pack) { id in
        Lane(
          asked[id].program, id: id, store: clean ?? textStore(input), role: clean == nil ? .own : .borrower,
          rows: plan.lanes[id].embedded, plan: plan.lanes[id], own: clean == nil ? nil : ownKeys(input, plan.lanes[id]))
      }
    }
    return outputs
  }

  /// How `sweep` will run the requests; nothing has run yet.
  package func sweepPlan(
    _ input: ModelInput, _ requests: [LaneRequest], kept: KeptRows = KeptRows()
  ) -> SweepPlan {
    let shape = text.transformer.shape
    let tower = PlannedTower(.text, layers: shape.layers, heads: shape.heads, rows: input.prefill, causal: true)
    let image = RowSet(input.segments.segments.lazy.filter { $0.kind == .image }.flatMap(\.rows))
    return SweepPlan(
      requests, on: tower, differing: requests.map { $0.program.changesImage ? image : [] }, later: input.decoded,
      kept: kept
    ) { shape.multiplyAdds($0, capacity: input.segments.length) }
  }

  /// What `sweep` will compute, in multiply-adds, beside generated tokens.
  package func sweepCost(_ input: ModelInput, _ requests: [LaneRequest]) -> SweepCost {
    let plan = sweepPlan(input, requests)
    let isIdle = plan.needsCleanImage(requests)
    let image = imagePlan(input, requests, needsClean: isIdle)
    let lanes = requests.indices.map { i in
      plan.costs[i] + image.costs[i]
        + requests[i].outputRows.count * configuration.text.width * configuration.text.vocabulary
    }
    return SweepCost(
      lanes: lanes, shared: plan.cleanCost + (isIdle || image.borrows ? imageMultiplyAdds(input.segments.layout) : 0),
      full: multiplyAdds(input), packs: packs(input, requests, plan).count + (plan.clean == nil ? 0 : 1))
  }

  /// Memory for the keys and values that a lane brings to its decoding, of the plan's rows and of the decoded ones.
  private func ownKeys(_ input: ModelInput, _ plan: TowerPlan?) -> OwnKeys? {
    guard !input.decoded.isEmpty else { return nil }
    let shape = text.transformer.shape
    let last = input.ids.count - 1
    let rows = (0..<shape.layers).map { layer in
      input.decoded.count + (plan?.layers[layer].keyed.count { $0 <= last } ?? 0)
    }
    return OwnKeys(shape, rows: rows, last: last)
  }
}

extension SweepPlan {
  /// Whether the image is needed as no condition changes it: for a clean pass that nobody asked for, or a condition of the text tower.
  func needsCleanImage(_ requests: [LaneRequest]) -> Bool {
    clean != nil && rider == nil || requests.contains { !$0.program.touchesImage }
  }
}
