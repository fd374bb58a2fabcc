import Datasets
import Diagnostics
import Experiments
import Foundation
import Statistics

/// What the rows of a run say. Everything that a report shows is here as numbers; making it runs no model.
package struct RunSummary: Sendable {
  package let manifest: Manifest
  /// What is independent in the dataset: every interval and test clusters by it.
  package let unit: IndependentUnit
  package let size: Size
  package let warnings: [String]
  package let models: [ModelSummary]
  /// The planned comparisons, p values adjusted for their number.
  package let comparisons: [ComparisonSummary]

  package let receipts: [ReceiptTotal]
  package let provenance: JSON
  /// Kernels and threads, by model.
  package let engines: [(model: String, facts: JSON)]

  /// Of the program that ran it, as far as the provenance says.
  package var version: String { provenance["version"]?.string ?? "" }
  var datasetDigest: String? { provenance["dataset_digest"]?.string }

  package struct Size: Sendable {
    package var planned: Int
    package var completed: Int
    package var failed: Int
    package var examples: Int
    /// The images or clusters that they belong to.
    package var units: Int
    /// Seconds spent on the trials, over all sessions.
    package var seconds: Double
  }

  package init(_ store: RunStore) throws { self = try RunSummary.read(store).summary }

  /// The summary together with the rows that it was made of.
  static func read(_ store: RunStore) throws -> (summary: RunSummary, readings: RunReadings) {
    guard let session = try store.lastSession() else {
      throw ExperimentError.noRun(folder: store.path, what: "the run store is empty")
    }
    let manifest = try Manifest(yaml: session.manifest.pretty, file: "manifest.resolved.json")
    let readings = try RunReadings(store, manifest)
    return (try RunSummary(store, session, readings), readings)
  }

  private init(_ store: RunStore, _ session: RunStore.Session, _ readings: RunReadings) throws {
    (manifest, unit, provenance) = (readings.manifest, readings.unit, session.provenance)
    (receipts, engines) = (try store.receiptTotals(), try store.engineFacts())
    let totals = try store.totals()
    let failed = try store.failedTrials()
    let plan = session.provenance["plan"]
    let examples = plan?["examples"].flatMap(\.int) ?? 0
    size = Size(
      planned: plan?["trials"].flatMap(\.int) ?? totals.completed, completed: totals.completed, failed: failed.count,
      examples: examples, units: try store.independentUnits() ?? examples, seconds: totals.seconds)
    models = manifest.models.map { ModelSummary(model: $0.name, readings: readings) }
    comparisons = ComparisonSummary.planned(readings)
    let notes = RunSummary.warnings(of: try store.receiptNotes())
    let missing = try store.missingNumbers()
    let machines = RunSummary.warning(instructionSets: try store.instructionSets())
    warnings =
      RunSummary.warnings(size, failed) + machines + notes + missing + RunSummary.learned(engines)
      + RunSummary.leftOut(engines)
      + models.flatMap(\.warnings)
  }

  /// The notes of receipts that a reader must know. Facts stand in the receipts. Omissions differ from example to example, and are counted
  /// whatever the condition: what a control draws is the same under all of them.
  static func warnings(of notes: [RunStore.ReceiptNote]) -> [String] {
    var warnings: [String] = []
    var omissions: [(place: String, receipts: Int)] = []
    for note in notes {
      switch note.note.kind {
      case .fact: break
      case .warning:
        warnings.append(
          "\(note.plugin) (\(note.model), \(note.condition)): \(note.note.text), in \(note.trials) trials")
      case .omission:
        let place = "\(note.plugin) (\(note.model))"
        let index = omissions.firstIndex { $0.place == place } ?? omissions.count
        if index == omissions.count { omissions.append((place, 0)) }
        omissions[index].receipts += note.trials
      }
    }
    return warnings
      + omissions.map {
        "\($0.place): could not be asked about every part, in \($0.receipts) receipts, which name them"
      }
  }

  /// Parts of examples that a model was not asked about, by reason; "What computed" lists them one by one.
  private static func leftOut(_ engines: [(model: String, facts: JSON)]) -> [String] {
    var parts: [(reason: String, parts: [String])] = []
    for (model, facts) in engines {
      guard case .array(let entries)? = facts["left_out"] else { continue }
      for entry in entries {
        let reason = "\(entry["reason"]?.string ?? "") (\(model))"
        let part = "\(entry["example"]?.string ?? ""), \(entry["part"]?.string ?? "")"
        let index = parts.firstIndex { $0.reason == reason } ?? parts.count
        if index == parts.count { parts.append((reason, [])) }
        // An example that was run again for an added probe is noted twice.
        if !parts[index].parts.contains(part) { parts[index].parts.append(part) }
      }
    }
    return parts.map { "left out: \($0.parts.count) parts: \($0.reason); first: \($0.parts[0])" }
  }

  /// What fits of probes that learn had to say.
  private static func learned(_ engines: [(model: String, facts: JSON)]) -> [String] {
    engines.reduce(into: []) { words, engine in
      guard case .array(let caveats)? = engine.facts["fits"]?["caveats"] else { return }
      words += caveats.compactMap(\.string).filter { !words.contains($0) }
    }
  }

  /// The primary contrast of each model first.
  package var findings: [Finding] {
    let all = models.flatMap(\.findings)
    return all.filter { $0.kind == .primary } + all.filter { $0.kind != .primary }
  }

  private static func warning(instructionSets sets: [String]) -> [String] {
    sets.count < 2
      ? [] : ["computed on different instruction sets (\(sets.joined(separator: ", "))): the last digits may differ"]
  }

  private static func warnings(_ size: Size, _ failed: [RunStore.FailedTrial]) -> [String] {
    var words: [String] = []
    let left = size.planned - size.completed - failed.count
    if left > 0 { words.append("\(left) of \(size.planned) trials have not been run") }
    if let first = failed.first {
      let place = [first.model, first.example, first.condition].joined(separator: ", ")
      let who = [first.failure.plugin, first.failure.hookPoint].filter { !$0.isEmpty }.joined(separator: " at ")
      words.append(
        "\(failed.count) of \(size.planned) trials failed and are in no number below; first: \(place): "
          + (who.isEmpty ? "" : "\(who): ") + first.failure.reason)
    }
    return words
  }
}

extension JSON {
  var int: Int? { if case .int(let value) = self { value } else { nil } }
  var string: String? { if case .string(let value) = self { value } else { nil } }
}
