import Foundation
import PluginHost
import PluginRuntime
import Testing

/// A plugin of Tests/Fixtures/bad-plugins, and what becomes of its lane in a worker. The numbers are those of the list in docs/bad-plugins.md.
struct BadPlugin: Sendable, CustomTestStringConvertible {
  /// The source's name.
  let name: String
  /// Where it fails; nil: it does not, and what it did wrong stayed without effect.
  let point: String?
  let reason: String

  init(_ name: String, at point: String? = "text.1.z", _ reason: String = "") {
    (self.name, self.point, self.reason) = (name, point, reason)
  }

  var testDescription: String { name }

  /// What is wrong is found at a visit, or without harm not at all.
  static let inPass: [BadPlugin] = [
    BadPlugin("00-good", at: nil),
    BadPlugin("33-constructor-prints", at: nil),
    BadPlugin("37-plan-changes", at: nil),
    BadPlugin("38-segv", "it ended with signal 11 (SIGSEGV)"),
    BadPlugin("38-bus", "it ended with signal 7 (SIGBUS)"),
    BadPlugin("38-fpe", "it ended with signal 8 (SIGFPE)"),
    BadPlugin("38-stack-overflow", "it ended with signal 11 (SIGSEGV)"),
    BadPlugin("39-abort", "it ended with signal 6 (SIGABRT): assertion failed: x > 0"),
    BadPlugin("39-cpp-throw", "it ended with signal 6 (SIGABRT): terminate called"),
    BadPlugin("39-swift-trap", "it ended with signal 4 (SIGILL)"),
    BadPlugin("40-exit", "it left the process with status 0 instead of returning"),
    BadPlugin("40-quick-exit", "it left the process with status 0 instead of returning"),
    BadPlugin("41-busy", "it had not returned after 2.0 s"),
    BadPlugin("41-deadlock", "it had not returned after 2.0 s"),
    BadPlugin("41-chatter", "it had not returned after 2.0 s"),
    BadPlugin("42-before", "wrote outside the slice that it declared"),
    BadPlugin("42-behind", "wrote outside the slice that it declared"),
    BadPlugin("42-far", "it ended with signal 11 (SIGSEGV)"),
    BadPlugin("42-read-only", "wrote to a slice that it declared as read-only"),
    BadPlugin("43-nan", "wrote 1 values that are not finite"),
    BadPlugin("43-infinity", "wrote 2 values that are not finite"),
    BadPlugin("43-denormal", at: nil),
    BadPlugin("43-shape", at: nil),
    BadPlugin("43-late-writer", at: nil),
    BadPlugin("44-leak", at: nil),
    BadPlugin("44-endless-memory", "it ended with signal 11 (SIGSEGV)"),
    BadPlugin("44-hundred-gigabytes", "it ended with signal 11 (SIGSEGV)"),
    BadPlugin("44-threads", "out of memory: no thread beyond a limit"),
    BadPlugin("45-emit-type", "columns[0].type: is 99; a column is BOOL, I64, F64 or STR"),
    BadPlugin("45-emit-count", "emit.n_rows: is 1000000000; at most 16777216"),
    BadPlugin("45-emit-text", "columns[0].data: row 0 is not UTF-8"),
    BadPlugin("45-float-mode", "changed how the processor computes: rounding, or denormals to zero"),
    BadPlugin(
      "45-surroundings", at: "end_lane",
      "changed what is the host's: the current folder, the locale, the handler of signal 8, descriptor 0, which it "
        + "closed, descriptor 1, which it closed, descriptor 2, which it closed"),
    BadPlugin("45-closes-line", "it left the process with status 0 instead of returning"),
    BadPlugin("45-opens-file", "a call out of order: no file: Permission denied"),
    BadPlugin("45-network", "a call out of order: no socket: Operation not permitted"),
    BadPlugin("45-forks", "a call out of order: no process: Operation not permitted"),
    BadPlugin("45-kills-host", "a call out of order: no signal: Operation not permitted"),
    BadPlugin("45-writable-code", "a call out of order: no code: Permission denied"),
  ]

  /// What is wrong is found before anything runs.
  static let beforePass: [BadPlugin] = [
    BadPlugin("33-constructor-crashes", at: "create", "it ended with signal 11 (SIGSEGV)"),
    BadPlugin("33-constructor-exits", at: "create", "it left the process with status 0 instead of returning"),
    BadPlugin("33-constructor-hangs", at: "create", "it had not returned after 2.0 s"),
    BadPlugin("34-create-null", at: "create", "error 0, without a message"),
    BadPlugin("35-error-overrun", at: "create", "wrote past the end of the error message"),
    BadPlugin("36-plan-outside", at: "plan", "access at text.q: is not in the footprint of plugin.json"),
    BadPlugin("36-plan-layer", at: "bad", "text has layers 0 to 1"),
    BadPlugin("36-plan-head", at: "bad", "head 77 does not exist"),
    BadPlugin("36-plan-token", at: "bad", "beyond the text tower's rows"),
  ]

  private static let folder = "\(PluginWorkshop.root)/Tests/Fixtures/bad-plugins"

  /// Compiles the source into the workshop's folder.
  func build(in shop: borrowing PluginWorkshop) throws -> PluginManifest {
    let isCpp = FileManager.default.fileExists(atPath: "\(Self.folder)/\(name).cc")
    let header = "-I\(PluginWorkshop.root)/Sources/PluginABI/include"
    var flags: [String] = ["-O1", "-w", "-fPIC", "-fvisibility=hidden", "-I\(Self.folder)", header]
    let source = "\(Self.folder)/\(name).\(isCpp ? "cc" : "c")"
    if name == "39-swift-trap" {
      flags += ["-c", source, "-o", "\(shop.folder)/part.o"]
      try run("/usr/bin/cc", flags)
      try run(
        "/usr/bin/env",
        [
          "swiftc", "-O", "-parse-as-library", "-emit-library", "-module-name", "trap",
          "\(Self.folder)/swift-trap.swift", "\(shop.folder)/part.o", "-o", "\(shop.folder)/bad.so",
        ])
    } else {
      if isCpp { flags.append("-fpermissive") }
      flags += ["-shared", source, "-o", "\(shop.folder)/bad.so", "-lm", "-lpthread"]
      try run(isCpp ? "/usr/bin/c++" : "/usr/bin/cc", flags)
    }
    return try shop.manifest(library: "bad.so")
  }

  private func run(_ program: String, _ arguments: [String]) throws {
    let compiler = Process()
    compiler.executableURL = URL(fileURLWithPath: program)
    compiler.arguments = arguments
    try compiler.run()
    compiler.waitUntilExit()
    try #require(compiler.terminationStatus == 0, "the compiler refused \(name)")
  }
}
