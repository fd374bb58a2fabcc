import PluginABI
import PluginRuntime

/// What a whole life of an instance left, lane by lane.
struct Record: Equatable {
  /// The bits of every view after its visit.
  var views: [UInt32: [[UInt32]]] = [:]
  /// Digest of what was emitted.
  var emitted: [UInt32: String] = [:]

  func lane(_ lane: UInt32) -> Record {
    Record(views: views.filter { $0.key == lane }, emitted: emitted.filter { $0.key == lane })
  }
}

/// A life from create to destroy, with what a check varies.
struct Life {
  var host = CheckingHost.Settings()
  var lanes: [UInt32] = [0]
  var placement = ViewMemory.Placement.open
  /// A byte written beside a view is a finding, and so is one in a view that may only be read.
  var watchesMemory = false
  var byteOffset = 0
  /// Of the rows of a visit; nil: all of them, in one event.
  var blocks: [Range<Int>]?
  /// In the place of ordinary numbers.
  var numbers: [Float]?
  /// An error is an answer too.
  var mayFail = false
  var seed: UInt64

  func run(_ plugin: PluginUnderTest) throws(Finding) -> Record {
    do { return try lived(plugin) } catch .fault where mayFail { return Record() }
  }

  /// What the views of a life hold before their visits.
  func inputs(_ plugin: PluginUnderTest) throws(Finding) -> [UInt32: [[UInt32]]] {
    let visits = try Visit.all(of: plan(plugin))
    return visits.isEmpty
      ? [:]
      : Dictionary(
        lanes.map { lane in (lane, visits.enumerated().map { numbers($1, lane, $0).map(\.bitPattern) }) }
      ) { $1 }
  }

  private func plan(_ plugin: PluginUnderTest) throws(Finding) -> PlanRequest {
    switch plugin.code {
    case .sdk(let library):
      return try Subject.make(library, plugin.parameters, host).subject?.plan(item: false) ?? PlanRequest()
    case .plain: return PlanRequest()
    case .python:
      do { return try PythonSubject(plugin.manifest, plugin.parameters).calls.plan(nil) } catch {
        throw .fault(error.inCall)
      }
    }
  }

  /// How often a life asks the host for memory.
  func allocations(_ plugin: PluginUnderTest) throws(Finding) -> Int {
    let counter = CheckingHost.Counter()
    var counted = self
    counted.host.counter = counter
    _ = try counted.run(plugin)
    return counter.allocations
  }

  private func lived(_ plugin: PluginUnderTest) throws(Finding) -> Record {
    guard case .sdk(let library) = plugin.code else {
      return plugin.manifest.grade == .python ? try worked(plugin) : try called(plugin)
    }
    let (made, words) = try Subject.make(library, plugin.parameters, host)
    guard let subject = made else { throw .fault("create refuses: \(words)") }
    defer { subject.destroy() }
    var plan = try subject.plan(item: false)
    for lane in lanes {
      if plan.perItem { plan = try subject.plan(item: true) }
      try subject.begin(lane)
    }
    var record = Record()
    for (i, visit) in try Visit.all(of: plan).enumerated() { try make(visit, i, subject, &record) }
    for lane in lanes { try subject.end(lane, answering: plan) }
    record.emitted = subject.host.emitted
    return record
  }

  /// One visit, in one event or in several.
  private func make(_ whole: Visit, _ index: Int, _ subject: Subject, _ record: inout Record) throws(Finding) {
    for block in blocks ?? [0..<whole.rows.count] {
      var visit = whole
      visit.rows = Array(whole.rows[block.clamped(to: 0..<whole.rows.count)])
      var slices: [ablate_slice] = []
      var memories: [ViewMemory] = []
      for lane in lanes {
        let values = numbers(visit, lane, index)
        guard let memory = ViewMemory(values, placement, isWritable: visit.isWritable) else {
          throw .notApplicable("no memory for a view")
        }
        memories.append(memory)
        let isLast = block.upperBound >= whole.rows.count
        slices.append(slice(visit, lane, memory, isLast: isLast, subject.host.arena))
      }
      let status = try subject.event(visit, slices)
      guard status == ABLATE_OK || mayFail else { throw .fault("on_event at \(visit.name) gave \(status)") }
      for (lane, memory) in zip(lanes, memories) {
        if watchesMemory { try memory.check("on_event at \(visit.name)") }
        record.views[lane, default: []].append(memory.bits)
      }
    }
  }

