import Checkpoints
import Diagnostics
import Foundation

/// Finds a checkpoint folder: a path; `org/name[@revision]` in the local Hugging Face cache, where no such path is; or the name of a
/// bundled model, which lies in a folder `checkpoints` at or above the executable.
package struct ModelLocator: Sendable {
  private let executable: String
  private let cache: HubCache

  package init(executable: String? = nil, cache: HubCache = HubCache()) {
    self.executable =
      executable ?? (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
    self.cache = cache
  }

  /// - Parameter base: the folder that relative paths start from; nil: the current folder.
  package func folder(of name: String, relativeTo base: String? = nil) throws(CheckpointError) -> String {
    let isPath = name.contains("/") || name == "." || name == ".."
    let path = name.hasPrefix("/") ? name : base.map { "\($0)/\(name)" } ?? name
    if isPath || isFolder(path) {
      guard isFolder(path) else {
        let exists = FileManager.default.fileExists(atPath: path)
        if !exists, let hub = HubName(name) { return try cache.folder(of: hub) }
        throw .missing(
          path: exists ? path + "/config.json" : path,
          remedy: "give a Hugging Face checkpoint folder, org/name of a cached one, or the name of a bundled model")
      }
      return path
    }
    for root in roots where isFolder("\(root)/\(name)") { return "\(root)/\(name)" }
    let known = bundled
    throw .missing(
      path: name,
      remedy: known.isEmpty
        ? "no models are bundled here; give the path of a checkpoint folder, with a '/'"
        : "no bundled model has this name; " + suggestion(for: name, in: known))
  }

  /// Names of the bundled models, sorted.
  package var bundled: [String] {
    Set(
      roots.flatMap { root in
        ((try? FileManager.default.contentsOfDirectory(atPath: root)) ?? []).filter { isFolder("\(root)/\($0)") }
      }
    ).sorted()
  }

  private var roots: [String] {
    var folders: [String] = []
    var folder = executable
    while let slash = folder.lastIndex(of: "/") {
      folder = String(folder[..<slash])
      if isFolder(folder + "/checkpoints") { folders.append(folder + "/checkpoints") }
    }
    return folders
  }

  private func isFolder(_ path: String) -> Bool {
    FileManager.default.fileExists(atPath: path + "/config.json")
      || (path.hasSuffix("/checkpoints") && FileManager.default.fileExists(atPath: path))
  }
}
