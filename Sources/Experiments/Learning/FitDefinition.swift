import Datasets
import Diagnostics

/// How a probe that learns is fitted: the section `fit` of a probe. Images are split, never rows of one image.
package struct FitDefinition: Sendable, Equatable {
  /// Images are dealt into so many folds by the seed; each fold is read by a fit on all the others.
  package var folds = 5
  /// The condition whose activations are learned from; nil: of each condition its own.
  package var condition: String?
  /// Classes that fewer images show are left out, and the result says so.
  package var minImages = 5
  /// Whether each fit is made a second time with a random class for every type of row (Hewitt and Liang 2019).
  package var controlTask = true
  /// Shares of the images after which the online code learns anew (Voita and Titov 2020), ascending to 1; empty: no code.
  package var portions = [0.0625, 0.125, 0.25, 0.5, 1]

  /// Other images to learn from, in the place of folds and code. None of them may be among those that are asked about.
  package var train: DatasetReference?

  package init() {}

  static let keys = ["folds", "condition", "min_images", "control_task", "portions", "train"]

  /// - Parameters:
  ///   - conditions: names of those of the manifest.
  ///   - folder: where relative paths start.
  init(_ node: ManifestNode, conditions: [String], folder: String) throws {
    let fields = try node.fields(known: FitDefinition.keys)
    folds = try fields["folds"]?.int(in: 2...1000) ?? folds
    condition = try fields["condition"]?.choice(conditions)
    minImages = try fields["min_images"]?.int(in: 2...(.max)) ?? minImages
    controlTask = try fields["control_task"]?.bool() ?? controlTask
    train = try fields["train"].map { try Manifest.dataset($0, folder: folder) }
    if train != nil, let other = fields["folds"] ?? fields["portions"] {
      throw other.refuse("\(other.named) and 'train' exclude each other", remedy: "other images are not folded")
    }
    guard let list = fields["portions"] else { return }
    portions = try list.list().map { try $0.double() }
    let ascends = zip(portions, portions.dropFirst()).allSatisfy { $0 < $1 }
    guard portions.isEmpty || portions.count > 1 && portions[0] > 0 && portions.last == 1 && ascends else {
      throw list.refuse(
        "\(list.named) do not ascend from above 0 to 1", remedy: "for example [0.125, 0.25, 0.5, 1], or [] for no code")
    }
  }

  var json: JSON {
    let split: [(String, JSON)] =
      train.map { [("train", $0.json)] } ?? [
        ("folds", .int(folds)), ("portions", .array(portions.map(JSON.double))),
      ]
    return .object(
      split + (condition.map { [("condition", .string($0))] } ?? [])
        + [("min_images", .int(minImages)), ("control_task", .bool(controlTask))])
  }

  /// How many times the probe learns at one hook point of one condition.
  package var fits: Int {
    let tasks = controlTask ? 2 : 1
    return train == nil ? folds * tasks + max(0, portions.count - 1) : tasks
  }
}
