import Checkpoints
import Datasets
import Diagnostics
import Foundation
import PluginHost
import PluginRuntime
import Tensors

extension Manifest {
  /// Reads a manifest. Paths in it are relative to the manifest's folder.
  package init(contentsOf path: String) throws {
    guard FileManager.default.fileExists(atPath: path) else {
      throw ExperimentError.missing(
        place: path, what: "there is no such manifest", remedy: "manifests/quick.yaml is one that ships")
    }
    guard let data = FileManager.default.contents(atPath: path) else {
      throw ExperimentError.file(path: path, what: "the manifest cannot be read")
    }
    guard data.count <= 1 << 20, let text = String(validating: data, as: UTF8.self) else {
      throw ExperimentError.manifest(place: path, what: "not UTF-8 text of at most one MiB", remedy: "")
    }
    try self.init(yaml: text, file: path)
  }

  /// - Parameter file: how errors call it; relative paths in the manifest start at its folder.
  package init(yaml: String, file: String) throws {
    let root = try ManifestNode.parse(yaml, file: file)
    let fields = try root.fields(known: Manifest.keys)
    let version = try fields.required("ablate")
    guard try version.int(in: 0...(.max)) == Manifest.schemaVersion else {
      throw version.refuse(
        "this program reads manifests of version \(Manifest.schemaVersion)", remedy: "write 'ablate: 1'")
    }
    let folder = (file as NSString).deletingLastPathComponent
    name = try Manifest.name(fields.required("name"))
    seed = try fields["seed"]?.int(in: 0...(.max)) ?? 0
    models = try Manifest.models(fields.required("models"), folder: folder)
    dtype = try fields["dtype"].map(Manifest.dtype) ?? .f32
    dataset = try Manifest.dataset(fields.required("dataset"), folder: folder)
    maskRule = try fields["mask_rule"].map(Manifest.maskRule) ?? .coverage(0.5)
    conditions = try Manifest.conditions(fields.required("conditions"), folder: folder)
    let conditionNames = conditions.map(\.name)
    probes = try fields["probes"].map { try Manifest.probes($0, conditions: conditionNames, folder: folder) } ?? []
    readings = try fields["readings"].map(Manifest.readings) ?? []
    maxNewTokens = try fields["generate"].map(Manifest.maxNewTokens) ?? 16
    displacement = try fields["displacement"].map(Manifest.displacement) ?? .standard
    (compensation, sweeps, comparisons) = (nil, [], [])
    try readAnalysis(fields)
    try checkReadings(fields["readings"] ?? root, generate: fields["generate"])
  }

  static let keys = [
    "ablate", "name", "seed", "models", "dtype", "dataset", "mask_rule", "conditions", "probes", "readings", "generate",
    "displacement", "analysis", "compare",
  ]

  // MARK: the sections

  private static func name(_ node: ManifestNode) throws -> String {
    let name = try node.string()
    let isPlain = name.utf8.allSatisfy { byte in
      (48...57).contains(byte) || (65...90).contains(byte) || (97...122).contains(byte) || "_-.".utf8.contains(byte)
    }
    guard isPlain, name.utf8.first != UInt8(ascii: ".") else {
      throw node.refuse(
        "\(node.named) cannot be '\(name)'", remedy: "letters, digits, '_', '-' and '.', not starting with '.'")
    }
    return name
  }

  private static func dtype(_ node: ManifestNode) throws -> ComputeType {
    let text = try node.string()
    guard let type = ComputeType(rawValue: text) else {
      throw node.refuse("\(node.named) cannot be '\(text)'", remedy: "f32, or bf16 for speed at a cost in precision")
    }
    return type
  }

  private static func models(_ node: ManifestNode, folder: String) throws -> [ModelReference] {
    let items = try node.list()
    guard !items.isEmpty else { throw node.refuse("no model is named") }
    var models: [ModelReference] = []
    for item in items {
      let word = try item.string()
      let isPath = word.contains("/") || word.hasPrefix(".")
      let name = isPath ? ((word as NSString).standardizingPath as NSString).lastPathComponent : word
      guard !models.contains(where: { $0.name == name }) else {
        throw item.refuse("two models are called '\(name)'", remedy: "rows could not be told apart")
      }
      models.append(ModelReference(name: name, location: location(word, isPath: isPath, folder: folder)))
    }
    return models
  }

