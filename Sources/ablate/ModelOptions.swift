import ArgumentParser
import Checkpoints
import Diagnostics
import Foundation
import Models
import PluginHost
import PluginRuntime
import PluginStore
import Tensors

extension ComputeType: ExpressibleByArgument {}

/// Options that name a model and one example.
struct ModelOptions: ParsableArguments {
  @Option(help: "A Hugging Face checkpoint folder, org/name[@revision] in the local cache, or a bundled name.")
  var model: String

  @Option(help: "What linear layers compute in: f32, or bf16 for speed at a cost in precision (ablate model agree).")
  var dtype = ComputeType.f32

  func open() throws -> VisionLanguageModel {
    try VisionLanguageModel(folder: ModelLocator().folder(of: model), name: model, dtype: dtype)
  }
}

struct ExampleOptions: ParsableArguments {
  @Option(help: "A JPEG, PNG or WebP file.")
  var image: String?

  @Option(help: "The prompt, with <image> once in it.")
  var prompt: String?

  @Option(
    help:
      "A safetensors file with input_ids (I64) and pixel_values (F32, [3, size, size]; of LLaVA-NeXT [tiles, 3, size, size] with image_sizes, [height, width]), in place of image and prompt."
  )
  var inputs: String?

  /// The example as the model takes it.
  func input(_ model: VisionLanguageModel, newTokens: Int = 0) throws -> ModelInput {
    if let inputs { return try input(model, from: SafetensorsFile(inputs), newTokens: newTokens) }
    guard let image, let prompt else { throw UsageError.example("an image and a prompt are needed") }
    return try model.input(prompt: prompt, image: RGBImage(contentsOf: image), newTokens: newTokens)
  }

  /// Before a model is opened: what is given belongs together.
  func check() throws {
    let given = [image, prompt].compactMap { $0 }.count
    if inputs == nil, given < 2 { throw UsageError.example("an image and a prompt are needed") }
    if inputs != nil, given > 0 { throw UsageError.example("--inputs stands in place of --image and --prompt") }
  }

  private func input(_ model: VisionLanguageModel, from file: SafetensorsFile, newTokens: Int) throws -> ModelInput {
    let ids = try file.integers("input_ids")
    let shape = file.entries["input_ids"]?.shape ?? []
    guard shape.last == ids.count, !ids.isEmpty else {
      throw CheckpointError.malformed(
        path: file.path, at: "input_ids",
        problem: "shape \(shape), but one prompt is expected: [tokens] or [1, tokens]",
        remedy: "write one example to a file")
    }
    do {
      let sizes = file.entries["image_sizes"] == nil ? [] : try file.integers("image_sizes")
      let layout =
        sizes.count == 2 && sizes.allSatisfy { (1...1_000_000).contains($0) }
        ? model.configuration.layout(width: sizes[1], height: sizes[0]) : nil
      return try model.input(ids: ids, pixels: try file.floats("pixel_values"), layout: layout, newTokens: newTokens)
    } catch .input(let place, let problem, let remedy) as ModelError {
      throw ModelError.input(place: "\(file.path): \(place)", problem: problem, remedy: remedy)
    }
  }
}

struct MemoryOptions: ParsableArguments {
  @Option(
    name: .customLong("memory"),
    help: ArgumentHelp(
      "Memory that the conditions of one example may take at a time; more conditions run in several packs. By default half of what is "
        + "available.", valueName: "GiB"))
  var gibibytes: Double?

  func validate() throws {
    guard gibibytes.map({ $0 > 0 && $0 < 1e6 }) ?? true else {
      throw ValidationError("--memory must be a positive number of GiB")
    }
  }
}

struct PluginOptions: ParsableArguments {
  @Option(
    name: .customLong("plugin"),
    help:
      "NAME, a path, or NAME:key=value,key=value; several in their order. Lists: 0+3. Tensors: file.safetensors#name.")
  var plugins: [String] = []

  @OptionGroup var executor: ExecutorOptions

  @OptionGroup var audit: AuditOptions

