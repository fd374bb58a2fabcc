import Diagnostics
import Foundation
import Synchronization

/// A shared library whose bytes were checked and then loaded, the very same bytes: see `CodeFile`. Nothing is ever unloaded: dlclose
/// crashes a host of Swift plugins (their runtime leaves threads and caches behind).
package struct SharedObject: Sendable {
  package let code: CodeFile
  package let image: ELFImage

  package var path: String { code.path }
  package var sha256: String { code.sha256 }

  /// Reads and checks; runs none of the library's code. `load` does.
  package init(path: String) throws(PluginError) {
    let bytes = try CodeFile.read(path)
    image = try ELFImage(bytes, path: path)
    code = try CodeFile(keeping: bytes, path: path)
  }

  /// The bytes that a host has checked and handed to this process.
  init(inherited descriptor: Int32, path: String) throws(PluginError) {
    let bytes = try CodeFile.bytes(of: descriptor, path: path)
    image = try ELFImage(bytes, path: path)
    code = CodeFile(inherited: descriptor, bytes: bytes, path: path)
  }

  /// Where the loader finds the checked bytes; valid for the life of the process.
  package var loaderPath: String { "/proc/self/fd/\(code.descriptor)" }

  /// Loads the library, which runs its constructors, and gives the address of an exported function.
  package func load(_ symbol: String) throws(PluginError) -> UnsafeMutableRawPointer {
    try loader.withLock { _ throws(PluginError) in
      guard let handle = dlopen(loaderPath, RTLD_NOW | RTLD_LOCAL | Int32(RTLD_NODELETE)) else { throw failure() }
      guard let address = dlsym(handle, symbol) else { throw failure() }
      return address
    }
  }

  private func failure() -> PluginError {
    let text = dlerror().map { String(cString: $0) } ?? "no reason given"
    return .library(path: path, fault: .dlopen(text.replacingOccurrences(of: loaderPath, with: path)))
  }

  /// Refuses by name what `load(symbol)` would not find.
  package func requireFunction(_ symbol: String) throws(PluginError) {
    guard let found = image.symbol(symbol) else { throw .library(path: path, fault: .noEntry(symbol)) }
    guard found.isExportedFunction else {
      let kind =
        found.visibility == 1 || found.visibility == 2 ? "hidden" : found.type == 1 ? "data" : "no plain function"
      throw .library(path: path, fault: .notAFunction(symbol: symbol, found: kind))
    }
  }

  /// Refuses a library that carries another plugin.json than `manifest`. One that carries none is taken as it is: a
  /// plain C function may stand in any library.
  package func requireManifest(_ manifest: PluginManifest) throws(PluginError) {
    guard let note = image.manifestNote, Data(note) != manifest.source else { return }
    let differences = try ManifestDifference.between(Data(note), manifest.source, path: path)
    guard differences.isEmpty else { throw .library(path: path, fault: .otherManifest(differences)) }
  }
}

/// Held while a thread is inside the dynamic loader, and around fork, so that no child begins its life while another is.
private let loader = Mutex<Void>(())

/// Runs `body` while no thread of this module is inside the dynamic loader.
func holdingLoader<Result>(_ body: () -> sending Result) -> sending Result {
  loader.withLock { _ in body() }
}
