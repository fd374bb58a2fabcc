import Experiments
import Foundation
import PluginRuntime
import PluginRuntime

/// A manifest expanded with the engine's digests: what `run` and `plan` start from.
struct Experiment {
  let manifest: Manifest
  let plan: Plan
  private let search: PluginSearch

  init(manifestPath: String) throws {
    manifest = try Manifest(contentsOf: manifestPath)
    let folder = (manifestPath as NSString).deletingLastPathComponent
    search = PluginSearch(base: folder.isEmpty ? "." : folder)
    plan = try Plan(
      manifest: manifest, dataset: Dataset(manifest.dataset),
      fingerprints: Fingerprints(of: manifest, search: search))
  }

  func evaluator(of model: ModelReference) throws -> any Evaluator {
    try ModelEvaluator(manifest: manifest, model: model, search: search)
  }

  func firstEvaluator() throws -> (any Evaluator)? { try manifest.models.first.map(evaluator) }

  /// Facts about this start that are not in the manifest.
  var provenance: JSON {
    let host = ProcessInfo.processInfo
    return .object([
      ("schema", .string("ablate.provenance/1")), ("arguments", .strings(CommandLine.arguments)),
      ("started", .string(ISO8601DateFormatter().string(from: Date()))), ("host", .string(host.hostName)),
      ("system", .string(host.operatingSystemVersionString)), ("processors", .int(host.activeProcessorCount)),
    ])
  }
}
