import Datasets
import Diagnostics
import Dispatch
import PluginHost
import PluginRuntime

/// The part of a run that learns: which probes do, what passes must leave for them, and their rows once the passes are over.
struct LearningRunner {
  let plan: Plan
  let store: RunStore
  let model: String
  let features: FeatureFiles
  let fits: FitFiles
  private let probes: [Learner]
  private let units: UnitNumbers
  private(set) var caveats: [String] = []
  /// Whether the plan is a part of a study: then passes leave features, and learning waits for the merge.
  private let isShard: Bool

  private struct Learner {
    let definition: ProbeDefinition
    let fit: FitDefinition
    let captures: String
    /// The images that it learns from, as trials.
    let lessons: Plan
  }

  /// - Throws: `learning` where a probe would learn from an image that it is asked about.
  init(
    _ plan: Plan, _ store: RunStore, _ folder: RunFolder, model: String, evaluator: any Evaluator, isShard: Bool = false
  ) throws {
    (self.plan, self.store, self.model, self.isShard) = (plan, store, model, isShard)
    (features, fits) = (FeatureFiles(folder: folder), FitFiles(folder))
    probes = try plan.manifest.probes.compactMap { probe in
      guard let fit = probe.fit else { return nil }
      let lessons = try plan.training[probe.name].map {
        try Plan(manifest: plan.manifest, dataset: $0, fingerprints: plan.fingerprints)
      }
      return Learner(
        definition: probe, fit: fit, captures: evaluator.captures(of: probe.name), lessons: lessons ?? plan)
    }
    let others = plan.training.sorted { $0.key < $1.key }.flatMap(\.value.examples)
    units = UnitNumbers(plan.dataset.examples + others)
    for probe in probes where probe.fit.train != nil { try check(probe) }
  }

  /// Neither a picture nor a cluster may be on both sides.
  private func check(_ probe: Learner) throws {
    let asked = plan.dataset.examples
    let pictures = Dictionary(asked.map { ($0.picture, $0.id) }) { first, _ in first }
    let clusters = Dictionary(asked.compactMap { example in example.cluster.map { ($0, example.id) } }) { first, _ in
      first
    }
    let both = probe.lessons.dataset.examples.compactMap { example -> String? in
      pictures[example.picture].map { "'\(example.id)' shows the picture of '\($0)'" }
        ?? example.cluster.flatMap { clusters[$0] }.map { "'\(example.id)' is of the cluster of '\($0)'" }
    }
    guard let first = both.first else { return }
    throw ExperimentError.learning(
      probe: probe.definition.name,
      what:
        "\(both.count) of the images that it would learn from are among those that it is asked about, first: \(first)",
      remedy: "give 'train' other images (offset, limit), or leave it out: folds never mix")
  }

  func learns(_ probe: String) -> Bool { probes.contains { $0.definition.name == probe } }

  /// Whether a trial is done only when its probes have learned.
  func waits(_ pending: PendingTrial) -> Bool { !isShard && pending.probes.contains(where: learns) }

  /// Probes of a pending trial that need a pass: those that do not learn, and those whose features are not there. In a shard no probe that
  /// learns is ever pending, and all of them leave their features.
  func passing(_ pending: PendingTrial) -> [String] {
    (pending.probes + (isShard ? probes.map(\.definition.name) : [])).filter { name in
      guard let probe = probes.first(where: { $0.definition.name == name }) else { return true }
      return !features.has(trial: pending.trial.key, captures: probe.captures)
    }
  }

  /// Keeps what a pass with the probes `wanted` has read. Of probes that capture the same one file is kept.
  func keep(_ outcome: TrialOutcome, _ trial: Trial, wanted: [String]) throws {
    guard case .completed = outcome.result else { return }
    var kept: Set<String> = []
    for probe in probes where wanted.contains(probe.definition.name) && kept.insert(probe.captures).inserted {
      let read = outcome.features.filter { $0.probe == probe.definition.name }
      try features.write(read, trial: trial.key, captures: probe.captures)
    }
  }

  /// Trials whose features a pending probe learns from, and that are neither there nor to come: their passes are made again.
  func lacking(_ pending: [PendingTrial]) throws -> [Trial] {
    let failed = try store.failedKeys()
    let needed = probes.filter { probe in pending.contains { $0.probes.contains(probe.definition.name) } }
    return plan.trials.filter { trial in
      trial.model == model && !failed.contains(trial.key)
        && needed.contains { probe in
          probe.fit.train == nil && (probe.fit.condition ?? trial.condition) == trial.condition
            && !features.has(trial: trial.key, captures: probe.captures)
        }
    }
  }

  /// Passes over the other images that pending probes learn from; their features are kept, and nothing else of them.
  mutating func attend(
    _ pending: [PendingTrial], _ evaluator: inout any Evaluator, checkpoint: () throws -> Void
  ) throws {
    for probe in probes where probe.fit.train != nil && !isShard {
      let name = probe.definition.name
      let waiting = pending.filter { $0.probes.contains(name) }
      let conditions = Set(waiting.map { probe.fit.condition ?? $0.trial.condition })
      var failed = 0
      for example in probe.lessons.dataset.examples {
        let trials = probe.lessons.trials.filter {
          $0.model == model && $0.example == example.id && conditions.contains($0.condition)
            && !features.has(trial: $0.key, captures: probe.captures)
        }
        guard !trials.isEmpty else { continue }
        try checkpoint()
        for outcome in try evaluator.evaluate(example, conditions: trials.map(\.condition), probes: [name]) {
          if case .failed = outcome.result { failed += 1 }
          guard let trial = trials.first(where: { $0.condition == outcome.condition }) else { continue }
          try keep(outcome, trial, wanted: [name])
        }
      }
      if failed > 0 { caveats.append("\(name) (\(model)): \(failed) passes over images to learn from failed") }
    }
  }

