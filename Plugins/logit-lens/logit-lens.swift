// logit-lens: reads the residual stream through the unembedding, layer by layer, at the patches of each part of an
// item.
//
// For every label field "part/..." it asks for the rank, logit and log-probability of that label at the rows of the
// mask of the same name. The host answers within the pass; this file only asks, and gives the answers their names.
import Glibc
import PluginABI

/// Memory lent to the host, freed when this is.
final class Lent {
  private var blocks: [UnsafeMutableRawPointer] = []
  deinit { for block in blocks { block.deallocate() } }

  func array<T>(_ values: [T]) -> UnsafeMutablePointer<T> {
    let block = UnsafeMutablePointer<T>.allocate(capacity: max(values.count, 1))
    block.initialize(from: values, count: values.count)
    blocks.append(block)
    return block
  }
  func text(_ text: String) -> UnsafePointer<CChar> {
    UnsafePointer(array(text.utf8.map { CChar(bitPattern: $0) } + [0]))
  }
}

/// Elements of an array of the header's structs, in steps of the writer's struct_size.
func elements<T>(_ start: UnsafePointer<T>?, _ count: UInt64) -> [T] {
  guard count > 0, let raw = UnsafeRawPointer(start) else { return [] }
  let step = Int(raw.load(as: UInt32.self))
  return (0..<Int(count)).map { (raw + $0 * step).load(as: T.self) }
}

final class LogitLens {
  struct Question { var field, tower, site: String }

  let host: UnsafePointer<ablate_host>
  var sites = ["projector.out", "text.resid_post"], layers = "all"
  var tokens: String?, field = "part", reading = ablate_reading()
  var lanes: [UInt32: (labels: [String], questions: [Question])] = [:]
  var lent = Lent()

  /// nil where the vocabulary cannot be read: "known", "all", or ids such as "0-31999".
  init?(_ host: UnsafePointer<ablate_host>, known: Int32, _ values: [ablate_value]) {
    self.host = host
    reading.struct_size = UInt32(MemoryLayout<ablate_reading>.size)
    reading.op = ABLATE_READ_LENS
    for value in values {
      let text = value.s.map { String(cString: $0) } ?? ""
      switch String(cString: value.id) {
      case "sites" where value.n > 0: sites = (0..<Int(value.n)).map { String(cString: value.sv[$0]!) }
      case "layers": layers = text
      case "tokens": tokens = text
      case "labels": field = text
      case "norm": reading.normed = text == "final" ? 1 : 0
      case "vocabulary" where text == "all": break  // a count of 0 is all of them
      case "vocabulary" where text == "known": reading.vocabulary_count = Int64(known)
      case "vocabulary":
        let ends = text.split(separator: "-", omittingEmptySubsequences: false).map { Int64($0) }
        guard ends.count == 2, let first = ends[0], let last = ends[1], first <= last else { return nil }
        (reading.vocabulary_first, reading.vocabulary_count) = (first, last - first + 1)
      case "forms": for i in 0..<Int(value.n) { reading.forms |= Self.forms[String(cString: value.sv[i]!)]! }
      case "pieces": reading.pieces = UInt32(Self.pieces.firstIndex(of: text)!)
      case "ties": reading.ties = text == "best" ? ABLATE_TIES_BEST : ABLATE_TIES_MEAN
      default: break
      }
    }
  }

  static let forms = [
    "spaced": ABLATE_FORM_SPACED, "bare": ABLATE_FORM_BARE, "capital": ABLATE_FORM_CAPITAL,
    "plural": ABLATE_FORM_PLURAL,
  ]
  static let pieces = ["exclude", "first", "min", "mean"]  // ABLATE_PIECES_* in their order

  func labels(_ item: ablate_item) -> [String] {
    elements(item.labels, item.n_labels).map { String(cString: $0.field) }
  }

  func questions(_ item: ablate_item) -> [Question] {
    var fields: [String] = []
    for name in labels(item) where (name == field || name.hasPrefix(field + "/")) && !fields.contains(name) {
      fields.append(name)
    }
    return fields.flatMap { field in
      sites.map { site in
        let parts = site.split(separator: ".").map(String.init)
        return Question(field: field, tower: parts[0], site: parts[1])
      }
    }
  }

  func plan(_ item: ablate_item) -> [ablate_reading] {
    lent = Lent()
    return questions(item).map { question in
      var asked = reading
      (asked.tower, asked.site) = (lent.text(question.tower), lent.text(question.site))
      asked.layers = lent.text(layers)
      let rows = tokens.flatMap { $0 == "mask:" + field ? nil : $0 } ?? "mask:" + question.field
      (asked.tokens, asked.labels) = (lent.text(rows), lent.text(question.field))
      return asked
    }
  }

