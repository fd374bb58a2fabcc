import Foundation
import Glibc

/// A run's folder and who owns it: `run.sqlite`, `run.lock`, `manifest.resolved.json`, `provenance.json`,
/// `status.json`, and what `ablate report` writes. A study in shards has `shards.json` and a folder of this kind per shard
/// beside them.
package struct RunFolder: Sendable {
  package let path: String

  package init(_ path: String) { self.path = path }

  package func file(_ name: String) -> String { (path as NSString).appendingPathComponent(name) }

  package var store: String { file("run.sqlite") }

  package var shardList: String { file("shards.json") }

  /// Where a shard's process writes; the attempts after the first are for processes that find a living one there.
  ///
  /// - Parameter number: from 1.
  package func shard(_ number: Int, attempt: Int = 0) -> RunFolder {
    let name = String(format: "%04d", number)
    return RunFolder(file("shards/" + (attempt == 0 ? name : "\(name).\(attempt)")))
  }

  /// The attempts of a shard that have left a store.
  package func attempts(ofShard number: Int) -> [RunFolder] {
    // Numbers are given without gaps, but a folder may be taken away by hand.
    (0..<RunFolder.mostAttempts).map { shard(number, attempt: $0) }.filter {
      FileManager.default.fileExists(atPath: $0.store)
    }
  }

  static let mostAttempts = 16

  package func create() throws {
    do {
      try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    } catch {
      throw ExperimentError.file(path: path, what: "the run folder cannot be made: \(error.localizedDescription)")
    }
  }

  /// Removes what a run leaves, and nothing else. Only the owner of the lock may.
  package func clear() throws {
    let names = [
      "run.sqlite", "run.sqlite-journal", "manifest.resolved.json", "provenance.json", "status.json", "report.md",
      "report.html",
      "figures", FeatureFiles.folderName,
    ]
    for name in names where FileManager.default.fileExists(atPath: file(name)) {
      do {
        try FileManager.default.removeItem(atPath: file(name))
      } catch {
        throw ExperimentError.file(path: file(name), what: "cannot be removed: \(error.localizedDescription)")
      }
    }
  }

  /// Removes a run that has no rows, and the folder if nothing else is in it.
  func remove() {
    try? clear()
    try? FileManager.default.removeItem(atPath: file("run.lock"))
    rmdir(path)
  }

  /// Writes the whole file or nothing.
  package func write(_ text: String, to name: String) throws { try write(Data(text.utf8), to: name) }

  package func write(_ data: Data, to name: String) throws {
    let target = file(name)
    try createParent(of: name)
    do {
      try data.write(to: URL(fileURLWithPath: target), options: .atomic)
    } catch {
      throw ExperimentError.file(path: target, what: "cannot be written: \(error.localizedDescription)")
    }
  }

  func createParent(of name: String) throws {
    let parent = (file(name) as NSString).deletingLastPathComponent
    do {
      try FileManager.default.createDirectory(atPath: parent, withIntermediateDirectories: true)
    } catch {
      throw ExperimentError.file(path: parent, what: "cannot be made: \(error.localizedDescription)")
    }
  }
}

/// The right to write into a run folder, held while the process lives: `flock` on `run.lock`, which the system gives up
/// by itself however the process ends.
package final class RunLock: Sendable {
  private let descriptor: Int32

  package init(_ folder: RunFolder) throws {
    let path = folder.file("run.lock")
    descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else {
      throw ExperimentError.file(path: path, what: "cannot be opened: \(String(cString: strerror(errno)))")
    }
    guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
      let owner = FileManager.default.contents(atPath: path).flatMap { String(validating: $0, as: UTF8.self) } ?? ""
      // The descriptor is closed by deinit, which runs as all properties are set. Closing it here too would close whatever file another
      // thread has opened under the same number by then.
      throw ExperimentError.inUse(
        folder: folder.path,
        owner: owner.isEmpty ? "another process" : owner.trimmingCharacters(in: .whitespacesAndNewlines))
    }
    let text = Array("process \(getpid()) on \(ProcessInfo.processInfo.hostName)\n".utf8)
    if ftruncate(descriptor, 0) == 0 { _ = Glibc.write(descriptor, text, text.count) }
  }

  deinit { close(descriptor) }

  /// Whether a living process writes into the folder, as far as this machine's file system knows.
  package static func isHeld(in folder: RunFolder) -> Bool {
    let descriptor = open(folder.file("run.lock"), O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return false }
    defer { close(descriptor) }
    return flock(descriptor, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK
  }
}
