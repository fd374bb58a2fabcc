// logit-lens: reads the residual stream through the unembedding, layer by layer, at the patches of each part of an
// item.
//
// For every label field "part/..." it asks for the rank, logit and log-probability of that label at the rows of the
// mask of the same name, and, with `words`, for the words that stand first there. With `matrix: embedding` it is the
// embedding lens: which word of the input a row looks like. The host answers within the pass; this file only asks, and
// gives the answers their names.
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
    var norm: String?
    reading.struct_size = UInt32(MemoryLayout<ablate_reading>.size)
    reading.op = ABLATE_READ_LENS
    for value in values {
      let text = value.s.map { String(cString: $0) } ?? ""
      switch String(cString: value.id) {
      case "sites" where value.n > 0: sites = (0..<Int(value.n)).map { String(cString: value.sv[$0]!) }
      case "layers": layers = text
      case "tokens": tokens = text
      case "labels": field = text
      case "norm": norm = text
      case "matrix" where text == "embedding": reading.scores |= ABLATE_SCORE_EMBEDDING
      case "score" where text == "cosine": reading.scores |= ABLATE_SCORE_COSINE
      case "vocabulary" where text == "all": break  // a count of 0 is all of them
      case "vocabulary" where text == "known": reading.vocabulary_count = Int64(known)
      case "vocabulary":
        let ends = text.split(separator: "-", omittingEmptySubsequences: false).map { Int64($0) }
        guard ends.count == 2, let first = ends[0], let last = ends[1], first <= last else { return nil }
        (reading.vocabulary_first, reading.vocabulary_count) = (first, last - first + 1)
      case "forms": for i in 0..<Int(value.n) { reading.forms |= Self.forms[String(cString: value.sv[i]!)]! }
      case "pieces": reading.pieces = UInt32(Self.pieces.firstIndex(of: text)!)
      case "words": reading.top = UInt32(value.i)
      case "ties": reading.ties = text == "best" ? ABLATE_TIES_BEST : ABLATE_TIES_MEAN
      default: break
      }
    }
    // Input embeddings enter the first layer, and the unembedding reads what leaves the final norm.
    let usual = reading.scores & ABLATE_SCORE_EMBEDDING == 0 ? "final" : "none"
    reading.normed = (norm ?? usual) == "final" ? 1 : 0
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
    let answers = Answers(columns, Int(n))
    let sites = answers.integers("reading").map { known.questions[Int($0)] }.map { "\($0.tower).\($0.site)" }
    let labels = answers.integers("label")
    let ranked = labels.indices.filter { labels[$0] >= 0 }
    var ranks = Table()
    ranks.add("site", ranked.map { sites[$0] })
    ranks.add("label", ranked.map { known.labels[Int(labels[$0])] })
    for name in ["layer", "row"] { ranks.add(name, answers.integers(name), at: ranked) }
    for name in ["rank", "logit", "logprob"] { ranks.add(name, answers.numbers(name), at: ranked) }
    let status = emit(ranks, "logit_lens", lane)
    guard status == ABLATE_OK, reading.top > 0 else { return status }
    // Words come best first, as many in a row as were asked for, or as the vocabulary range has.
    let fields = answers.integers("reading").map { known.questions[Int($0)].field }
    let (places, texts) = (answers.numbers("rank"), answers.texts("word"))
    let firsts = labels.indices.filter { labels[$0] < 0 && places[$0] == 1 }
    var words = Table()
    words.add("site", firsts.map { sites[$0] })
    words.add("label", firsts.map { fields[$0] })
    for name in ["layer", "row"] { words.add(name, answers.integers(name), at: firsts) }
    for place in 0..<Int(reading.top) {
      func word(_ first: Int) -> String {
        let i = first + place
        return i < texts.count && labels[i] < 0 && places[i] == Double(place + 1) ? texts[i] : ""
      }
      words.add("word_\(place + 1)", firsts.map(word))
    }
    return emit(words, "words", lane)
  }

  private func emit(_ table: Table, _ name: String, _ lane: UInt32) -> ablate_status {
    table.count == 0
      ? ABLATE_OK
      : host.pointee.emit(
        host.pointee.ctx, lane, name, table.columns, UInt64(table.columns.count), UInt64(table.count))
  }
}

/// The columns of end_lane.
struct Answers {
  private let columns: [String: ablate_column]
  private let count: Int

  init(_ columns: [ablate_column], _ count: Int) {
    self.count = count
    self.columns = Dictionary(columns.map { (String(cString: $0.name), $0) }) { first, _ in first }
  }