  /// The answers again, with the names of sites and labels in the place of indices.
  func answer(_ lane: UInt32, _ columns: [ablate_column], _ n: UInt64) -> ablate_status {
    guard let known = lanes.removeValue(forKey: lane), n > 0 else { return ABLATE_OK }
    func integers(_ name: String) -> [Int64] {
      let column = columns.first { String(cString: $0.name) == name }
      return (0..<Int(n)).map { column?.data.load(fromByteOffset: 8 * $0, as: Int64.self) ?? -1 }
    }
    let memory = Lent()
    func texts(_ name: String, _ all: [String]) -> ablate_column {
      let offsets = all.reduce(into: [Int32(0)]) { $0.append($0.last! + Int32($1.utf8.count)) }
      return column(name, ABLATE_T_STR, memory.array(all.flatMap { Array($0.utf8) }), memory.array(offsets))
    }
    func column(_ name: String, _ type: UInt32, _ data: UnsafeRawPointer?, _ offsets: UnsafePointer<Int32>?)
      -> ablate_column
    {
      let size = UInt32(MemoryLayout<ablate_column>.size)
      return ablate_column(
        struct_size: size, type: type, name: memory.text(name), data: data, offsets: offsets, valid: nil)
    }
    let sites = integers("reading").map { known.questions[Int($0)] }.map { "\($0.tower).\($0.site)" }
    let labels = integers("label").map { known.labels[Int($0)] }
    let kept = ["layer", "row", "rank", "logit", "logprob"]
    let answers = columns.filter { kept.contains(String(cString: $0.name)) }
    let all = memory.array([texts("site", sites), texts("label", labels)] + answers)
    return host.pointee.emit(host.pointee.ctx, lane, "logit_lens", all, UInt64(answers.count + 2), n)
  }
}

func lens(_ me: UnsafeMutableRawPointer?) -> LogitLens { Unmanaged.fromOpaque(me!).takeUnretainedValue() }

nonisolated(unsafe) let library: UnsafePointer<ablate_library> = {
  let memory = Unmanaged.passRetained(Lent()).takeUnretainedValue()  // static data: never freed
  func param(_ id: String, _ type: UInt32, _ text: String? = nil, choices: [String] = []) -> ablate_param {
    var param = ablate_param()
    (param.struct_size, param.type, param.id) = (UInt32(MemoryLayout<ablate_param>.size), type, memory.text(id))
    (param.def_str, param.n_choices) = (text.map { memory.text($0) }, UInt64(choices.count))
    param.choices = choices.isEmpty ? nil : UnsafePointer(memory.array(choices.map { Optional(memory.text($0)) }))
    return param
  }
  let sites = ["projector.out", "text.resid_pre", "text.resid_mid", "text.resid_post"]
  let params = [
    param("sites", ABLATE_T_STRV, choices: sites), param("layers", ABLATE_T_SELECTOR, "all"),
    param("tokens", ABLATE_T_SELECTOR), param("labels", ABLATE_T_STR, "part"),
    param("norm", ABLATE_T_STR, "final", choices: ["final", "none"]), param("vocabulary", ABLATE_T_STR, "known"),
    param("forms", ABLATE_T_STRV, choices: ["spaced", "bare", "capital", "plural"]),
    param("pieces", ABLATE_T_STR, "exclude", choices: LogitLens.pieces),
    param("ties", ABLATE_T_STR, "mean", choices: ["mean", "best"]),
  ]
  var plugin = ablate_plugin()
  (plugin.struct_size, plugin.kind) = (UInt32(MemoryLayout<ablate_plugin>.size), ABLATE_PROBE)
  (plugin.id, plugin.version, plugin.determinism) = (memory.text("logit-lens"), memory.text("2.0.0"), 2)
  (plugin.params, plugin.n_params) = (UnsafePointer(memory.array(params)), UInt64(params.count))
  plugin.create = { host, model, values, n, error in
    guard let made = LogitLens(host!, known: model!.pointee.known_vocabulary, elements(values, n)) else {
      strncpy(
        error!.pointee.message, "vocabulary: write known, all, or ids such as 0-31999", Int(error!.pointee.capacity))
      error!.pointee.code = ABLATE_E_INVALID
      return nil
    }
    return Unmanaged.passRetained(made).toOpaque()
  }
  plugin.destroy = { Unmanaged<LogitLens>.fromOpaque($0!).release() }
  plugin.plan = { me, item, out, _ in
    out!.pointee.flags = ABLATE_PLAN_PER_ITEM
    guard let item else { return ABLATE_OK }
    let readings = lens(me).plan(item.pointee)
    (out!.pointee.readings, out!.pointee.n_readings) = (
      UnsafePointer(lens(me).lent.array(readings)), UInt64(readings.count)
    )
    return ABLATE_OK
  }
  plugin.begin_lane = { me, lane, item, _ in
    lens(me).lanes[lane] = (lens(me).labels(item!.pointee), lens(me).questions(item!.pointee))
    return ABLATE_OK
  }
  plugin.end_lane = { me, lane, columns, n, rows, _ in lens(me).answer(lane, elements(columns, n), rows) }
  let plugins = memory.array([Optional(UnsafePointer(memory.array([plugin])))])
  return UnsafePointer(
    memory.array([
      ablate_library(
        struct_size: UInt32(MemoryLayout<ablate_library>.size), abi_major: ABLATE_ABI_MAJOR,
        abi_minor: ABLATE_ABI_MINOR,
        pointer_bits: 64, plugins: plugins, n_plugins: 1)
    ]))
}()

// The name is the header's, and the compiler holds the type against it.
// swift-format-ignore: AlwaysUseLowerCamelCase
@c @implementation
public func ablate_plugin_entry_v0(
  _ hostMinor: UInt32, _ error: UnsafeMutablePointer<ablate_error>?
) -> UnsafePointer<ablate_library>? { library }
