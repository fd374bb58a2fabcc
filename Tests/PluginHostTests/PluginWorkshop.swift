import Foundation
import PluginRuntime
import TestSupport
import Testing

/// A folder of its own in which a test compiles small libraries, good and bad, with the system's compiler.
struct PluginWorkshop: ~Copyable {
  let folder: String
  /// The repository, from this file's place.
  static let root = String(#filePath.components(separatedBy: "/Tests/")[0])

  init() throws {
    folder = NSTemporaryDirectory() + "/ablate-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: folder) }

  /// Writes `file` and gives its path.
  @discardableResult
  func write(_ text: String, to file: String) throws -> String {
    let path = "\(folder)/\(file)"
    let parent = (path as NSString).deletingLastPathComponent
    try FileManager.default.createDirectory(atPath: parent, withIntermediateDirectories: true)
    try text.write(toFile: path, atomically: true, encoding: .utf8)
    return path
  }

  /// Compiles C to a shared library in this folder and gives its path.
  @discardableResult
  func compile(_ source: String, to file: String, _ flags: [String] = ["-shared", "-fPIC"]) throws -> String {
    let input = try write(source, to: "\(file).c")
    let output = "\(folder)/\(file)"
    let compiler = Process()
    compiler.executableURL = URL(fileURLWithPath: "/usr/bin/cc")
    compiler.arguments =
      ["-O1", "-fvisibility=hidden", "-I\(Self.root)/Sources/PluginABI/include"] + flags + ["-o", output, input]
    try compiler.run()
    compiler.waitUntilExit()
    try #require(compiler.terminationStatus == 0, "cc refused the test's own source")
    return output
  }

  /// The manifest of an SDK plugin `id` whose library is `library` in this folder.
  func manifest(id: String = "bad", library: String, params: String = "[]") throws -> PluginManifest {
    let json = PluginSource.manifest(id: id, library: library, params: params)
    return try PluginManifest(path: write(json, to: "plugin.json"))
  }
}

/// The plugin error that `body` throws, if it is one.
func pluginError(_ body: () throws -> Void) -> PluginError? {
  do { try body() } catch { return error as? PluginError }
  return nil
}

extension HostServices {
  /// Services that refuse rows, for tests that expect none.
  static var silent: HostServices {
    HostServices(emit: { _, table, _ in throw UnexpectedRows(table: table) }, randomKey: { _ in SIMD2(0, 0) })
  }

  struct UnexpectedRows: Error { var table: String }
}
