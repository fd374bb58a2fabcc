import Datasets
import Dispatch
import Foundation

/// Brings a run folder to the plan: computes what its store lacks, example by example, and stores each example's
/// outcomes at once. Running it again resumes.
package struct Runner {
  package let plan: Plan
  package let folder: RunFolder
  package let store: RunStore
  package let interruption: Interruption
  package var retryFailed = false
  /// Whether the plan is a part of a study: then a plugin that matches nothing here may match elsewhere.
  package var isShard = false
  /// How to go on after an interruption, in the words of the shell.
  package var command: String
  /// Told how many trials are stored, at the start and after each unit of work.
  package var observe: (Int) -> Void

  package init(
    plan: Plan, folder: RunFolder, store: RunStore, interruption: Interruption, retryFailed: Bool = false,
    isShard: Bool = false, command: String, observe: @escaping (Int) -> Void = { _ in }
  ) {
    self.plan = plan
    self.folder = folder
    self.store = store
    self.interruption = interruption
    self.retryFailed = retryFailed
    self.isShard = isShard
    self.command = command
    self.observe = observe
  }

  package struct Outcome: Sendable, Equatable {
    package var total: Int
    /// Trials that had all their readings before.
    package var stored: Int
    package var computed: Int
    /// Trials whose last attempt failed, those of earlier sessions included.
    package var failed: Int

    package init(total: Int, stored: Int, computed: Int, failed: Int) {
      self.total = total
      self.stored = stored
      self.computed = computed
      self.failed = failed
    }
  }

  /// - Parameter evaluator: makes the evaluator of one model; called only for models with work left.
  /// - Throws: `interrupted`, `diskFull`, `matchedNothing` when all is done, and what the evaluator throws.
  package func run(
    progress style: Progress.Style, evaluator: (ModelReference) throws -> any Evaluator
  ) throws -> Outcome {
    let pending = try store.pending(of: plan, retryFailed: retryFailed, passOnly: isShard)
    let total = plan.trials.count
    var count = Count(done: total - pending.count, total: total)
    var progress = Progress(total: total, done: count.done, style: style)
    defer { progress.finish() }
    observe(count.done)
    for model in plan.manifest.models {
      let work = Dictionary(grouping: pending.filter { $0.trial.model == model.name }, by: \.trial.example)
      guard !work.isEmpty else { continue }
      try stopIfAsked(count)
      var evaluator = try evaluator(model)
      var learning = try LearningRunner(
        plan, store, folder, model: model.name, evaluator: evaluator, isShard: isShard)
      do {
        try run(work, on: model.name, with: &evaluator, learning, &count, &progress)
        let waiting = pending.filter { $0.trial.model == model.name }
        try learning.attend(waiting, &evaluator) { try stopIfAsked(count) }
        try learning.learn(waiting, evaluator) { try stopIfAsked(count) }
        advance(by: waiting.count(where: learning.waits), at: model.name, &count, &progress)
      } catch {
        // What stopped the run is the news, for instance a full disk, even if this cannot be noted either.
        try? store.noteEngine(model: model.name, facts: learning.facts(evaluator.facts))
        throw error
      }
      try store.noteEngine(model: model.name, facts: learning.facts(evaluator.facts))
    }
    if !isShard { try store.checkMatches(folder) }
    return Outcome(
      total: total, stored: total - pending.count, computed: pending.count, failed: try store.failedTrials().count)
  }

  private struct Count {
    var done: Int
    let total: Int
  }

  /// One model's pending trials, by example: one pass for all their probes.
  private func run(
    _ work: [String: [PendingTrial]], on model: String, with evaluator: inout any Evaluator,
    _ learning: LearningRunner, _ count: inout Count, _ progress: inout Progress
  ) throws {
    let lacking = Dictionary(grouping: try learning.lacking(Array(work.values.joined())), by: \.example)
    for example in plan.dataset.examples {
      let trials = work[example.id] ?? []
      let again = (lacking[example.id] ?? []).filter { trial in !trials.contains { $0.trial == trial } }
      let passing = trials.filter { !learning.passing($0).isEmpty || $0.probes.isEmpty }
      guard !trials.isEmpty || !again.isEmpty else { continue }
      try stopIfAsked(count)
      if !passing.isEmpty || !again.isEmpty {
        try append(evaluate(example, passing, again, on: model, with: &evaluator, learning), count)
      }
      advance(by: trials.count { !learning.waits($0) }, at: model, &count, &progress)
    }
  }

  private func advance(by trials: Int, at model: String, _ count: inout Count, _ progress: inout Progress) {
    guard trials > 0 else { return }
    count.done += trials
    observe(count.done)
    progress.advance(by: trials, at: model)
  }

  private func stopIfAsked(_ count: Count) throws {
    guard interruption.isRequested else { return }
    throw ExperimentError.interrupted(folder: folder.path, done: count.done, total: count.total, command: command)
  }

  private func append(_ batch: Batch, _ count: Count) throws {
    do {
      try store.append(batch)
    } catch ExperimentError.diskFull {
      throw ExperimentError.diskFull(folder: folder.path, done: count.done, total: count.total)
    }
  }

  /// - Parameter again: trials that are stored, and whose features a probe learns from.
  private func evaluate(
    _ example: Example, _ trials: [PendingTrial], _ again: [Trial], on model: String,
    with evaluator: inout any Evaluator, _ learning: LearningRunner
  ) throws -> Batch {
    let start = DispatchTime.now().uptimeNanoseconds
    let passing = Set(trials.flatMap(learning.passing))
    let wanted = plan.probes.map(\.name).filter { passing.contains($0) || !again.isEmpty && learning.learns($0) }
    let asked = trials.map(\.trial) + again
    let outcomes = try evaluator.evaluate(example, conditions: asked.map(\.condition), probes: wanted)
    let milliseconds = Double(DispatchTime.now().uptimeNanoseconds - start) / 1e6
    let results = try asked.map { trial in
      let matching = outcomes.filter { $0.condition == trial.condition }
      guard matching.count == 1, outcomes.count == asked.count else {
        throw ExperimentError.evaluator(
          model: model, example: example.id,
          what: "asked for \(asked.count) conditions, \(outcomes.count) outcomes came, \(matching.count) of them for "
            + "'\(trial.condition)'")
      }
      try learning.keep(matching[0], trial, wanted: wanted)
      return matching[0].result
    }
    // What learns is answered when it has learned.
    let answered = trials.map { pending in
      PendingTrial(trial: pending.trial, probes: pending.probes.filter { !learning.learns($0) })
    }
    return Batch(
      model: model, example: example.id, className: example.className, results: Array(zip(answered, results)),
      digests: Dictionary(plan.probes.map { ($0.name, $0.digest) }, uniquingKeysWith: { first, _ in first }),
      milliseconds: milliseconds)
  }
}
