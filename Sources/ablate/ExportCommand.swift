import ArgumentParser
import Experiments
import Foundation

struct ExportCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "export",
    abstract: "Bring a run's rows into a PostgreSQL database that several people share.",
    discussion: """
      The tables ablate_measurements and ablate_trials are made if they are not there. Rows that are there with equal values \
      are left alone; other values for one trial are refused, and nothing is stored.
      """)

  @Argument(help: ArgumentHelp("A run folder.", valueName: "run"))
  var folder: String

  @Option(
    help: ArgumentHelp("The database. A password belongs into ~/.pgpass.", valueName: "postgres://user@host/name"))
  var to: String

  func validate() throws {
    guard to.hasPrefix("postgres://") || to.hasPrefix("postgresql://") else {
      throw ValidationError("--to is an address like postgres://user@host/database")
    }
  }

  func run() throws {
    let run = RunFolder(folder)
    guard FileManager.default.fileExists(atPath: run.store) else {
      throw ExperimentError.noRun(folder: folder, what: "there is no run in this folder (no run.sqlite)")
    }
    let outcome = try PostgresExport(run, RunStore(path: run.store, readOnly: true)).send(to: to)
    print("\(outcome.measurements) rows: \(outcome.added) added, the others were there")
  }
}
