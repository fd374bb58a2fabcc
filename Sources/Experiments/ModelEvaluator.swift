import Checkpoints
import Datasets
import Foundation
import Models
import PluginHost
import PluginRuntime
import Tensors

/// Runs trials on one model: the engine behind `Runner`.
package struct ModelEvaluator: Evaluator {
  /// The empty condition that KL divergence is measured against, whatever the manifest calls its clean run.
  private static let reference = "\u{0}reference"

  let manifest: Manifest
  package let model: VisionLanguageModel
  let session: Session
  private let probes: [ProbeSpec]
  private let words: [WordCount]
  /// Of the probes that are lenses that learn.
  private var lenses: [String: LensReader] = [:]
  /// Of all examples so far, in their order.
  private(set) var leftOut: [LeftOut] = []

  /// - Parameters:
  ///   - examples: the dataset's slice: for patches from other examples, and for words that controls draw.
  ///   - reuse: whether conditions of one example share what they have in common.
  ///   - places: where the code of plugins runs.
  package init(
    manifest: Manifest, model reference: ModelReference, search: PluginSearch, examples: [Example], reuse: Bool = true,
    places: PluginPlaces = PluginPlaces()
  ) throws {
    self.manifest = manifest
    let catalogue = PluginCatalogue(search: search, places: places)
    let conditions = try manifest.conditions.map { condition in
      (name: condition.name, steps: try condition.steps.map { try catalogue.spec(of: $0, model: reference.name) })
    }
    let probes = try manifest.probes.map {
      ProbeSpec(
        name: $0.name, spec: try catalogue.spec(of: $0.use, model: reference.name), control: $0.control,
        seed: manifest.seed(of: $0))
    }
    self.probes = probes
    let model = try VisionLanguageModel(folder: reference.folder(), name: reference.name, dtype: manifest.dtype)
    self.model = model
    session = try Session(
      model, conditions: conditions + [(Self.reference, [])], probes: probes,
      seed: UInt64(bitPattern: Int64(manifest.seed)), reuse: reuse
    ) { name, item in
      let other = try examples.source(name, of: item.id, seed: manifest.seed)
      return try PreparedExample(other, model: model, rule: manifest.maskRule, newTokens: 0, forced: false).item
    }
    for probe in manifest.probes where session.learns(probe.name) != (probe.fit != nil) {
      throw ExperimentError.manifest(
        place: probe.use.place,
        what: "'\(probe.use.plugin)' \(probe.fit == nil ? "learns, and" : "does not learn, but") the probe "
          + "'\(probe.name)' says \(probe.fit == nil ? "not how" : "how it is fitted")",
        remedy: probe.fit == nil ? "add fit: {} for the defaults" : "leave 'fit' out")
    }
    words =
      manifest.probes.contains { $0.control == .randomWord }
      ? try examples.wordCounts.map { WordCount(label: try model.label("word", $0.word), count: $0.count) } : []
    for probe in manifest.probes {
      guard let fit = probe.fit, let lens = try learner(probe.name, fit: "").lens else { continue }
      try ModelEvaluator.check(fit, ofLens: probe)
      lenses[probe.name] = lens
    }
  }

  /// A lens that learns has neither a control task nor a code.
  private static func check(_ fit: FitDefinition, ofLens probe: ProbeDefinition) throws {
    guard fit.controlTask || fit.train == nil && !fit.portions.isEmpty else { return }
    throw ExperimentError.manifest(
      place: probe.use.place,
      what: "'\(probe.use.plugin)' is a lens, and knows no classes for a control task or a code",
      remedy: "fit: { control_task: false\(fit.train == nil ? ", portions: []" : "") }")
  }

  package mutating func evaluate(
    _ example: Example, conditions: [String], probes: [String]
  ) throws -> [TrialOutcome] {
    let readings = manifest.readings.filter { probes.contains($0.rawValue) }
    let prepared = try PreparedExample(
      example, model: model, rule: manifest.maskRule,
      newTokens: readings.contains(.accuracy) ? manifest.maxNewTokens : 0,
      forced: readings.contains(.answerLogprob), words: words)
    leftOut += prepared.leftOut
    let points = try points(for: readings)
    let outcomes = try session.run(
      prepared.item, conditions: conditions + references(for: readings),
      try wish(prepared.item.input, readings, probes: Set(probes)))
    let clean = outcomes.first { $0.condition == Self.reference }
    return try outcomes.filter { $0.condition != Self.reference }.map { outcome in
      if let failure = outcome.failure {
        return TrialOutcome(
          condition: outcome.condition,
          result: .failed(TrialFailure(plugin: failure.plugin, hookPoint: failure.point, reason: failure.reason)))
      }
      let values =
        try readings.flatMap { try read($0, outcome, clean, prepared, points) }
        + outcome.tables.flatMap { $0.measurements }
      return TrialOutcome(
        condition: outcome.condition, result: .completed(values, outcome.receipts.map(Receipt.init)),
        features: outcome.features)
    }
  }

  package func captures(of probe: String) -> String { session.captures(of: probe) }

  package func lens(of probe: String) -> LensReader? { lenses[probe] }

  package func learner(_ name: String, fit: String) throws -> LearnedProbe {
    guard let probe = probes.first(where: { $0.name == name }) else {
      throw ExperimentError.learning(probe: name, what: "there is no such probe", remedy: "")
    }
    return try LearnedProbe(probe.spec, model: model.facts, seed: probe.seed ?? 0, name: fit, words: model)
  }

  /// What the readings need beside the conditions that are asked for.
  func references(for readings: [Reading]) -> [String] {
    readings.contains(.kl) || readings.contains(.displacement) ? [Self.reference] : []
  }

  private func points(for readings: [Reading]) throws -> [HookPoint] {
    readings.contains(.displacement) ? try model.hooks.match(manifest.displacement.points) : []
  }

  /// Logits are read only where a reading of the answer wants them; probes alone need none.
  func wish(_ input: ModelInput, _ readings: [Reading], probes: Set<String>?) throws -> Session.Wish {
    let last = input.ids.count - 1
    let rows = readings.isEmpty ? 0..<0 : last..<(last + max(1, input.forced.count))
    return Session.Wish(outputRows: Array(rows), captures: try points(for: readings), probes: probes)
  }

  private func read(
    _ reading: Reading, _ outcome: ConditionOutcome, _ clean: ConditionOutcome?, _ prepared: PreparedExample,
    _ points: [HookPoint]
  ) throws -> [MeasuredValue] {
    let (output, input) = (outcome.output, prepared.item.input)
    guard let first = output.rows.firstIndex(of: input.ids.count - 1) else { return [] }
    func value(_ metric: String, _ value: Double, text: String? = nil) -> [MeasuredValue] {
      [
        MeasuredValue(
          probe: reading.rawValue, point: "", token: nil, label: nil, metric: metric, value: value, text: text)
      ]
    }
    switch reading {
    case .accuracy:
      let text = model.tokenizer.decode(output.generated).trimmingCharacters(in: .whitespacesAndNewlines)
      return value("accuracy", text.lowercased() == prepared.answer.lowercased() ? 1 : 0, text: text)
    case .answerLogprob:
      let sum = input.forced.enumerated().reduce(0.0) {
        $0 + logProbability(output.logits, row: first + $1.0, of: $1.1)
      }
      return value("logprob", sum)
    case .kl:
      guard let reference = clean?.output, let row = reference.rows.firstIndex(of: input.ids.count - 1) else {
        return []
      }
      return value("kl", divergence(reference.logits, row, output.logits, first))
    case .displacement:
      guard let clean else { return [] }
      return try points.flatMap { point in
        let rows = try prepared.item.rows(of: .selector(manifest.displacement.tokens), in: point.tower)
        return displacement(of: outcome, from: clean, at: point, rows: rows)
      }
    }
  }
}

