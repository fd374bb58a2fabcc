import Foundation
import PluginRuntime

/// The user's own plugins, in `PluginSearch.installed`.
package struct Installation {
  private let folder: String

  package init(folder: String = PluginSearch.installed) { self.folder = folder }

  /// Unpacks, checks, and only then puts it in the place of an older one.
  /// - Returns: what differs from the one that was there; nil where there was none.
  package func install(_ pack: Pack) throws -> [String]? {
    let (target, fresh) = ("\(folder)/\(pack.manifest.id)", "\(folder)/.\(pack.manifest.id).new")
    let manager = FileManager.default
    try? manager.removeItem(atPath: fresh)
    defer { try? manager.removeItem(atPath: fresh) }
    do {
      try manager.createDirectory(atPath: fresh, withIntermediateDirectories: true)
      for file in try pack.installed() { try file.bytes.write(to: URL(fileURLWithPath: "\(fresh)/\(file.name)")) }
    } catch let error as StoreError { throw error } catch {
      throw StoreError.unwritable(path: folder, problem: "cannot write there: \(error.localizedDescription)")
    }
    let dossier = try PluginDossier(PluginManifest(path: "\(fresh)/\(PluginManifest.fileName)"))
    guard manager.fileExists(atPath: target) else {
      try manager.moveItem(atPath: fresh, toPath: target)
      return nil
    }
    let before = try? PluginDossier(PluginManifest(path: "\(target)/\(PluginManifest.fileName)"))
    let differences = try before?.differences(to: dossier) ?? ["the one that was there could not be read"]
    let old = "\(folder)/.\(pack.manifest.id).old"
    try? manager.removeItem(atPath: old)
    try manager.moveItem(atPath: target, toPath: old)
    try manager.moveItem(atPath: fresh, toPath: target)
    try manager.removeItem(atPath: old)
    return differences
  }

  package func remove(_ id: String) throws {
    let target = "\(folder)/\(id)"
    guard !id.isEmpty, !id.contains("/"), !id.hasPrefix("."),
      FileManager.default.fileExists(atPath: "\(target)/\(PluginManifest.fileName)")
    else {
      throw StoreError.missing(
        path: target, what: "no plugin '\(id)' is installed", remedy: "ablate plugin list names them")
    }
    try FileManager.default.removeItem(atPath: target)
  }
}
