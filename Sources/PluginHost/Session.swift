import Diagnostics
import Models
import PluginRuntime
import Tensors

/// A model with conditions and probes attached: runs one item under several conditions in one pack.
///
/// Open plugins before the first pass: the known-answer test of a plain function forks.
package final class Session {
  package let model: VisionLanguageModel
  private let conditions: [(name: String, attachments: [Attachment])]
  private let probes: [(name: String, attachment: Attachment)]
  /// Whether conditions of one item share what they have in common; if not, every row of every condition is computed.
  private let reuse: Bool

  package init(
    _ model: VisionLanguageModel, conditions: [(name: String, steps: [AttachmentSpec])],
    probes: [(name: String, spec: AttachmentSpec)], seed: UInt64, reuse: Bool = true
  ) throws(HostError) {
    (self.model, self.reuse) = (model, reuse)
    let facts = model.facts
    do {
      self.conditions = try conditions.map { condition throws(PluginError) in
        (
          condition.name,
          try condition.steps.map { step throws(PluginError) in try Attachment(step, model: facts, seed: seed) }
        )
      }
      self.probes = try probes.map { probe throws(PluginError) in
        let attachment = try Attachment(probe.spec, model: facts, seed: seed)
        guard attachment.isProbe else {
          throw .failed(
            plugin: attachment.name, at: "probe '\(probe.name)'",
            reason: "is an intervention, not a probe; list it in a condition instead")
        }
        return (probe.name, attachment)
      }
    } catch { throw .plugin(error) }
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

  /// A condition on one item, planned and begun: a lane of the pack.
  private struct OpenLane {
    let condition: String
    let attachments: [Attachment]
    let probeNames: [String]
    let resolver: Resolver
  }

  /// Runs `item` under the conditions of these names. A plugin that fails, from its plan on, costs its lane: that is an outcome. What
  /// the model cannot meet at all throws.
  package func run(_ item: Item, conditions names: [String], _ wish: Wish) throws(HostError) -> [ConditionOutcome] {
    var failed: [ConditionOutcome] = []
    var lanes: [OpenLane] = []
    for condition in conditions where names.contains(condition.name) {
      do {
        lanes.append(try open(condition, item, lane: lanes.count, wish))
      } catch {
        guard case .plugin(.failed(let plugin, let at, let reason)) = error else { throw error }
        failed.append(
          ConditionOutcome(condition: condition.name, failure: .init(plugin: plugin, point: at, reason: reason)))
      }
    }
    let requests = lanes.map { request($0.resolver, item, wish) }
    let visitor = PluginVisitor(lanes.map(\.attachments)) { [model] in model.heads(at: $0) }
    let outputs: [LaneOutput]
    do {
      outputs =
        try reuse
        ? model.sweep(item.input, requests, visitor: visitor) : model.run(item.input, requests, visitor: visitor)
    } catch { throw .model(error) }
    let memo = reuse ? LensMemo() : nil
    return try failed
      + lanes.indices.map { i throws(HostError) in
        try finish(
          LaneEnd(
            lane: i, condition: lanes[i].condition, attachments: lanes[i].attachments, probeNames: lanes[i].probeNames,
            resolver: lanes[i].resolver, program: requests[i].program, output: outputs[i], item: item, memo: memo))
      }
  }

  private func request(_ resolver: Resolver, _ item: Item, _ wish: Wish) -> LaneRequest {
    var program = resolver.program
    program.add(capturesAt: wish.captures, item.input, classRows: model.hasClassRow)
    return LaneRequest(program, outputRows: program.outputRows(wish.outputRows, item.input))
  }

  private func open(
    _ condition: (name: String, attachments: [Attachment]), _ item: Item, lane: Int, _ wish: Wish
  ) throws(HostError) -> OpenLane {
    let active = probes.filter { wish.probes?.contains($0.name) ?? true }
    let attachments = condition.attachments + active.map(\.attachment)
    let resolver = try Resolver(model, item, attachments, condition: condition.name)
    try begin(attachments, lane: lane, item, condition.name)
    return OpenLane(
      condition: condition.name, attachments: attachments,
      probeNames: condition.attachments.map { _ in "" } + active.map(\.name), resolver: resolver)
  }

  /// What a run of `item` would take, without running it: plugins are asked for their plans.
  package struct Cost: Sendable {
    /// By condition, in the order of the session: visits that the prefill plans, in hook point x lane.
    package var visits: [Int]
    /// In the same order.
    package var multiplyAdds: SweepCost
  }

  package func cost(_ item: Item, conditions names: [String], _ wish: Wish) throws(HostError) -> Cost {
    let asked = conditions.filter { names.contains($0.name) }
    let resolvers = try asked.map { condition throws(HostError) in
      try Resolver(model, item, condition.attachments + probes.map(\.attachment), condition: condition.name)
    }
    let requests = resolvers.map { request($0, item, wish) }
    let visits = resolvers.map { resolver in
      resolver.program.ops.values.reduce(0) { $0 + $1.count(where: { !$0.rows.isEmpty }) }
        + resolver.program.edges.values.reduce(0) { $0 + $1.counts.count }
    }
    if reuse { return Cost(visits: visits, multiplyAdds: model.sweepCost(item.input, requests)) }
    let full = model.multiplyAdds(item.input)
    return Cost(visits: visits, multiplyAdds: SweepCost(lanes: requests.map { _ in full }, shared: 0, full: full))
  }

  private func begin(_ attachments: [Attachment], lane: Int, _ item: Item, _ condition: String) throws(HostError) {
    for attachment in attachments {
      guard case .sdk(let instance) = attachment.executor else { continue }
      attachment.emitted.begin(UInt32(lane), name: "\(item.id)\u{0}\(condition)")
      do { try instance.beginLane(UInt32(lane), item.facts(condition: condition)) } catch { throw .plugin(error) }
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
    for (index, attachment) in end.attachments.enumerated() {
      guard case .sdk(let instance) = attachment.executor else { continue }
      do {
        try instance.endLane(UInt32(end.lane), readings: answers[index] ?? [])
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
