import Diagnostics

/// What is known of a plugin without running any of its code: its plugin.json, and the checked bytes of its library.
package struct PluginDossier: Sendable {
  package let manifest: PluginManifest
  package let object: SharedObject

  /// Reads both and holds the note inside the library against plugin.json.
  package init(_ manifest: PluginManifest) throws(PluginError) {
    self.manifest = manifest
    object = try manifest.checkedLibrary()
  }

  /// What the library exports, sorted.
  package var exports: [String] {
    object.image.symbols.filter { $0.isExportedFunction || $0.type == 1 && $0.visibility != 2 }.map(\.name).sorted()
  }

  /// What another version of the plugin has that this one has not, in words; empty where both are the same bytes.
  package func differences(to other: PluginDossier) throws(PluginError) -> [String] {
    var all = try ManifestDifference.between(manifest.source, other.manifest.source, path: manifest.path)
    let (gone, new) = (Set(exports).subtracting(other.exports), Set(other.exports).subtracting(exports))
    if !gone.isEmpty { all.append("no longer exports \(gone.sorted().joined(separator: ", "))") }
    if !new.isEmpty { all.append("now exports \(new.sorted().joined(separator: ", "))") }
    if object.sha256 != other.object.sha256 {
      all.append(
        "the library has other bytes: sha256 \(object.sha256.prefix(12)), now \(other.object.sha256.prefix(12))")
    }
    return all
  }
}
