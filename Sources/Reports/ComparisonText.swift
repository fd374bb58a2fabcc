import Diagnostics
import Experiments
import Foundation
import Statistics

extension ComparisonSummary {
  /// `lens - tuned on demo-control`
  package var title: String {
    let place = model.isEmpty ? "" : " on \(model)"
    let under = comparison.kind == .condition ? "" : ", under \(comparison.condition)"
    return "\(comparison.a) - \(comparison.b)\(place)\(under)"
  }

  /// One sentence per hook point, with what must be known of it.
  package var sentences: [String] {
    guard !points.isEmpty else { return ["\(title): A and B share no hook point."] }
    return points.enumerated().map { index, point in
      let caveats = caveats(point).map { "\($0.prefix(1).uppercased())\($0.dropFirst())." }
      return ([sentence(point, index)] + caveats).joined(separator: " ")
    }
  }

  private func sentence(_ point: AtPoint, _ index: Int) -> String {
    let units = unit.counted(Set(point.items.map(\.cluster)).count)
    let under = seeds.map { ", under \(counted($0, "seed"))" } ?? ""
    let at = point.point.isEmpty ? "" : "at \(point.point), "
    let place =
      "\(title) (\(comparison.measure.metric.name), \(at)\(counted(point.items.count, "item")) in \(units)\(under)): "
    switch point.result {
    case .failure(let reason): return place + "no comparison, \(reason.words(unit))."
    case .success(let found):
      let difference = place + "\(fixed(found.meanA, 3)) - \(fixed(found.meanB, 3)) = \(found.difference.long)"
      let test = "sign-flip \(words(ofP: found.signFlip.p))\(found.signFlip.isExact ? " exact" : "")"
      let crossed = found.crossed == nil ? "" : ", crossed with seeds \(words(ofP: found.p))"
      let adjusted = adjustedP[index].map { ", \(grid == nil ? "Holm" : "max-statistic") \(words(ofP: $0))" } ?? ""
      return "\(difference), \(test)\(crossed)\(adjusted): \(verdict(found, index))."
    }
  }

  /// With several hook points or comparisons, what holds for all of them together decides.
  func verdict(_ found: PairedDifference, _ index: Int) -> String {
    let isClear = (grid?.cells[index].estimate.excludesZero ?? true) && (adjustedP[index] ?? 0) < 0.05
    guard isClear, found.verdict != .notDistinguishable else {
      return "not distinguishable; \(fixed(found.detectable, 3)) could have been found four times in five"
    }
    guard let smaller = comparison.measure.metric.smallerIsBetter else {
      return "\(found.verdict == .aHigher ? comparison.a : comparison.b) is higher"
    }
    let isABetter = (found.verdict == .aHigher) != smaller
    return "\(isABetter ? comparison.a : comparison.b) is better"
  }

  /// Hook point x every number.
  var table: TextTable {
    var table = TextTable(header: [
      "A - B", "A", "B", "difference, t interval", "BCa interval", "p, sign-flip", "p, adjusted", "d_z", "detectable",
      "items", unit.plural,
    ])
    for (index, point) in points.enumerated() {
      guard case .success(let found) = point.result else { continue }
      table.rows.append([
        point.point.isEmpty ? comparison.measure.metric.name : point.point, fixed(found.meanA, 3),
        fixed(found.meanB, 3),
        found.difference.long,
        found.bootstrap.map { "[\(fixed($0.lowerBound, 3)), \(fixed($0.upperBound, 3))]" } ?? "-",
        fixed(found.signFlip.p, 4), adjustedP[index].map { fixed($0, 4) } ?? "-",
        found.effectSize.map { fixed($0) } ?? "-",
        fixed(found.detectable, 3), "\(point.items.count)", "\(found.difference.clusters)",
      ])
    }
    return table
  }

  package var json: JSON {
    let points = points.enumerated().map { index, point -> JSON in
      var fields: [(String, JSON)] = [
        ("point", .string(point.point)), ("items", .int(point.items.count)),
        ("only_a", .int(point.unmatched.a)), ("only_b", .int(point.unmatched.b)),
        ("caveats", .strings(caveats(point))),
      ]
      switch point.result {
      case .failure(let reason): fields.append(("refused", .string(reason.words(unit))))
      case .success(let found):
        fields += found.fields
        if let p = adjustedP[index] { fields.append(("p_adjusted", .double(p))) }
        fields.append(("finding", .string(verdict(found, index))))
      }
      return .object(fields)
    }
    return .object([
      ("name", .string(comparison.name)), ("model", .string(model)), ("comparison", comparison.json),
      ("cluster_by", .string(unit.key)), ("seeds", seeds.map(JSON.int) ?? .null),
      ("points", .array(points)),
    ])
  }
}

