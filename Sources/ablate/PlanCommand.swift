import ArgumentParser
import Experiments

struct PlanCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "plan",
    abstract: "Show what a manifest expands to, and its cost, without running anything.")

  @Argument(help: "The manifest (YAML or JSON).")
  var manifest: String

  @Flag(help: "Write JSON (schema ablate.plan/1).")
  var json = false

  func run() throws {
    let description = PlanDescription(plan: try Experiment(manifestPath: manifest).plan)
    print(json ? description.json.pretty : description.text, terminator: "")
  }
}
