import Diagnostics
import Foundation
import PluginRuntime

/// The packs of a folder, in one file beside them, so that any static file server is a registry.
package struct PackIndex: Sendable {
  package static let fileName = "index.json"

  package struct Entry: Sendable, Equatable {
    package var file: String
    package var id: String
    package var version: String
    package var kind: String
    package var summary: String
    package var platforms: [String]
    /// Of the file.
    package var sha256: String
    /// The public key of its signature in hexadecimal; empty: not signed.
    package var key: String
  }

  package let entries: [Entry]

  package init(_ entries: [Entry]) { self.entries = entries }

  /// Reads every pack of `folder`; a broken one is an error by name.
  package init(packsIn folder: String) throws {
    let files = ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).sorted()
    entries = try files.filter { $0.hasSuffix(Pack.suffix) }.map { file in
      let pack = try Pack(path: "\(folder)/\(file)")
      if pack.signature != nil { _ = try pack.signer(KnownKeys(folder: "")) }
      return Entry(
        file: file, id: pack.manifest.id, version: pack.manifest.version, kind: pack.manifest.kind.rawValue,
        summary: pack.manifest.summary, platforms: pack.platforms,
        sha256: Pack.digest(FileManager.default.contents(atPath: pack.path) ?? Data()),
        key: pack.signature?.key.hex ?? "")
    }
  }

  package init(json: Data, path: String) throws(StoreError) {
    func refuse(_ problem: String) -> StoreError {
      .registry(path: path, problem: problem, remedy: "ablate plugin index FOLDER writes it")
    }
    let root = JSON(try? JSONSerialization.jsonObject(with: json))
    guard root?["schema"]?.text == "ablate.plugin_index/1", let packs = root?["packs"]?.elements else {
      throw refuse("is no index of plugins")
    }
    var entries: [Entry] = []
    for pack in packs {
      func text(_ key: String) throws(StoreError) -> String {
        guard let text = pack[key]?.text else { throw refuse("an entry has no '\(key)'") }
        return text
      }
      entries.append(
        Entry(
          file: try text("file"), id: try text("id"), version: try text("version"), kind: try text("kind"),
          summary: try text("summary"), platforms: pack["platforms"]?.elements?.compactMap(\.text) ?? [],
          sha256: try text("sha256"), key: try text("key")))
    }
    guard let bad = entries.first(where: { !Tar.isPlain($0.file) || $0.file.contains("/") }) else {
      self.entries = entries
      return
    }
    throw refuse("'\(bad.file)' is no plain name")
  }

  package var json: JSON {
    .object([
      ("schema", .string("ablate.plugin_index/1")),
      (
        "packs",
        .array(
          entries.map {
            .object([
              ("file", .string($0.file)), ("id", .string($0.id)), ("version", .string($0.version)),
              ("kind", .string($0.kind)), ("summary", .string($0.summary)), ("platforms", .strings($0.platforms)),
              ("sha256", .string($0.sha256)), ("key", .string($0.key)),
            ])
          })
      ),
    ])
  }

  /// Those whose name or summary has every one of these words, in any case.
  package func matching(_ words: [String]) -> [Entry] {
    entries.filter { entry in
      words.allSatisfy { "\(entry.id) \(entry.kind) \(entry.summary)".lowercased().contains($0.lowercased()) }
    }
  }

  /// The newest version of a plugin: numbers are compared as numbers.
  package func newest(_ id: String) -> Entry? {
    entries.filter { $0.id == id }.max { $0.version.compare($1.version, options: .numeric) == .orderedAscending }
  }
}
