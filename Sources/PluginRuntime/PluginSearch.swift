import Diagnostics
import Foundation

/// Finds the folder of a plugin by the name that an experiment gives it. Nothing is loaded, and nothing is found in the
/// current folder unless it is named with a path.
package struct PluginSearch: Sendable {
  /// The folder of the experiment's manifest; nil on a bare command line.
  package var base: String?
  /// Absolute folders of $ABLATE_PLUGIN_PATH, then the one that `ablate plugin install` fills.
  package var folders: [String]
  /// The path of the running executable: the bundled plugins lie in a folder `Plugins` beside or above it.
  package var executable: String

  package init(base: String?, path: String? = nil, installed: String? = nil, executable: String? = nil) {
    self.base = base
    let listed = path ?? ProcessInfo.processInfo.environment["ABLATE_PLUGIN_PATH"] ?? ""
    folders = (listed.split(separator: ":").map(String.init) + [installed ?? Self.installed]).filter {
      $0.hasPrefix("/")
    }
    self.executable = executable ?? (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
  }

  /// What is the user's own: $XDG_DATA_HOME/ablate, by default ~/.local/share/ablate (XDG Base Directory Specification
  /// 0.8); "" where there is no home.
  package static var dataFolder: String {
    let environment = ProcessInfo.processInfo.environment
    if let data = environment["XDG_DATA_HOME"], data.hasPrefix("/") { return "\(data)/ablate" }
    return environment["HOME"].map { "\($0)/.local/share/ablate" } ?? ""
  }

  package static var installed: String { "\(dataFolder)/plugins" }

  /// It lies among the plugins that come with this program.
  package func isBundled(_ manifest: PluginManifest) -> Bool {
    bundled().contains { manifest.folder == "\($0)/\(manifest.id)" }
  }

  /// The manifest of the plugin called `name`. With a "/" it is the path of a folder or of its plugin.json, relative to
  /// `base`, else to the current folder. Without one it is looked for in `base`, in the folders of $ABLATE_PLUGIN_PATH
  /// in their order, among the installed and among the bundled plugins; the first found is taken.
  package func manifest(of name: String) throws(PluginError) -> PluginManifest {
    let manifest = try PluginManifest(path: manifestPath(of: name))
    guard name.contains("/") || manifest.id == name else {
      throw .manifest(path: manifest.path, at: "id", problem: "is '\(manifest.id)', but its folder is '\(name)'")
    }
    return manifest
  }

  /// The path of that plugin's plugin.json, which is not read.
  package func manifestPath(of name: String) throws(PluginError) -> String {
    if name.contains("/") { return try manifestPath(atPath: name) }
    let places = (base.map { [$0] } ?? []) + folders + bundled()
    for place in places where !name.isEmpty && !name.hasPrefix(".") {
      let path = "\(place)/\(name)/\(PluginManifest.fileName)"
      if isFile(path) { return path }
    }
    let looked = places.isEmpty ? ["no folder: none is known"] : places
    throw .notFound(name: name, lookedIn: looked, near: nearest(to: name, in: places.flatMap(names)))
  }

  /// The names of all plugins that `manifest(of:)` would find, sorted.
  package func available() -> [String] {
    Set(((base.map { [$0] } ?? []) + folders + bundled()).flatMap(names)).sorted()
  }

  private func manifestPath(atPath name: String) throws(PluginError) -> String {
    let path = name.hasPrefix("/") ? name : base.map { "\($0)/\(name)" } ?? name
    if path.hasSuffix("/\(PluginManifest.fileName)"), isFile(path) { return path }
    let inside = "\(path)/\(PluginManifest.fileName)"
    guard isFile(inside) else {
      throw .missing(path: inside, remedy: "a plugin is a folder with a plugin.json; give the path of the folder")
    }
    return inside
  }

  /// The folders `Plugins` at or above the executable that hold plugins; at most one is wanted, the nearest.
  private func bundled() -> [String] {
    var folder = executable
    while let slash = folder.lastIndex(of: "/") {
      folder = String(folder[..<slash])
      let candidate = "\(folder)/Plugins"
      if !names(in: candidate).isEmpty { return [candidate] }
    }
    return []
  }

  private func names(in folder: String) -> [String] {
    let entries = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
    return entries.filter { isFile("\(folder)/\($0)/\(PluginManifest.fileName)") }.sorted()
  }

  private func isFile(_ path: String) -> Bool {
    var isFolder: ObjCBool = false
    return FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) && !isFolder.boolValue
  }
}