extension PairedDifference {
  fileprivate var fields: [(String, JSON)] {
    [
      ("clusters", .int(difference.clusters)), ("mean_a", .double(meanA)), ("mean_b", .double(meanB)),
      ("difference", .double(difference.mean)), ("standard_error", .double(difference.standardError)),
      ("t_interval", .array([.double(difference.low), .double(difference.high)])), ("p_t", .double(p)),
      ("bca_interval", bootstrap.map { .array([.double($0.lowerBound), .double($0.upperBound)]) } ?? .null),
      ("p_sign_flip", .double(signFlip.p)), ("sign_flip_exact", .bool(signFlip.isExact)),
      ("effect_size", effectSize.map { .double($0) } ?? .null), ("detectable", .double(detectable)),
      (
        "mcnemar",
        mcnemar.map {
          .object([("only_a", .int($0.onlyA)), ("only_b", .int($0.onlyB)), ("p", .double($0.p))])
        } ?? .null
      ),
      (
        "variance",
        crossed.map {
          .object([
            ("clusters", .double($0.betweenClusters)), ("seeds", .double($0.betweenSeeds)),
            ("interaction", .double($0.interaction)), ("degrees", .double($0.estimate.degrees)),
          ])
        } ?? .null
      ),
    ]
  }
}

extension Estimate {
  /// `0.123 [0.101, 0.145]`
  var long: String { "\(fixed(mean, 3)) [\(fixed(low, 3)), \(fixed(high, 3))]" }
}

extension ComparisonSummary {
  /// One comparison, named on the command line.
  ///
  /// - Parameter named: makes it from the run's manifest.
  package static func all(
    in folder: String, named comparison: (Manifest) throws -> Comparison
  ) throws -> [ComparisonSummary] {
    let (summary, readings) = try RunSummary.read(RunReport.store(in: folder))
    let comparison = try comparison(summary.manifest)
    try readings.load(comparison)
    let found = all(comparison, readings)
    guard found.contains(where: { $0.points.contains { !$0.items.isEmpty } }) else {
      throw ExperimentError.comparison(
        what:
          "'\(comparison.a)' and '\(comparison.b)' have no item with a number of '\(comparison.measure.metric.name)' in "
          + "common",
        remedy: "`ablate report` shows which probes, metrics and hook points the run has")
    }
    return found
  }

  package static func text(_ all: [ComparisonSummary]) -> String {
    all.map { comparison in
      ([comparison.title] + comparison.table.aligned(indent: "  ") + comparison.sentences).joined(separator: "\n")
        + "\n"
    }.joined(separator: "\n")
  }

  package static func json(_ all: [ComparisonSummary]) -> JSON {
    .object([("schema", .string("ablate.compare/1")), ("comparisons", .array(all.map(\.json)))])
  }

  /// How many images or clusters find a true difference of `effect`, hook point by hook point.
  package func power(effect: Double, power: Double) -> [String] {
    points.map { point in
      let place = "\(title)\(point.point.isEmpty ? "" : " at \(point.point)")"
      guard case .success(let found) = point.result else { return "\(place): nothing is known of the spread" }
      guard found.difference.standardError > 0 else {
        return "\(place): no spread between \(unit.plural), any two would do"
      }
      let pilot = found.crossed.map { Power($0, power: power) } ?? Power(found.difference, power: power)
      guard let units = pilot.clusters(for: effect) else {
        return "\(place): no number of \(unit.plural) finds it under \(counted(seeds ?? 1, "seed")); "
          + "the spread between seeds is too large: take more seeds"
      }
      let under = seeds.map { ", under \(counted($0, "seed"))" } ?? ""
      return
        "\(place): \(unit.counted(units)) find a difference of \(fixed(effect, 3)) with a chance of \(percent(power))"
        + "\(under); the run's \(found.difference.clusters) find one of \(fixed(found.detectable, 3)) four times in five"
    }
  }
}
