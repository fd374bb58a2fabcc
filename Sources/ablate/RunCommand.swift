import ArgumentParser
import Diagnostics
import Experiments
import Foundation
import Reports

struct RunCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "run",
    abstract: "Run the trials of a manifest and store their rows.",
    discussion: """
      Rows go to a run folder. The same command resumes a run that was interrupted and computes what is missing when the \
      manifest has got more models, examples, conditions or probes.

      SIGINT, SIGTERM and SIGUSR1 finish the example in hand, store it and exit with 75; a second one exits at once.
      """)

  @Argument(help: "The manifest (YAML or JSON).")
  var manifest: String

  @Option(help: ArgumentHelp("The run folder; by default runs/NAME with the manifest's name.", valueName: "folder"))
  var out: String?

  @Flag(help: "Remove the rows that are in the run folder first.")
  var fresh = false

  @Flag(help: "Run the trials again that failed before.")
  var retryFailed = false

  @Flag(help: "No progress on stderr.")
  var quiet = false

  func run() throws {
    let interruption = Interruption()
    let sources = interruption.listen {
      Progress.toStandardError("\nfinishing the example in hand; once more to stop at once\n")
    }
    defer { withExtendedLifetime(sources) {} }
    let experiment = try Experiment(manifestPath: manifest)
    let folder = RunFolder(out ?? "runs/\(experiment.manifest.name)")
    // Before the folder is touched: parameters, selectors and layers are checked here, and --fresh throws rows away.
    var first = fresh || !FileManager.default.fileExists(atPath: folder.store) ? try experiment.firstEvaluator() : nil
    let session = try RunSession(
      folder: folder, plan: experiment.plan, provenance: experiment.provenance, fresh: fresh)
    let runner = Runner(
      plan: experiment.plan, folder: folder, store: session.store, interruption: interruption,
      retryFailed: retryFailed, command: resumingCommand)
    let outcome = try session.removingIfEmpty {
      try runner.run(progress: quiet ? .silent : Progress.style()) { model in
        defer { first = nil }
        guard let first, model == experiment.manifest.models.first else { return try experiment.evaluator(of: model) }
        return first
      }
    }
    print(
      "\(outcome.total) trials in \(folder.path): \(outcome.computed) computed now, \(outcome.stored) stored before, "
        + "\(outcome.failed) failed")
    if let first = try session.store.failedTrials().first {
      throw ExperimentError.failedTrials(
        folder: folder.path, failed: outcome.failed, total: outcome.total,
        first: "\(first.model), \(first.example), \(first.condition): \(first.failure.reason)")
    }
    print("next: ablate report \(folder.path)")
  }

  /// This command without --fresh, which would throw away what is stored.
  private var resumingCommand: String {
    CommandLine.arguments.filter { $0 != "--fresh" }.map(quotedForShell).joined(separator: " ")
  }

  private func quotedForShell(_ word: String) -> String {
    let plain = word.utf8.allSatisfy { byte in
      (48...57).contains(byte) || (65...90).contains(byte) || (97...122).contains(byte)
        || "_-./=:,+@%".utf8.contains(byte)
    }
    return plain && !word.isEmpty ? word : "'" + word.replacing("'", with: "'\\''") + "'"
  }
}
