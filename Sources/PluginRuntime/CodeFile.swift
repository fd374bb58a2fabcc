import CShims
import Diagnostics
import Foundation
import Synchronization

/// A file of code whose bytes were read once, hashed and kept, in this order: what runs later are those very bytes.
///
/// They lie in a sealed file in memory, so that nobody can change them after they were checked. The descriptor stays open until the process
/// ends, since glibc knows a library by its name, and a reused `/proc/self/fd/N` would give the old one.
package struct CodeFile: Sendable {
  package let path: String
  /// Lower-case hexadecimal.
  package let sha256: String
  /// In bytes.
  package let size: Int
  /// Of the sealed file; open for the life of the process.
  let descriptor: Int32

  static let sizeCap = 256 << 20

  /// By SHA-256: the same bytes are kept once, however often a sweep names them.
  private static let kept = Mutex<[String: Int32]>([:])

  /// Keeps bytes of the file at `path` that were found to be good.
  init(keeping bytes: [UInt8], path: String) throws(PluginError) {
    let digest = bytes.withUnsafeBytes { SHA256.hex($0) }
    (self.path, size, sha256) = (path, bytes.count, digest)
    descriptor = try Self.kept.withLock { kept throws(PluginError) in
      if let held = kept[digest] { return held }
      let fd = bytes.withUnsafeBytes { ablate_sealed_memfd("ablate-plugin", $0.baseAddress, $0.count) }
      guard fd >= 0 else { throw .library(path: path, fault: .dlopen("memfd: \(String(cString: strerror(errno)))")) }
      kept[digest] = fd
      return fd
    }
  }

  /// What a host has checked and handed to this process, whose bytes are `bytes`.
  init(inherited descriptor: Int32, bytes: [UInt8], path: String) {
    (self.path, size, self.descriptor) = (path, bytes.count, descriptor)
    sha256 = bytes.withUnsafeBytes { SHA256.hex($0) }
  }

  /// A program in text.
  package init(scriptAt path: String) throws(PluginError) {
    let bytes = try Self.read(path)
    guard !bytes.contains(0), String(validating: bytes, as: UTF8.self) != nil else {
      throw .library(path: path, fault: .notText)
    }
    try self.init(keeping: bytes, path: path)
  }
}

// MARK: reading

extension CodeFile {
  /// The bytes of a regular file that only those may change who may change this program too.
  static func read(_ path: String) throws(PluginError) -> [UInt8] {
    // O_NONBLOCK: a FIFO must not hang the host.
    let fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW)
    guard fd >= 0 else {
      if errno == ELOOP { throw .library(path: path, fault: .symbolicLink) }
      throw .missing(path: path, remedy: "build it: make plugins, or the command in the plugin's folder")
    }
    defer { close(fd) }
    let bytes = try bytes(of: fd, path: path)
    try checkOwner(fd, path)
    try checkWritable(fd, path)
    return bytes
  }

  /// Whose file it is, can change it at any time: that must be this user, root, or who owns this program and could change that. Folders
  /// need no such check: who may replace the file by another cannot make that other one ours.
  private static func checkOwner(_ fd: Int32, _ path: String) throws(PluginError) {
    var (facts, program) = (stat(), stat())
    guard fstat(fd, &facts) == 0, ![0, geteuid()].contains(facts.st_uid) else { return }
    if stat("/proc/self/exe", &program) == 0, program.st_uid == facts.st_uid { return }
    throw .library(path: path, fault: .foreign(owner: facts.st_uid))
  }

  /// What everybody may write to is nobody's to trust. A sticky folder such as /tmp is all right: what is in it stays its owner's. Teams
  /// share by group, which is allowed.
  private static func checkWritable(_ fd: Int32, _ path: String) throws(PluginError) {
    var facts = stat()
    if fstat(fd, &facts) == 0, facts.st_mode & S_IWOTH != 0 { throw .library(path: path, fault: .writable(path)) }
    var folder = URL(fileURLWithPath: path).resolvingSymlinksInPath().path
    while let slash = folder.lastIndex(of: "/"), folder != "/" {
      folder = slash == folder.startIndex ? "/" : String(folder[..<slash])
      let isOpen = stat(folder, &facts) == 0 && facts.st_mode & S_IWOTH != 0 && facts.st_mode & S_ISVTX == 0
      if isOpen { throw .library(path: path, fault: .writable(folder)) }
    }
  }

  static func bytes(of fd: Int32, path: String) throws(PluginError) -> [UInt8] {
    var facts = stat()
    guard fstat(fd, &facts) == 0, facts.st_mode & S_IFMT == S_IFREG else {
      throw .library(path: path, fault: .notAFile)
    }
    let size = Int(facts.st_size)
    guard size <= sizeCap else { throw .library(path: path, fault: .tooLarge(bytes: size, cap: sizeCap)) }
    var bytes = [UInt8](repeating: 0, count: size)
    var filled = 0
    while filled < size {
      let n = bytes.withUnsafeMutableBytes { pread(fd, $0.baseAddress?.advanced(by: filled), size - filled, filled) }
      guard n > 0 else { break }
      filled += n
    }
    return Array(bytes.prefix(filled))
  }
}
