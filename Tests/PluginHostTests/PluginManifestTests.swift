import Foundation
import PluginRuntime
import Testing

@Suite struct `plugin json` {
  /// A good manifest with `key` replaced by `value` (JSON text), or removed for nil.
  func read(_ key: String = "x-note", _ value: String? = "1") throws -> PluginManifest {
    var fields = [
      "ablate": "1", "id": "\"p\"", "version": "\"1.0.0\"", "kind": "\"intervention\"", "grade": "\"sdk\"",
      "library": "\"p.so\"", "abi": #"{"major": 1, "min_minor": 0}"#, "licence": "\"MIT\"", "golden": "\"golden.json\"",
      "params": #"[{"id": "alpha", "type": "f64", "doc": "d", "min": -1, "max": 1, "default": 0.5}]"#,
      "footprint": #"[{"tower": "text", "sites": ["z"], "access": "w"}]"#,
    ]
    fields[key] = value
    let json = fields.sorted { $0.key < $1.key }.map { "\"\($0.key)\": \($0.value)" }.joined(separator: ",")
    return try PluginManifest(json: Data("{\(json)}".utf8), path: "/plugins/p/plugin.json")
  }

  @Test func `is read, with its paths beside it`() throws {
    let manifest = try read()
    #expect(manifest.libraryPath == "/plugins/p/p.so" && manifest.goldenPath == "/plugins/p/golden.json")
    #expect(manifest.covers(tower: "text", site: "z", access: .write))
    #expect(!manifest.covers(tower: "text", site: "z", access: .read))
    #expect(!manifest.covers(tower: "vision", site: "z", access: .write))
  }

