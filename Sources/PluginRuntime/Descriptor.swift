import Diagnostics
import PluginABI

/// Checks the tables behind the entry symbol, every field, and compares them with `plugin.json`.
enum Descriptor {
  /// The plugin of the manifest's id in a library's tables.
  static func find(
    _ manifest: PluginManifest, in library: UnsafePointer<ablate_library>, path: String
  ) throws(PluginError) -> UnsafePointer<ablate_plugin> {
    do {
      let plugins = try checkLibrary(library)
      var ids: [String] = []
      var found: UnsafePointer<ablate_plugin>?
      for (i, plugin) in plugins.enumerated() {
        let id = try checkPlugin(plugin, ForeignReader(at: "plugins[\(i)]"))
        guard !ids.contains(id) else {
          throw ForeignReader.Fault(field: "plugins[\(i)].id", problem: "'\(id)' is used twice")
        }
        ids.append(id)
        if id == manifest.id { found = plugin }
      }
      guard let found else {
        throw PluginError.mismatch(
          path: path, field: "id", library: ids.joined(separator: ", "), manifest: manifest.id)
      }
      try compare(found, manifest, path)
      return found
    } catch let error as PluginError {
      throw error
    } catch let fault as ForeignReader.Fault {
      throw .descriptor(path: path, field: fault.field, problem: fault.problem)
    } catch {
      throw .descriptor(path: path, field: "", problem: "\(error)")
    }
  }

  private static func checkLibrary(
    _ pointer: UnsafePointer<ablate_library>
  ) throws(ForeignReader.Fault) -> [UnsafePointer<ablate_plugin>] {
    let reader = ForeignReader(at: "library")
    let library = pointer.pointee
    guard ABI.accepts(library.struct_size, as: ablate_library.self) else {
      throw reader.fault("struct_size", ABI.sizeProblem(library.struct_size, as: ablate_library.self))
    }
    guard library.abi_major == ABLATE_ABI_MAJOR else {
      throw reader.fault("abi_major", "is \(library.abi_major); this host speaks \(ABI.major)")
    }
    guard library.pointer_bits == UInt32(UInt.bitWidth) else {
      throw reader.fault("pointer_bits", "is \(library.pointer_bits), not \(UInt.bitWidth)")
    }
    guard (1...256).contains(library.n_plugins), let table = library.plugins else {
      throw reader.fault(
        "plugins", "\(library.plugins == nil ? "NULL" : "a table") with a count of \(library.n_plugins)")
    }
    var plugins: [UnsafePointer<ablate_plugin>] = []
    for i in 0..<Int(library.n_plugins) {
      guard let plugin = table[i] else { throw reader.fault("plugins[\(i)]", "is NULL") }
      plugins.append(plugin)
    }
    return plugins
  }

  /// Gives the plugin's id.
  private static func checkPlugin(
    _ pointer: UnsafePointer<ablate_plugin>, _ reader: ForeignReader
  ) throws(ForeignReader.Fault) -> String {
    let size = UnsafeRawPointer(pointer).load(as: UInt32.self)
    guard ABI.accepts(size, as: ablate_plugin.self) else {
      throw reader.fault("struct_size", ABI.sizeProblem(size, as: ablate_plugin.self))
    }
    let plugin = pointer.pointee
    let id = try reader.string(plugin.id, "id")
    _ = try reader.string(plugin.version, "version")
    guard plugin.kind == ABLATE_INTERVENTION || plugin.kind == ABLATE_PROBE else {
      throw reader.fault("kind", "is \(plugin.kind); 1 is an intervention, 2 a probe")
    }
    guard plugin.threading <= 2 else { throw reader.fault("threading", "is \(plugin.threading), not 0, 1 or 2") }
    guard plugin.determinism <= 2 else { throw reader.fault("determinism", "is \(plugin.determinism), not 0, 1 or 2") }
    guard plugin.flags & ~ABLATE_EXPECTS_NO_CHANGE == 0 else {
      throw reader.fault("flags", "has bits that minor \(ABI.minor) does not know: \(plugin.flags)")
    }
    for (name, present) in [
      ("create", plugin.create != nil), ("destroy", plugin.destroy != nil), ("plan", plugin.plan != nil),
    ] where !present {
      throw reader.fault(name, "is NULL, but required")
    }
    return id
  }

