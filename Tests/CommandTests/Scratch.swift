import Foundation
import Testing

/// A folder that goes away with its owner.
final class Scratch {
  let path: String

  init() throws {
    path = FileManager.default.temporaryDirectory.appendingPathComponent("ablate-command-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  func file(_ name: String) -> String { "\(path)/\(name)" }

  /// Everything below the folder.
  var entries: Set<String> { Set(FileManager.default.subpaths(atPath: path) ?? []) }

  @discardableResult
  func write(_ text: String, to name: String) throws -> String { try write(Data(text.utf8), to: name) }

  @discardableResult
  func write(_ data: Data, to name: String) throws -> String {
    let parent = (file(name) as NSString).deletingLastPathComponent
    try FileManager.default.createDirectory(atPath: parent, withIntermediateDirectories: true)
    try data.write(to: URL(fileURLWithPath: file(name)))
    return file(name)
  }

  func read(_ name: String) throws -> String { String(decoding: try bytes(name), as: UTF8.self) }

  func bytes(_ name: String) throws -> Data { try Data(contentsOf: URL(fileURLWithPath: file(name))) }

  func remove(_ name: String) throws { try FileManager.default.removeItem(atPath: file(name)) }

  /// Copies `source`, a path, into the folder.
  @discardableResult
  func copy(_ source: String, to name: String) throws -> String {
    try FileManager.default.copyItem(atPath: source, toPath: file(name))
    return file(name)
  }

  /// A copy of a parity checkpoint without its goldens, under `model`.
  @discardableResult
  func checkpoint(_ name: String = "mha") throws -> String {
    let folder = try copy("\(repository)/Tests/Fixtures/parity/\(name)", to: "model")
    try remove("model/goldens")
    return folder
  }

  /// Rewrites a JSON object of the folder.
  func edit(_ name: String, _ change: (inout [String: Any]) -> Void) throws {
    var object = try #require(try JSONSerialization.jsonObject(with: bytes(name)) as? [String: Any])
    change(&object)
    try write(JSONSerialization.data(withJSONObject: object), to: name)
  }

  /// Compiles C to a shared library in this folder.
  func compile(_ source: String, to name: String) throws {
    let compiler = Process()
    compiler.executableURL = URL(fileURLWithPath: "/usr/bin/cc")
    compiler.arguments =
      ["-O1", "-shared", "-fPIC", "-I\(repository)/Sources/PluginABI/include", "-o", file(name)]
      + [try write(source, to: "\(name).c")]
    try compiler.run()
    compiler.waitUntilExit()
    try #require(compiler.terminationStatus == 0, "cc refused the test's own source")
  }
}
