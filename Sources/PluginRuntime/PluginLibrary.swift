import Diagnostics
import PluginABI

/// An SDK plugin's library, checked, hashed, loaded, and found to say the same as its `plugin.json`.
package struct PluginLibrary: @unchecked Sendable {
  package let manifest: PluginManifest
  package let object: SharedObject
  /// Static data of the library, which is never unloaded.
  package let plugin: UnsafePointer<ablate_plugin>

  package var id: String { manifest.id }
  /// SHA-256 of the loaded bytes.
  package var sha256: String { object.sha256 }
  /// Open lanes per instance; nil: any number.
  package var maxLanes: Int? { plugin.pointee.max_lanes == 0 ? nil : Int(plugin.pointee.max_lanes) }
  /// 0 serial, 1 on_event re-entrant, 2 one fixed thread.
  package var threading: UInt32 { plugin.pointee.threading }
  /// 0 none, 1 bit-identical for equal input, parameters and seed, 2 also for any thread count.
  package var determinism: UInt32 { plugin.pointee.determinism }

  /// Checks the file without running its code, then loads it, calls the entry and checks every field behind it.
  package static func open(_ manifest: PluginManifest) throws(PluginError) -> PluginLibrary {
    try load(manifest, manifest.checkedLibrary())
  }

  /// Runs code of the library, which was checked.
  static func load(_ manifest: PluginManifest, _ object: SharedObject) throws(PluginError) -> PluginLibrary {
    let address = try object.load(ABI.entry)
    typealias Entry = @convention(c) (UInt32, UnsafeMutablePointer<ablate_error>?) -> UnsafePointer<ablate_library>?
    let entry = unsafeBitCast(address, to: Entry.self)
    let words = ErrorBuffer()
    guard let library = entry(UInt32(ABI.minor), words.fresh()) else {
      throw .library(path: object.path, fault: .refused(words.message))
    }
    let plugin = try Descriptor.find(manifest, in: library, path: object.path)
    return PluginLibrary(manifest: manifest, object: object, plugin: plugin)
  }
}

extension PluginManifest {
  /// The library, found to be one that can be loaded and has what the manifest says; none of its code has run.
  package func checkedLibrary() throws(PluginError) -> SharedObject {
    let object = try SharedObject(path: libraryPath)
    try object.requireManifest(self)
    if let plain { try object.requireFunction(plain.symbol) } else { try object.requireEntry() }
    return object
  }

  /// The library, or the program in Python; none of it has run.
  func checkedCode() throws(PluginError) -> CodeFile {
    grade == .python ? try CodeFile(scriptAt: libraryPath) : try checkedLibrary().code
  }
}

extension SharedObject {
  /// Before dlopen, from the dynamic symbol table: the entry of this major, or what is there instead.
  fileprivate func requireEntry() throws(PluginError) {
    if image.symbol(ABI.entry) == nil, let other = image.symbols.first(where: { $0.name.hasPrefix(ABI.entryPrefix) }) {
      throw .library(path: path, fault: .otherABI(exported: other.name, host: "v\(ABI.major)"))
    }
    try requireFunction(ABI.entry)
  }
}
