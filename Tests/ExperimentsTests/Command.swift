import Experiments
import Foundation
import Glibc
import TestSupport

/// The real command, built beside the test bundle.
enum Command {
  static let path: String? = {
    guard let program = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe") else { return nil }
    let bundle = ProcessInfo.processInfo.arguments.first { $0.hasSuffix(".xctest") } ?? program
    let path = (bundle as NSString).deletingLastPathComponent + "/ablate"
    return FileManager.default.isExecutableFile(atPath: path) ? path : nil
  }()

  static func start(
    _ arguments: [String], output: FileHandle = .nullDevice, errors: FileHandle = .nullDevice
  ) throws -> Process {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: path ?? "ablate")
    process.arguments = arguments
    process.currentDirectoryURL = repository
    process.standardOutput = output
    process.standardError = errors
    try process.run()
    return process
  }

  /// Runs to the end. What it writes goes through files: a pipe that nobody empties would stop it.
  static func finish(_ arguments: [String]) throws -> (status: Int32, output: String, errors: String) {
    let folder = try TemporaryFolder()
    try folder.write("", to: "out")
    try folder.write("", to: "err")
    let output = try FileHandle(forWritingTo: URL(fileURLWithPath: folder.file("out")))
    let errors = try FileHandle(forWritingTo: URL(fileURLWithPath: folder.file("err")))
    let process = try start(arguments, output: output, errors: errors)
    process.waitUntilExit()
    return (
      process.terminationStatus, try String(contentsOfFile: folder.file("out"), encoding: .utf8),
      try String(contentsOfFile: folder.file("err"), encoding: .utf8)
    )
  }
}

/// A small manifest of the real models in a folder of its own, and runs of it.
struct TinyStudy {
  let folder: TemporaryFolder

  init() throws {
    folder = try TemporaryFolder()
    try folder.write(
      """
      ablate: 1
      name: tiny
      models: [demo-compensating, demo-control]
      dataset: { path: \(repository.path)/data/parts, limit: 6 }
      conditions:
        clean: []
        cut: [{ plugin: attention-knockout, with: { tower: vision } }]
      probes: { lens: { plugin: logit-lens } }
      readings: [accuracy, answer_logprob, kl]
      generate: { max_new_tokens: 4 }
      """, to: "tiny.yaml")
  }

  private func arguments(_ out: String) -> [String] { ["run", folder.file("tiny.yaml"), "--out", folder.file(out)] }

  func start(out: String) throws -> Process { try Command.start(arguments(out)) }

  struct Finish {
    var status: Int32
    var seconds: Double
    var errors: String
    /// Trials that were stored before this run.
    var stored: Int
  }

  /// Runs to the end.
  func finish(out: String, extra: [String] = []) throws -> Finish {
    let begun = Date()
    let result = try Command.finish(arguments(out) + extra)
    let stored = result.output.firstMatch(of: /([0-9]+) stored before/).flatMap { Int($0.1) }
    return Finish(
      status: result.status, seconds: Date().timeIntervalSince(begun), errors: result.errors, stored: stored ?? -1)
  }
}
