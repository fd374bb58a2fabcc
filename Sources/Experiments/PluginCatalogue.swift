import Checkpoints
import Diagnostics
import Foundation
import Models
import PluginHost
import PluginRuntime
import Tensors

/// Turns what a manifest says of plugins and models into what the host and the engine take.
struct PluginCatalogue {
  let search: PluginSearch
  var places = PluginPlaces()

  /// - Parameter model: the model's name, for files of vectors that belong to one.
  func spec(of step: ConditionStep, model: String) throws -> AttachmentSpec {
    switch step {
    case .plugin(let use): return try spec(of: use, model: model)
    case .edit(let edit):
      var request = edit.request
      request.vectors = try edit.vectorFile.map { try PointVectors(contentsOf: $0.path(model: model)) }
      return .edit(ManifestEdit(name: edit.operation.rawValue, request: request, place: edit.place))
    case .image(let image): return .image(image)
    }
  }

  func spec(of use: PluginUse, model: String) throws -> AttachmentSpec {
    let manifest = try search.manifest(of: use.plugin)
    var given = Dictionary(use.parameters.map { ($0.name, $0.value.given) }) { $1 }
    for text in tensorTexts(of: use, manifest) {
      given[text.parameter] = .text(text.file.replacing("<model>", with: model))
    }
    return .plugin(
      manifest, parameters: try manifest.readingTensors(given, folder: search.base), from: use.from?.origin,
      placement: places[use])
  }

  /// What a use says for parameters of type `tensor`: `file.safetensors#name`; `<model>` stands for the model's name.
  private func tensorTexts(of use: PluginUse, _ manifest: PluginManifest) -> [(parameter: String, file: String)] {
    use.parameters.compactMap { parameter in
      guard case .string(let text) = parameter.value,
        manifest.params.contains(where: { $0.id == parameter.name && $0.type == .tensor })
      else { return nil }
      return (parameter.name, text)
    }
  }

  /// The files of a use's tensors, by their text; each is digested into the trial's key.
  func tensorFiles(of use: PluginUse, model: String) throws -> [(text: String, path: String)] {
    try tensorTexts(of: use, search.manifest(of: use.plugin)).map { _, file in
      let text = file.replacing("<model>", with: model)
      return (text, TensorFile(text, folder: search.base).path)
    }
  }

  /// Digest of what a plugin is: its library's bytes and its plugin.json. Nothing is loaded.
  func digest(of name: String) throws -> String {
    let manifest = try search.manifest(of: name)
    guard let library = FileManager.default.contents(atPath: manifest.libraryPath),
      let json = FileManager.default.contents(atPath: manifest.path)
    else { throw PluginError.missing(path: manifest.libraryPath, remedy: "build it: make plugins") }
    return SHA256.hex(SHA256.hex(library) + SHA256.hex(json))
  }
}

/// Where the code of an experiment's plugins runs: the command line decides, else the manifest, else whether it is trusted.
package struct PluginPlaces: Sendable {
  /// On the command line, for all of them.
  private let asked: Placement?
  /// By the name that the experiment gives a plugin; one that is not here is not trusted.
  private let byTrust: [String: Placement]

  package init(asked: Placement? = nil, byTrust: [String: Placement] = [:]) {
    (self.asked, self.byTrust) = (asked, byTrust)
  }

  /// For code that was compiled with the one who asks.
  package static let inProcess = PluginPlaces(asked: Placement(.inProcess, .asked(by: "the caller")))

  package subscript(use: PluginUse) -> Placement {
    asked ?? use.executor.map { Placement($0, .asked(by: "the manifest")) } ?? byTrust[use.plugin]
      ?? Placement(.worker, .untrusted)
  }
}

extension Manifest {
  /// The plugins of its conditions and probes.
  package var uses: [PluginUse] { conditions.flatMap { $0.steps.compactMap(\.use) } + probes.map(\.use) }

  /// Their names, sorted.
  package var pluginNames: [String] { Set(uses.map(\.plugin)).sorted() }
}

