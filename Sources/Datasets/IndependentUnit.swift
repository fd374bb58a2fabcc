/// What is independent of the others in a dataset. The one definition for everything that needs it: intervals and tests cluster by it, and
/// rows of one unit are never on both sides of a split.
package struct IndependentUnit: Sendable, Equatable {
  /// `image`, or the key of `metadata.jsonl` under which the dataset names clusters.
  package var key: String

  package init(key: String) { self.key = key }

  /// The picture, by its content, where the dataset names no clusters.
  package static let image = IndependentUnit(key: "image")
  /// The key that is looked for when the manifest names none.
  package static let defaultKey = "cluster"

  /// `image`, `cluster`
  package var singular: String { self == .image ? "image" : "cluster" }

  /// `images`, `clusters`, `clusters (scene)`
  package var plural: String { singular + "s" + kind }

  /// `1 image`, `12 clusters (scene)`
  package func counted(_ count: Int) -> String { count == 1 ? "1 \(singular)\(kind)" : "\(count) \(plural)" }

  private var kind: String { self == .image || key == IndependentUnit.defaultKey ? "" : " (\(key))" }
}
