import Diagnostics
import Foundation

/// A folder in the Hugging Face ImageFolder convention: `metadata.jsonl`, one object a line, beside the images.
package struct Dataset: Sendable {
  package var path: String
  /// The slice that the manifest asks for, in the order of the file.
  package var examples: [Example]
  /// How many lines the file has in all.
  package var available: Int

  /// SHA-256 over the digests of the slice's examples.
  package var digest: String { SHA256.hex(examples.map(\.digest).joined(separator: "\n")) }

  package init(_ reference: DatasetReference) throws {
    path = reference.path
    let file = (path as NSString).appendingPathComponent("metadata.jsonl")
    guard let data = FileManager.default.contents(atPath: file) else {
      throw DatasetError.missing(
        place: path, what: "no metadata.jsonl in the dataset's folder",
        remedy: "the folder holds images and a metadata.jsonl with file_name, prompt and answer in each line")
    }
    let lines = data.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).enumerated()
      .filter { !$1.allSatisfy { $0 == 32 || $0 == 9 || $0 == 13 } }
    available = lines.count
    guard reference.offset < available else {
      throw DatasetError.malformed(
        place: file, what: "no line is left after the first \(reference.offset): the file has \(available)",
        remedy: "lower 'dataset.offset' in the manifest")
    }
    var reader = ExampleReader(folder: path)
    let slice = lines.dropFirst(reference.offset).prefix(reference.limit ?? available)
    examples = try slice.map { try reader.example(Data($1), place: "\(file):\($0 + 1)") }
  }
}

/// A folder in the ImageFolder convention and the slice of it that is used.
package struct DatasetReference: Sendable, Equatable {
  /// Absolute, or relative to the working folder.
  package var path: String
  /// nil: up to the end.
  package var limit: Int?
  package var offset: Int

  package init(path: String, limit: Int?, offset: Int) {
    self.path = path
    self.limit = limit
    self.offset = offset
  }
}
