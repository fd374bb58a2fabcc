import Checkpoints
import Diagnostics
import Foundation

/// Writes a dataset folder beside its place and moves it there whole, so that a folder is never half of a dataset.
///
///     FOLDER/metadata.jsonl   one example a line
///     FOLDER/images/          as they were, byte for byte
///     FOLDER/masks/           grey PNGs; a part is a value in one of them
package final class DatasetWriter {
  package let folder: String
  private let staging: String
  private let metadata: FileHandle
  private var isFinished = false

  package init(folder: String) throws {
    let path = folder.count > 1 && folder.hasSuffix("/") ? String(folder.dropLast()) : folder
    let parent = (path as NSString).deletingLastPathComponent
    let name = (path as NSString).lastPathComponent
    self.folder = path
    staging = (parent as NSString).appendingPathComponent(".\(name).importing")
    let entries = try? FileManager.default.contentsOfDirectory(atPath: path)
    guard entries?.isEmpty ?? !FileManager.default.fileExists(atPath: path) else {
      throw DatasetError.exists(folder: path)
    }
    // What a killed import left.
    try? FileManager.default.removeItem(atPath: staging)
    for inner in ["images", "masks"] {
      try DatasetWriter.writing(staging) { [staging] in
        try FileManager.default.createDirectory(atPath: "\(staging)/\(inner)", withIntermediateDirectories: true)
      }
    }
    let file = staging + "/metadata.jsonl"
    guard FileManager.default.createFile(atPath: file, contents: nil), let handle = FileHandle(forWritingAtPath: file)
    else { throw DatasetError.unwritable(path: file, what: "cannot be written") }
    metadata = handle
  }

  deinit {
    if !isFinished { try? FileManager.default.removeItem(atPath: staging) }
  }

  private static func writing(_ path: String, _ body: () throws -> Void) throws {
    do { try body() } catch let error as NSError {
      throw DatasetError.unwritable(path: path, what: error.localizedDescription)
    }
  }

  /// Writes a file and gives its name in the folder, such as `images/0001.jpg`.
  @discardableResult
  package func write(_ bytes: Data, to name: String) throws -> String {
    try DatasetWriter.writing("\(staging)/\(name)") { [staging] in
      try bytes.write(to: URL(fileURLWithPath: "\(staging)/\(name)"))
    }
    return name
  }

  package func append(_ row: JSON) throws {
    try DatasetWriter.writing(staging + "/metadata.jsonl") { [metadata] in
      try metadata.write(contentsOf: Data((row.compact + "\n").utf8))
    }
  }

  /// Moves the folder to its place.
  package func finish() throws {
    try DatasetWriter.writing(folder) { [metadata, staging, folder] in
      try metadata.synchronize()
      try metadata.close()
      try? FileManager.default.removeItem(atPath: folder)  // it is empty, as `init` saw
      try FileManager.default.moveItem(atPath: staging, toPath: folder)
    }
    isFinished = true
  }
}
