import Foundation
import Testing

/// `ablate plugin new`: what it makes builds with one command and passes the checks at once.
@Suite struct PluginNewTests {
  private static func hasTool(_ name: String) -> Bool {
    let folders = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":")
    return folders.contains { FileManager.default.isExecutableFile(atPath: "\($0)/\(name)") }
  }

  private func makeAndCheck(_ language: String, _ kind: String) throws {
    let scratch = try Scratch()
    let made = try Command.run(["plugin", "new", "my-plugin", "--language", language, "--kind", kind], in: scratch)
    #expect(made.status == 0, "\(made.errors)")
    let make = Process()
    make.executableURL = URL(fileURLWithPath: "/usr/bin/make")
    make.arguments = ["-s", "-C", scratch.file("my-plugin")]
    try make.run()
    make.waitUntilExit()
    try #require(make.terminationStatus == 0, "\(language) \(kind) does not build")
    let checked = try Command.run(["plugin", "check", "./my-plugin"], in: scratch)
    #expect(checked.status == 0, "\(language) \(kind): \(checked.output)\(checked.errors)")
    #expect(checked.output.contains("passed  note"))
  }

  @Test(arguments: ["c", "cpp"], ["intervention", "probe", "edits", "plain"])
  func `makes a plugin in C and C++`(language: String, kind: String) throws { try makeAndCheck(language, kind) }

  @Test(arguments: ["intervention", "probe", "edits", "plain"])
  func `makes a plugin in Swift`(kind: String) throws { try makeAndCheck("swift", kind) }

  @Test(.enabled(if: hasTool("rustc"), "needs rustc"), arguments: ["intervention", "probe", "edits", "plain"])
  func `makes a plugin in Rust`(kind: String) throws { try makeAndCheck("rust", kind) }

  @Test(arguments: ["intervention", "probe", "edits"])
  func `makes a plugin in Python, which is not built`(kind: String) throws {
    let scratch = try Scratch()
    let made = try Command.run(["plugin", "new", "my-plugin", "--language", "python", "--kind", kind], in: scratch)
    #expect(made.status == 0 && !made.output.contains("make -C"), "\(made.errors)")
    #expect(made.made == ["my-plugin", "my-plugin/golden.json", "my-plugin/my-plugin.py", "my-plugin/plugin.json"])
    let checked = try Command.run(["plugin", "check", "./my-plugin"], in: scratch)
    #expect(checked.status == 0 && checked.output.contains("passed  views"), "\(checked.output)\(checked.errors)")
  }

  @Test(arguments: [
    (["My Plugin", "--language", "c"], "is no name for a plugin"),
    (["there", "--language", "c"], "there is something already"),
    (["x", "--language", "python", "--kind", "plain"], "a plain function is one of a shared library"),
  ])
  func `refuses in words`(arguments: [String], told: String) throws {
    let scratch = try Scratch()
    try scratch.write("", to: "there/file")
    let outcome = try Command.run(["plugin", "new"] + arguments, in: scratch)
    #expect(outcome.status == 64 && outcome.errors.contains(told), "\(outcome.errors)")
    #expect(outcome.made.isEmpty)
  }
}
