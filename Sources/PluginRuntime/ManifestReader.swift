import Diagnostics
import Foundation

extension PluginManifest {
  package static let fileName = "plugin.json"
  static let sizeCap = 1 << 20
  private static let keys = [
    "ablate", "id", "version", "summary", "kind", "grade", "library", "abi", "params", "footprint", "licence", "golden",
    "flags", "plain",
  ]

  /// Reads and checks the file at `path`; unknown keys are errors with a suggestion, except those that begin with "x-".
  package init(path: String) throws(PluginError) {
    let fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)  // a pipe of this name must not hang the host
    guard fd >= 0 else { throw .missing(path: path, remedy: "a plugin is a folder with a plugin.json") }
    defer { close(fd) }
    try self.init(json: Data(CodeFile.bytes(of: fd, path: path)), path: path)
  }

  package init(json data: Data, path: String) throws(PluginError) {
    guard data.count <= Self.sizeCap else {
      throw .manifest(path: path, at: "", problem: "is \(data.count) bytes; at most \(Self.sizeCap) are read")
    }
    let root = Field(value: try JSONValue.parse(data, path: path), path: path, at: "")
    let top = try root.object(keys: Self.keys)
    guard try top.require("ablate").integer() == 1 else {
      throw try top.require("ablate").error("this host reads version 1 of plugin.json")
    }
    (self.path, source) = (path, data)
    id = try top.require("id").name()
    version = try top.require("version").text()
    summary = try top["summary"]?.text() ?? ""
    kind = try top.require("kind").choice(Kind.self)
    grade = try top.require("grade").choice(Grade.self)
    library = try top.require("library").fileName()
    let abi = try top.require("abi").object(keys: ["major", "min_minor"])
    abiMajor = try abi.require("major").integer()
    abiMinMinor = try abi.require("min_minor").integer()
    licence = try top.require("licence").text()
    golden = try top.require("golden").fileName()
    expectsNoChange = try Self.readFlags(top["flags"]).contains(.expectsNoChange)
    params = try Self.readParameters(top["params"])
    footprint = try top.require("footprint").list().map { entry throws(PluginError) in try Self.readFootprint(entry) }
    plain = nil
    if grade == .plain { plain = try readPlain(top.require("plain")) }
    try checkWhole(top)
  }

  private enum Flag: String, CaseIterable { case expectsNoChange = "expects_no_change" }

  private static func readFlags(_ field: Field?) throws(PluginError) -> [Flag] {
    try field?.list().map { flag throws(PluginError) in try flag.choice(Flag.self) } ?? []
  }

  private func checkWhole(_ top: Fields) throws(PluginError) {
    if grade != .plain, let plain = top["plain"] { throw plain.error("only \"grade\": \"plain\" has this key") }
    if footprint.isEmpty { throw try top.require("footprint").error("is empty: a plugin must say what it touches") }
    if kind == .probe, footprint.contains(where: { $0.access.contains(.write) }) {
      throw try top.require("footprint").error("a probe may only read: write \"access\": \"r\"")
    }
    if abiMajor != ABI.major {
      throw try top.require("abi").error("is major \(abiMajor); this host speaks \(ABI.major)")
    }
    if !(0...ABI.minor).contains(abiMinMinor) {
      throw try top.require("abi").error("needs minor \(abiMinMinor); this host speaks \(ABI.major).\(ABI.minor)")
    }
  }

  private static func readParameters(_ field: Field?) throws(PluginError) -> [ParameterSpec] {
    var specs: [ParameterSpec] = []
    for entry in try field?.list() ?? [] {
      let spec = try readParameter(entry)
      guard !specs.contains(where: { $0.id == spec.id }) else { throw entry.error("the id '\(spec.id)' is used twice") }
      specs.append(spec)
    }
    return specs
  }

  private static func readParameter(_ entry: Field) throws(PluginError) -> ParameterSpec {
    let fields = try entry.object(
      keys: ["id", "type", "doc", "unit", "min", "max", "default", "choices", "required"])
    let typeField = try fields.require("type")
    guard let type = ParameterSpec.Kind(name: try typeField.text()) else {
      throw typeField.error(
        "is no parameter type", suggestion(for: try typeField.text(), in: ParameterSpec.Kind.allCases.map(\.name)))
    }
    var spec = ParameterSpec(
      id: try fields.require("id").name(), type: type, doc: try fields.require("doc").text(),
      unit: try fields["unit"]?.text() ?? "", min: try fields["min"]?.number(), max: try fields["max"]?.number(),
      defaultValue: nil,
      choices: try fields["choices"]?.list().map { choice throws(PluginError) in try choice.text() } ?? [],
      required: try fields["required"]?.boolean() ?? false)
    try checkBounds(spec, entry)
    if let value = fields["default"] {
      if spec.required { throw value.error("a required parameter has no default") }
      do { spec.defaultValue = try spec.check(value.given()) } catch let misfit as ParameterSpec.Misfit {
        throw value.error(misfit.text)
      } catch let error as PluginError { throw error } catch { throw value.error("\(error)") }
    }
    return spec
  }

  private static func checkBounds(_ spec: ParameterSpec, _ entry: Field) throws(PluginError) {
    guard (spec.min == nil) == (spec.max == nil) else { throw entry.error("min and max stand together or not at all") }
    if let min = spec.min, let max = spec.max {
      guard min < max else { throw entry.error("min must be below max") }
      guard [.i64, .f64, .i64v].contains(spec.type) else { throw entry.error("only numbers have min and max") }
    }
    if !spec.choices.isEmpty, ![.str, .strv].contains(spec.type) {
      throw entry.error("only str and strv have choices")
    }
  }

  private static func readFootprint(_ entry: Field) throws(PluginError) -> Footprint {
    let fields = try entry.object(keys: ["tower", "sites", "access"])
    let access = try fields.require("access")
    guard let bits = Access(try access.text()) else { throw access.error("must be \"r\", \"w\" or \"rw\"") }
    let sites = try fields.require("sites").list().map { site throws(PluginError) in try site.text() }
    guard !sites.isEmpty else { throw try fields.require("sites").error("is empty; write [\"all\"] for every site") }
    return Footprint(tower: try fields.require("tower").text(), sites: sites, access: bits)
  }
}
