import ArgumentParser
import Experiments
import Foundation
import Reports

struct ExportCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "export",
    abstract: "Write a run's rows to a file, or bring them into a PostgreSQL database that several people share.",
    discussion: """
      A file is csv, jsonl, npy (a structured array of numpy), parquet, or safetensors (one tensor per column, texts as codes whose \
      words are in the metadata).

      In a database the tables ablate_measurements and ablate_trials are made if they are not there. Rows that are there with \
      equal values are left alone; other values for one trial are refused, and nothing is stored.
      """)

  @Argument(help: ArgumentHelp("A run folder.", valueName: "run"))
  var folder: String

  @Option(help: "The file to write; its ending says the format.")
  var out: String?

  @Option(help: "\(RowExport.names), where the file's ending does not say.")
  var format: String?

  @Option(
    help: ArgumentHelp("The database. A password belongs into ~/.pgpass.", valueName: "postgres://user@host/name"))
  var to: String?

  private var chosen: RowExport? {
    RowExport(rawValue: format ?? ((out ?? "") as NSString).pathExtension.lowercased())
  }

  func validate() throws {
    guard (to == nil) != (out == nil) else { throw ValidationError("either --out FILE or --to DATABASE") }
    if let to, !to.hasPrefix("postgres://"), !to.hasPrefix("postgresql://") {
      throw ValidationError("--to is an address like postgres://user@host/database")
    }
    if out != nil, chosen == nil { throw ValidationError("the format is one of \(RowExport.names)") }
  }

  func run() throws {
    let run = RunFolder(folder)
    guard FileManager.default.fileExists(atPath: run.store) else {
      throw ExperimentError.noRun(folder: folder, what: "there is no run in this folder (no run.sqlite)")
    }
    let store = try RunStore(path: run.store, readOnly: true)
    if let out, let chosen {
      print("\(out): \(try chosen.write(store, to: out)) rows")
    } else if let to {
      let outcome = try PostgresExport(run, store).send(to: to)
      print("\(outcome.measurements) rows: \(outcome.added) added, the others were there")
    }
  }
}
