import Tensors

/// What the conditions of one example cost, in multiply-adds.
package struct SweepCost: Sendable, Equatable {
  /// By request: what is computed for it alone.
  package let lanes: [Int]
  /// What is computed once for all: the image, and a clean pass that no request asked for.
  package let shared: Int
  /// One pass of one condition with every row.
  package let full: Int

  package init(lanes: [Int], shared: Int, full: Int) { (self.lanes, self.shared, self.full) = (lanes, shared, full) }
}

extension VisionLanguageModel {
  /// As `run`, computing only what the conditions can change and something reads: they borrow from one clean pass, or each runs what it
  /// needs, as the plan says. Where the kernels are row-invariant, every bit is that of `run`.
  package func sweep(
    _ input: ModelInput, _ requests: [LaneRequest], visitor: (any HookVisitor)? = nil
  ) throws(ModelError) -> [LaneOutput] {
    let plan = sweepPlan(input, requests)
    work.full += requests.count * multiplyAdds(input)
    var asked = requests
    if plan.clean != nil, plan.rider == nil { asked.append(LaneRequest(Program(), outputRows: [])) }
    let image = try imageRows(input, asked, visitor: visitor)
    var outputs = requests.map { _ in LaneOutput(logits: Tensor(zeros: [0]), rows: []) }
    func run(_ lanes: [Lane]) throws(ModelError) {
      let results = try readText(input, lanes, asked, image, visitor: visitor)
      for (lane, output) in zip(lanes, results) where lane.id < outputs.count { outputs[lane.id] = output }
    }
    func lane(_ id: Int, _ plan: TowerPlan, _ role: Lane.Role, _ store: PassStore) -> Lane {
      Lane(
        asked[id].program, id: id, store: store, role: role, rows: plan.embedded, plan: plan,
        own: role == .own ? nil : ownKeys(input, role == .clean ? nil : plan)
      ).taking(over: image.lanes[id])
    }
    var store: PassStore?
    if let clean = plan.clean {
      let filled = textStore(input, keepsResiduals: true)
      try run([lane(plan.rider ?? requests.count, clean, .clean, filled)])
      store = filled
    }
    let others = requests.indices.filter { $0 != plan.rider }
    try run(others.map { lane($0, plan.lanes[$0], store == nil ? .own : .borrower, store ?? textStore(input)) })
    return outputs
  }

  /// How `sweep` will run the requests; nothing has run yet.
  package func sweepPlan(_ input: ModelInput, _ requests: [LaneRequest]) -> SweepPlan {
    let shape = text.transformer.shape
    let tower = PlannedTower(.text, layers: shape.layers, heads: shape.heads, rows: input.prefill, causal: true)
    let image = RowSet(input.segments.segments.lazy.filter { $0.kind == .image }.flatMap(\.rows))
    return SweepPlan(
      requests, on: tower, differing: requests.map { $0.program.changesImage ? image : [] }, later: input.decoded
    ) { shape.multiplyAdds($0, capacity: input.segments.length) }
  }

  /// What `sweep` will compute, in multiply-adds, beside generated tokens.
  package func sweepCost(_ input: ModelInput, _ requests: [LaneRequest]) -> SweepCost {
    let plan = sweepPlan(input, requests)
    let image = imageMultiplyAdds(input.segments.layout)
    let lanes = zip(requests, plan.costs).map { request, cost in
      cost + (request.program.touchesImage ? image : 0)
        + request.outputRows.count * configuration.text.width * configuration.text.vocabulary
    }
    let idle = plan.clean != nil && plan.rider == nil || requests.contains { !$0.program.touchesImage }
    return SweepCost(lanes: lanes, shared: plan.cleanCost + (idle ? image : 0), full: multiplyAdds(input))
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