  /// `org/name` is in the Hugging Face cache, unless there is a folder of this name beside the manifest.
  private static func location(_ word: String, isPath: Bool, folder: String) -> ModelReference.Location {
    guard isPath else { return .bundled(word) }
    let path = path(word, from: folder)
    guard let hub = HubName(word), !FileManager.default.fileExists(atPath: path) else { return .folder(path) }
    return .hub(hub)
  }

  static func dataset(_ node: ManifestNode, folder: String) throws -> DatasetReference {
    let fields = try node.fields(known: ["path", "limit", "offset", "cluster"])
    return DatasetReference(
      path: path(try fields.required("path").string(), from: folder),
      limit: try fields["limit"]?.int(in: 1...(.max)),
      offset: try fields["offset"]?.int(in: 0...(.max)) ?? 0,
      cluster: try fields["cluster"]?.string())
  }

  /// `word`, relative to the manifest's folder unless absolute.
  private static func path(_ word: String, from folder: String) -> String {
    let word = word.count > 1 && word.hasSuffix("/") ? String(word.dropLast()) : word
    guard !word.hasPrefix("/") else { return word }
    return ((folder.isEmpty ? "." : folder) as NSString).appendingPathComponent(word)
  }

  private static func maskRule(_ node: ManifestNode) throws -> MaskRule {
    guard node.isMapping else { return try node.choice(["any", "centre"]) == "any" ? .any : .centre }
    let share = try node.fields(known: ["coverage"]).required("coverage")
    let value = try share.double()
    guard value > 0, value <= 1 else { throw share.refuse("a share is above 0 and at most 1") }
    return .coverage(value)
  }

  private static func conditions(_ node: ManifestNode, folder: String) throws -> [ConditionDefinition] {
    func step(_ node: ManifestNode) throws -> ConditionStep { try Manifest.step(node, folder: folder) }
    let children = try node.namedChildren()
    guard !children.isEmpty else { throw node.refuse("no condition is named", remedy: "'clean: []' is the simplest") }
    var conditions: [ConditionDefinition] = []
    for (name, child) in children {
      let made =
        child.value.isMapping
        ? try ConditionSweep(named: name, child.value).conditions(step)
        : [ConditionDefinition(name: name, steps: try child.value.list().map(step))]
      for condition in made {
        guard !conditions.contains(where: { $0.name == condition.name }) else {
          throw child.value.refuse("two conditions are called '\(condition.name)'", remedy: "rename one of them")
        }
        conditions.append(condition)
      }
    }
    try checkSources(conditions)
    return conditions
  }

  /// Patches come from conditions that exist, and never from themselves.
  private static func checkSources(_ conditions: [ConditionDefinition]) throws {
    do {
      _ = try PatchOrder(conditions.map { ($0.name, $0.steps.compactMap(\.from?.origin)) })
    } catch {
      let place = conditions.first { $0.name == error.condition }?.steps.compactMap(\.from).first?.place
      throw ExperimentError.manifest(place: place ?? "conditions.\(error.condition)", what: error.text, remedy: "")
    }
  }

  private static func step(_ node: ManifestNode, folder: String) throws -> ConditionStep {
    let fields = try node.fields(known: ["plugin", "with", "from", "executor", "edit", "input"])
    guard let child = fields["edit"] ?? fields["input"] else { return .plugin(try PluginUse(node)) }
    guard fields.children.count == 1 else {
      throw node.refuse("a step is either a plugin, an edit or an input", remedy: "make several steps of it")
    }
    if fields["edit"] != nil { return .edit(try EditDefinition(child, folder: folder)) }
    let word = try child.fields(known: ["image"]).required("image").choice(InputImage.allCases.map(\.rawValue))
    return .image(InputImage(rawValue: word) ?? .blank)
  }

