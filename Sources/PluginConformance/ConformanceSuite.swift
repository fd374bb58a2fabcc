import Diagnostics
import Foundation

/// How one check of a plugin ended.
package struct CheckResult: Sendable {
  package let check: Check
  package let verdict: Verdict
  package let seconds: Double

  package var hasFailed: Bool { if case .failed = verdict { true } else { false } }
}

/// Runs checks one after the other, each in a child process with a time limit. A child must say its verdict: one that ends without,
/// whatever its status, has failed.
package struct ConformanceSuite {
  /// The program to start, and what to start it with for a check: it calls `CheckedPlugin.run` and `Verdict.write`.
  private let executable: String
  private let arguments: (Check, _ verdict: String) -> [String]
  private let timeLimit: Double

  package init(executable: String, timeLimit: Double, arguments: @escaping (Check, _ verdict: String) -> [String]) {
    (self.executable, self.timeLimit, self.arguments) = (executable, timeLimit, arguments)
  }

  /// - Parameter done: called after each check.
  package func run(_ checks: [Check], done: (CheckResult) -> Void = { _ in }) throws -> [CheckResult] {
    let folder = NSTemporaryDirectory() + "ablate-check-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    var results: [CheckResult] = []
    for check in checks {
      let start = Date()
      let failed = results.first { $0.hasFailed && check.needs.contains($0.check) }
      let verdict = try failed.map { .skipped("\($0.check.rawValue) failed") } ?? run(check, in: folder)
      results.append(CheckResult(check: check, verdict: verdict, seconds: Date().timeIntervalSince(start)))
      done(results[results.count - 1])
    }
    return results
  }

  private func run(_ check: Check, in folder: String) throws -> Verdict {
    let (verdict, output, errors) = ("\(folder)/verdict", "\(folder)/out", "\(folder)/err")
    try? FileManager.default.removeItem(atPath: verdict)
    for file in [output, errors] { try Data().write(to: URL(fileURLWithPath: file)) }
    let child = Process()
    child.executableURL = URL(fileURLWithPath: executable)
    child.arguments = arguments(check, verdict)
    // A backtrace takes seconds, and the check is run again by hand where one is wanted.
    child.environment = ProcessInfo.processInfo.environment.merging(["SWIFT_BACKTRACE": "enable=no"]) { $1 }
    child.standardInput = FileHandle.nullDevice
    child.standardOutput = try FileHandle(forWritingTo: URL(fileURLWithPath: output))
    child.standardError = try FileHandle(forWritingTo: URL(fileURLWithPath: errors))
    try child.run()
    let pid = child.processIdentifier
    let late = Flag()
    let limit = DispatchWorkItem {
      late.raise()
      kill(pid, SIGKILL)
    }
    DispatchQueue.global().asyncAfter(deadline: .now() + timeLimit, execute: limit)
    child.waitUntilExit()
    limit.cancel()
    if let said = Verdict(contentsOf: verdict), child.terminationReason == .exit { return said }
    let last =
      (try? String(contentsOfFile: errors, encoding: .utf8))?.split(separator: "\n").last.map { ": \($0)" } ?? ""
    if late.isRaised { return .failed("it had not come back after \(timeLimit) s") }
    if child.terminationReason == .uncaughtSignal {
      let name = Self.signals[child.terminationStatus] ?? "signal \(child.terminationStatus)"
      return .failed("it ended the process with \(name)\(last)")
    }
    return .failed("it left the process with status \(child.terminationStatus) before it was done\(last)")
  }

  private static let signals: [Int32: String] = [
    4: "SIGILL", 5: "SIGTRAP", 6: "SIGABRT", 7: "SIGBUS", 8: "SIGFPE", 9: "SIGKILL", 11: "SIGSEGV", 31: "SIGSYS",
  ]

  /// Set on the timer's thread, read after the child has ended.
  private final class Flag: @unchecked Sendable {
    private let lock = NSLock()
    private var value = false
    func raise() { lock.withLock { value = true } }
    var isRaised: Bool { lock.withLock { value } }
  }
}

