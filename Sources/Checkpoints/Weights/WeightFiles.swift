import Diagnostics
import Foundation
import Tensors

/// The tensors of a checkpoint folder: one `model.safetensors`, or shards with `model.safetensors.index.json`.
package final class WeightFiles: Sendable {
  package let folder: String
  private let files: [SafetensorsFile]
  /// By canonical name.
  private let places: [String: (file: Int, entry: SafetensorsFile.Entry)]

  package init(folder: String) throws(CheckpointError) {
    self.folder = folder
    var files: [SafetensorsFile] = []
    var places: [String: (file: Int, entry: SafetensorsFile.Entry)] = [:]
    for name in try WeightFiles.fileNames(in: folder) {
      let file = try SafetensorsFile(folder + "/" + name)
      for (tensor, entry) in file.entries where !TensorNames.isBuffer(tensor) {
        let canonical = TensorNames.canonical(tensor)
        guard places[canonical] == nil else {
          throw .malformed(
            path: file.path, at: tensor, problem: "the tensor \(canonical) is in the checkpoint twice",
            remedy: "export the checkpoint again, with each tensor once")
        }
        places[canonical] = (files.count, entry)
      }
      files.append(file)
    }
    self.files = files
    self.places = places
  }

  package var names: [String] { places.keys.sorted() }
  package var parameterCount: Int { places.values.reduce(0) { $0 + $1.entry.shape.reduce(1, *) } }
  package var elementTypes: Set<ElementType> { Set(places.values.map(\.entry.type)) }

  /// SHA-256 over the digests of all weight files, in name order.
  package var digest: String { SHA256.hex(files.map(DigestCache.standard.digest).joined(separator: "\n")) }

  /// A tensor in the checkpoint's pages. Throws where it is missing or of another shape.
  package func stored(_ name: String, shape: [Int]) throws(CheckpointError) -> StoredWeight {
    guard let place = places[name] else {
      throw .malformed(
        path: folder, at: name, problem: "the tensor is missing from the checkpoint",
        remedy: "the configuration and the weights do not belong together, or a shard is missing")
    }
    let file = files[place.file]
    guard place.entry.shape == shape else {
      throw .malformed(
        path: file.path, at: name, problem: "shape \(place.entry.shape), but the configuration needs \(shape)",
        remedy: "the configuration and the weights do not belong together: check config.json")
    }
    guard let format = place.entry.type.format else {
      throw .unsupported(
        path: "\(file.path): \(name)", key: "dtype", problem: "I64 as a parameter", remedy: "store it as F32")
    }
    let bytes = file.bytes(place.entry)
    return StoredWeight(
      bytes.baseAddress ?? UnsafeRawPointer(file.contents.baseAddress!), format: format,
      count: shape.reduce(1, *), owner: file)
  }

  /// A tensor widened to f32, which is exact.
  package func tensor(_ name: String, shape: [Int]) throws(CheckpointError) -> Tensor {
    let stored = try stored(name, shape: shape)
    let tensor = Tensor(zeros: shape)
    parallelFor(tensor.count, grain: 65536) { stored.widen($0, into: tensor.base + $0.lowerBound) }
    return tensor
  }

  /// Tells the system that the files' pages are not needed for now. They are read again where they are.
  package func release() { files.forEach { $0.release() } }

  private static func fileNames(in folder: String) throws(CheckpointError) -> [String] {
    let index = folder + "/model.safetensors.index.json"
    if FileManager.default.fileExists(atPath: folder + "/model.safetensors") { return ["model.safetensors"] }
    guard FileManager.default.fileExists(atPath: index) else {
      throw .missing(
        path: folder + "/model.safetensors",
        remedy: "the folder needs model.safetensors or model.safetensors.index.json; .bin files are not read")
    }
    var json = try StrictObject(contentsOf: index, remedy: "download the checkpoint again")
    let map: [String: String] = try json.read("weight_map")
    let names = Set(map.values).sorted()
    for name in names where name.contains("/") {
      throw .malformed(
        path: index, at: name, problem: "a shard must lie in the folder itself",
        remedy: "move it there and correct the index")
    }
    return names
  }
}
