import ArgumentParser
import Diagnostics
import Foundation

@main struct Ablate: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "ablate",
    abstract: "Ablations of vision-language models by plugins: attach, run, measure, report.",
    discussion: """
      Exit codes: 0 done, 64 usage, 65 bad data, 66 missing input, 70 a plugin failed (trials that failed are kept),
      75 interrupted or unfinished (the same command goes on).
      """,
    version: "0.1.0",
    subcommands: [
      RunCommand.self, PlanCommand.self, VerifyCommand.self, SubmitCommand.self, StatusCommand.self, MergeCommand.self,
      ReportCommand.self, CompareCommand.self, PowerCommand.self, ExportCommand.self, DataCommand.self,
      ModelCommand.self, PluginCommand.self, GenerateCommand.self, CaptureCommand.self, MeanCommand.self,
      TokenizeCommand.self, BenchCommand.self,
    ])

  /// The one place where errors become text and exit codes.
  static func main() {
    useOneThreadTeam()
    do {
      var command = try parseAsRoot()
      try command.run()
    } catch let error as any DiagnosedError {
      complain(error.diagnosis)
      Foundation.exit(error.diagnosis.exit.rawValue)
    } catch {
      exit(withError: error)
    }
  }
}

/// `error:` and what happened; indented below it where and what to do.
func complain(_ diagnosis: Diagnosis) {
  let environment = ProcessInfo.processInfo.environment
  let colours = isatty(2) == 1 && environment["NO_COLOR"] == nil && environment["TERM"] != "dumb"
  var text = (colours ? "\u{1B}[31merror:\u{1B}[0m " : "error: ") + diagnosis.what + "\n"
  if !diagnosis.place.isEmpty { text += "  at: \(diagnosis.place)\n" }
  if !diagnosis.remedy.isEmpty { text += "  try: \(diagnosis.remedy)\n" }
  FileHandle.standardError.write(Data(text.utf8))
}

/// libgomp reads its wait policy before `main`. Threads that spin between the small regions of a forward pass are fastest on a quiet
/// machine and ruinous on a shared one; passive waiting costs microseconds. Set by starting the program once more.
private func useOneThreadTeam() {
  guard getenv("OMP_WAIT_POLICY") == nil else { return }
  setenv("OMP_WAIT_POLICY", "passive", 1)
  var arguments = CommandLine.arguments.map { strdup($0) } + [nil]
  execv("/proc/self/exe", &arguments)  // returns only where it failed, and then the default policy will do
}
