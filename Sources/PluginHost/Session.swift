import Diagnostics
import Models
import PluginRuntime
import Tensors

/// A probe of a session: a plugin that only reads, perhaps as a control.
package struct ProbeSpec: Sendable {
  package var name: String
  package var spec: AttachmentSpec
  package var control: ProbeControl?
  /// What its random numbers and its control's draws start from; nil: the session's.
  package var seed: UInt64?

  package init(name: String, spec: AttachmentSpec, control: ProbeControl? = nil, seed: UInt64? = nil) {
    (self.name, self.spec, self.control, self.seed) = (name, spec, control, seed)
  }
}

/// A model with conditions and probes attached: runs one item under several conditions in one pack.
///
/// Open plugins before the first pass: the known-answer test of a plain function forks.
package final class Session {
  package typealias Items = (_ name: String, _ item: Item) throws -> Item

  package let model: VisionLanguageModel
  private let conditions: [Condition]
  private let probes: [Probe]
  private let order: PatchOrder
  private let seed: UInt64
  /// Other items, for patches from them: by what `from` says in a manifest, and the item that is patched.
  private let items: Items?
  /// Whether conditions of one item share what they have in common; if not, every row of every condition is computed.
  private let reuse: Bool

  /// What a condition may show the model: the item's own image, or one made of it.
  private static let images: [InputImage?] = [nil] + InputImage.allCases

  private struct Condition {
    let name: String
    let attachments: [Attachment]
    let image: InputImage?
  }

  private struct Probe {
    let name: String
    let attachment: Attachment
    let control: ProbeControl?
    let seed: UInt64
  }

  package init(
    _ model: VisionLanguageModel, conditions: [(name: String, steps: [AttachmentSpec])], probes: [ProbeSpec],
    seed: UInt64, reuse: Bool = true, items: Items? = nil
  ) throws(HostError) {
    (self.model, self.seed, self.reuse, self.items) = (model, seed, reuse, items)
    let facts = model.facts
    do {
      order = try PatchOrder(conditions.map { ($0.name, $0.steps.compactMap(\.origin)) })
    } catch {
      throw .plugin(.failed(plugin: "patch", at: "condition '\(error.condition)'", reason: error.text))
    }
    do {
      self.conditions = try conditions.map { condition throws(PluginError) in
        Condition(
          name: condition.name,
          attachments: try condition.steps.map { step throws(PluginError) in
            try Attachment(step, model: facts, seed: seed)
          }, image: condition.steps.compactMap(\.image).last)
      }
      self.probes = try probes.map { probe throws(PluginError) in
        let attachment = try Attachment(probe.spec, model: facts, seed: probe.seed ?? seed)
        guard attachment.isProbe else {
          throw .failed(
            plugin: attachment.name, at: "probe '\(probe.name)'",
            reason: "is an intervention, not a probe; list it in a condition instead")
        }
        return Probe(
          name: probe.name, attachment: attachment, control: probe.control, seed: probe.seed ?? seed)
      }
    } catch { throw .plugin(error) }
  }

  /// Where the code of each plugin runs and why there, by its name: what provenance says of it.
  package var placements: [(plugin: String, placement: String)] {
    let attachments = conditions.flatMap(\.attachments) + probes.map(\.attachment)
    return attachments.compactMap { attachment in attachment.placement.map { (attachment.name, $0) } }
  }

  /// What is wanted beside the probes.
  package struct Wish: Sendable {
    /// Rows whose logits are wanted; the prompt's last row is needed for generation.
    package var outputRows: [Row]
    /// Activations to keep.
    package var captures: [HookPoint] = []
    /// Names of probes; nil: all.
    package var probes: Set<String>?

    package init(outputRows: [Row], captures: [HookPoint] = [], probes: Set<String>? = nil) {
      (self.outputRows, self.captures, self.probes) = (outputRows, captures, probes)
    }
  }

  /// A condition on one item, planned.
  private struct PlannedLane {
    let condition: Condition
    let attachments: [Attachment]
    let probeNames: [String]
    var resolver: Resolver
  }

  /// Runs `item` under the conditions of these names, and before them under those that their patches read. A plugin that fails, from its
  /// plan on, costs its lane: that is an outcome. What the model cannot meet at all throws.
  package func run(_ item: Item, conditions names: [String], _ wish: Wish) throws(HostError) -> [ConditionOutcome] {
    var outcomes: [ConditionOutcome] = []
    var lanes: [PlannedLane] = []
    let asked = Set(names)
    let waves = order.waves(conditions.map(\.name).filter(asked.contains)).map(Set.init)
    for condition in conditions where waves.contains(where: { $0.contains(condition.name) }) {
      do {
        lanes.append(try plan(condition, item, probed: asked.contains(condition.name), wish))
      } catch { outcomes.append(try outcome(of: error, condition)) }
    }
    var runs = SourceRuns(lanes.flatMap(\.resolver.sources))
    for wave in waves {
      for image in Self.images {
        let batch = lanes.filter { wave.contains($0.condition.name) && $0.condition.image == image }
        if !batch.isEmpty { outcomes += try run(batch, item, image, wish, &runs) }
      }
    }
    return outcomes.filter { asked.contains($0.condition) }
  }

  /// Lanes that share an image, in one pack; whatever their patches read has run on this item.
  private func run(
    _ planned: [PlannedLane], _ item: Item, _ image: InputImage?, _ wish: Wish, _ runs: inout SourceRuns
  ) throws(HostError) -> [ConditionOutcome] {
    var outcomes: [ConditionOutcome] = []
    var lanes: [PlannedLane] = []
    for var lane in planned {
      do {
        try fill(&lane, item, &runs)
        try begin(lane, at: lanes.count)
        lanes.append(lane)
      } catch { outcomes.append(try outcome(of: error, lane.condition)) }
    }
    let (shown, changed) =
      image?.apply(to: item, patchSize: model.configuration.vision.patchSize, seed: seed) ?? (item, 0)
    let requests = lanes.map { request($0, item, wish, runs) }
    let visitor = PluginVisitor(lanes.map(\.attachments)) { [model] in model.heads(at: $0) }
    var outputs: [LaneOutput]
    do {
      outputs =
        try reuse
        ? model.sweep(shown.input, requests, visitor: visitor) : model.run(shown.input, requests, visitor: visitor)
    } catch { throw .model(error) }
    if let violation = visitor.violation { throw .plugin(violation) }
    let memo = reuse ? LensMemo() : nil
    for (i, lane) in lanes.enumerated() {
      runs.take(PatchOrigin(condition: lane.condition.name), item, outputs[i])
      outputs[i].results.captures.removeAll { $0.plugin == Program.reader && !wish.captures.contains($0.point) }
      outcomes.append(
        try finish(
          LaneEnd(
            lane: i, condition: lane.condition.name, attachments: lane.attachments, probeNames: lane.probeNames,
            resolver: lane.resolver, program: requests[i].program, output: outputs[i], item: shown,
            memo: memo, pixelsChanged: changed)))
    }
    return outcomes
  }

  private func request(_ lane: PlannedLane, _ item: Item, _ wish: Wish, _ runs: SourceRuns) -> LaneRequest {
    var program = lane.resolver.program
    let points = Set(wish.captures + runs.points(of: lane.condition.name)).sorted { "\($0)" < "\($1)" }
    program.add(capturesAt: points, item.input)
    return LaneRequest(program, outputRows: program.outputRows(wish.outputRows, item.input))
  }

  private func plan(
    _ condition: Condition, _ item: Item, probed: Bool, _ wish: Wish
  ) throws(HostError) -> PlannedLane {
    let active = probed ? probes.filter { wish.probes?.contains($0.name) ?? true } : []
    let attachments = condition.attachments + active.map(\.attachment)
    let resolver = try Resolver(model, seen(item, condition, active), attachments, condition: condition.name)
    return PlannedLane(
      condition: condition, attachments: attachments,
      probeNames: condition.attachments.map { _ in "" } + active.map(\.name), resolver: resolver)
  }

  /// The item as each attachment of a lane sees it.
  private func seen(_ item: Item, _ condition: Condition, _ probes: [Probe]) -> [Item] {
    condition.attachments.map { _ in item } + probes.map { item.under($0.control, seed: $0.seed) }
  }

  /// What a plugin's failure is: the outcome of its lane. Any other error is everybody's.
  private func outcome(of error: HostError, _ condition: Condition) throws(HostError) -> ConditionOutcome {
    guard case .plugin(.failed(let plugin, let at, let reason)) = error else { throw error }
    return ConditionOutcome(condition: condition.name, failure: .init(plugin: plugin, point: at, reason: reason))
  }

  /// Gives the patches of a lane their values; those of other items are run first.
  private func fill(_ lane: inout PlannedLane, _ item: Item, _ runs: inout SourceRuns) throws(HostError) {
    for source in lane.resolver.sources where source.count > 0 {
      do {
        if let name = source.origin.item, !runs.has(source.origin) {
          try run(source.origin, on: other(name, item), &runs)
        }
        try runs.check(source)
      } catch let error as HostError {
        throw error
      } catch {
        let reason = (error as? SourceRuns.Missing)?.reason ?? "\(error)"
        throw .plugin(
          .failed(plugin: lane.attachments[source.attachment].name, at: "\(source.point)", reason: reason))
      }
    }
    lane.resolver.program.fill(lane.resolver.sources.map { runs.values($0) })
  }

  private func other(_ name: String, _ item: Item) throws -> Item {
    guard let items else {
      throw SourceRuns.Missing(reason: "there is no item '\(name)' here: patches from others need a dataset")
    }
    return try items(name, item)
  }

  /// Runs another item under a condition, for the activations that patches read of it.
  private func run(_ origin: PatchOrigin, on item: Item, _ runs: inout SourceRuns) throws(HostError) {
    let wish = Wish(outputRows: [item.input.ids.count - 1], captures: runs.points(of: origin), probes: [])
    for outcome in try run(item, conditions: [origin.condition], wish) {
      runs.take(origin, item, outcome.output, failure: outcome.failure?.reason)
    }
  }

  /// What a run of `item` would take, without running it: plugins are asked for their plans.
  package struct Cost: Sendable {
    /// By condition, in the order of the session: visits that the prefill plans, in hook point x lane.
    package var visits: [Int]
    /// In the same order. Runs of other items, which patches read, are not in it.
    package var multiplyAdds: SweepCost
  }

  package func cost(_ item: Item, conditions names: [String], _ wish: Wish) throws(HostError) -> Cost {
    let asked = Set(names)
    let lanes = try conditions.filter { asked.contains($0.name) }.map { condition throws(HostError) in
      try plan(condition, item, probed: true, wish)
    }
    let full = model.multiplyAdds(item.input)
    var (own, shared, packs) = (lanes.map { _ in full }, 0, 1)
    let runs = SourceRuns(lanes.flatMap(\.resolver.sources))
    for image in reuse ? Self.images : [] {
      let batch = lanes.indices.filter { lanes[$0].condition.image == image }
      guard !batch.isEmpty else { continue }
      let cost = model.sweepCost(item.input, batch.map { request(lanes[$0], item, wish, runs) })
      for (index, value) in zip(batch, cost.lanes) { own[index] = value }
      shared += cost.shared
      packs = max(packs, cost.packs)
    }
    return Cost(
      visits: lanes.map { plannedVisits($0, item.input.segments.layout) },
      multiplyAdds: SweepCost(lanes: own, shared: shared, full: full, packs: packs))
  }

  /// Visits that the prefill plans, in hook point x lane.
  private func plannedVisits(_ lane: PlannedLane, _ layout: ImageLayout) -> Int {
    let program = lane.resolver.program
    let ops = program.ops.reduce(0) { sum, entry in
      sum + entry.value.reduce(0) { $0 + $1.visits(in: entry.key.tower, layout) }
    }
    return ops + program.edges.values.reduce(0) { $0 + $1.counts.count } + (lane.condition.image == nil ? 0 : 1)
  }

  private func begin(_ lane: PlannedLane, at index: Int) throws(HostError) {
    for (attachment, item) in zip(lane.attachments, lane.resolver.items) {
      do { try attachment.begin(index, item, condition: lane.condition.name) } catch { throw .plugin(error) }
    }
  }

  /// Closes a lane: answers readings, collects emitted rows, writes receipts, checks visits.
  private func finish(_ end: LaneEnd) throws(HostError) -> ConditionOutcome {
    var outcome = ConditionOutcome(condition: end.condition, output: end.output)
    outcome.receipts = end.receipts()
    if let failure = end.output.failure {
      outcome.failure = .init(
        plugin: failure.plugin >= 0 ? end.attachments[failure.plugin].name : "",
        point: failure.point?.description ?? "", reason: failure.reason)
    } else if let missed = outcome.receipts.first(where: { $0.visitsMade != $0.visitsPlanned }) {
      outcome.failure = .init(
        plugin: missed.plugin, point: missed.points,
        reason: "was visited \(missed.visitsMade) times, but \(missed.visitsPlanned) visits were planned")
    }
    let answers: [Int: [Column]]
    do { answers = try end.answers(model) } catch { throw .model(error) }
    if outcome.failure == nil { collect(&outcome, end) }
    for (index, attachment) in end.attachments.enumerated() {
      guard case .plugin(let calls) = attachment.kind else { continue }
      do {
        try calls.endLane(UInt32(end.lane), readings: answers[index] ?? [])
      } catch {
        if outcome.failure == nil {
          outcome.failure = .init(plugin: attachment.name, point: "end_lane", reason: error.diagnosis.what)
        }
      }
      for (table, columns) in attachment.emitted.end(UInt32(end.lane)) {
        outcome.tables.append(
          .init(source: end.probeNames[index], plugin: attachment.name, table: table, columns: columns))
      }
    }
    return outcome
  }
}

