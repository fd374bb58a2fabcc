import Foundation
import Glibc

/// A run's folder and who owns it: `run.sqlite`, `run.lock`, `manifest.resolved.json`, `provenance.json`, and what
/// `ablate report` writes.
package struct RunFolder: Sendable {
  package let path: String

  package init(_ path: String) { self.path = path }

  package func file(_ name: String) -> String { (path as NSString).appendingPathComponent(name) }

  package var store: String { file("run.sqlite") }

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
      "run.sqlite", "run.sqlite-journal", "manifest.resolved.json", "provenance.json", "report.md", "figures",
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
  package func write(_ text: String, to name: String) throws {
    let target = file(name)
    do {
      try FileManager.default.createDirectory(
        atPath: (target as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
      try Data(text.utf8).write(to: URL(fileURLWithPath: target), options: .atomic)
    } catch {
      throw ExperimentError.file(path: target, what: "cannot be written: \(error.localizedDescription)")
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
}
