import ArgumentParser
import Diagnostics
import Experiments
import Foundation
import PluginRuntime
import PluginStore

struct PluginLockCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "lock", abstract: "Pin an experiment's plugins as they are now; a run refuses any other.",
    discussion: "Writes NAME.lock.json beside the manifest. Without such a file nothing is pinned.")

  @Argument(help: "The manifest of the experiment.") var manifest: String

  func run() throws {
    let plugins = try ExperimentPlugins(of: Manifest(contentsOf: manifest), at: manifest)
    let lock = Lockfile(plugins.dossiers, path: Lockfile.path(of: manifest))
    do { try Data(lock.json.pretty.utf8).write(to: URL(fileURLWithPath: lock.path), options: .atomic) } catch {
      throw StoreError.unwritable(path: lock.path, problem: "cannot write there: \(error.localizedDescription)")
    }
    print("pinned \(plugins.dossiers.count) plugins in \(lock.path)")
  }
}

/// The plugins that an experiment names: what they are, and why their code is trusted.
struct ExperimentPlugins {
  let dossiers: [(name: String, dossier: PluginDossier)]
  private let search: PluginSearch
  private let path: String

  init(of manifest: Manifest, at path: String) throws {
    let folder = (path as NSString).deletingLastPathComponent
    let search = PluginSearch(base: folder.isEmpty ? "." : folder)
    (self.search, self.path) = (search, path)
    dossiers = try manifest.pluginNames.map { ($0, try PluginDossier(search.manifest(of: $0))) }
  }

  /// Holds them against the experiment's lockfile, if it has one.
  func trust() throws -> [(name: String, trust: Trust)] {
    let lock = try Lockfile(path: Lockfile.path(of: path))
    let keys = try KnownKeys()
    return try dossiers.map { name, dossier in
      try lock?.check(name, dossier)
      return (name, Trust(dossier, isBundled: search.isBundled(dossier.manifest), lock: lock, keys: keys))
    }
  }
}
