import Foundation

/// The repository, wherever the tests were compiled from.
let repository = URL(fileURLWithPath: #filePath).resolvingSymlinksInPath().deletingLastPathComponent()
  .deletingLastPathComponent().deletingLastPathComponent().path

/// Programs of the system and the command under test, run to their end.
enum Shell {
  struct Answer {
    var status: Int32
    /// Both streams.
    var output: String
  }

  static let ablate: String? = {
    guard let program = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe") else { return nil }
    let bundle = ProcessInfo.processInfo.arguments.first { $0.hasSuffix(".xctest") } ?? program
    let path = (bundle as NSString).deletingLastPathComponent + "/ablate"
    return FileManager.default.isExecutableFile(atPath: path) ? path : nil
  }()

  static func path(of name: String) -> String? {
    ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"].map { "\($0)/\(name)" }
      .first { FileManager.default.isExecutableFile(atPath: $0) }
  }

  /// What it writes goes through a file: daemons that it starts keep a pipe open.
  static func run(_ command: [String], environment: [String: String] = [:]) throws -> Answer {
    let file = NSTemporaryDirectory() + "ablate-shell-\(UUID().uuidString)"
    _ = FileManager.default.createFile(atPath: file, contents: nil)
    defer { try? FileManager.default.removeItem(atPath: file) }
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/bin/bash")
    // Foundation waits until nobody holds a socket of its own any more, which daemons would inherit.
    let closing = #"for f in /proc/self/fd/*; do n=${f##*/}; [ "$n" -gt 2 ] && eval "exec $n>&-"; done; exec "$@""#
    process.arguments = ["-c", closing, "shell"] + command
    process.currentDirectoryURL = URL(fileURLWithPath: repository)
    let settings = [
      "OMP_WAIT_POLICY": "passive", "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    ]
    process.environment = ProcessInfo.processInfo.environment.merging(settings.merging(environment) { $1 }) { $1 }
    process.standardInput = FileHandle.nullDevice
    let output = FileHandle(forWritingAtPath: file)
    (process.standardOutput, process.standardError) = (output, output)
    try process.run()
    process.waitUntilExit()
    return Answer(
      status: process.terminationStatus,
      output: String(decoding: FileManager.default.contents(atPath: file) ?? Data(), as: UTF8.self))
  }
}
