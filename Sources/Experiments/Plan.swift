import Datasets
import Diagnostics

/// The digests and versions on which a trial's numbers depend beside the manifest. The engine gives them.
package struct Fingerprints: Sendable, Equatable {
  /// Digest of every model of the manifest, by its name there.
  package var models: [String: String]
  /// Digest of every plugin of the manifest (the bytes of the library, or of its declaration), by its name there.
  package var plugins: [String: String]
  /// Digest of every file of vectors that an edit takes, by its path, and of every tensor that a plugin takes, by the
  /// text that names it.
  package var vectors: [String: String]
  package var dtype: String
  package var imageBackend: String
  /// Changes whenever the same inputs may give other bits on one machine: the engine's version and its library's.
  package var numerics: String
  /// Of this machine, as oneDNN calls it. Rows of two of them agree within a bound and not in their bits. It is recorded
  /// and is no part of a trial's key: whether they may stand in one run is for `RunSession` to say.
  package var instructionSet: String

  package init(
    models: [String: String], plugins: [String: String], vectors: [String: String] = [:], dtype: String,
    imageBackend: String, numerics: String, instructionSet: String
  ) {
    self.models = models
    self.plugins = plugins
    self.vectors = vectors
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

  package init(key: String, model: String, example: String, condition: String) {
    (self.key, self.model, self.example, self.condition) = (key, model, example, condition)
  }
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
  /// What probes learn from beside the dataset, by the probe's name.
  package let training: [String: Dataset]

  package init(manifest: Manifest, dataset: Dataset, fingerprints: Fingerprints) throws {
    self.manifest = manifest
    self.dataset = dataset
    self.fingerprints = fingerprints
    let training = try manifest.probes.compactMap { probe in
      try probe.fit?.train.map { (probe.name, try Dataset($0)) }
    }
    self.training = Dictionary(training) { first, _ in first }
    let learned = self.training
    probes =
      try manifest.probes.map { probe in
        let identity = try fingerprints.identity(of: probe, [dataset] + (learned[probe.name].map { [$0] } ?? []))
        return (probe.name, SHA256.hex(identity.compact))
      }
      + manifest.readings.map { ($0.rawValue, Plan.digest(of: $0, manifest)) }
    let settings = JSON.object(
      [
        ("seed", .int(manifest.seed)), ("mask_rule", manifest.maskRule.json), ("dtype", .string(fingerprints.dtype)),
        ("image_backend", .string(fingerprints.imageBackend)), ("numerics", .string(fingerprints.numerics)),
      ] + Plan.words(manifest, dataset))
    trials = try manifest.models.flatMap { model in
      let modelDigest = try fingerprints.digest(ofModel: model.name)
      let sources = try PatchSources(manifest, dataset, fingerprints, model: model.name)
      return try dataset.examples.flatMap { example in
        try manifest.conditions.map { condition in
          let identity: [JSON] = [
            .string("trial 1"), .strings([model.name, modelDigest]), .strings([example.id, example.digest]),
            .string(condition.name), .array(sources.steps(of: condition.name)), settings,
          ]
          let key = SHA256.hex(JSON.array(identity + (try sources.identity(of: condition, on: example))).compact)
          return Trial(key: key, model: model.name, example: example.id, condition: condition.name)
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

  /// The words that a control may draw depend on the whole slice of the dataset.
  private static func words(_ manifest: Manifest, _ dataset: Dataset) -> [(String, JSON)] {
    guard manifest.probes.contains(where: { $0.control == .randomWord }) else { return [] }
    let counts = dataset.examples.wordCounts.map { ($0.word, JSON.int($0.count)) }
    return [("words", .string(SHA256.hex(JSON.object(counts).compact)))]
  }

  /// Only readings of the generated answer depend on how much is generated.
  private static func digest(of reading: Reading, _ manifest: Manifest) -> String {
    let settings: [JSON] =
      switch reading {
      // The answer stands in the row's text; it stood in its label before.
      case .accuracy: [.int(manifest.maxNewTokens), .string("text")]
      case .displacement: [manifest.displacement.json]
      case .answerLogprob, .kl: []
      }
    return SHA256.hex(JSON.array([.string("reading 1"), .string(reading.rawValue)] + settings).compact)
  }
}

extension Fingerprints {
  fileprivate func digest(ofModel name: String) throws -> String {
    guard let digest = models[name] else {
      throw ExperimentError.evaluator(model: name, example: "", what: "the model has no digest")
    }
    return digest
  }

  /// What a probe that learns says of one example depends on all the others; where they lie is no part of it, nor where its code runs.
  fileprivate func identity(of probe: ProbeDefinition, _ datasets: [Dataset]) throws -> JSON {
    var probe = probe
    probe.use.executor = nil
    probe.fit?.train?.path = ""
    let taken = models.keys.sorted().flatMap { tensors(of: probe.use, model: $0) }
    return .array(
      [.string(try digest(ofPlugin: probe.use.plugin)), probe.json] + taken
        + (probe.fit == nil ? [] : [.strings(datasets.map(\.digest))]))
  }

  /// Digests of the tensors that a plugin takes.
  private func tensors(of use: PluginUse, model: String) -> [JSON] {
    use.parameters.compactMap { parameter in
      guard case .string(let text) = parameter.value else { return nil }
      return vectors[text.replacing("<model>", with: model)].map { .string($0) }
    }
  }

  /// What a step is: its spelling with the digest of its plugin or file. Where it stands in the manifest is no part of it, nor where its
  /// code runs.
  fileprivate func identity(of step: ConditionStep, model: String) throws -> JSON {
    switch step {
    case .plugin(var use):
      use.executor = nil
      return .array([.string(try digest(ofPlugin: use.plugin)), use.json] + tensors(of: use, model: model))
    case .edit(var edit):
      if let file = edit.vectorFile { edit.vectorFile?.path = vectors[file.path(model: model)] ?? "" }
      return ConditionStep.edit(edit).json
    case .image: return step.json
    }
  }

  private func digest(ofPlugin name: String) throws -> String {
    guard let digest = plugins[name] else {
      throw ExperimentError.evaluator(model: "", example: "", what: "the plugin '\(name)' has no digest")
    }
    return digest
  }
}

/// What the patches of conditions read, for the trial keys of one model.
private struct PatchSources {
  let manifest: Manifest
  let examples: [Example]
  /// By condition.
  private let steps: [String: [JSON]]

  init(_ manifest: Manifest, _ dataset: Dataset, _ fingerprints: Fingerprints, model: String) throws {
    (self.manifest, examples) = (manifest, dataset.examples)
    let all = try manifest.conditions.map { condition in
      (condition.name, try condition.steps.map { try fingerprints.identity(of: $0, model: model) })
    }
    steps = Dictionary(all) { $1 }
  }

  func steps(of condition: String) -> [JSON] { steps[condition] ?? [] }

  /// The runs that are patched from: their example, where it is another, their steps, and what they are patched from in turn. Empty where
  /// nothing is patched.
  func identity(of condition: ConditionDefinition, on example: Example) throws -> [JSON] {
    try condition.steps.compactMap(\.from).compactMap { from in
      guard let source = manifest.conditions.first(where: { $0.name == from.condition }) else { return nil }
      let other = try from.item.map { try examples.source($0, of: example.id, seed: manifest.seed) }
      return .array(
        [.strings(other.map { [$0.id, $0.digest] } ?? []), .array(steps(of: source.name))]
          + (try identity(of: source, on: other ?? example)))
    }
  }
}
