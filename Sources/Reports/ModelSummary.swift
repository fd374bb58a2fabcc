import Datasets
import Experiments
import Foundation
import Statistics

/// One model's part of the summary.
package struct ModelSummary: Sendable {
  package let model: String
  /// What is independent.
  package let unit: IndependentUnit
  package let measure: Measure
  /// Hook points at which the analysis' probe read, in the order of the forward pass.
  package let points: [String]
  /// In the manifest's order; conditions without rows are left out.
  package let conditions: [ConditionSummary]
  /// In the manifest's order, the primary one first.
  package let contrasts: [ContrastSummary]
  /// The primary two-by-two read by other probes.
  package let controls: [ContrastSummary]
  package let sweeps: [SweepSummary]
  package let breakdown: Breakdown?
  /// Probes that learn.
  package let learned: [LearnedProbeSummary]
  /// The parts of the primary two-by-two with their four values.
  package let items: [Item]
  package let warnings: [String]

  /// A part of an image in the primary two-by-two.
  package struct Item: Sendable {
    package let example: String
    package let label: String
    package let className: String?
    package let cells: FourCells

    package var lossOn: Double { cells.visionCut - cells.clean }
    package var lossOff: Double { cells.bothCut - cells.textCut }
    package var compensation: Double { lossOff - lossOn }
  }

  init(model: String, readings: RunReadings) {
    let (manifest, measure) = (readings.manifest, readings.measure)
    (self.model, self.measure, unit) = (model, measure, readings.unit)
    let table = readings.table(model, measure)
    points = orderedHookPoints(table.points)
    conditions = manifest.conditions.compactMap { [points] condition in
      ConditionSummary(condition.name, points: points, model: model, readings: readings)
    }
    sweeps = manifest.sweeps.map { sweep in
      SweepSummary(
        sweep, table: readings.table(model, sweep.measure), unit: readings.unit, seed: UInt64(manifest.seed))
    }
    learned = LearnedProbeSummary.all(model, readings)
    guard let analysis = manifest.compensation, let primary = analysis.designs.first else {
      (contrasts, controls, items, breakdown, warnings) = ([], [], [], nil, [])
      return
    }
    contrasts = analysis.designs.map { design in
      ContrastSummary(
        design, table: table, unit: readings.unit, point: analysis.point,
        margin: design == primary ? analysis.margin : nil)
    }
    controls = analysis.controls.map { probe in
      var measure = analysis.measure
      measure.probe = probe
      return ContrastSummary(
        primary, table: readings.table(model, measure), unit: readings.unit, point: analysis.point, margin: nil)
    }
    items = ContrastSummary.items(primary, table, analysis.point)
    breakdown = Breakdown(items, design: primary, point: analysis.point, readings: readings, model: model)
    warnings = (contrasts + controls).compactMap { contrast in
      contrast.incomplete == 0
        ? nil
        : "\(model), \(contrast.name(beside: measure.probe)): \(contrast.incomplete) parts lack one of the four conditions and are left out"
    }
  }
}

package struct ConditionSummary: Sendable {
  package let name: String
  /// One per hook point of the model; nil where this condition has no rows.
  package let points: [PointSummary?]
  /// Readings taken once per trial.
  package let scalars: [RunStore.MeanRow]

  init?(_ name: String, points: [String], model: String, readings: RunReadings) {
    self.name = name
    let table = readings.table(model, readings.measure)
    var ranks = readings.measure
    ranks.metric = .rank
    let rankTable = readings.measure.metric.column == "rank" ? readings.table(model, ranks) : nil
    self.points = points.map { point in
      PointSummary(
        table.values(name, point), medianRank: rankTable.map { median($0.values(name, point).map(\.value)) })
    }
    scalars = readings.scalars.filter { $0.model == model && $0.condition == name }
    if self.points.allSatisfy({ $0 == nil }), scalars.isEmpty { return nil }
  }
}

/// The measure over all parts at one hook point.
package struct PointSummary: Sendable {
  package let mean: Double
  /// The 95 % interval of the mean, clustered; nil with fewer than two images or clusters.
  package let interval: ClosedRange<Double>?
  /// Of ranks: the median over parts.
  package let medianRank: Double?
  package let count: Int

  init?(_ values: [(part: PartInstance, value: Double)], medianRank: Double?) {
    guard !values.isEmpty else { return nil }
    mean = Statistics.mean(values.map(\.value))
    let estimate = try? clusteredMean(values.map(\.value), clusters: values.map(\.part.cluster))
    interval = estimate.map { $0.low...$0.high }
    self.medianRank = medianRank
    count = values.count
  }
}

/// The compensation contrast of one two-by-two.
package struct ContrastSummary: Sendable {
  package let design: TwoByTwo
  package let measure: Measure
  package let point: String
  package let parts: Int
  /// What is independent, and how many of it.
  package let unit: IndependentUnit
  package let units: Int
  /// Parts that were read in some but not in all of the four conditions.
  package let incomplete: Int
  /// The contrast, or why there is none.
  package let result: Result<Compensation, StatisticsError>

  /// - Parameter margin: only of the primary contrast.
  init(_ design: TwoByTwo, table: PartTable, unit: IndependentUnit, point: String, margin: Double?) {
    (self.design, self.point, self.unit, measure) = (design, point, unit, table.measure)
    let complete = table.complete(design.conditions.map { .init(condition: $0, point: point) })
    (parts, units, incomplete) = (complete.parts.count, Set(complete.clusters).count, complete.left)
    do throws(StatisticsError) {
      result = .success(try Compensation(FourCells.rows(complete, table.measure.metric), margin: margin))
    } catch { result = .failure(error) }
  }

  static func items(_ design: TwoByTwo, _ table: PartTable, _ point: String) -> [ModelSummary.Item] {
    let complete = table.complete(design.conditions.map { .init(condition: $0, point: point) })
    return zip(complete.parts, FourCells.rows(complete, table.measure.metric)).map { part, cells in
      ModelSummary.Item(example: part.example, label: part.label, className: part.className, cells: cells)
    }
  }

  /// `blind`, or `blind by lens_random` where another probe than the primary one reads.
  func name(beside primary: String) -> String {
    measure.probe == primary ? design.name : "\(design.name) by \(measure.probe)"
  }
}

extension FourCells {
  /// As costs: a metric of which more is better is turned about.
  static func rows(_ complete: PartTable.Complete, _ metric: Metric) -> [FourCells] {
    complete.parts.indices.map { row in
      let cost = complete.columns.map { metric.cost($0[row]) }
      return FourCells(
        cluster: complete.parts[row].cluster, clean: cost[0], visionCut: cost[1], textCut: cost[2], bothCut: cost[3])
    }
  }
}