  private func slice(
    _ visit: Visit, _ lane: UInt32, _ memory: ViewMemory, isLast: Bool, _ arena: StructArena
  ) -> ablate_slice {
    var slice = ablate_slice()
    (slice.lane, slice.access_index, slice.flags) = (lane, UInt32(visit.access), isLast ? ABLATE_LAST_BLOCK : 0)
    let data = UnsafeMutableRawPointer(memory.start) - byteOffset
    let access = ABLATE_READ | (visit.isWritable ? ABLATE_WRITE : 0)
    slice.view = arena.array([
      ablate_tensor(dense: data, shape: visit.shape, byteOffset: byteOffset, access: access, arena)
    ])
    (slice.rows, slice.n_rows) = (arena.array(visit.rows).map { UnsafePointer($0) }, UInt64(visit.rows.count))
    if visit.hasHeads {
      (slice.heads, slice.n_heads) = (arena.array(visit.heads).map { UnsafePointer($0) }, UInt64(visit.heads.count))
    }
    if visit.hasKeys { slice.n_keys = Int32(Specimen.sequence[visit.tower] ?? 0) }
    return slice
  }

  /// A lane's values at a visit: the same for the same seed, lane and visit, whatever else is in the event. A pattern's rows
  /// sum to one, and in the text tower no row sees a later key.
  func numbers(_ visit: Visit, _ lane: UInt32, _ index: Int) -> [Float] {
    let count = visit.shape.reduce(1, *)
    if let numbers { return (0..<count).map { numbers[$0 % numbers.count] } }
    var words = [UInt32](repeating: 0, count: count)
    words.withUnsafeMutableBufferPointer {
      Philox.fill($0, key: SIMD2(UInt32(truncatingIfNeeded: seed), lane), stream: UInt64(index), first: 0)
    }
    var values = words.map { Float($0) * 0x1p-31 - 1 }
    guard let keys = visit.shape.last, ["attn_scores", "pattern"].contains(visit.site), !visit.rows.isEmpty else {
      return values
    }
    for line in 0..<(count / keys) {
      let row = visit.tower == "text" ? Int(visit.rows[line % visit.rows.count]) : keys - 1
      let cells = line * keys..<(line + 1) * keys
      for (key, cell) in cells.enumerated() where key > row { values[cell] = visit.site == "pattern" ? 0 : -.infinity }
      guard visit.site == "pattern" else { continue }
      for cell in cells { values[cell] = abs(values[cell]) }
      let sum = values[cells].reduce(0, +)
      for cell in cells { values[cell] /= sum }
    }
    return values
  }

  /// The life of a plain function: one call per lane and block.
  private func called(_ plugin: PluginUnderTest) throws(Finding) -> Record {
    guard case .plain(let function) = plugin.code else { return Record() }
    var record = Record()
    for lane in lanes {
      for block in blocks ?? [0..<6] {
        var visit = Visit.plain
        visit.rows = Array(visit.rows[block.clamped(to: 0..<visit.rows.count)])
        guard let memory = ViewMemory(numbers(visit, lane, 0), placement, isWritable: true) else { continue }
        do {
          let call = try function.bound(to: plugin.parameters)
          try call(UnsafeMutableBufferPointer(start: memory.start, count: memory.count), at: visit.name)
        } catch { throw .fault(error.diagnosis.what) }
        if watchesMemory { try memory.check(visit.name) }
        record.views[lane, default: []].append(memory.bits)
      }
    }
    return record
  }
}

extension Visit {
  /// What a plain function is tried on.
  static var plain: Visit {
    var access = AccessRequest(
      access: [.read, .write], tower: "text", site: "resid_post", layers: .range(0, 0), tokens: .selector("all"))
    access.heads = nil
    return Visit(access, 0, 0)
  }
}
