import Experiments
import Foundation
import Glibc
import Testing

/// The real command on a small manifest of the real models.
private struct Command {
  /// `ablate` lies beside the test bundle.
  static let path: String? = {
    guard let bundle = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe") else { return nil }
    let folder = ProcessInfo.processInfo.arguments.first { $0.hasSuffix(".xctest") } ?? bundle
    let path = (folder as NSString).deletingLastPathComponent + "/ablate"
    return FileManager.default.isExecutableFile(atPath: path) ? path : nil
  }()

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

  func start(out: String, _ arguments: [String] = []) throws -> Process {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: Command.path ?? "ablate")
    process.arguments = ["run", folder.file("tiny.yaml"), "--out", folder.file(out)] + arguments
    process.currentDirectoryURL = repository
    process.standardOutput = FileHandle.nullDevice
    process.standardError = FileHandle.nullDevice
    try process.run()
    return process
  }

  /// Runs to the end; returns the exit status and the seconds.
  func finish(out: String) throws -> (status: Int32, seconds: Double) {
    let begun = Date()
    let process = try start(out: out)
    process.waitUntilExit()
    return (process.terminationStatus, Date().timeIntervalSince(begun))
  }
}

@Suite(.enabled(if: Command.path != nil, "the command is not built beside the tests"), .serialized)
struct KillTests {
  @Test func `killed at 50 seeded random moments, the same command ends with the same rows, bit for bit`() throws {
    let command = try Command()
    let whole = try command.finish(out: "whole")
    #expect(whole.status == 0)
    let expected = try command.folder.rows(in: "whole")
    #expect(expected.count > 100)
    var generator = SplitMix(state: 20_251_124)
    var (kills, folders) = (0, 0)
    while kills < 50 {
      let out = "killed-\(folders)"
      folders += 1
      // At most 10 kills a folder, so that some of them hit every stage of a run that was resumed before.
      var complete = false
      for _ in 0..<10 where kills < 50 && !complete {
        let process = try command.start(out: out)
        let delay = whole.seconds * Double(generator.next() >> 11) * 0x1p-53
        usleep(UInt32(delay * 1e6))
        if process.isRunning {
          kill(process.processIdentifier, SIGKILL)
          kills += 1
        }
        process.waitUntilExit()
        complete = process.terminationReason == .exit
        if complete { #expect(process.terminationStatus == 0) }
      }
      #expect(try command.finish(out: out).status == 0)
      #expect(try command.folder.rows(in: out) == expected, "\(out)")
    }
  }

  @Test func `a signal ends a run with 75 and what is stored stays`() throws {
    let command = try Command()
    _ = try command.finish(out: "whole")
    for signal in [SIGINT, SIGTERM, SIGUSR1] {
      let out = "signal-\(signal)"
      let process = try command.start(out: out)
      // From the moment at which rows come: the handlers are there, and work is left.
      while process.isRunning, (try? command.folder.rows(in: out))?.isEmpty ?? true { usleep(2000) }
      kill(process.processIdentifier, signal)
      process.waitUntilExit()
      #expect(process.terminationReason == .exit && process.terminationStatus == 75)
      #expect(try !command.folder.rows(in: out).isEmpty)
      #expect(try command.finish(out: out).status == 0)
      #expect(try command.folder.rows(in: out) == command.folder.rows(in: "whole"))
    }
  }
}

/// SplitMix64, of Steele, Lea and Flood (OOPSLA 2014).
private struct SplitMix {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}
