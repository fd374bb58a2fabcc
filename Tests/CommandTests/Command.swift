import Foundation
import Testing

/// The repository, wherever the tests were compiled from.
let repository = URL(fileURLWithPath: #filePath).resolvingSymlinksInPath().deletingLastPathComponent()
  .deletingLastPathComponent().deletingLastPathComponent().path

/// A small random checkpoint, and what transformers computed on it.
let mha = repository + "/Tests/Fixtures/parity/mha"

/// What one run of the command left.
struct Outcome {
  let status: Int32
  let output: String
  let errors: String
  /// Files and folders that the run made in its scratch folder, sorted.
  let made: [String]
}

/// The real command, run as a child process.
enum Command {
  struct NotBuilt: Error, CustomStringConvertible {
    let path: String
    var description: String {
      "there is no command at \(path): build it with `swift build -c release --product ablate`, or set ABLATE_BINARY"
    }
  }

  static func path() throws -> String {
    let path = ProcessInfo.processInfo.environment["ABLATE_BINARY"] ?? repository + "/.build/release/ablate"
    guard FileManager.default.isExecutableFile(atPath: path) else { throw NotBuilt(path: path) }
    return path
  }

  /// Runs the command to its end in `scratch`. Its output goes through files: a pipe that nobody empties would stop it.
  /// - Parameter environment: added to what the tests have; an empty value takes the variable away.
  static func run(
    _ arguments: [String], in scratch: Scratch, input: String = "", environment: [String: String] = [:],
    binary: String? = nil
  ) throws -> Outcome {
    let streams = try Scratch()
    let before = scratch.entries
    let child = Process()
    child.executableURL = URL(fileURLWithPath: try binary ?? path())
    child.arguments = arguments
    child.currentDirectoryURL = URL(fileURLWithPath: scratch.path)
    let settings = ["SWIFT_BACKTRACE": "enable=no", "OMP_WAIT_POLICY": "passive"].merging(environment) { $1 }
    child.environment = ProcessInfo.processInfo.environment.merging(settings) { $1 }.filter { !$0.value.isEmpty }
    child.standardInput = try FileHandle(forReadingFrom: URL(fileURLWithPath: streams.write(input, to: "in")))
    child.standardOutput = try FileHandle(forWritingTo: URL(fileURLWithPath: streams.write("", to: "out")))
    child.standardError = try FileHandle(forWritingTo: URL(fileURLWithPath: streams.write("", to: "err")))
    try child.run()
    let pid = child.processIdentifier
    let limit = DispatchWorkItem { kill(pid, SIGKILL) }
    DispatchQueue.global().asyncAfter(deadline: .now() + 60, execute: limit)
    child.waitUntilExit()
    limit.cancel()
    let signal: Int32 = child.terminationReason == .uncaughtSignal ? 128 : 0
    return Outcome(
      status: child.terminationStatus + signal, output: try streams.read("out"), errors: try streams.read("err"),
      made: scratch.entries.subtracting(before).sorted())
  }
}

/// The message of a refusal, in the three parts that every refusal has, each a part of the text that is told.
struct Refusal: CustomTestStringConvertible, Sendable {
  /// In the test's own words.
  let name: String
  let status: Int32
  let what: String
  var at = ""
  var remedy = ""

  init(_ name: String, _ status: Int32, _ what: String, at: String = "", remedy: String = "") {
    (self.name, self.status, self.what, self.at, self.remedy) = (name, status, what, at, remedy)
  }

  var testDescription: String { name }

  /// Expects that `outcome` is this refusal: the status, one message with what, where and what to do, plain text, no output and no file.
  func expect(_ outcome: Outcome, location: SourceLocation = #_sourceLocation) {
    let told = Comment(rawValue: "\(name): \(outcome.status) \(outcome.errors)")
    let lines = outcome.errors.split(separator: "\n").map(String.init)
    #expect(outcome.status == status, told, sourceLocation: location)
    for (head, part) in [("error: ", what), ("  at: ", at), ("  try: ", remedy)] {
      let line = lines.first { $0.hasPrefix(head) }?.dropFirst(head.count) ?? ""
      #expect(part.isEmpty || line.contains(part), told, sourceLocation: location)
    }
    #expect(lines.first?.wholeMatch(of: /error: .{4,}/) != nil, told, sourceLocation: location)
    #expect((2...3).contains(lines.count), told, sourceLocation: location)
    #expect(!outcome.errors.contains("\u{1B}"), told, sourceLocation: location)
    #expect(outcome.output.isEmpty, told, sourceLocation: location)
    #expect(outcome.made.isEmpty, "\(name) left \(outcome.made)", sourceLocation: location)
  }
}