extension Session {
  /// Whether a probe's plugin learns: only such a one may capture.
  package func learns(_ probe: String) -> Bool {
    let plan = probes.first { $0.name == probe }?.attachment.symbolicPlan
    return plan?.readings.contains { $0.operation == .capture } ?? false
  }

  /// What a probe captures, in words: probes of which it is the same read the same features.
  package func captures(of probe: String) -> String {
    guard let plan = probes.first(where: { $0.name == probe })?.attachment.symbolicPlan else { return probe }
    return plan.readings.filter { $0.operation == .capture }.map(\.captureWords).joined(separator: "; ")
  }

  /// The features that the lane's probes learn from.
  private func collect(_ outcome: inout ConditionOutcome, _ end: LaneEnd) {
    do {
      outcome.features = try end.features()
    } catch {
      outcome.failure = .init(
        plugin: end.attachments[error.attachment].name, point: "\(error.point)",
        reason: "the activation of row \(error.row) is not finite: nothing can be learned from it")
    }
  }
}

/// What one condition gave on one item.
package struct ConditionOutcome {
  package struct Failure: Sendable, Equatable {
    package let plugin: String
    package let point: String
    package let reason: String
  }

  /// Rows that a plugin emitted.
  package struct Table: Sendable {
    /// The probe's name; empty for an intervention.
    package let source: String
    package let plugin: String
    package let table: String
    package let columns: [Column]
  }

  package let condition: String
  package let output: LaneOutput
  package var failure: Failure?
  package var receipts: [PluginReceipt] = []
  package var tables: [Table] = []
  /// What probes that learn have read.
  package var features: [Features] = []

  init(condition: String, output: LaneOutput) {
    (self.condition, self.output) = (condition, output)
  }

  /// A lane that never ran.
  init(condition: String, failure: Failure) {
    self.init(condition: condition, output: LaneOutput(logits: Tensor(zeros: [0]), rows: []))
    self.failure = failure
  }
}

