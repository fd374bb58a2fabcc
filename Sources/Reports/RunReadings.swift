import Datasets
import Experiments
import Foundation

/// The rows that a report asks for, read once.
final class RunReadings {
  let manifest: Manifest
  /// What is independent in the dataset.
  let unit: IndependentUnit
  let scalars: [RunStore.MeanRow]
  private let store: RunStore
  private var columns: [Column: [String: [PartReading]]] = [:]
  private var tables: [Table: PartTable] = [:]

  private struct Column: Hashable {
    var probe: String
    var metric: String
  }

  private struct Table: Hashable {
    var model: String
    var probe: String
    var metric: Metric
    var aggregation: Aggregation
  }

  init(_ store: RunStore, _ manifest: Manifest) throws {
    self.store = store
    self.manifest = manifest
    unit = try store.independentUnit()
    scalars = try store.scalarMeans()
    try load(measure)
    for control in manifest.compensation?.controls ?? [] {
      try load(Measure(probe: control, metric: measure.metric))
    }
    for sweep in manifest.sweeps { try load(sweep.measure) }
    for comparison in manifest.comparisons { try load(comparison) }
    for probe in manifest.probes where probe.fit != nil {
      for metric in LearnedProbeSummary.metrics { try load(LearnedProbeSummary.measure(probe.name, metric)) }
    }
    try load(Measure(probe: measure.probe, metric: .rank))
    try load(Measure(probe: measure.probe, metric: .probability))
  }

  /// The primary contrast's; without an analysis the ranks of the first probe are shown, if it gives any.
  var measure: Measure { manifest.compensation?.measure ?? Measure(probe: manifest.probes.first?.name ?? "") }

  /// Reads the rows that `measure` is made of, unless that was done.
  func load(_ measure: Measure) throws {
    let column = Column(probe: measure.probe, metric: measure.metric.column)
    guard columns[column] == nil else { return }
    let readings = try store.partReadings(probe: column.probe, metric: column.metric)
    columns[column] = Dictionary(grouping: readings, by: \.model)
  }

  func load(_ comparison: Comparison) throws {
    for side in [comparison.a, comparison.b].flatMap({ comparison.sides(of: $0, in: manifest) }) {
      try load(side.measure)
    }
  }

  /// What was read of one model; empty unless it was loaded.
  func readings(_ model: String, _ measure: Measure) -> [PartReading] {
    columns[Column(probe: measure.probe, metric: measure.metric.column)]?[model] ?? []
  }

  /// The words that the probe of `measure` reads at one part; empty where it was not asked for words.
  func words(_ model: String, _ item: ModelSummary.Item, _ measure: Measure) throws -> [PartWords] {
    try store.partWords(model: model, example: item.example, probe: measure.probe, label: item.label)
  }

  func table(_ model: String, _ measure: Measure) -> PartTable {
    let key = Table(
      model: model, probe: measure.probe, metric: measure.metric, aggregation: measure.aggregation)
    if let known = tables[key] { return known }
    let table = PartTable(readings(model, measure), measure: measure)
    tables[key] = table
    return table
  }
}
