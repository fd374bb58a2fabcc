import PluginABI
import PluginRuntime

/// An instance of the plugin under test in the hands of a checking host. Every answer that breaks the contract is a finding.
final class Subject {
  let host: CheckingHost
  let functions: ablate_plugin
  private let handle: UnsafeMutableRawPointer
  private let words = ErrorWords()
  private var isAlive = true

  /// nil and the plugin's words where it refuses.
  static func make(
    _ library: PluginLibrary, _ parameters: [BoundParameter], _ settings: CheckingHost.Settings = .init()
  ) throws(Finding) -> (subject: Subject?, words: String) {
    let host = CheckingHost(settings)
    let words = ErrorWords()
    let functions = library.plugin.pointee
    let values = host.arena.values(parameters)
    let handle = functions.create?(
      host.table, Specimen.model(host.arena), values, UInt64(parameters.count), words.fresh(growth: settings.growth))
    try words.check("create")
    if let fault = host.fault { throw .fault("create: \(fault)") }
    guard let handle else { return (nil, words.text) }
    return (Subject(host, functions, handle), "")
  }

  private init(_ host: CheckingHost, _ functions: ablate_plugin, _ handle: UnsafeMutableRawPointer) {
    (self.host, self.functions, self.handle) = (host, functions, handle)
  }

  deinit { destroy() }

  func destroy() {
    guard isAlive else { return }
    isAlive = false
    functions.destroy?(handle)
  }

  /// For all items, or for the specimen.
  func plan(item: Bool) throws(Finding) -> PlanRequest {
    var plan = ablate_plan()
    let memory = host.arena.put(one: plan)
    try succeed("plan", functions.plan?(handle, item ? Specimen.item(host.arena) : nil, memory, fresh()))
    plan = memory.pointee
    do { return try PlanRequest(copying: plan, plugin: "") } catch { throw .fault(error.inCall) }
  }

  func begin(_ lane: UInt32) throws(Finding) {
    guard let begin = functions.begin_lane else { return }
    try succeed("begin_lane", begin(handle, lane, Specimen.item(host.arena), fresh()))
  }

  /// The status, so that a check may allow an error.
  @discardableResult
  func event(_ place: Visit, _ slices: [ablate_slice]) throws(Finding) -> ablate_status {
    var event = ablate_event()
    (event.phase, event.layer) = (place.phase.rawValue, Int32(place.layer ?? -1))
    (event.tower, event.site) = (host.arena.string(place.tower), host.arena.string(place.site))
    (event.slices, event.n_slices) = (host.arena.put(slices).map { UnsafePointer($0) }, UInt64(slices.count))
    guard let call = functions.on_event else { throw .fault("plan asks for \(place.name), but on_event is NULL") }
    let status = call(handle, host.arena.put(one: event), fresh())
    try words.check("on_event at \(place.name)")
    if let fault = host.fault { throw .fault("on_event at \(place.name): \(fault)") }
    return status
  }

  func end(_ lane: UInt32, answering plan: PlanRequest) throws(Finding) {
    guard let end = functions.end_lane else { return }
    let answers = Answers(plan)
    let columns = answers.count == 0 ? [] : answers.columns(host.arena)
    let table = host.arena.put(columns).map { UnsafePointer($0) }
    try succeed("end_lane", end(handle, lane, table, UInt64(columns.count), UInt64(answers.count), fresh()))
  }

  private func fresh() -> UnsafeMutablePointer<ablate_error> { words.fresh(growth: host.settings.growth) }

  private func succeed(_ place: String, _ status: ablate_status?) throws(Finding) {
    try words.check(place)
    if let fault = host.fault { throw .fault("\(place): \(fault)") }
    guard status == ABLATE_OK else { throw .fault("\(place) gave \(status ?? ABLATE_E_STATE): \(words.text)") }
  }
}

/// Room for a plugin's words, with bytes behind it that must stay.
final class ErrorWords {
  private static let capacity = 256
  private let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: 512, alignment: 16)
  private var arena = StructArena(growth: 0)

  deinit { bytes.deallocate() }

  func fresh(growth: Int) -> UnsafeMutablePointer<ablate_error> {
    bytes.initializeMemory(as: UInt8.self, repeating: 0xA5)
    bytes[0] = 0
    arena = StructArena(growth: growth)
    return arena.put(
      one: ablate_error(
        struct_size: 0, code: 0, message: bytes.baseAddress?.assumingMemoryBound(to: CChar.self),
        capacity: UInt64(Self.capacity)))
  }

  var text: String { String(decoding: bytes.prefix(Self.capacity).prefix { $0 != 0 }, as: UTF8.self) }

  func check(_ place: String) throws(Finding) {
    guard bytes.dropFirst(Self.capacity).allSatisfy({ $0 == 0xA5 }) else {
      throw .fault("\(place) wrote past the capacity of error->message")
    }
    let message = bytes.prefix(Self.capacity).prefix { $0 != 0 }
    guard message.count < Self.capacity, String(validating: message, as: UTF8.self) != nil else {
      throw .fault("\(place) left an error->message without a NUL, or that is not UTF-8")
    }
  }
}