  /// Fits every probe that has pending trials, and stores its rows.
  ///
  /// - Parameter checkpoint: called between hook points; throws to stop. What was learned is kept.
  /// - Throws: the first probe's refusal or failure, after the others have been fitted.
  mutating func learn(
    _ pending: [PendingTrial], _ evaluator: any Evaluator, checkpoint: @escaping () throws -> Void
  ) throws {
    var refusal: (any Error)?
    for probe in probes {
      let name = probe.definition.name
      let failed = try store.failedKeys()
      let waiting = pending.filter { $0.probes.contains(name) && !failed.contains($0.trial.key) }
      guard !waiting.isEmpty else { continue }
      let start = DispatchTime.now().uptimeNanoseconds
      var training = training(of: probe, evaluator, checkpoint: checkpoint)
      do {
        let conditions = plan.manifest.conditions.map(\.name).filter { name in
          waiting.contains { $0.trial.condition == name }
        }
        let rows = try training.rows(conditions: conditions)
        let milliseconds = Double(DispatchTime.now().uptimeNanoseconds - start) / 1e6
        try append(rows, waiting, probe: name, milliseconds: milliseconds)
      } catch let error as ExperimentError {
        guard case .learning = error else { throw error }
        refusal = refusal ?? error
      } catch let error as PluginError {
        refusal = refusal ?? error
      }
      caveats += training.caveats
    }
    if let refusal { throw refusal }
  }

  private func training(
    of probe: Learner, _ evaluator: any Evaluator, only unit: Int? = nil, checkpoint: @escaping () throws -> Void
  ) -> ProbeTraining {
    ProbeTraining(
      plan: plan, lessons: probe.lessons, model: model, probe: probe.definition, fit: probe.fit,
      captures: probe.captures, features: features, fits: fits, units: units, only: unit,
      make: { try evaluator.learner(probe.definition.name, fit: $0) },
      lens: evaluator.lens(of: probe.definition.name), checkpoint: checkpoint)
  }

  /// What all probes say of one example, learned anew: every activation is read again, each trial alone, and the fits that have not seen
  /// the example are made again. For a folder without features and fits.
  ///
  /// - Returns: rows by the trial's key.
  mutating func again(
    _ example: Example, conditions: [String], _ evaluator: inout any Evaluator
  ) throws -> [String: [MeasuredValue]] {
    let failed = try store.failedKeys()
    var found: [String: [MeasuredValue]] = [:]
    for probe in probes {
      let name = probe.definition.name
      let sources = probe.fit.condition.map { [$0] } ?? conditions
      let learned = probe.lessons.trials.filter { sources.contains($0.condition) }
      let asked = plan.trials.filter { $0.example == example.id && conditions.contains($0.condition) }
      for (trial, data) in learned.map({ ($0, probe.lessons) }) + asked.map({ ($0, plan) })
      where trial.model == model && !failed.contains(trial.key)
        && !features.has(trial: trial.key, captures: probe.captures)
      {
        guard let example = data.dataset.examples.first(where: { $0.id == trial.example }) else { continue }
        for outcome in try evaluator.evaluate(example, conditions: [trial.condition], probes: [name]) {
          try keep(outcome, trial, wanted: [name])
        }
      }
      var training = training(of: probe, evaluator, only: units[example]) {}
      do { found.merge(try training.rows(conditions: conditions)) { $0 + $1 } } catch ExperimentError.learning {
        continue  // It refused in the run as well, and has no rows there.
      }
    }
    return found
  }

  /// One transaction per example, each with its share of the time.
  private func append(
    _ rows: [String: [MeasuredValue]], _ waiting: [PendingTrial], probe: String, milliseconds: Double
  ) throws {
    let digests = Dictionary(plan.probes.map { ($0.name, $0.digest) }) { first, _ in first }
    let work = Dictionary(grouping: waiting, by: \.trial.example)
    for example in plan.dataset.examples {
      guard let trials = work[example.id] else { continue }
      let results = trials.map { pending in
        (
          PendingTrial(trial: pending.trial, probes: [probe]),
          TrialOutcome.Result.completed(rows[pending.trial.key] ?? [], [])
        )
      }
      try store.append(
        Batch(
          model: model, example: example.id, className: example.className, results: results, digests: digests,
          milliseconds: milliseconds / Double(work.count)))
    }
  }

  /// For the provenance, beside what the evaluator says.
  func facts(_ engine: JSON) -> JSON {
    guard !probes.isEmpty, case .object(let fields) = engine else { return engine }
    let fits = JSON.object([
      ("made", .int(fits.made)), ("reused", .int(fits.reused)), ("caveats", .strings(caveats)),
    ])
    return .object(fields + [("fits", fits)])
  }
}