  @Test(
    arguments: [
      ("versoin", "\"1\"", "versoin", "did you mean 'version'?"), ("id", "\"A b\"", "id", ""), ("id", nil, "id", ""),
      ("id", "7", "id", ""), ("ablate", "0", "ablate", ""),
      ("kind", "\"interventoin\"", "kind", "did you mean 'intervention'?"),
      ("library", "\"../p.so\"", "library", ""), ("library", "\"a/p.so\"", "library", ""),
      ("library", "\"..\"", "library", ""), ("library", #""p.so\u0000""#, "library", ""),
      ("abi", #"{"major": 2, "min_minor": 0}"#, "abi", ""), ("abi", #"{"major": 1, "min_minor": 9}"#, "abi", ""),
      ("footprint", "[]", "footprint", ""), ("kind", "\"probe\"", "footprint", ""),
      ("footprint", #"[{"tower": "text", "sites": [], "access": "r"}]"#, "footprint[0].sites", ""),
      ("footprint", #"[{"tower": "text", "sites": ["z"], "access": "x"}]"#, "footprint[0].access", ""),
      ("params", #"[{"id": "a", "type": "f32", "doc": "d"}]"#, "params[0].type", "did you mean 'f64'?"),
      ("params", #"[{"id": "a", "type": "f64", "doc": "d", "min": 1, "max": 0}]"#, "params[0]", ""),
      ("params", #"[{"id": "a", "type": "f64", "doc": "d", "min": 1}]"#, "params[0]", ""),
      (
        "params", #"[{"id": "a", "type": "i64", "doc": "d", "min": 0, "max": 2, "default": 3}]"#, "params[0].default",
        ""
      ),
      ("params", #"[{"id": "a", "type": "i64", "doc": "d", "default": 1, "required": true}]"#, "params[0].default", ""),
      (
        "params", #"[{"id": "a", "type": "str", "doc": "d", "choices": ["x"], "default": "y"}]"#, "params[0].default",
        ""
      ),
      ("params", #"[{"id": "a", "type": "i64", "doc": "d"}, {"id": "a", "type": "i64", "doc": "d"}]"#, "params[1]", ""),
      ("flags", #"["expect_no_change"]"#, "flags[0]", "did you mean 'expects_no_change'?"),
      ("plain", "{}", "plain", ""),
      ("grade", "\"plain\"", "plain", ""), ("version", "\"\\u0000\"", "version", ""),
    ] as [(String, String?, String, String)])
  func `with a fault is refused with its place`(key: String, value: String?, at: String, remedy: String) {
    let error = pluginError { _ = try read(key, value) }
    guard case .manifest("/plugins/p/plugin.json", at, _, let advice)? = error else {
      Issue.record("\(String(describing: error))")
      return
    }
    if !remedy.isEmpty { #expect(advice == remedy) }
    #expect(error?.diagnosis.exit == .badData)
  }

  @Test(arguments: ["", "{", "[]", "null", "\u{FEFF}", String(repeating: "[", count: 100_000), #"{"ablate": 1e400}"#])
  func `that is no JSON object is refused and never traps`(text: String) {
    let error = pluginError { _ = try PluginManifest(json: Data(text.utf8), path: "p.json") }
    #expect(error?.diagnosis.exit == .badData)
  }

  @Test func `in UTF-16, or that is a pipe, a folder or huge, is refused and nothing hangs`() throws {
    let wide = pluginError { _ = try PluginManifest(json: Data([0xFF, 0xFE, 0x7B, 0, 0x7D, 0]), path: "p.json") }
    #expect(wide?.diagnosis.what == "is not UTF-8 text")
    let shop = try PluginWorkshop()
    mkfifo("\(shop.folder)/pipe", 0o600)
    truncate(try shop.write("", to: "huge"), 1 << 30)
    for (name, fault) in [
      ("pipe", LibraryFault.notAFile), ("", .notAFile), ("huge", .tooLarge(bytes: 1 << 30, cap: 256 << 20)),
    ] {
      let path = "\(shop.folder)/\(name)"
      #expect(pluginError { _ = try PluginManifest(path: path) } == .library(path: path, fault: fault))
    }
  }

  @Test func `of a plain function without a known answer is refused`() throws {
    let plain =
      #""plain", "plain": {"symbol": "f", "signature": "i32(f32*[n]:rw, i64 n)", "bind": ["view.data", "view.count"]}"#
    let text = String(decoding: try read().source, as: UTF8.self).replacing(#""sdk""#, with: plain)
    let error = pluginError { _ = try PluginManifest(json: Data(text.utf8), path: "p.json") }
    #expect(error == .manifest(path: "p.json", at: "plain.known_answer", problem: "is missing"))
  }

  @Test(arguments: [
    (#""id": "p2""#, "id"), (#""\u0069d": "p2""#, "id"), (#""abi": {"major": 0, "major": 0}"#, "major"),
  ])
  func `with a key twice in one object is refused by the key`(field: String, key: String) throws {
    let good = String(decoding: try read().source, as: UTF8.self)
    let text =
      key == "id" ? "{\(field), " + good.dropFirst() : good.replacing(#""abi": {"#, with: #""abi": {"major": 0, "#)
    let error = pluginError { _ = try PluginManifest(json: Data(text.utf8), path: "p.json") }
    #expect(error == .manifest(path: "p.json", at: "", problem: "the key '\(key)' is given twice in one object"))
  }

  @Test func `truncated or with any byte changed is read or refused and never traps`() throws {
    for name in BundledPluginTestFiles.names {
      let data = try Data(contentsOf: URL(fileURLWithPath: "\(PluginWorkshop.root)/Plugins/\(name)/plugin.json"))
      for i in stride(from: 0, to: data.count - 2, by: 31) {
        #expect(pluginError { _ = try PluginManifest(json: data.prefix(i), path: "p") } != nil)
        var changed = data
        changed[i] ^= 0x15
        _ = pluginError { _ = try PluginManifest(json: changed, path: "p") }
      }
    }
  }

  @Test func `resolves parameters by type, from values and from text`() throws {
    let manifest = try read(
      "params",
      #"""
      [{"id": "b", "type": "bool", "doc": "d", "default": false}, {"id": "i", "type": "i64", "doc": "d"},
       {"id": "f", "type": "f64", "doc": "d", "min": 0, "max": 1}, {"id": "s", "type": "selector", "doc": "d"},
       {"id": "h", "type": "i64v", "doc": "d"}, {"id": "w", "type": "strv", "doc": "d", "choices": ["x", "y"]}]
      """#)
    let text = try manifest.resolve([
      "b": .text("true"), "i": .text("-3"), "f": .text("0.5"), "s": .text("image-[3]"), "h": .text("1+2"),
      "w": .text("x"),
    ])
    let typed = try manifest.resolve([
      "b": .bool(true), "i": .integer(-3), "f": .number(0.5), "s": .text("image-[3]"),
      "h": .list([.integer(1), .integer(2)]), "w": .list([.text("x")]),
    ])
    #expect(text == typed)
    #expect(
      text.map(\.value) == [
        .bool(true), .integer(-3), .number(0.5), .selector("image-[3]"), .integers([1, 2]), .strings(["x"]),
      ])
    #expect(try manifest.resolve([:]).map(\.id) == ["b"])
    #expect(try manifest.resolve(["s": .integer(4)]).last?.value == .selector("4"))
  }

  @Test(
    arguments: [
      ("f", .text("1.5"), "must lie in"), ("f", .text("nan"), "finite"), ("i", .text("x"), "integer"),
      ("i", .number(0.5), "integer"), ("b", .text("yes"), "true or false"), ("w", .text("x+z"), "one of x, y"),
      ("h", .text("1+a"), "integer"), ("s", .bool(true), "text"),
      ("s", .text(String(repeating: "x", count: 4096)), "at most 4095"), ("g", .text("1"), "no such parameter"),
    ] as [(String, GivenValue, String)])
  func `refuses a parameter that does not fit`(name: String, value: GivenValue, problem: String) throws {
    let manifest = try read(
      "params",
      #"""
      [{"id": "b", "type": "bool", "doc": "d"}, {"id": "i", "type": "i64", "doc": "d"},
       {"id": "f", "type": "f64", "doc": "d", "min": 0, "max": 1}, {"id": "s", "type": "selector", "doc": "d"},
       {"id": "h", "type": "i64v", "doc": "d"}, {"id": "w", "type": "strv", "doc": "d", "choices": ["x", "y"]}]
      """#)
    let error = pluginError { _ = try manifest.resolve([name: value]) }
    guard case .parameter("p", name, let text, _)? = error else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(text.contains(problem))
  }

  @Test func `asks for what is required`() throws {
    let manifest = try read("params", #"[{"id": "h", "type": "i64v", "doc": "the heads", "required": true}]"#)
    let error = pluginError { _ = try manifest.resolve([:]) }
    #expect(
      error == .parameter(plugin: "p", parameter: "h", problem: "is required and was not given", remedy: "the heads"))
  }
}

enum BundledPluginTestFiles {
  static let names = ["attention-knockout", "attention-mass", "identity", "logit-lens", "scale", "zero-heads"]
}

@Suite struct `the plugin search` {
  func put(_ id: String, _ folder: String, _ shop: borrowing PluginWorkshop) throws {
    let json = """
      {"ablate": 1, "id": "\(id)", "version": "1.0.0", "kind": "probe", "grade": "sdk", "library": "p.so",
       "abi": {"major": 1, "min_minor": 0}, "licence": "MIT", "golden": "golden.json",
       "footprint": [{"tower": "text", "sites": ["z"], "access": "r"}]}
      """
    try shop.write(json, to: "\(folder)/plugin.json")
  }

  @Test func `looks beside the manifest, then along the path, then among the installed and the bundled ones`() throws {
    let shop = try PluginWorkshop()
    let f = shop.folder
    for place in ["base", "one", "two", "Plugins"] { try put("all", "\(place)/all", shop) }
    for place in ["one", "two", "mine", "Plugins"] { try put("path", "\(place)/path", shop) }
    for place in ["mine", "Plugins"] { try put("installed", "\(place)/installed", shop) }
    try put("own", "Plugins/own", shop)
    let search = PluginSearch(
      base: "\(f)/base", path: "relative::\(f)/one:\(f)/two", installed: "\(f)/mine",
      executable: "\(f)/.build/bin/ablate")
    #expect(try search.manifest(of: "all").folder == "\(f)/base/all")
    #expect(try search.manifest(of: "path").folder == "\(f)/one/path")
    #expect(try search.manifest(of: "own").folder == "\(f)/Plugins/own")
    #expect(search.available() == ["all", "installed", "own", "path"])
    #expect(try search.manifest(of: "installed").folder == "\(f)/mine/installed")
    #expect(try search.manifest(of: "../two/path").folder == "\(f)/base/../two/path")
    #expect(try search.manifest(of: "\(f)/two/path/plugin.json").folder == "\(f)/two/path")
  }

  @Test func `says where it looked and what is near`() throws {
    let shop = try PluginWorkshop()
    let f = shop.folder
    try put("zero-heads", "Plugins/zero-heads", shop)
    try put("other", "Plugins/renamed", shop)
    let search = PluginSearch(base: nil, path: "\(f)/one", installed: "", executable: "\(f)/ablate")
    let error = pluginError { _ = try search.manifest(of: "zero-haeds") }
    #expect(error == .notFound(name: "zero-haeds", lookedIn: ["\(f)/one", "\(f)/Plugins"], near: "zero-heads"))
    #expect(error?.diagnosis.exit == .missingInput)
    #expect(pluginError { _ = try search.manifest(of: "renamed") }?.diagnosis.exit == .badData)
    #expect(pluginError { _ = try search.manifest(of: "./zero-heads") }?.diagnosis.exit == .missingInput)
    for odd in ["", ".", ".."] {
      #expect(pluginError { _ = try search.manifest(of: odd) }?.diagnosis.exit == .missingInput)
    }
  }
}
