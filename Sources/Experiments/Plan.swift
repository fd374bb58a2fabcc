import Datasets
import Diagnostics

/// The digests and versions on which a trial's numbers depend beside the manifest. The engine gives them.
package struct Fingerprints: Sendable, Equatable {
  /// Digest of every model of the manifest, by its name there.
  package var models: [String: String]
  /// Digest of every plugin of the manifest (the bytes of the library, or of its declaration), by its name there.
  package var plugins: [String: String]
  package var dtype: String
  package var imageBackend: String
  /// Changes whenever the same inputs may give other bits on one machine: the engine's version and its library's.
  package var numerics: String
  /// Of this machine, as oneDNN calls it. Rows of two of them agree within a bound and not in their bits. It is recorded
  /// and is no part of a trial's key: whether they may stand in one run is for `RunSession` to say.
  package var instructionSet: String

  package init(
    models: [String: String], plugins: [String: String], dtype: String, imageBackend: String, numerics: String,
    instructionSet: String
  ) {
    self.models = models
    self.plugins = plugins
    self.dtype = dtype
    self.imageBackend = imageBackend
    self.numerics = numerics
    self.instructionSet = instructionSet
  }
}

/// One example under one condition on one model.
package struct Trial: Sendable, Equatable {
  /// SHA-256 over everything that the numbers depend on, known before anything runs.
  package var key: String
  package var model: String
  package var example: String
  package var condition: String
}

/// A manifest expanded: a fixed list of trials in the order models > examples > conditions.
package struct Plan: Sendable {
  package let manifest: Manifest
  package private(set) var dataset: Dataset
  package let fingerprints: Fingerprints
  package private(set) var trials: [Trial]
  /// Digest of what each probe and built-in reading is, in the order of the manifest. A trial's reading is done when the
  /// store has its mark, so that an added probe computes only what is missing.
  package let probes: [(name: String, digest: String)]
  /// SHA-256 over the keys of all trials and what is read of them; a part has that of the whole.
  package let digest: String
  /// That of the dataset's slice; a part has that of the whole.
  package let datasetDigest: String

  package init(manifest: Manifest, dataset: Dataset, fingerprints: Fingerprints) throws {
    self.manifest = manifest
    self.dataset = dataset
    self.fingerprints = fingerprints
    let conditions = try manifest.conditions.map { condition in
      (condition.name, try condition.steps.map { try fingerprints.identity(of: $0) })
    }
    probes =
      try manifest.probes.map { ($0.name, SHA256.hex(try fingerprints.identity(of: .plugin($0.use)).compact)) }
      + manifest.readings.map { ($0.rawValue, Plan.digest(of: $0, manifest)) }
    let settings = JSON.object([
      ("seed", .int(manifest.seed)), ("mask_rule", manifest.maskRule.json), ("dtype", .string(fingerprints.dtype)),
      ("image_backend", .string(fingerprints.imageBackend)), ("numerics", .string(fingerprints.numerics)),
    ])
    trials = try manifest.models.flatMap { model in
      let modelDigest = try fingerprints.digest(ofModel: model.name)
      return dataset.examples.flatMap { example in
        conditions.map { condition, steps in
          let identity: [JSON] = [
            .string("trial 1"), .strings([model.name, modelDigest]), .strings([example.id, example.digest]),
            .string(condition), .array(steps), settings,
          ]
          let key = SHA256.hex(JSON.array(identity).compact)
          return Trial(key: key, model: model.name, example: example.id, condition: condition)
        }
      }
    }
    digest = SHA256.hex((trials.map(\.key) + probes.flatMap { [$0.name, $0.digest] }).joined(separator: "\n"))
    datasetDigest = dataset.digest
  }

  /// The trials of some examples, under the keys that they have in the whole.
  package func part(of examples: Set<String>) -> Plan {
    var part = self
    part.dataset.examples.removeAll { !examples.contains($0.id) }
    part.trials.removeAll { !examples.contains($0.example) }
    return part
  }

  /// Only readings of the generated answer depend on how much is generated.
  private static func digest(of reading: Reading, _ manifest: Manifest) -> String {
    let tokens = reading == .accuracy ? [JSON.int(manifest.maxNewTokens)] : []
    return SHA256.hex(JSON.array([.string("reading 1"), .string(reading.rawValue)] + tokens).compact)
  }
}

extension Fingerprints {
  fileprivate func digest(ofModel name: String) throws -> String {
    guard let digest = models[name] else {
      throw ExperimentError.evaluator(model: name, example: "", what: "the model has no digest")
    }
    return digest
  }

  /// What a step is: its spelling with the digest of its plugin. Where it stands in the manifest is no part of it.
  fileprivate func identity(of step: ConditionStep) throws -> JSON {
    guard let plugin = step.plugin else { return step.json }
    guard let digest = plugins[plugin] else {
      throw ExperimentError.evaluator(model: "", example: "", what: "the plugin '\(plugin)' has no digest")
    }
    return .array([.string(digest), step.json])
  }
}
