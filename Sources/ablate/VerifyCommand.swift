import ArgumentParser
import Experiments
import Foundation

struct VerifyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "verify",
    abstract: "Run a sample of a run's trials again without reuse and compare every stored value.",
    discussion: """
      Each trial is computed alone, every row of it. The values must be the stored ones, bit for bit where the machine's kernels allow \
      it, else within 1e-5. Of probes that learn the rows of one example a model are learned anew: everything that they learn from is \
      read again, and the fits that have not seen the example are made again. Exits with 65 and names the trials that differ.
      """)

  @Argument(help: ArgumentHelp("A run folder.", valueName: "run"))
  var folder: String

  @Option(help: "How many trials; all of them if there are fewer.")
  var sample = 20

  @Option(help: "Another seed picks other trials.")
  var seed = 0

  @Option(help: "The run's manifest, if it is no longer where it was.")
  var manifest: String?

  @OptionGroup var executor: ExecutorOptions

  func validate() throws {
    guard sample > 0 else { throw ValidationError("--sample must be positive") }
  }

  func run() throws {
    let folder = RunFolder(folder)
    guard FileManager.default.fileExists(atPath: folder.store) else {
      throw ExperimentError.noRun(folder: folder.path, what: "there is no run here")
    }
    let store = try RunStore(path: folder.store, readOnly: true)
    let path = try manifest ?? store.manifestPath(folder)
    let experiment = try Experiment(manifestPath: path, reuse: false, executor: executor.asked)
    let verification = try Verification(
      plan: experiment.plan, folder: folder, store: store, sample: sample, seed: seed)
    var evaluators: [String: ModelEvaluator] = [:]
    let scratch = FileManager.default.temporaryDirectory.appendingPathComponent("ablate-verify-\(UUID().uuidString)")
      .path
    defer { try? FileManager.default.removeItem(atPath: scratch) }
    let outcome = try verification.run(learningIn: RunFolder(scratch)) { model in
      let evaluator = try evaluators[model.name] ?? experiment.modelEvaluator(of: model)
      evaluators[model.name] = evaluator
      return evaluator
    }
    let exactly = outcome.isExact ? "bit for bit" : "within 1e-5 (this machine's kernels do not allow more)"
    print("\(outcome.trials) trials, \(outcome.values) values: as stored, \(exactly)")
    guard !outcome.learned.isEmpty else { return }
    print(
      "with what probes say of \(outcome.learned.joined(separator: "; ")), learned anew: \(outcome.fits) fits, from activations "
        + "that were read again")
  }
}
