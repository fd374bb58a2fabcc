import Diagnostics
import Foundation
import PluginRuntime

/// What an experiment's plugins are, byte for byte: `quick.lock.json` beside `quick.yaml`. A run refuses any other.
package struct Lockfile: Sendable {
  package let path: String
  /// By the name that the experiment gives it.
  private let plugins: [String: Pin]

  private struct Pin: Equatable {
    var version: String
    /// Of the library.
    var sha256: String
    /// The text of plugin.json, so that a difference can be told in words.
    var manifest: String
  }

  /// The path of the lockfile of the experiment at `manifest`.
  package static func path(of manifest: String) -> String {
    (manifest as NSString).deletingPathExtension + ".lock.json"
  }

  package init(_ plugins: [(name: String, dossier: PluginDossier)], path: String) {
    self.path = path
    let pins = plugins.map { name, dossier in
      (
        name,
        Pin(
          version: dossier.manifest.version, sha256: dossier.code.sha256,
          manifest: String(decoding: dossier.manifest.source, as: UTF8.self))
      )
    }
    self.plugins = Dictionary(pins) { $1 }
  }

  /// nil where there is no such file: nothing is pinned.
  package init?(path: String) throws(StoreError) {
    guard let data = FileManager.default.contents(atPath: path) else { return nil }
    let root = JSON(try? JSONSerialization.jsonObject(with: data))
    guard root?["schema"]?.text == "ablate.lock/1", case .object(let entries)? = root?["plugins"] else {
      throw .pack(path: path, problem: "is no lockfile")
    }
    var pins: [String: Pin] = [:]
    for (name, entry) in entries {
      guard let version = entry["version"]?.text, let digest = entry["sha256"]?.text, let json = entry["manifest"]?.text
      else { throw .pack(path: path, problem: "'\(name)' is not pinned by version, sha256 and manifest") }
      pins[name] = Pin(version: version, sha256: digest, manifest: json)
    }
    (self.path, plugins) = (path, pins)
  }

  package var json: JSON {
    .object([
      ("schema", .string("ablate.lock/1")),
      (
        "plugins",
        .object(
          plugins.sorted { $0.key < $1.key }.map { name, pin in
            (
              name,
              .object([
                ("version", .string(pin.version)), ("sha256", .string(pin.sha256)), ("manifest", .string(pin.manifest)),
              ])
            )
          })
      ),
    ])
  }

  /// Refuses a plugin that is not the pinned one, with the difference in words; so is one that is not pinned at all.
  package func check(_ name: String, _ dossier: PluginDossier) throws {
    guard let pin = plugins[name] else {
      throw StoreError.unpinned(lock: path, plugin: name, differences: ["it is not in the lockfile"])
    }
    var differences = try ManifestDifference.between(Data(pin.manifest.utf8), dossier.manifest.source, path: path)
    if pin.sha256 != dossier.code.sha256 {
      differences.append(
        "its library has sha256 \(dossier.code.sha256.prefix(12)), pinned is \(pin.sha256.prefix(12))")
    }
    guard differences.isEmpty else { throw StoreError.unpinned(lock: path, plugin: name, differences: differences) }
  }
}

/// Why a plugin's code is trusted, or that it is not, which decides where it runs. Recorded in a run's provenance.
package enum Trust: Equatable, Sendable, CustomStringConvertible {
  /// It comes with Ablate.
  case bundled
  /// The experiment's lockfile names these very bytes.
  case pinned
  /// A known key signed these very bytes.
  case signed(by: String)
  case none

  package init(_ dossier: PluginDossier, isBundled: Bool, lock: Lockfile?, keys: KnownKeys) {
    if isBundled {
      self = .bundled
    } else if lock != nil {
      self = .pinned  // the lockfile was checked, or nothing would run
    } else if let name = Pack.signer(ofInstalled: dossier, keys) {
      self = .signed(by: name)
    } else {
      self = .none
    }
  }

  /// Where the code runs unless somebody asks for another place.
  package var placement: Placement {
    self == .none ? Placement(.worker, .untrusted) : Placement(.inProcess, .trusted(description))
  }

  package var description: String {
    switch self {
    case .bundled: "bundled"
    case .pinned: "pinned"
    case .signed(let name): "signed by \(name)"
    case .none: "none"
    }
  }
}
