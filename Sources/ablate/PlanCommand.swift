import ArgumentParser
import Diagnostics
import Experiments

struct PlanCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "plan",
    abstract: "Show what a manifest expands to, and its cost, without running it.")

  @Argument(help: "The manifest (YAML or JSON).")
  var manifest: String

  @Flag(help: "Write JSON (schema ablate.plan/1).")
  var json = false

  func run() throws {
    let description = try Experiment(manifestPath: manifest).described(timed: !json)
    print(json ? description.json.pretty : description.text, terminator: "")
  }
}
