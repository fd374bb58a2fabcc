import Foundation
import PluginRuntime
import TestSupport
import Testing

/// The plugin.json inside a library, and what plugins of two versions say differently.
@Suite struct `the note of a library` {
  private let assembler = PluginWorkshop.root + "/Sources/PluginABI/bindings/ablate_note.S"

  /// The small good plugin with `json` as its note.
  private func build(_ json: String, in shop: borrowing PluginWorkshop, _ flags: [String] = []) throws -> String {
    try shop.write(json, to: "plugin.json")
    return try shop.compile(
      PluginSource.c(), to: "noted.so", ["-shared", "-fPIC", "-Wa,-I,\(shop.folder)", assembler] + flags)
  }

  @Test func `is read from the file's bytes, stripped of its sections or not, and equals the file beside it`() throws {
    for flags in [[], ["-Wl,-s"], ["-Wl,--gc-sections"], ["-Wl,-z,ibt,-z,shstk"]] {
      let shop = try PluginWorkshop()
      let manifest = try shop.manifest(library: "noted.so")
      let path = try build(String(decoding: manifest.source, as: UTF8.self), in: shop, flags)
      #expect(try SharedObject(path: path).image.manifestNote == Array(manifest.source))
      _ = try PluginLibrary.open(manifest)
    }
  }

  @Test func `that says other things than the file beside it is refused with the differences`() throws {
    let shop = try PluginWorkshop()
    let manifest = try shop.manifest(
      library: "noted.so", params: #"[{"id": "a", "type": "f64", "default": 1, "doc": "-"}]"#)
    let built = String(decoding: manifest.source, as: UTF8.self)
    let path = try build(built, in: shop)
    try shop.write(
      built.replacing("\"default\": 1", with: "\"default\": 2").replacing("\"rw\"", with: "\"r\""), to: "plugin.json")
    let error = pluginError { _ = try PluginLibrary.open(PluginManifest(path: "\(shop.folder)/plugin.json")) }
    let differences = [
      "footprint: [{access: 'rw', sites: ['z'], tower: 'text'}], now [{access: 'r', sites: ['z'], tower: 'text'}]",
      "params.a.default: 1, now 2",
    ]
    #expect(error == .library(path: path, fault: .otherManifest(differences)))
    // Another spelling of the same is the same.
    try shop.write(built.replacing(", ", with: ",\n  "), to: "plugin.json")
    let spaced = pluginError { _ = try PluginDossier(PluginManifest(path: "\(shop.folder)/plugin.json")) }
    #expect(spaced == nil)
  }

  @Test func `with any byte changed, or cut anywhere, is refused or read within its bounds and never traps`() throws {
    let shop = try PluginWorkshop()
    let path = try build(String(decoding: shop.manifest(library: "noted.so").source, as: UTF8.self), in: shop)
    let bytes = Array(try Data(contentsOf: URL(fileURLWithPath: path)))
    let owner = try #require(bytes.firstRange(of: Array("Ablate\0".utf8))?.lowerBound)
    var faults: Set<String> = []
    for offset in owner - 12..<owner + 8 {
      for value: UInt8 in [0, 1, 0x7F, 0xFF] {
        var changed = bytes
        changed[offset] = value
        let error = pluginError { _ = try ELFImage(changed, path: "changed.so") }
        if case .library(_, .badNote(let why))? = error { faults.insert(why) }
      }
    }
    #expect(faults.contains("a note ends beyond its segment"))
    for cut in owner - 16..<owner + 64 { _ = pluginError { _ = try ELFImage(Array(bytes[..<cut]), path: "cut.so") } }
  }

  @Test func `that is no JSON, or longer than any plugin.json, is refused in words, case 21`() throws {
    let shop = try PluginWorkshop()
    let manifest = try shop.manifest(library: "noted.so")
    func error(_ note: String) throws -> PluginError? {
      _ = try build(note, in: shop)
      return pluginError { _ = try PluginDossier(manifest) }
    }
    #expect(try error("{\"ablate\": 0")?.diagnosis.what.contains("is not JSON") == true)
    let spaces = String(repeating: " ", count: 1 << 20)
    let long = try error(spaces + String(decoding: manifest.source, as: UTF8.self))
    #expect(
      long?.diagnosis.what == "has a broken note: its plugin.json has \(spaces.count + manifest.source.count) bytes")
  }

  @Test func `is not needed, and two of them are one too many`() throws {
    let shop = try PluginWorkshop()
    let manifest = try shop.manifest(library: "noted.so")
    try shop.compile(PluginSource.c(), to: "noted.so")
    #expect(try PluginDossier(manifest).image?.manifestNote == nil)
    _ = try build(String(decoding: manifest.source, as: UTF8.self), in: shop, [assembler])
    let error = pluginError { _ = try PluginDossier(manifest) }
    #expect(error == .library(path: "\(shop.folder)/noted.so", fault: .badNote("it carries two plugin.json")))
  }
}
