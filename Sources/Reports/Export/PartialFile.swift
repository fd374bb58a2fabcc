import Experiments
import Foundation

/// A file that comes into being whole, when `finish` is called.
final class PartialFile {
  private let path: String
  private let handle: FileHandle
  private var pending = Data()
  private var isFinished = false

  private var partial: String { path + ".partial" }

  init(_ path: String) throws {
    self.path = path
    guard FileManager.default.createFile(atPath: path + ".partial", contents: nil),
      let handle = FileHandle(forWritingAtPath: path + ".partial")
    else { throw ExperimentError.file(path: path, what: "cannot be written") }
    self.handle = handle
  }

  deinit { if !isFinished { try? FileManager.default.removeItem(atPath: partial) } }

  func write(_ text: String) throws { try write(Data(text.utf8)) }

  func write(_ data: Data) throws {
    pending.append(data)
    if pending.count >= 1 << 20 { try flush() }
  }

  func finish() throws {
    try flush()
    try? handle.close()
    guard rename(partial, path) == 0 else {
      throw ExperimentError.file(path: path, what: "cannot be written: \(String(cString: strerror(errno)))")
    }
    isFinished = true
  }

  private func flush() throws {
    do {
      try handle.write(contentsOf: pending)
    } catch {
      throw ExperimentError.file(path: path, what: "cannot be written: \(error.localizedDescription)")
    }
    pending.removeAll(keepingCapacity: true)
  }
}