extension Receipt {
  init(_ receipt: PluginReceipt) {
    self.init(
      plugin: receipt.plugin, points: receipt.points, visitsPlanned: receipt.visitsPlanned,
      visitsMade: receipt.visitsMade,
      rowsChanged: receipt.rowsChanged, elementsChanged: receipt.elementsChanged, largestChange: receipt.largestChange,
      reachable: receipt.reachable, notApplicable: receipt.notApplicable, note: receipt.note)
  }
}

extension ConditionOutcome.Table {
  /// Every number and every text of the table as a row of its own; the columns site, layer, head, row and label are keys, if they hold what
  /// such a key is. Where a text is empty there was nothing to say.
  var measurements: [MeasuredValue] {
    let count = columns.first?.values.count ?? 0
    func strings(_ name: String) -> [String]? {
      if case .strings(let all)? = columns.first(where: { $0.name == name })?.values { all } else { nil }
    }
    func integers(_ name: String) -> [Int64]? {
      if case .integers(let all)? = columns.first(where: { $0.name == name })?.values { all } else { nil }
    }
    let (sites, layers, rows) = (strings("site"), integers("layer"), integers("row"))
    let (labels, heads) = (strings("label"), integers("head"))
    func label(_ i: Int) -> String? {
      let part = labels.map { $0[i].hasPrefix("part/") ? String($0[i].dropFirst(5)) : $0[i] }
      let all = [heads.map { "head \($0[i])" }, part].compactMap(\.self)
      return all.isEmpty ? nil : all.joined(separator: " ")
    }
    func value(_ i: Int, _ metric: String, _ value: Double, _ text: String? = nil) -> MeasuredValue {
      MeasuredValue(
        probe: source.isEmpty ? plugin : source, point: point(sites?[i], layers?[i]), token: rows.map { Int($0[i]) },
        label: label(i), metric: metric, value: value, text: text)
    }
    return columns.flatMap { column -> [MeasuredValue] in
      let there = (0..<count).filter { column.valid?[$0] != false }
      switch column.values {
      case .numbers(let all): return there.map { value($0, column.name, all[$0]) }
      case .bools(let all): return there.map { value($0, column.name, all[$0] ? 1 : 0) }
      case .integers(let all) where !["layer", "row", "head"].contains(column.name):
        return there.map { value($0, column.name, Double(all[$0])) }
      case .strings(let all) where !["site", "label"].contains(column.name):
        return there.filter { !all[$0].isEmpty }.map { value($0, column.name, .nan, all[$0]) }
      case .strings, .integers: return []
      }
    }
  }

