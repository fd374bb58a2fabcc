import Checkpoints
import Diagnostics
import PluginRuntime

/// A tensor as a manifest or a command line names it for a parameter of type `tensor`: `file.safetensors#name`, or
/// `file.safetensors` where the file holds one tensor only. f32 is taken, in any shape.
package struct TensorFile: Sendable, Equatable {
  package var path: String
  /// nil: the only one.
  package var tensor: String?

  /// - Parameter folder: where relative paths begin; nil: the current folder.
  package init(_ text: String, folder: String? = nil) {
    let parts = text.split(separator: "#", maxSplits: 1).map(String.init)
    let word = parts.first ?? ""
    path = word.hasPrefix("/") || folder == nil ? word : "\(folder ?? ".")/\(word)"
    tensor = parts.count > 1 ? parts[1] : nil
  }

  package func load() throws(CheckpointError) -> TensorValue {
    let file = try SafetensorsFile(path)
    guard let name = tensor ?? (file.entries.count == 1 ? file.entries.keys.first : nil) else {
      throw .malformed(
        path: path, at: "", problem: "it holds \(file.entries.count) tensors",
        remedy: "name one: \(path)#\(file.entries.keys.sorted().first ?? "NAME")")
    }
    let values = try file.floats(name)
    return TensorValue(shape: values.shape, values: values.values)
  }
}

extension PluginManifest {
  /// `given` with the files of tensor parameters read.
  package func readingTensors(
    _ given: [String: GivenValue], folder: String? = nil
  ) throws(CheckpointError) -> [String: GivenValue] {
    var read = given
    for spec in params where spec.type == .tensor {
      guard case .text(let text)? = given[spec.id] else { continue }
      read[spec.id] = .tensor(try TensorFile(text, folder: folder).load())
    }
    return read
  }
}
