import Diagnostics
import Foundation

/// A folder in the Hugging Face ImageFolder convention: `metadata.jsonl`, one object a line, beside the images.
package struct Dataset: Sendable {
  package var path: String
  /// The slice that the manifest asks for, in the order of the file.
  package var examples: [Example]
  /// How many lines the file has in all.
  package var available: Int

  /// What is independent in it.
  package private(set) var unit = IndependentUnit.image

  /// SHA-256 over the digests of the slice's examples, and over their clusters where it names them.
  package var digest: String {
    SHA256.hex((examples.map(\.digest) + examples.compactMap(\.cluster)).joined(separator: "\n"))
  }

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
    var reader = ExampleReader(folder: path, clusterKey: reference.cluster ?? IndependentUnit.defaultKey)
    let slice = lines.dropFirst(reference.offset).prefix(reference.limit ?? available)
    examples = try slice.map { try reader.example(Data($1), place: "\(file):\($0 + 1)") }
    if examples.contains(where: { $0.cluster != nil }) || reference.cluster != nil {
      unit = IndependentUnit(key: reader.clusterKey)
      try checkClusters()
    }
  }

  /// Every example has a cluster, and a picture is in one of them only.
  private func checkClusters() throws {
    var seen: [String: (id: String, cluster: String)] = [:]
    for example in examples {
      guard let cluster = example.cluster else {
        let other = examples.first { $0.cluster != nil }.map { ", and '\($0.id)' has" }
        throw DatasetError.malformed(
          place: example.place, what: "the example '\(example.id)' has no '\(unit.key)'\(other ?? "")",
          remedy: "name the cluster of every example, or of none: then images are taken for independent")
      }
      let first = seen[example.picture] ?? (example.id, cluster)
      seen[example.picture] = first
      guard first.cluster == cluster else {
        throw DatasetError.malformed(
          place: example.place,
          what: "its picture is in two clusters: '\(cluster)', and as '\(first.id)' in '\(first.cluster)'",
          remedy: "examples of one picture are not independent: give them one \(unit.key)")
      }
    }
  }
}

/// A folder in the ImageFolder convention and the slice of it that is used.
package struct DatasetReference: Sendable, Equatable {
  /// Absolute, or relative to the working folder.
  package var path: String
  /// nil: up to the end.
  package var limit: Int?
  package var offset: Int
  /// The key of its lines that names each example's cluster; nil: `cluster`, if it is there.
  package var cluster: String?

  package init(path: String, limit: Int?, offset: Int, cluster: String? = nil) {
    self.path = path
    self.limit = limit
    self.offset = offset
    self.cluster = cluster
  }
}
