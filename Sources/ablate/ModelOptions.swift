import ArgumentParser
import Checkpoints
import Diagnostics
import Foundation
import Models
import PluginHost
import PluginRuntime
import Tensors

/// Options that name a model and one example.
struct ModelOptions: ParsableArguments {
  @Option(help: "A Hugging Face checkpoint folder, or the name of a bundled model.")
  var model: String

  func open() throws -> VisionLanguageModel {
    try VisionLanguageModel(folder: ModelLocator().folder(of: model), name: model)
  }
}

struct ExampleOptions: ParsableArguments {
  @Option(help: "A JPEG or PNG file.")
  var image: String?

  @Option(help: "The prompt, with <image> once in it.")
  var prompt: String?

  @Option(
    help:
      "A safetensors file with input_ids (I64) and pixel_values (F32, [3, size, size]), in place of image and prompt.")
  var inputs: String?

  /// The example as the model takes it.
  func input(_ model: VisionLanguageModel, newTokens: Int = 0) throws -> ModelInput {
    if let inputs {
      let file = try SafetensorsFile(inputs)
      let pixels = try file.floats("pixel_values")
      return try model.input(ids: try file.integers("input_ids"), pixels: pixels, newTokens: newTokens)
    }
    guard let image, let prompt else {
      throw ValidationError("give --image and --prompt, or --inputs")
    }
    return try model.input(ids: model.ids(prompt: prompt), pixels: model.pixels(of: image), newTokens: newTokens)
  }
}

struct PluginOptions: ParsableArguments {
  @Option(
    name: .customLong("plugin"),
    help: "NAME, a path, or NAME:key=value,key=value; several in their order. Lists: 0+3.")
  var plugins: [String] = []

  /// The plugins, in their order.
  func specs() throws -> [AttachmentSpec] {
    let search = PluginSearch(base: nil)
    return try plugins.map { text in
      let parts = text.split(separator: ":", maxSplits: 1).map(String.init)
      let manifest = try search.manifest(of: parts[0])
      return .plugin(manifest, parameters: try parameters(parts.count > 1 ? parts[1] : "", of: manifest))
    }
  }

  /// `key=value,key=value`; a comma inside a value, as in `layers=0-2,-1`, belongs to it unless `key=` follows.
  private func parameters(_ text: String, of manifest: PluginManifest) throws -> [String: GivenValue] {
    var given: [String: GivenValue] = [:]
    var last: String?
    for piece in text.split(separator: ",") {
      let pair = piece.split(separator: "=", maxSplits: 1).map(String.init)
      if pair.count == 2 {
        given[pair[0]] = .text(pair[1])
        last = pair[0]
      } else if let key = last, case .text(let value)? = given[key] {
        given[key] = .text(value + "," + pair[0])
      } else {
        throw ValidationError("--plugin \(manifest.id): '\(piece)' is not key=value")
      }
    }
    return given
  }
}

/// Interventions form the condition; probes stand beside it.
func session(_ model: VisionLanguageModel, _ specs: [AttachmentSpec]) throws -> Session {
  func isProbe(_ spec: AttachmentSpec) -> Bool {
    if case .plugin(let manifest, _) = spec { manifest.kind == .probe } else { false }
  }
  let probes = specs.filter(isProbe).enumerated().map { (name: "probe\($0.0)", spec: $0.1) }
  return try Session(
    model, conditions: [(name: "condition", steps: specs.filter { !isProbe($0) })], probes: probes, seed: 0)
}

/// Warnings of a single pass; a plugin that failed or matched nothing is an error.
func check(_ outcome: ConditionOutcome) throws {
  if let failure = outcome.failure {
    throw PluginError.failed(plugin: failure.plugin, at: failure.point, reason: failure.reason)
  }
  for receipt in outcome.receipts {
    if receipt.notApplicable {
      throw PluginError.failed(plugin: receipt.plugin, at: "selectors", reason: "matched nothing in this example")
    }
    if let note = receipt.note { FileHandle.standardError.write(Data("warning: \(receipt.plugin) \(note)\n".utf8)) }
  }
}

func printJSON(_ object: [String: Any]) throws {
  let data = try JSONSerialization.data(withJSONObject: object, options: [.sortedKeys, .withoutEscapingSlashes])
  print(String(decoding: data, as: UTF8.self))
}
