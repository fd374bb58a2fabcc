import CShims
import Diagnostics
import Foundation
import Synchronization

/// A shared library whose bytes were checked, hashed and then loaded, in this order and the very same bytes.
///
/// The bytes go into a sealed file in memory, and that is what dlopen sees: nobody can change them after the check. The
/// descriptor stays open, since glibc knows a library by its name, and a reused `/proc/self/fd/N` would give the old
/// one. Nothing is ever unloaded: dlclose crashes a host of Swift plugins (their runtime leaves threads and caches
/// behind).
package struct SharedObject: Sendable {
  package let path: String
  /// Of the loaded bytes, lower-case hexadecimal.
  package let sha256: String
  /// In bytes.
  package let size: Int
  package let image: ELFImage
  private let memory: Memory

  static let sizeCap = 256 << 20

  /// Reads and checks; runs none of the library's code. `load` does.
  package init(path: String) throws(PluginError) {
    let bytes = try Self.read(path)
    self.path = path
    size = bytes.count
    let digest = bytes.withUnsafeBytes { SHA256.hex($0) }
    sha256 = digest
    image = try ELFImage(bytes, path: path)
    memory = try loader.withLock { known throws(PluginError) in
      if let held = known[digest] { return held }
      let fd = bytes.withUnsafeBytes { ablate_sealed_memfd("ablate-plugin", $0.baseAddress, $0.count) }
      guard fd >= 0 else { throw .library(path: path, fault: .dlopen("memfd: \(String(cString: strerror(errno)))")) }
      let fresh = Memory(descriptor: fd)
      known[digest] = fresh
      return fresh
    }
  }

  /// Where the loader finds the checked bytes; valid for the life of the process.
  package var loaderPath: String { memory.path }

  /// Loads the library, which runs its constructors, and gives the address of an exported function.
  package func load(_ symbol: String) throws(PluginError) -> UnsafeMutableRawPointer {
    try loader.withLock { _ throws(PluginError) in
      guard let handle = dlopen(memory.path, RTLD_NOW | RTLD_LOCAL | Int32(RTLD_NODELETE)) else { throw failure() }
      guard let address = dlsym(handle, symbol) else { throw failure() }
      return address
    }
  }

  private func failure() -> PluginError {
    let text = dlerror().map { String(cString: $0) } ?? "no reason given"
    return .library(path: path, fault: .dlopen(text.replacingOccurrences(of: memory.path, with: path)))
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

  private static func read(_ path: String) throws(PluginError) -> [UInt8] {
    // O_NONBLOCK: a FIFO must not hang the host.
    let fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard fd >= 0 else {
      throw .missing(path: path, remedy: "build it: make plugins, or the command in the plugin's folder")
    }
    defer { close(fd) }
    var facts = stat()
    guard fstat(fd, &facts) == 0, facts.st_mode & S_IFMT == S_IFREG else {
      throw .library(path: path, fault: .notAFile)
    }
    let size = Int(facts.st_size)
    guard size <= sizeCap else { throw .library(path: path, fault: .tooLarge(bytes: size, cap: sizeCap)) }
    var bytes = [UInt8](repeating: 0, count: size)
    var filled = 0
    while filled < size {
      let n = bytes.withUnsafeMutableBytes { Glibc.read(fd, $0.baseAddress?.advanced(by: filled), size - filled) }
      guard n > 0 else { break }
      filled += n
    }
    return Array(bytes.prefix(filled))
  }
}

/// A sealed memfd, open until the process ends.
private struct Memory: Sendable {
  let descriptor: Int32
  var path: String { "/proc/self/fd/\(descriptor)" }
}

/// By SHA-256: the same bytes are loaded once, however often a sweep names them. The lock is also held around fork, so
/// that no child begins its life while another thread is inside the dynamic loader.
private let loader = Mutex<[String: Memory]>([:])

/// Runs `body` while no thread of this module is inside the dynamic loader.
func holdingLoader<Result>(_ body: () -> sending Result) -> sending Result {
  loader.withLock { _ in body() }
}
