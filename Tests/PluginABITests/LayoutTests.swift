import Foundation
import TestSupport
import Testing

/// The committed table, held against the header. After an allowed growth: ABLATE_WRITE_LAYOUT=1 swift test --filter PluginABITests
@Suite struct `the layout of ablate_plugin.h` {
  private static let kept = repository + "/Tests/Fixtures/abi/1.0"
  static let committed = repository + "/Tests/Fixtures/abi/ablate_plugin.layout"

  @Test func `is that of the committed table`() throws {
    let now = try LayoutTable.compiled(Header.read())
    if ProcessInfo.processInfo.environment["ABLATE_WRITE_LAYOUT"] != nil {
      try now.text.write(toFile: Self.committed, atomically: true, encoding: .utf8)
    }
    let table = LayoutTable(try String(contentsOfFile: Self.committed, encoding: .utf8))
    let changes = now.changes(since: table)
    #expect(changes.breaking == [], "plugins that exist would break: append at the end instead")
    #expect(changes.growth == [], "allowed growth: raise ABLATE_ABI_MINOR and write the table anew")
    #expect(now.text == table.text)
  }

  /// Of the header as it was frozen, which nobody writes anew.
  @Test func `is that of 1.0, or has grown since as a minor may`() throws {
    let frozen = try String(contentsOfFile: Self.kept + "/ablate_plugin.h", encoding: .utf8)
    let changes = try LayoutTable.compiled(Header.read()).changes(since: LayoutTable.compiled(frozen))
    #expect(changes.breaking == [])
  }

  /// The binaries are what somebody built in 2026: a library that is built anew proves nothing of the old one.
  @Test func `has plugins of 1.0 kept beside it, bit for bit, whose sources still compile`() throws {
    let folder = try TemporaryFolder()
    _ = try shell("cd \(Self.kept) && sha256sum --check --strict --quiet SHA256SUMS", in: folder.path)
    let files = try FileManager.default.subpathsOfDirectory(atPath: Self.kept)
    let sources = files.filter { $0.hasSuffix(".c") || $0.hasSuffix(".cc") }
    #expect(sources.count == 5)
    for source in sources {
      let compiler = source.hasSuffix(".c") ? "cc -std=c11" : "c++ -std=c++17"
      let include = "-I\(repository)/Sources/PluginABI/include -I\(Self.kept)"
      _ = try shell("\(compiler) -fsyntax-only \(include) \(Self.kept)/\(source)", in: folder.path)
    }
  }

  @Test func `leaves no hole in a struct and no field out of the table`() throws {
    let table = try LayoutTable.compiled(Header.read())
    for (type, size) in table.sizes {
      let inside = table.fields.filter { $0.key.hasPrefix(type + ".") }.values
      #expect(inside.reduce(0) { $0 + $1.size } == size, "\(type)")
      #expect(size % 8 == 0, "\(type)")
    }
    let growable = table.sizes.keys.filter { $0 != "ablate_tensor" }
    #expect(growable.allSatisfy { table.fields["\($0).struct_size"]?.offset == 0 })
  }

  /// Each is a change that somebody will make one day.
  @Test(arguments: [
    ("  int64_t def_int;\n", "", "ablate_param.def_int is gone"),
    ("  double min;\n  double max;", "  double max;\n  double min;", "ablate_param.max moved or changed its type"),
    ("  uint64_t index;", "  int64_t index;", "ablate_item.index moved or changed its type"),
    ("ABLATE_SITE_SET 6u", "ABLATE_SITE_SET 9u", "ABLATE_SITE_SET was 6, is 9"),
    ("  const char *meta_json;\n", "  const char *meta_json;\n  uint64_t more;\n  double most;\n", ""),
    (
      "  uint64_t size_bytes;", "  uint64_t more;\n  uint64_t size_bytes;",
      "ablate_tensor had 64 bytes, has 72"
    ),
    (
      "  const int32_t *tokens;\n  uint64_t n_tokens;",
      "  uint64_t n_new;\n  const int32_t *tokens;\n  uint64_t n_tokens;",
      "ablate_item.n_new was put between others"
    ),
    ("ablate_plugin_entry_v1", "ablate_plugin_entry_v2", "the entry symbol was"),
  ])
  func `may not change in a way that breaks a plugin`(old: String, new: String, told: String) throws {
    let header = try Header.read()
    let changed = header.replacing(old, with: new)
    try #require(changed != header)
    let before = try LayoutTable.compiled(header)
    let changes = try LayoutTable.compiled(changed).changes(since: before)
    if told.isEmpty {
      #expect(changes.breaking.isEmpty && changes.growth == ["ablate_item had 104 bytes, has 120"], "\(changes)")
    } else {
      #expect(changes.breaking.contains { $0.hasPrefix(told) }, "\(changes)")
    }
  }
}