/// Answers to the readings of a plan, made up: two rows of each.
struct Answers {
  private var integers: [[Int64]] = [[], [], [], [], []]
  private var numbers: [[Double]] = [[], [], [], []]
  private static let keys = ["reading", "layer", "row", "head", "label"]
  private static let metrics = ["rank", "logit", "logprob", "mass"]
  var count: Int { integers[0].count }

  init(_ plan: PlanRequest) {
    for (i, reading) in plan.readings.enumerated() {
      let isMass = reading.operation == .mass
      for row in [3, 4] as [Int64] {
        for (column, value) in [Int64(i), 0, row, isMass ? 1 : -1, isMass ? -1 : 0].enumerated() {
          integers[column].append(value)
        }
        let values = isMass ? [.nan, .nan, .nan, 0.25] : [Double(row), 1.5, -2.5, .nan]
        for (column, value) in values.enumerated() { numbers[column].append(value) }
      }
    }
  }

  var columns: [Column] {
    zip(Self.keys, integers).map { Column($0, .integers($1)) }
      + zip(Self.metrics, numbers).map { Column($0, .numbers($1)) }
      + [Column("word", .strings([String](repeating: "", count: count)))]
  }

  func columns(_ arena: StructArena) -> [ablate_column] {
    func column(_ name: String, _ type: UInt32, _ data: UnsafeRawPointer?) -> ablate_column {
      var column = ablate_column()
      (column.type, column.name, column.data) = (type, arena.string(name), data)
      return column
    }
    let keys = zip(Self.keys, integers).map {
      column($0, ABLATE_T_I64, UnsafeRawPointer(arena.array($1)))
    }
    let values = zip(Self.metrics, numbers).map {
      column($0, ABLATE_T_F64, UnsafeRawPointer(arena.array($1)))
    }
    var word = column("word", ABLATE_T_STR, UnsafeRawPointer(arena.array([UInt8(0)])))
    word.offsets = arena.array([Int32](repeating: 0, count: count + 1)).map { UnsafePointer($0) }
    return keys + values + [word]
  }
}

extension StructArena {
  func values(_ parameters: [BoundParameter]) -> UnsafePointer<ablate_value>? {
    put(
      parameters.map { parameter in
        var value = ablate_value()
        (value.type, value.id) = (parameter.type.rawValue, string(parameter.id))
        switch parameter.value {
        case .bool(let flag): value.i = flag ? 1 : 0
        case .integer(let number): value.i = number
        case .number(let number): value.f = number
        case .string(let text), .selector(let text): value.s = string(text)
        case .integers(let all): (value.iv, value.n) = (array(all).map { UnsafePointer($0) }, UInt64(all.count))
        case .strings(let all):
          (value.sv, value.n) = (array(all.map { string($0) }).map { UnsafePointer($0) }, UInt64(all.count))
        case .tensor(let given): value.tensor = tensor(given)
        }
        return value
      }
    ).map { UnsafePointer($0) }
  }

  private func tensor(_ given: TensorValue) -> UnsafePointer<ablate_tensor>? {
    array([ablate_tensor(dense: array(given.values), shape: given.shape, byteOffset: 0, access: ABLATE_READ, self)])
      .map { UnsafePointer($0) }
  }
}

extension ablate_tensor {
  init(dense data: UnsafeMutableRawPointer?, shape: [Int], byteOffset: Int, access: UInt32, _ arena: StructArena) {
    self.init()
    var strides = shape.map { _ in Int64(1) }
    for d in strides.indices.dropLast().reversed() { strides[d] = strides[d + 1] * Int64(shape[d + 1]) }
    (self.data, byte_offset, size_bytes) = (data, UInt64(byteOffset), UInt64(shape.reduce(4, *)))
    (device_type, ndim, dtype_code, dtype_bits, dtype_lanes) = (1, Int32(shape.count), 2, 32, 1)
    self.shape = arena.array(shape.map(Int64.init)).map { UnsafePointer($0) }
    self.strides = arena.array(strides).map { UnsafePointer($0) }
    self.access = access
  }
}
