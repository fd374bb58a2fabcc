import Experiments
import Foundation
import Statistics

/// What one probe that learns knows at one hook point under one condition, of images that it has not learned from.
package struct LearnedProbeSummary: Sendable {
  package let probe: String
  package let condition: String
  package let point: String
  /// Shares of rows, mean over the items, 95 % interval clustered.
  package let accuracy: Estimate
  package let control: Estimate?
  /// Accuracy minus that of the control task, item by item.
  package let selectivity: Estimate?
  /// Of all rows together; nil without an online code.
  package let code: Code?

  package struct Code: Sendable, Equatable {
    /// The description length of the classes.
    package let bits: Double
    /// That of a code in which all classes are equal.
    package let uniform: Double
    package var compression: Double { uniform / bits }
  }

  /// The metrics whose rows are read.
  static let metrics = ["accuracy", "control_accuracy", "selectivity", "code_bits", "uniform_bits"]

  /// Every probe that learns, in the manifest's order.
  static func all(_ model: String, _ readings: RunReadings) -> [LearnedProbeSummary] {
    let manifest = readings.manifest
    return manifest.probes.filter { $0.fit != nil }.flatMap { probe in
      let points = orderedHookPoints(readings.table(model, measure(probe.name, "accuracy")).points)
      return manifest.conditions.flatMap { condition in
        points.compactMap { LearnedProbeSummary(probe.name, condition.name, $0, model, readings) }
      }
    }
  }

  static func measure(_ probe: String, _ metric: String) -> Measure {
    Measure(probe: probe, metric: .stored(metric), aggregation: .mean)
  }

  /// nil where there are no rows, or no two images.
  private init?(_ probe: String, _ condition: String, _ point: String, _ model: String, _ readings: RunReadings) {
    func estimate(_ metric: String) -> Estimate? {
      let values = readings.table(model, Self.measure(probe, metric)).values(condition, point)
      return try? clusteredMean(values.map(\.value), clusters: values.map(\.part.cluster))
    }
    func sum(_ metric: String) -> Double? {
      let found = readings.readings(model, Self.measure(probe, metric)).filter {
        $0.condition == condition && $0.point == point
      }
      return found.isEmpty ? nil : found.reduce(0) { $0 + $1.values.reduce(0, +) }
    }
    guard let accuracy = estimate("accuracy") else { return nil }
    (self.probe, self.condition, self.point, self.accuracy) = (probe, condition, point, accuracy)
    (control, selectivity) = (estimate("control_accuracy"), estimate("selectivity"))
    code = sum("code_bits").flatMap { bits in sum("uniform_bits").map { Code(bits: bits, uniform: $0) } }
  }
}

extension LearnedProbeSummary {
  fileprivate var cells: [String] {
    let shares: [Estimate?] = [accuracy, control, selectivity]
    let bits = code.map { [fixed($0.bits, 0), fixed($0.compression)] } ?? ["-", "-"]
    return [probe, condition, point] + shares.map { $0?.long ?? "-" } + bits
      + ["\(accuracy.count)", "\(accuracy.clusters)"]
  }
}

extension ModelSummary {
  /// Probe x condition x hook point.
  var learnedTable: TextTable? {
    guard !learned.isEmpty else { return nil }
    var table = TextTable(header: [
      "probe", "condition", "hook point", "accuracy", "control", "selectivity", "code, bits", "compression", "items",
      unit.plural,
    ])
    table.rows = learned.map(\.cells)
    return table
  }

  var learnedTitle: String {
    "probes that learn, on images that they have not learned from: accuracy, that of the control task (a random class for "
      + "each type of row), their difference, 95 % intervals by \(unit.singular); length of the online code and how many times "
      + "shorter it is than a uniform one"
  }
}