  private static func probes(
    _ node: ManifestNode, conditions: [String], folder: String
  ) throws -> [ProbeDefinition] {
    try node.namedChildren().flatMap { name, child in
      guard Reading(rawValue: name) == nil else {
        throw child.value.refuse("'\(name)' is the name of a built-in reading", remedy: "give the probe another name")
      }
      let fields = try child.value.fields(known: ["plugin", "with", "executor", "control", "fit", "seeds", "seed"])
      let control = try fields["control"]?.choice(ProbeControl.allCases.map(\.rawValue))
      if let node = fields["control"], fields["fit"] != nil {
        throw node.refuse("a probe that learns has a control of its own", remedy: "fit: { control_task: true }")
      }
      let seed = try fields["seed"].map { try Seeds.resolved($0, of: name) }
      let probe = ProbeDefinition(
        name: Seeds.base(name, seed), use: try PluginUse(child.value),
        control: control.flatMap(ProbeControl.init(rawValue:)),
        fit: try fields["fit"].map { try FitDefinition($0, conditions: conditions, folder: folder) })
      let seeds: [Int?] = try fields["seeds"].map(Seeds.read) ?? [seed]
      return seeds.map { seed in
        var repetition = probe
        (repetition.name, repetition.seed) = (Seeds.name(probe.name, seed), seed)
        return repetition
      }
    }
  }

  private static func readings(_ node: ManifestNode) throws -> [Reading] {
    var readings: [Reading] = []
    for item in try node.list() {
      guard let reading = Reading(rawValue: try item.choice(Reading.allCases.map(\.rawValue))) else { continue }
      guard !readings.contains(reading) else { throw item.refuse("'\(reading.rawValue)' is named twice") }
      readings.append(reading)
    }
    return readings
  }

  private static func maxNewTokens(_ node: ManifestNode) throws -> Int {
    try node.fields(known: ["max_new_tokens"]).required("max_new_tokens").int(in: 0...65536)
  }

  private static func displacement(_ node: ManifestNode) throws -> Displacement {
    let fields = try node.fields(known: ["at", "tokens"])
    var displacement = Displacement.standard
    if let at = fields["at"] {
      displacement.points = try at.list().map { try $0.string() }
      guard !displacement.points.isEmpty else { throw at.refuse("no hook point is named") }
    }
    displacement.tokens = try fields["tokens"]?.string() ?? displacement.tokens
    return displacement
  }

  private func checkReadings(_ node: ManifestNode, generate: ManifestNode?) throws {
    if readings.contains(.accuracy), maxNewTokens == 0 {
      throw (generate ?? node).refuse("'accuracy' needs generated tokens", remedy: "max_new_tokens of at least 1")
    }
    if readings.contains(.kl), !conditions.contains(where: \.steps.isEmpty) {
      throw node.refuse("'kl' compares with a clean run and no condition is empty", remedy: "add 'clean: []'")
    }
    if readings.contains(.displacement), !conditions.contains(where: \.steps.isEmpty) {
      throw node.refuse(
        "'displacement' compares with a clean run and no condition is empty", remedy: "add 'clean: []'")
    }
    if probes.isEmpty, readings.isEmpty {
      throw node.refuse("neither probes nor readings: the run would leave no rows", remedy: "readings: [accuracy]")
    }
  }
}

extension PluginUse {
  init(_ node: ManifestNode) throws {
    let fields = try node.fields(known: ["plugin", "with", "from", "executor", "control", "fit", "seeds", "seed"])
    plugin = try fields.required("plugin").string()
    from = try fields["from"].map { try PatchReference($0, withLayer: false) }
    parameters = try fields["with"].map(PluginUse.parameters) ?? []
    executor = try fields["executor"].flatMap { Executor(rawValue: try $0.choice(Executor.allCases.map(\.rawValue))) }
    place = node.place
  }

  private static func parameters(_ node: ManifestNode) throws -> [Parameter] {
    try node.namedChildren().map { name, child in
      Parameter(name: name, value: try child.value.parameterValue(), place: child.keyPlace)
    }
  }
}
