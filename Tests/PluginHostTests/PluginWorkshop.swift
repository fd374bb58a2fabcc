import Foundation
import Testing

import PluginRuntime

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
    let json = """
      {"ablate": 1, "id": "\(id)", "version": "1.0.0", "kind": "intervention", "grade": "sdk", "library": "\(library)",
       "abi": {"major": 1, "min_minor": 0}, "params": \(params), "licence": "Apache-2.0", "golden": "golden.json",
       "footprint": [{"tower": "text", "sites": ["z"], "access": "rw"}]}
      """
    return try PluginManifest(path: write(json, to: "plugin.json"))
  }

  /// The whole of a small good plugin, with places at which a test breaks it.
  static func source(
    library: String = "{sizeof library, ABLATE_ABI_MAJOR, ABLATE_ABI_MINOR, 64, plugins, 1}", plugins: String = "&plugin",
    descriptor: String = "", params: String = "", body: String = "", entry: String = "return &library;"
  ) -> String {
    """
    #include "ablate_plugin.h"
    #include <stdlib.h>
    #include <string.h>
    #include <stdio.h>
    static ablate_status plan(void *s, const ablate_item *i, ablate_plan *o, ablate_error *e) {
      (void)s, (void)i, (void)o, (void)e; return 0; }
    static void *create(const ablate_host *h, const ablate_model *m, const ablate_value *v, uint64_t n,
      ablate_error *e) { (void)h, (void)m, (void)v, (void)n, (void)e; return malloc(1); }
    \(body)
    static const ablate_param params[] = {\(params.isEmpty ? "{0}" : params)};
    static const ablate_plugin plugin = {.struct_size = sizeof plugin, .kind = 1, .id = "bad", .version = "1.0.0",
      .create = create, .destroy = free, .plan = plan, .params = params,
      .n_params = \(params.isEmpty ? "0" : "sizeof params / sizeof *params") \(descriptor)};
    static const ablate_plugin *const plugins[] = {\(plugins)};
    ABLATE_EXPORT const ablate_library *ablate_plugin_entry_v1(uint32_t minor, ablate_error *error) {
      static const ablate_library library = \(library);
      (void)minor, (void)error, (void)library; \(entry) }
    """
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