  func integers(_ name: String) -> [Int64] { values(name, or: -1) }
  func numbers(_ name: String) -> [Double] { values(name, or: .nan) }

  private func values<T: BitwiseCopyable>(_ name: String, or missing: T) -> [T] {
    guard let data = columns[name]?.data else { return Array(repeating: missing, count: count) }
    return (0..<count).map { data.load(fromByteOffset: 8 * $0, as: T.self) }
  }

  func texts(_ name: String) -> [String] {
    guard let column = columns[name], let data = column.data, let offsets = column.offsets else {
      return Array(repeating: "", count: count)
    }
    return (0..<count).map { i in
      let length = Int(offsets[i + 1] - offsets[i])
      return String(decoding: UnsafeRawBufferPointer(start: data + Int(offsets[i]), count: length), as: UTF8.self)
    }
  }
}

/// Columns to emit, with the memory that they lie in.
struct Table {
  private let memory = Lent()
  private(set) var columns: [ablate_column] = []
  private(set) var count = 0

  mutating func add(_ name: String, _ texts: [String]) {
    let offsets = texts.reduce(into: [Int32(0)]) { $0.append($0.last! + Int32($1.utf8.count)) }
    add(name, ABLATE_T_STR, memory.array(texts.flatMap { Array($0.utf8) }), memory.array(offsets))
    count = texts.count
  }
  mutating func add(_ name: String, _ integers: [Int64], at rows: [Int]) {
    add(name, ABLATE_T_I64, memory.array(rows.map { integers[$0] }))
  }
  mutating func add(_ name: String, _ numbers: [Double], at rows: [Int]) {
    add(name, ABLATE_T_F64, memory.array(rows.map { numbers[$0] }))
  }
  private mutating func add(
    _ name: String, _ type: UInt32, _ data: UnsafeRawPointer, _ offsets: UnsafePointer<Int32>? = nil
  ) {
    let size = UInt32(MemoryLayout<ablate_column>.size)
    columns.append(
      ablate_column(struct_size: size, type: type, name: memory.text(name), data: data, offsets: offsets, valid: nil))
  }
}

func lens(_ me: UnsafeMutableRawPointer?) -> LogitLens { Unmanaged.fromOpaque(me!).takeUnretainedValue() }

nonisolated(unsafe) let library: UnsafePointer<ablate_library> = {
  let memory = Unmanaged.passRetained(Lent()).takeUnretainedValue()  // static data: never freed
  func param(
    _ id: String, _ type: UInt32, _ text: String? = nil, choices: [String] = [], most: Double = 0
  ) -> ablate_param {
    var param = ablate_param()
    param.max = most
    (param.struct_size, param.type, param.id) = (UInt32(MemoryLayout<ablate_param>.size), type, memory.text(id))
    (param.def_str, param.n_choices) = (text.map { memory.text($0) }, UInt64(choices.count))
    param.choices = choices.isEmpty ? nil : UnsafePointer(memory.array(choices.map { Optional(memory.text($0)) }))
    return param
  }
  let sites = ["projector.out", "text.resid_pre", "text.resid_mid", "text.resid_post"]
  let params = [
    param("sites", ABLATE_T_STRV, choices: sites), param("layers", ABLATE_T_SELECTOR, "all"),
    param("tokens", ABLATE_T_SELECTOR), param("labels", ABLATE_T_STR, "part"),
    param("norm", ABLATE_T_STR, choices: ["final", "none"]),
    param("matrix", ABLATE_T_STR, "unembedding", choices: ["unembedding", "embedding"]),
    param("score", ABLATE_T_STR, "product", choices: ["product", "cosine"]),
    param("vocabulary", ABLATE_T_STR, "known"),
    param("forms", ABLATE_T_STRV, choices: ["spaced", "bare", "capital", "plural"]),
    param("pieces", ABLATE_T_STR, "exclude", choices: LogitLens.pieces),
    param("ties", ABLATE_T_STR, "mean", choices: ["mean", "best"]), param("words", ABLATE_T_I64, most: 20),
  ]
  var plugin = ablate_plugin()
  (plugin.struct_size, plugin.kind) = (UInt32(MemoryLayout<ablate_plugin>.size), ABLATE_PROBE)
  (plugin.id, plugin.version, plugin.determinism) = (memory.text("logit-lens"), memory.text("2.2.0"), 2)
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
public func ablate_plugin_entry_v1(
  _ hostMinor: UInt32, _ error: UnsafeMutablePointer<ablate_error>?
) -> UnsafePointer<ablate_library>? { library }