  private static func compare(
    _ pointer: UnsafePointer<ablate_plugin>, _ manifest: PluginManifest, _ path: String
  ) throws {
    let plugin = pointer.pointee
    let reader = ForeignReader(at: "plugin \(manifest.id)")
    func agree(_ field: String, _ library: String, _ file: String) throws(PluginError) {
      guard library == file else { throw .mismatch(path: path, field: field, library: library, manifest: file) }
    }
    try agree("version", try reader.string(plugin.version, "version"), manifest.version)
    let kind: PluginManifest.Kind = plugin.kind == ABLATE_PROBE ? .probe : .intervention
    try agree("kind", kind.rawValue, manifest.kind.rawValue)
    let still = plugin.flags & ABLATE_EXPECTS_NO_CHANGE != 0
    try agree("expects_no_change", "\(still)", "\(manifest.expectsNoChange)")
    let params = try reader.structs(plugin.params, plugin.n_params, "params")
    try agree("the number of params", "\(params.count)", "\(manifest.params.count)")
    for (i, (param, spec)) in zip(params, manifest.params).enumerated() {
      let declared = try readParameter(param, ForeignReader(at: "params[\(i)]"))
      try agree("params[\(i)].id", declared.id, spec.id)
      try agree("\(spec.id).type", declared.type.name, spec.type.name)
      try agree("\(spec.id).required", "\(declared.required)", "\(spec.required)")
      try agree("\(spec.id).choices", "\(declared.choices)", "\(spec.choices)")
      try agree("\(spec.id).min", spell(declared.min), spell(spec.min))
      try agree("\(spec.id).max", spell(declared.max), spell(spec.max))
      try agree("\(spec.id).default", spell(declared.defaultValue), spell(defaultInTables(spec)))
      if !declared.doc.isEmpty { try agree("\(spec.id).doc", declared.doc, spec.doc) }
      if !declared.unit.isEmpty { try agree("\(spec.id).unit", declared.unit, spec.unit) }
    }
  }

  /// Text for people may be left out of the tables; everything else must be there.
  private static func readParameter(
    _ param: ablate_param, _ reader: ForeignReader
  ) throws(ForeignReader.Fault) -> ParameterSpec {
    guard let type = ParameterSpec.Kind(rawValue: param.type) else {
      throw reader.fault("type", "is \(param.type), which minor \(ABI.minor) does not know")
    }
    guard param.flags & ~ABLATE_PARAM_REQUIRED == 0 else { throw reader.fault("flags", "has unknown bits") }
    guard param.n_choices <= 256 else { throw reader.fault("n_choices", "is \(param.n_choices)") }
    var choices: [String] = []
    for i in 0..<Int(param.n_choices) {
      guard let table = param.choices else { throw reader.fault("choices", "is NULL") }
      choices.append(try reader.string(table[i], "choices[\(i)]"))
    }
    let bounded = param.min != 0 || param.max != 0
    let text = try reader.optionalString(param.def_str, "def_str")
    let standard: ParameterValue? =
      switch type {
      case .bool: .bool(param.def_int != 0)
      case .i64: .integer(param.def_int)
      case .f64: .number(param.def)
      case .str, .selector: text.map { .string($0) }
      case .i64v, .strv, .tensor: nil
      }
    return ParameterSpec(
      id: try reader.string(param.id, "id"), type: type, doc: try reader.optionalString(param.doc, "doc") ?? "",
      unit: try reader.optionalString(param.unit, "unit") ?? "", min: bounded ? param.min : nil,
      max: bounded ? param.max : nil, defaultValue: standard, choices: choices,
      required: param.flags & ABLATE_PARAM_REQUIRED != 0)
  }

  /// The tables cannot say that a number has no default, nor give one to a list: both read as 0 or absent.
  private static func defaultInTables(_ spec: ParameterSpec) -> ParameterValue? {
    switch (spec.type, spec.defaultValue) {
    case (.bool, nil): .bool(false)
    case (.i64, nil): .integer(0)
    case (.f64, nil): .number(0)
    case (.selector, .selector(let text)?): .string(text)
    case (.i64v, _), (.strv, _), (.tensor, _): nil
    case (_, let value): value
    }
  }

  private static func spell(_ value: Double?) -> String { value.map { "\($0)" } ?? "none" }
  private static func spell(_ value: ParameterValue?) -> String { value?.spelled ?? "none" }
}