  @Flag(help: "Compute every row, needed or not.")
  var noReuse = false

  /// The plugins, in their order.
  func specs() throws -> [AttachmentSpec] {
    audit.start()
    let (search, keys) = (PluginSearch(base: nil), try KnownKeys())
    return try plugins.map { text in
      let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
      guard !parts[0].isEmpty else {
        throw UsageError.plugin(text, problem: "a plugin's name is needed", known: search.available())
      }
      let manifest = try search.manifest(of: parts[0])
      let parameters = try Self.parameters(parts.count > 1 ? parts[1] : "", of: manifest)
      let trust = try Trust(
        PluginDossier(manifest), isBundled: search.isBundled(manifest), lock: nil, keys: keys)
      return .plugin(manifest, parameters: parameters, placement: executor.asked ?? trust.placement)
    }
  }

  /// `key=value,key=value`; a comma inside a value, as in `layers=0-2,-1`, belongs to it unless `key=` follows.
  static func parameters(_ text: String, of manifest: PluginManifest) throws -> [String: GivenValue] {
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
        throw UsageError.plugin(manifest.id, problem: "'\(piece)' is not key=value", known: [])
      }
    }
    return try manifest.readingTensors(given)
  }
}

/// What is wrong with the words of a command beyond what its parser sees.
enum UsageError: DiagnosedError {
  case example(String)
  case plugin(String, problem: String, known: [String])
  case hookPoints(String)
  case line(String)
  case matchedNothing(plugin: String)

  var diagnosis: Diagnosis {
    switch self {
    case .example(let problem):
      Diagnosis(problem, at: "command line", remedy: "give --image and --prompt, or --inputs alone", exit: .usage)
    case .plugin(let text, let problem, let known):
      Diagnosis(
        problem, at: "--plugin '\(text)'",
        remedy: known.isEmpty
          ? "write NAME:key=value,key=value" : "write NAME or NAME:key=value; known: " + known.joined(separator: ", "),
        exit: .usage)
    case .hookPoints(let text):
      Diagnosis(
        "no hook point is named", at: "--at '\(text)'", remedy: "for example text.*.resid_post,logits", exit: .usage)
    case .line(let text):
      Diagnosis("the line is not a JSON string", at: "'\(text)'", remedy: "write one string in quotes", exit: .badData)
    case .matchedNothing(let plugin):
      Diagnosis(
        "matched nothing in this example", at: "plugin \(plugin), selectors",
        remedy: "change its rows or layers; masks exist only in a dataset", exit: .pluginFailure)
    }
  }
}

/// Interventions form the condition; probes stand beside it.
func session(_ model: VisionLanguageModel, _ specs: [AttachmentSpec], reuse: Bool) throws -> Session {
  func isProbe(_ spec: AttachmentSpec) -> Bool {
    if case .plugin(let manifest, _, _, _) = spec { manifest.kind == .probe } else { false }
  }
  let probes = specs.filter(isProbe).enumerated().map { ProbeSpec(name: "probe\($0.0)", spec: $0.1) }
  return try Session(
    model, conditions: [(name: "condition", steps: specs.filter { !isProbe($0) })], probes: probes, seed: 0,
    reuse: reuse)
}

/// Warnings of a single pass; a plugin that failed or matched nothing is an error.
func check(_ outcome: ConditionOutcome) throws {
  if let failure = outcome.failure {
    throw PluginError.failed(plugin: failure.plugin, at: failure.point, reason: failure.reason)
  }
  for receipt in outcome.receipts {
    if receipt.notApplicable {
      throw UsageError.matchedNothing(plugin: receipt.plugin)
    }
    guard let note = receipt.note else { continue }
    let kind = note.kind == .warning ? "warning" : "note"
    FileHandle.standardError.write(Data("\(kind): \(receipt.plugin) \(note.text)\n".utf8))
  }
}

func printJSON(_ object: [String: Any]) throws {
  let data = try JSONSerialization.data(withJSONObject: object, options: [.sortedKeys, .withoutEscapingSlashes])
  print(String(decoding: data, as: UTF8.self))
}
