import Diagnostics

/// What is known of a plugin without running any of its code: its plugin.json, and the checked bytes of its code.
package struct PluginDossier: Sendable {
  package let manifest: PluginManifest
  package let code: CodeFile
  /// Of a library.
  package let image: ELFImage?

  /// Reads both and holds the note inside a library against plugin.json.
  package init(_ manifest: PluginManifest) throws(PluginError) {
    self.manifest = manifest
    let object = manifest.grade == .python ? nil : try manifest.checkedLibrary()
    code = if let object { object.code } else { try manifest.checkedCode() }
    image = object?.image
  }

  /// What the library exports, sorted.
  package var exports: [String] {
    (image?.symbols ?? []).filter { $0.isExportedFunction || $0.type == 1 && $0.visibility != 2 }.map(\.name).sorted()
  }

  /// What another version of the plugin has that this one has not, in words; empty where both are the same bytes.
  package func differences(to other: PluginDossier) throws(PluginError) -> [String] {
    var all = try ManifestDifference.between(manifest.source, other.manifest.source, path: manifest.path)
    let (gone, new) = (Set(exports).subtracting(other.exports), Set(other.exports).subtracting(exports))
    if !gone.isEmpty { all.append("no longer exports \(gone.sorted().joined(separator: ", "))") }
    if !new.isEmpty { all.append("now exports \(new.sorted().joined(separator: ", "))") }
    if code.sha256 != other.code.sha256 {
      all.append("the library has other bytes: sha256 \(code.sha256.prefix(12)), now \(other.code.sha256.prefix(12))")
    }
    return all
  }
}
