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
    let child = ChildProcess(executable, arguments(check, verdict), output: output, errors: errors)
    let end = child.wait(seconds: timeLimit)
    if case .exited = end, let said = Verdict(contentsOf: verdict) { return said }
    let text = (try? String(contentsOfFile: errors, encoding: .utf8)) ?? ""
    return .failed(end.words + (text.split(separator: "\n").last.map { ": \($0)" } ?? ""))
  }
}

/// A child in a process group of its own, so that what a plugin starts ends with it. Foundation's Process waits for a socket that
/// grandchildren inherit, and so for them.
private struct ChildProcess {
  enum End {
    case exited(Int32)
    case signalled(Int32)
    case late(Double)
    case notStarted(Int32)

    var words: String {
      switch self {
      case .exited(let status): "it left the process with status \(status) before it was done"
      case .signalled(let signal): "it ended the process with \(Self.names[signal] ?? "signal \(signal)")"
      case .late(let seconds): "it had not come back after \(seconds) s"
      case .notStarted(let code): "no process could be started: \(String(cString: strerror(code)))"
      }
    }

    private static let names: [Int32: String] = [
      4: "SIGILL", 5: "SIGTRAP", 6: "SIGABRT", 7: "SIGBUS", 8: "SIGFPE", 9: "SIGKILL", 11: "SIGSEGV", 31: "SIGSYS",
    ]
  }

  private var pid: pid_t = 0
  private var failure: Int32

  init(_ executable: String, _ arguments: [String], output: String, errors: String) {
    var files = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&files)
    defer { posix_spawn_file_actions_destroy(&files) }
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0)
    posix_spawn_file_actions_addopen(&files, 1, output, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
    posix_spawn_file_actions_addopen(&files, 2, errors, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP))
    // A backtrace takes seconds, and the check is run again by hand where one is wanted.
    let settings = ProcessInfo.processInfo.environment.merging(["SWIFT_BACKTRACE": "enable=no"]) { $1 }
    var words = ([executable] + arguments).map { strdup($0) } + [nil]
    var environment = settings.map { strdup("\($0)=\($1)") } + [nil]
    defer { for text in words + environment { free(text) } }
    failure = posix_spawn(&pid, executable, &files, &attributes, &words, &environment)
  }

  /// Looks every few milliseconds: there is no wait with a limit for a process.
  func wait(seconds: Double) -> End {
    guard failure == 0 else { return .notStarted(failure) }
    defer { kill(-pid, SIGKILL) }
    let limit = ContinuousClock.now + .seconds(seconds)
    var status: Int32 = 0
    while waitpid(pid, &status, WNOHANG) == 0 {
      guard ContinuousClock.now < limit else {
        kill(-pid, SIGKILL)
        waitpid(pid, &status, 0)
        return .late(seconds)
      }
      usleep(2000)
    }
    return status & 0x7F == 0 ? .exited(status >> 8 & 0xFF) : .signalled(status & 0x7F)
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