  /// `text.resid_post` and 3 make `text.3.resid_post`.
  private func point(_ site: String?, _ layer: Int64?) -> String {
    guard let site else { return "" }
    guard let layer, layer >= 0, let dot = site.firstIndex(of: ".") else { return site }
    return "\(site[..<dot]).\(layer)\(site[dot...])"
  }
}

/// log softmax(logits[row])[id], in nats.
func logProbability(_ logits: Tensor, row: Int, of id: Int) -> Double {
  let width = logits.shape[1]
  let values = UnsafeBufferPointer(start: logits.base + row * width, count: width)
  return Double(values[id]) - logSumExp(values)
}

/// KL(p || q) of the softmaxes of two rows of logits, in nats.
func divergence(_ p: Tensor, _ i: Int, _ q: Tensor, _ j: Int) -> Double {
  let width = p.shape[1]
  let a = UnsafeBufferPointer(start: p.base + i * width, count: width)
  let b = UnsafeBufferPointer(start: q.base + j * width, count: width)
  let (za, zb) = (logSumExp(a), logSumExp(b))
  return zip(a, b).reduce(0) { sum, pair in
    let (la, lb) = (Double(pair.0) - za, Double(pair.1) - zb)
    return sum + exp(la) * (la - lb)
  }
}

private func logSumExp(_ values: UnsafeBufferPointer<Float>) -> Double {
  let top = Double(values.max() ?? 0)
  return top + log(values.reduce(0.0) { $0 + exp(Double($1) - top) })
}
