import ArgumentParser
import Diagnostics
import Reports

struct ReportCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "report",
    abstract: "Summarise a run from its rows and write report.html, report.md and figures. Runs no model.",
    discussion: "With a second run: what differs between the two in manifest, plugins and results; writes no files.")

  @Argument(help: ArgumentHelp("A run folder.", valueName: "run"))
  var folder: String

  @Argument(help: ArgumentHelp("Another one, to be put beside it.", valueName: "other"))
  var other: String?

  @Flag(help: "Only print the summary; write no files.")
  var dryRun = false

  @Flag(help: "Write JSON to the standard output (schema ablate.report/1) and no files.")
  var json = false

  func run() throws {
    if let other {
      let difference = try RunDifference(folder, other)
      print(json ? difference.json.pretty : difference.text, terminator: "")
      return
    }
    let report = try RunReport(path: folder)
    print(json ? report.summary.json.pretty : report.text, terminator: "")
    if !dryRun, !json { print("\nwritten: \(try report.write())") }
  }
}
