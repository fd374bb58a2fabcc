import Experiments
import Foundation

/// A part of an image, as rows name it; a whole example where the label is empty.
struct PartInstance: Hashable, Comparable {
  var example: String
  var label: String
  var className: String?
  /// What the example belongs to that is independent of the others.
  var cluster: String

  static func == (a: PartInstance, b: PartInstance) -> Bool { a.example == b.example && a.label == b.label }
  func hash(into hasher: inout Hasher) {
    hasher.combine(example)
    hasher.combine(label)
  }
  static func < (a: PartInstance, b: PartInstance) -> Bool { (a.example, a.label) < (b.example, b.label) }

}

/// A part's label without the number that tells a second part of its name from the first: `leg#2` is a `leg`.
func word(of label: String) -> String { label.split(separator: "#", maxSplits: 1).first.map(String.init) ?? label }

/// One measure of one model: a number for every part, condition and hook point that was read.
struct PartTable {
  /// Where a column of numbers was read.
  struct Cell: Hashable {
    var condition: String
    var point: String
  }

  private let cells: [Cell: [PartInstance: Double]]
  let measure: Measure

  /// - Parameter readings: of one model.
  init(_ readings: [PartReading], measure: Measure) {
    self.measure = measure
    var cells: [Cell: [PartInstance: Double]] = [:]
    for reading in readings {
      let value = measure.value(of: reading.values)
      guard value.isFinite else { continue }
      let part = PartInstance(
        example: reading.example, label: reading.label, className: reading.className, cluster: reading.cluster)
      cells[Cell(condition: reading.condition, point: reading.point), default: [:]][part] = value
    }
    self.cells = cells
  }

  var points: Set<String> { Set(cells.keys.map(\.point)) }

  /// Every part of a cell with its value, sorted.
  func values(_ condition: String, _ point: String) -> [(part: PartInstance, value: Double)] {
    (cells[Cell(condition: condition, point: point)] ?? [:]).map { ($0.key, $0.value) }.sorted { $0.part < $1.part }
  }

  /// The parts that all of `wanted` have, sorted, with their values cell by cell.
  func complete(_ wanted: [Cell]) -> Complete { Complete(wanted.map { cells[$0] ?? [:] }) }

  /// The parts that all cells of `a` and all cells of `b` have.
  static func pair(_ a: [(table: PartTable, cell: Cell)], _ b: [(table: PartTable, cell: Cell)]) -> Pair {
    let cells = [a, b].map { side in side.map { $0.table.cells[$0.cell] ?? [:] } }
    let both = Complete(cells[0] + cells[1])
    let left = cells.map { side in Set(side.flatMap(\.keys)).count - both.parts.count }
    return Pair(
      parts: both.parts, a: Array(both.columns.prefix(a.count)), b: Array(both.columns.dropFirst(a.count)),
      unmatched: (left[0], left[1]))
  }

  /// Two sides of a comparison on the parts that both have: one column per seed, or one.
  struct Pair {
    let parts: [PartInstance]
    let a: [[Double]]
    let b: [[Double]]
    /// How many parts each side has, at least under one seed, that are left out.
    let unmatched: (a: Int, b: Int)

    /// What is independent: the image or the cluster of each part.
    var clusters: [String] { parts.map(\.cluster) }
  }

  struct Complete {
    var parts: [PartInstance]
    var columns: [[Double]]
    /// Parts that some of the cells have, and others lack.
    var left: Int

    init(_ cells: [[PartInstance: Double]]) {
      let all = cells.reduce(into: Set<PartInstance>()) { $0.formUnion($1.keys) }
      let parts = all.filter { part in cells.allSatisfy { $0[part] != nil } }.sorted()
      self.parts = parts
      columns = cells.map { cell in parts.map { cell[$0] ?? .nan } }
      left = all.count - parts.count
    }

    /// What is independent: the image or the cluster of each part.
    var clusters: [String] { parts.map(\.cluster) }
  }
}

/// Hook points in the order in which the forward pass meets them.
func orderedHookPoints(_ points: Set<String>) -> [String] {
  let towers = ["vision", "projector", "text"]
  let sites = [
    "in", "embed", "resid_pre", "q", "k", "v", "rot_q", "rot_k", "attn_scores", "pattern", "z", "attn_out", "resid_mid",
    "mlp_pre", "mlp_post", "mid", "mlp_out", "out", "resid_post", "final_norm", "logits",
  ]
  // A site without a layer stands before the layers (`text.embed`) or after them (`text.final_norm`, `text.logits`).
  func key(_ point: String) -> (Int, Int, Int, String) {
    let words = point.split(separator: ".").map(String.init)
    let site = words.last ?? ""
    let layer = words.dropFirst().first.flatMap(Int.init) ?? (["final_norm", "logits"].contains(site) ? .max : -1)
    let place = sites.firstIndex(of: site) ?? sites.count
    return (towers.firstIndex(of: words.first ?? "") ?? towers.count, layer, place, point)
  }
  return points.sorted { key($0) < key($1) }
}