extension Program {
  /// The rows that are read out: those wished for, and those that ops at final_norm and logits name.
  func outputRows(_ wished: [Row], _ input: ModelInput) -> [Row] {
    let prefill = input.ids.count + max(0, input.forced.count - 1)
    let named = [Site.finalNorm, .logits].flatMap { self[HookPoint(.text, nil, $0)].flatMap(\.rows) }
    return Set(wished + named.filter { $0 < prefill }).sorted()
  }
}

extension VisionLanguageModel {
  package var facts: ModelFacts {
    var facts = ModelFacts()
    let (text, vision) = (configuration.text, configuration.vision)
    (facts.family, facts.digest) = (configuration.architecture.rawValue, digest)
    (facts.textLayers, facts.textHeads, facts.textKVHeads) = (text.layers, text.heads, text.kvHeads)
    (facts.textHeadWidth, facts.textWidth, facts.textMLPWidth) = (text.headWidth, text.width, text.mlpWidth)
    (facts.visionLayers, facts.visionHeads) = (configuration.visionLayersUsed, vision.heads)
    (facts.visionHeadWidth, facts.visionWidth) = (vision.width / vision.heads, vision.width)
    (facts.patchRows, facts.patchCols) = (grid.rows, grid.cols)
    (facts.imageSize, facts.featureLayer) = (vision.imageSize, configuration.visionFeatureLayers[0])
    facts.vocabulary = text.vocabulary
    facts.knownVocabulary = min(tokenizer.vocabularySize, text.vocabulary)
    return facts
  }

  /// Heads of the activation at a hook point; 0 where it has none.
  func heads(at point: HookPoint) -> Int {
    switch (point.tower, point.site.axes) {
    case (_, .rowsWidth): 0
    case (.vision, _): configuration.vision.heads
    case (_, .rowsKeyValueHeads): configuration.text.kvHeads
    default: configuration.text.heads
    }
  }
}
