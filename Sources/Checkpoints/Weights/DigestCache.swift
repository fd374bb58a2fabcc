import Diagnostics
import Foundation

/// Digests of big files, kept in `$XDG_CACHE_HOME/ablate/digests` (or `~/.cache`), so that a checkpoint of 13 GB is read through once and
/// not at every start.
///
/// An entry is named after the file's device, inode, size and both of its times: a file that was written to, or that took the place of
/// another, has no entry and is read again. The time of the last status change cannot be set by a program. Small files are always read.
package struct DigestCache {
  /// nil: nothing is kept.
  let folder: String?
  /// Bytes from which on a digest is kept; fewer are hashed in a few hundredths of a second.
  let smallest: Int

  package init(folder: String?, smallest: Int = 64 << 20) { (self.folder, self.smallest) = (folder, smallest) }

  /// The user's, as the environment says.
  package static var standard: DigestCache {
    let environment = ProcessInfo.processInfo.environment
    if let cache = environment["XDG_CACHE_HOME"], cache.hasPrefix("/") {
      return DigestCache(folder: cache + "/ablate/digests")
    }
    return DigestCache(folder: environment["HOME"].map { $0 + "/.cache/ablate/digests" })
  }

  package func digest(of file: SafetensorsFile) -> String {
    guard file.contents.count >= smallest, let folder else { return SHA256.hex(file.contents) }
    let entry = folder + "/" + SHA256.hex(file.identity)
    if let kept = try? String(contentsOfFile: entry, encoding: .utf8), isDigest(kept) { return kept }
    let digest = SHA256.hex(file.contents)
    try? FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    // A cache that cannot be written only costs time.
    try? digest.write(toFile: entry, atomically: true, encoding: .utf8)
    return digest
  }

  private func isDigest(_ text: String) -> Bool { text.count == 64 && text.allSatisfy(\.isHexDigit) }
}
