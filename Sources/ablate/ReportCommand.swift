import ArgumentParser
import Reports

struct ReportCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "report",
    abstract: "Summarise a run from its rows and write report.html, report.md and figures. Runs no model.")

  @Argument(help: ArgumentHelp("A run folder.", valueName: "run"))
  var folder: String

  @Flag(help: "Only print the summary; write no files.")
  var dryRun = false

  func run() throws {
    let report = try RunReport(path: folder)
    print(report.text, terminator: "")
    if !dryRun { print("\nwritten: \(try report.write())") }
  }
}