extension Fingerprints {
  /// Of the models and plugins that a manifest names, from their files; no model is packed and no plugin is run.
  package init(of manifest: Manifest, search: PluginSearch) throws {
    let catalogue = PluginCatalogue(search: search)
    let models = try manifest.models.map { reference in
      let folder = try reference.folder()
      let files = ["config.json", "tokenizer.json", "preprocessor_config.json", "processor_config.json"].map { file in
        FileManager.default.contents(atPath: "\(folder)/\(file)").map { SHA256.hex($0) } ?? "absent"
      }
      return (reference.name, SHA256.hex(try WeightFiles(folder: folder).digest + files.joined()))
    }
    let plugins = try manifest.pluginNames.map { ($0, try catalogue.digest(of: $0)) }
    let files = manifest.conditions.flatMap { $0.steps.compactMap(\.vectorFile) }
    let tensors = try manifest.models.flatMap { model in
      try manifest.uses.flatMap { try catalogue.tensorFiles(of: $0, model: model.name) }.map { text, path in
        guard let data = FileManager.default.contents(atPath: path) else {
          throw PluginError.missing(path: path, remedy: "a parameter names it; paths begin at the manifest's folder")
        }
        return (text, data.withUnsafeBytes { SHA256.hex($0) })
      }
    }
    let vectors = try manifest.models.flatMap { model in
      try files.map { file in
        let path = file.path(model: model.name)
        guard let data = FileManager.default.contents(atPath: path) else {
          throw ExperimentError.missing(
            place: file.place, what: "there is no file \(path)",
            remedy: "make it: ablate mean --model \(model.name) ...")
        }
        return (path, data.withUnsafeBytes { SHA256.hex($0) })
      }
    }
    let engine = Engine.provenance
    self.init(
      models: Dictionary(models) { $1 }, plugins: Dictionary(plugins) { $1 },
      vectors: Dictionary(vectors + tensors) { $1 },
      dtype: manifest.dtype.rawValue, imageBackend: ImageProcessor.backend, numerics: "1, oneDNN \(engine.version)",
      instructionSet: engine.isa)
  }
}

extension ModelReference {
  func folder() throws -> String {
    switch location {
    case .bundled(let name): try ModelLocator().folder(of: name)
    case .folder(let path): path
    case .hub(let name): try HubCache().folder(of: name)
    }
  }
}

extension ParameterValue {
  var given: GivenValue {
    switch self {
    case .bool(let value): .bool(value)
    case .int(let value): .integer(Int64(value))
    case .double(let value): .number(value)
    case .string(let value): .text(value)
    case .list(let values): .list(values.map(\.given))
    }
  }
}

extension EditDefinition {
  var request: EditRequest {
    let operation: EditRequest.Operation =
      switch self.operation {
      case .drop: .edgeDrop
      case .keepOnly: .edgeKeepOnly
      case .bias: .edgeBias
      case .zero: .edgeZero
      case .scale: .siteScale
      case .set: .siteSet
      case .add: .siteAdd
      case .patch: .sitePatch
      }
    let onEmpty: EditRequest.OnEmpty =
      switch self.onEmpty {
      case .error: .error
      case .toSelf: .itself
      case .zero: .zero
      }
    return EditRequest(
      operation: operation, tower: tower.rawValue, site: site, layers: .selector(layers), heads: heads,
      queries: .selector(operation.isEdge ? queries : tokens), keys: .selector(keys), value: value,
      vector: vector.isEmpty ? nil : TensorValue(shape: [vector.count], values: vector.map(Float.init)),
      sourceCondition: from?.condition, sourceItem: from?.item, sourceLayer: from?.layer, keepSelf: keepSelf,
      onEmpty: onEmpty)
  }
}

extension ConditionStep {
  fileprivate var use: PluginUse? { if case .plugin(let use) = self { use } else { nil } }

  var vectorFile: VectorFile? { if case .edit(let edit) = self { edit.vectorFile } else { nil } }
}

extension PointVectors {
  /// Reads what `ablate mean` wrote.
  init(contentsOf path: String) throws {
    let file = try SafetensorsFile(path)
    guard let digest = file.metadata["model_digest"] else {
      throw CheckpointError.malformed(
        path: path, at: "metadata", problem: "does not say of which model the vectors are",
        remedy: "write it with ablate mean")
    }
    let vectors = try file.entries.keys.map { ($0, try file.floats($0).values) }
    self.init(path: path, modelDigest: digest, byPoint: Dictionary(vectors) { $1 })
  }
}
