import Checkpoints
import Diagnostics
import Foundation
import PluginHost
import Tensors

/// What probes that learn have read, one file per trial and kind of capture: a cache in the run folder, from which every probe that
/// captures the same learns. What is missing is read again, in a pass.
struct FeatureFiles {
  static let folderName = "features"
  let folder: RunFolder

  /// - Parameter captures: what is captured, in words; see `Session.captures`.
  private func name(trial: String, captures: String) -> String {
    "\(FeatureFiles.folderName)/\(SHA256.hex(captures).prefix(16))/\(trial).safetensors"
  }

  func has(trial: String, captures: String) -> Bool {
    FileManager.default.fileExists(atPath: folder.file(name(trial: trial, captures: captures)))
  }

  /// Hook points stay in the order of the pass.
  func write(_ features: [Features], trial: String, captures: String) throws {
    let name = name(trial: trial, captures: captures)
    try folder.createParent(of: name)
    var metadata = ["captures": captures, "points": features.map(\.point).joined(separator: "\n")]
    for table in features {
      let places = table.places.map { StoredPlace(row: $0.row, field: $0.field, text: $0.text) }
      metadata["places " + table.point] = String(decoding: try JSONEncoder().encode(places), as: UTF8.self)
    }
    let tensors = features.map { ($0.point, Tensor($0.values, shape: [$0.places.count, $0.width])) }
    try writeSafetensors(tensors.map { (name: $0.0, tensor: $0.1) }, metadata: metadata, to: folder.file(name))
  }

  func points(trial: String, captures: String) throws -> [String] {
    let file = try SafetensorsFile(folder.file(name(trial: trial, captures: captures)))
    return (file.metadata["points"] ?? "").split(separator: "\n").map(String.init)
  }

  /// nil where the trial has nothing at the point.
  func read(_ point: String, trial: String, captures: String) throws -> Features? {
    let file = try SafetensorsFile(folder.file(name(trial: trial, captures: captures)))
    guard let text = file.metadata["places " + point] else { return nil }
    let places = try JSONDecoder().decode([StoredPlace].self, from: Data(text.utf8))
    let values = try file.floats(point)
    return Features(
      probe: "", point: point, places: places.map { .init(row: $0.row, field: $0.field, text: $0.text) },
      width: values.shape.last ?? 0, values: values.values)
  }

  private struct StoredPlace: Codable {
    var row: Int
    var field: String
    var text: String
  }
}
