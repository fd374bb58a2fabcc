import Experiments
import Foundation

/// One start of a run or of its shard, by `ablate run`, or by `ablate merge` for what is learned from all shards.
struct RunStart {
  let experiment: Experiment
  let plan: Plan
  let session: RunSession
  var retryFailed = false
  var isShard = false
  var quiet = false
  /// How to go on after an interruption.
  let command: String

  /// Computes what is missing, and keeps `status.json`.
  ///
  /// - Parameter first: the first model's evaluator, if it is there already.
  func run(_ interruption: Interruption, first: (any Evaluator)? = nil) throws -> Runner.Outcome {
    let status = StatusFile(
      session.folder,
      RunStatus(
        total: plan.trials.count, instructionSet: plan.fingerprints.instructionSet,
        environment: ProcessInfo.processInfo.environment))
    let runner = Runner(
      plan: plan, folder: session.folder, store: session.store, interruption: interruption, retryFailed: retryFailed,
      isShard: isShard, command: command, observe: status.observe)
    var first = first
    return try status.following {
      try runner.run(progress: quiet ? .silent : Progress.style()) { model in
        defer { first = nil }
        guard let first, model == experiment.manifest.models.first else { return try experiment.evaluator(of: model) }
        return first
      }
    }
  }
}

extension Runner.Outcome {
  /// - Throws: `failedTrials`.
  func tell(_ session: RunSession) throws {
    print(
      "\(total) trials in \(session.folder.path): \(computed) computed now, \(stored) stored before, \(failed) failed")
    if let first = try session.store.failedTrials().first {
      throw ExperimentError.failedTrials(
        folder: session.folder.path, failed: failed, total: total,
        first: "\(first.model), \(first.example), \(first.condition): \(first.failure.reason)")
    }
  }
}
