import Datasets
import Diagnostics
import Foundation
import PluginHost

/// The run that a step's patches take activations from: `from: { condition: clean, item: random, layer: 3 }`.
package struct PatchReference: Sendable, Equatable {
  package var condition: String
  /// Another example of the dataset: its id, or `random`, one drawn for each example from the others; nil: the same example.
  package var item: String?
  /// The layer that is read; nil: the one that is patched.
  package var layer: Int?
  /// `file:line:column`, for errors.
  package var place: String

  static let random = "random"

  package static func == (a: PatchReference, b: PatchReference) -> Bool { a.json == b.json }

  init(_ node: ManifestNode, withLayer: Bool) throws {
    let fields = try node.fields(known: ["condition", "item"] + (withLayer ? ["layer"] : []))
    condition = try fields.required("condition").string()
    item = try fields["item"]?.string()
    layer = try fields["layer"]?.int(in: -512...511)
    place = node.place
  }

  var json: JSON {
    var fields: [(String, JSON)] = [("condition", .string(condition))]
    if let item { fields.append(("item", .string(item))) }
    if let layer { fields.append(("layer", .int(layer))) }
    return .object(fields)
  }

  package var origin: PatchOrigin { PatchOrigin(condition: condition, item: item) }
}

extension [Example] {
  /// The example that `name` stands for when `id` is patched. A random one depends on the seed and on the patched example only, so that
  /// all conditions of an example have the same partner.
  func source(_ name: String, of id: String, seed: Int) throws -> Example {
    if name != PatchReference.random {
      guard let named = first(where: { $0.id == name }) else {
        throw ExperimentError.manifest(
          place: "from.item", what: "the dataset's slice has no example '\(name)'",
          remedy: "name an id of metadata.jsonl, or random")
      }
      return named
    }
    var draw = Draw(seed: UInt64(bitPattern: Int64(seed)), "source", id)
    guard let drawn = draw.one(of: filter { $0.id != id }) else {
      throw ExperimentError.manifest(
        place: "from.item", what: "a random item needs a dataset of at least two examples",
        remedy: "raise dataset.limit")
    }
    return drawn
  }

  /// How often each word is looked for, the most frequent first.
  var wordCounts: [(word: String, count: Int)] {
    Dictionary(grouping: flatMap { $0.parts.map(\.label) }, by: \.self).map { ($0.key, $0.value.count) }
      .sorted { ($1.count, $0.word) < ($0.count, $1.word) }
  }
}

/// A file that `ablate mean` wrote. `<model>` in its name stands for the model's.
package struct VectorFile: Sendable, Equatable {
  package var path: String
  package var place: String

  package static func == (a: VectorFile, b: VectorFile) -> Bool { a.path == b.path }

  init(_ node: ManifestNode, folder: String) throws {
    let word = try node.fields(known: ["file"]).required("file").string()
    path = word.hasPrefix("/") ? word : ((folder.isEmpty ? "." : folder) as NSString).appendingPathComponent(word)
    place = node.place
  }

  var json: JSON { .object([("file", .string(path))]) }

  package func path(model: String) -> String { path.replacing("<model>", with: model) }
}