extension Check {
  /// Those that must have passed for this one to make sense.
  fileprivate var needs: [Check] {
    switch self {
    case .manifest: []
    case .library: [.manifest]
    case .note: [.manifest, .library]
    case .symbols, .load: Check.note.needs + [.note]
    case .knownAnswer: Check.load.needs + [.load]
    case .entry: Check.knownAnswer.needs + [.knownAnswer]
    case .create: Check.entry.needs + [.entry]
    case .plan: Check.create.needs + [.create]
    case .lifecycle, .newerHost, .offset, .lanes: Check.plan.needs + [.plan, .determinism]
    default: Check.plan.needs + [.plan]
    }
  }
}

extension Verdict {
  /// From a child.
  fileprivate init?(contentsOf path: String) {
    guard let data = FileManager.default.contents(atPath: path),
      let json = JSON(try? JSONSerialization.jsonObject(with: data)), let verdict = json["verdict"]?.text
    else { return nil }
    switch verdict {
    case "passed": self = .passed
    case "failed": self = .failed(json["words"]?.text ?? "")
    case "skipped": self = .skipped(json["words"]?.text ?? "")
    default: return nil
    }
  }

  /// For the parent: whole or not at all.
  package func write(to path: String) throws {
    try Data(json.compact.utf8).write(to: URL(fileURLWithPath: path), options: .atomic)
  }

  fileprivate var json: JSON { .object([("verdict", .string(word)), ("words", .string(words))]) }

  package var word: String {
    switch self {
    case .passed: "passed"
    case .failed: "failed"
    case .skipped: "skipped"
    }
  }

  package var words: String {
    switch self {
    case .passed: ""
    case .failed(let words), .skipped(let words): words
    }
  }
}

extension [CheckResult] {
  package func json(plugin: String, seed: UInt64) -> JSON {
    .object([
      ("schema", .string("ablate.plugin_check/1")), ("plugin", .string(plugin)), ("seed", .string(String(seed))),
      ("passed", .bool(!contains(where: \.hasFailed))),
      (
        "checks",
        .array(
          map {
            .object([
              ("check", .string($0.check.rawValue)), ("promise", .string($0.check.promise)),
              ("verdict", .string($0.verdict.word)), ("words", .string($0.verdict.words)),
            ])
          })
      ),
    ])
  }

  /// The form that CI systems read (the Ant task's, as Jenkins and GitLab take it).
  package func junit(plugin: String) -> String {
    let cases = map { result in
      let head =
        "  <testcase classname=\"ablate.plugin.\(plugin.escaped)\" name=\"\(result.check.rawValue)\" time=\"\(result.seconds)\""
      return switch result.verdict {
      case .passed: head + "/>"
      case .failed(let words): head + "><failure message=\"\(words.escaped)\"/></testcase>"
      case .skipped(let words): head + "><skipped message=\"\(words.escaped)\"/></testcase>"
      }
    }
    let skipped = count { if case .skipped = $0.verdict { true } else { false } }
    return """
      <?xml version="1.0" encoding="UTF-8"?>
      <testsuite name="ablate plugin check \(plugin.escaped)" tests="\(count)" failures="\(count(where: \.hasFailed))" skipped="\(skipped)">
      \(cases.joined(separator: "\n"))
      </testsuite>

      """
  }
}

extension String {
  /// In an XML attribute.
  fileprivate var escaped: String {
    unicodeScalars.map { scalar in
      switch scalar {
      case "&": "&amp;"
      case "<": "&lt;"
      case ">": "&gt;"
      case "\"": "&quot;"
      case _ where scalar.value < 0x20 || scalar.value == 0xFFFE || scalar.value == 0xFFFF: " "
      default: String(scalar)
      }
    }.joined()
  }
}
