import Foundation
import Testing

/// `ablate plugin list`, `info` and `diff`: they never run a plugin's code.
@Suite struct PluginCommandTests {
  private func json(_ outcome: Outcome) throws -> [String: Any] {
    try #require(
      try JSONSerialization.jsonObject(with: Data(outcome.output.utf8)) as? [String: Any], "\(outcome.errors)")
  }

  /// A copy of `identity` whose constructor would leave a file if it ever ran.
  private func trap(in scratch: Scratch, at folder: String, version: String = "1.0.0") throws {
    try scratch.copy("\(repository)/Plugins/identity", to: folder)
    try scratch.edit("\(folder)/plugin.json") { $0["version"] = version }
    try scratch.compile(
      """
      #include "ablate_plugin.h"
      #include <stdio.h>
      __attribute__((constructor)) static void run(void) { fclose(fopen("\(scratch.file("it-ran"))", "w")); }
      ABLATE_EXPORT const ablate_library *ablate_plugin_entry_v1(uint32_t minor, ablate_error *error) { return NULL; }
      """, to: "\(folder)/identity.so")
  }

  @Test func `list finds the path's, the installed and the bundled ones, and says what is wrong with each`() throws {
    let scratch = try Scratch()
    for folder in ["path/mine", "data/ablate/plugins/theirs", "here"] {
      let parent = (scratch.file(folder) as NSString).deletingLastPathComponent
      try FileManager.default.createDirectory(atPath: parent, withIntermediateDirectories: true)
      try scratch.copy("\(repository)/Plugins/identity", to: folder)
      let id = (folder as NSString).lastPathComponent
      try scratch.edit("\(folder)/plugin.json") { $0["id"] = id }
    }
    try scratch.remove("path/mine/identity.so")
    let outcome = try Command.run(
      ["plugin", "list", "--json"], in: scratch,
      environment: ["ABLATE_PLUGIN_PATH": scratch.file("path"), "XDG_DATA_HOME": scratch.file("data")])
    let plugins = try #require(try json(outcome)["plugins"] as? [[String: Any]])
    let states = Dictionary(plugins.map { ($0["id"] as? String ?? "", $0["library"] as? String ?? "") }) { $1 }
    #expect(states["mine"] == "no such file" && states["scale"] == "ok")
    #expect(states["theirs"]?.contains("was built from another plugin.json") == true)
    #expect(states["here"] == nil, "nothing is found in the current folder unless it is named")
  }

  @Test func `none of them runs a constructor`() throws {
    let scratch = try Scratch()
    try trap(in: scratch, at: "one")
    try trap(in: scratch, at: "two", version: "2.0.0")
    let diff = try Command.run(["plugin", "diff", "./one", "./two"], in: scratch)
    #expect(diff.output.hasPrefix("version: '1.0.0', now '2.0.0'"), "\(diff.output)\(diff.errors)")
    #expect(try Command.run(["plugin", "info", "./one"], in: scratch).status == 0)
    #expect(try Command.run(["plugin", "diff", "./one", "./one"], in: scratch).output == "the same\n")
    let list = try Command.run(["plugin", "list"], in: scratch, environment: ["ABLATE_PLUGIN_PATH": scratch.path])
    #expect(list.status == 0)
    #expect(!FileManager.default.fileExists(atPath: scratch.file("it-ran")))
  }

  @Test func `info tells parameters, footprint and digest, of a folder or of a library alone`() throws {
    let scratch = try Scratch()
    let text = try Command.run(["plugin", "info", "scale"], in: scratch).output
    for part in [
      "scale 1.0.0: intervention, plain, Apache-2.0", "factor (f64; required): what every element is multiplied by",
      "all: all (reads and writes)", "scale: i32(f32*[n]:rw, i64 n, f32 factor)", "carries the same plugin.json",
    ] { #expect(text.contains(part), "\(text)") }
    let facts = try json(Command.run(["plugin", "info", "scale", "--json"], in: scratch))
    #expect((facts["sha256"] as? String)?.count == 64 && facts["carries_manifest"] as? Bool == true)
    let alone = try Command.run(["plugin", "info", "\(repository)/Plugins/scale/scale.so"], in: scratch)
    #expect(alone.output.hasPrefix("scale 1.0.0"))
    try scratch.compile("int x;", to: "bare.so")
    let bare = try Command.run(["plugin", "info", "./bare.so"], in: scratch)
    #expect(bare.status == 66 && bare.errors.contains("name the plugin's folder"))
  }
}
