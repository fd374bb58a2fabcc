import ArgumentParser
import Diagnostics
import Foundation
import PluginConformance
import PluginRuntime

struct PluginCheckCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "check", abstract: "Try a plugin: does it keep the ABI's rules? Each check is a process of its own.",
    discussion: "Exit codes: 0 all passed or skipped, 70 a check failed.")

  @Argument(help: "A plugin: NAME or a path, with parameters as NAME:key=value,key=value.")
  var plugin: String?
  @Option(help: "This check alone; several may be given.") var only: [Check] = []
  @Flag(help: "What the checks are.") var list = false
  @Flag(help: "As JSON.") var json = false
  @Option(help: "Also write a JUnit report to this file.") var junit: String?
  @Option(help: "Everything that is drawn comes from this seed; the one of an earlier report does the same again.")
  var reproduce: UInt64 = 1
  @Option(help: "Seconds that one check may take.") var timeout = 20.0
  @Option(help: .hidden) var verdict: String?

  func validate() throws {
    guard list || plugin != nil else { throw ValidationError("Name a plugin, or ask for --list.") }
    guard timeout > 0, timeout < 86400 else { throw ValidationError("--timeout is a number of seconds above 0.") }
  }

  func run() throws {
    if list { return Check.allCases.forEach { print("\($0.rawValue): \($0.promise)") } }
    let parts = (plugin ?? "").split(separator: ":", maxSplits: 1).map(String.init)
    let path = try PluginSearch(base: nil).manifestPath(of: parts.first ?? "")
    if let verdict { return try answer(path, parts, to: verdict) }
    let results = try suite().run(only.isEmpty ? Check.allCases : only) { result in
      guard !json else { return }
      let words = result.verdict.words.isEmpty ? "" : ": \(result.verdict.words)"
      print("\(result.verdict.word)  \(result.check.rawValue)\(words)")
    }
    if json { print(results.json(plugin: parts[0], seed: reproduce).pretty, terminator: "") }
    if let junit {
      try Data(results.junit(plugin: parts[0]).utf8).write(to: URL(fileURLWithPath: junit), options: .atomic)
    }
    let failed = results.filter(\.hasFailed)
    guard failed.isEmpty else { throw CheckFailure(plugin: parts[0], checks: failed.map(\.check), seed: reproduce) }
  }

  /// This program again, for one check.
  private func suite() throws -> ConformanceSuite {
    let plugin = plugin ?? ""
    return ConformanceSuite(executable: "/proc/self/exe", timeLimit: timeout) { check, verdict in
      ["plugin", "check", plugin, "--only", check.rawValue, "--reproduce", "\(reproduce)", "--verdict", verdict]
    }
  }

  /// In the child.
  private func answer(_ path: String, _ parts: [String], to verdict: String) throws {
    let given = parts.count > 1 ? try PluginOptions.parameters(parts[1], of: PluginManifest(path: path)) : [:]
    let checked = CheckedPlugin(path: path, given: given, seed: reproduce)
    for check in only { try checked.run(check).write(to: verdict) }
  }
}

extension Check: ExpressibleByArgument {}

private struct CheckFailure: DiagnosedError {
  let plugin: String
  let checks: [Check]
  let seed: UInt64

  var diagnosis: Diagnosis {
    Diagnosis(
      "\(checks.count) of \(Check.allCases.count) checks failed: \(checks.map(\.rawValue).joined(separator: ", "))",
      at: "plugin \(plugin)", remedy: "ablate plugin check \(plugin) --only \(checks[0].rawValue) --reproduce \(seed)",
      exit: .pluginFailure)
  }
}
