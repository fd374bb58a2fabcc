import ArgumentParser
import Experiments
import PluginRuntime
import Tensors

/// Where the code of plugins runs: for every command that starts them.
struct ExecutorOptions: ParsableArguments {
  @Flag(help: "Run the code of all plugins in sandboxed processes.")
  var worker = false

  @Flag(help: "Run the code of all plugins in this process, of those too that nobody vouches for.")
  var inProcess = false

  func validate() throws {
    guard !(worker && inProcess) else { throw ValidationError("--worker and --in-process exclude each other") }
  }

  /// nil: the manifest or a plugin's trust decides.
  var asked: Placement? {
    worker
      ? Placement(.worker, .asked(by: "--worker")) : inProcess ? Placement(.inProcess, .asked(by: "--in-process")) : nil
  }

  /// The same choice for a command that this one starts or names.
  var words: [String] { (worker ? ["--worker"] : []) + (inProcess ? ["--in-process"] : []) }

  /// The command that brings a study's shards together, with the same choice.
  func merging(_ folder: RunFolder) -> String {
    (["ablate merge", quotedForShell(folder.path)] + words).joined(separator: " ")
  }
}

struct AuditOptions: ParsableArguments {
  @Flag(
    help:
      "Watch that plugins in this process change no activation that they did not declare, and stop where one does. Slow."
  )
  var audit = false

  /// Call it before a model is opened.
  func start() { if audit { MemoryWatch.start() } }
}
