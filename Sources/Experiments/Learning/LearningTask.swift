import Datasets
import Diagnostics
import PluginHost

/// The rows of one condition at one hook point, all images together: what a probe learns from, or is asked about.
package struct LearningRows {
  package struct Row {
    package var trial: Trial
    /// The independent unit that the row belongs to.
    package var unit: Int
    package var place: Features.Place
    /// What rows of one kind share, for the control task: the object and the part's word; of a label of the whole image the image.
    package var type: String
  }

  package private(set) var rows: [Row] = []
  package private(set) var width = 0
  /// [rows, width]
  package private(set) var values: [Float] = []

  package init() {}

  /// - Parameters:
  ///   - unit: the number of the example's unit.
  ///   - picture: says which picture it is.
  package mutating func add(
    _ features: Features, _ trial: Trial, unit: Int, picture: String, className: String?
  ) {
    width = max(width, features.width)
    values += features.values
    rows += features.places.map { place in
      let isPart = place.field.hasPrefix("part/")
      return Row(
        trial: trial, unit: unit, place: place,
        type: isPart ? "\(className ?? "")\u{0}\(place.text)" : "image \(picture)")
    }
  }

  /// The vectors of some rows, one after the other.
  func values(of chosen: [Int]) -> [Float] {
    var found: [Float] = []
    found.reserveCapacity(chosen.count * width)
    for row in chosen { found += values[(row * width)..<((row + 1) * width)] }
    return found
  }

  /// Whether every feature has one value in all rows.
  package var isConstant: Bool {
    rows.indices.dropFirst().allSatisfy { row in
      values[(row * width)..<((row + 1) * width)].elementsEqual(values[..<width])
    }
  }
}

/// What is to be told apart: the classes of a hook point's rows, and random ones for the control.
package struct LearningTask {
  /// Sorted.
  package private(set) var classes: [String]
  /// A class for each type of row, drawn as often as classes are frequent.
  package private(set) var random: [String: Int32]
  /// What a reader of the results must know.
  package private(set) var caveats: [String] = []

  /// - Parameter unit: what `fit.minImages` counts.
  /// - Throws: `learning` where there are not two classes.
  package init(
    _ data: LearningRows, folds: [UnitSplit], _ fit: FitDefinition, by unit: IndependentUnit = .image, probe: String,
    seed: UInt64
  ) throws {
    let units = Dictionary(grouping: data.rows, by: \.place.text).mapValues { Set($0.map(\.unit)) }
    let kept = units.filter { _, shown in
      shown.count >= fit.minImages && folds.allSatisfy { !shown.isSubset(of: $0.test) }
    }
    classes = kept.keys.sorted()
    let rare = units.keys.filter { kept[$0] == nil }.sorted()
    guard classes.count > 1 else {
      let found =
        units.isEmpty ? "no rows" : classes.first.map { "one class, '\($0)'" } ?? "no class in enough \(unit.plural)"
      throw ExperimentError.learning(
        probe: probe, what: "there is nothing to tell apart: \(found), of \(units.count) in the data",
        remedy: rare.isEmpty
          ? "take a label field with several words, or more examples"
          : "a class needs \(fit.minImages) \(unit.plural) (min_images): take more examples, or fewer")
    }
    if !rare.isEmpty {
      let names = rare.prefix(8).joined(separator: ", ") + (rare.count > 8 ? ", ..." : "")
      caveats.append("\(rare.count) classes are in fewer than \(fit.minImages) \(unit.plural) and left out: \(names)")
    }
    let index = Dictionary(classes.enumerated().map { ($1, Int32($0)) }) { first, _ in first }
    let targets = data.rows.compactMap { index[$0.place.text] }
    random = [:]
    for type in Set(data.rows.map(\.type)) {
      var draw = Draw(seed: seed, "control task", type)
      random[type] = targets[draw.below(targets.count)]
    }
    let types = Set(data.rows.filter { index[$0.place.text] != nil }.map(\.type)).count
    if fit.controlTask, types <= classes.count {
      caveats.append("the control task has no more types than classes: it is as easy, and selectivity says nothing")
    }
  }

  /// The class of each row; nil for rows that are left out.
  package func targets(_ rows: [LearningRows.Row], control: Bool) -> [Int32?] {
    let index = Dictionary(classes.enumerated().map { ($1, Int32($0)) }) { first, _ in first }
    return rows.map { row in
      guard let real = index[row.place.text] else { return nil }
      return control ? random[row.type] ?? real : real
    }
  }
}
