import CShims
import PluginABI

/// An SDK plugin in this process, made with one set of parameters.
///
/// Every call that the plugin answers with an error throws `PluginError.failed` with the plugin's own words.
package final class PluginInstance: PluginCalls {
  package let library: PluginLibrary
  private let host: HostTable
  private let words = ErrorBuffer()
  private let functions: ablate_plugin
  private let surroundings = Surroundings()
  private(set) var handle: UnsafeMutableRawPointer?

  package var id: String { library.id }
  package var sha256: String { library.sha256 }
  /// The plugin has no `on_event`: it can plan edits and readings, but no accesses.
  package var handlesEvents: Bool { functions.on_event != nil }

  /// Calls `create`. `parameters` are those of `PluginManifest.resolve`.
  package init(
    _ library: PluginLibrary, parameters: [BoundParameter], model: ModelFacts, services: HostServices
  ) throws(PluginError) {
    self.library = library
    functions = library.plugin.pointee
    host = HostTable(services)
    let memory = ForeignMemory()
    let values = memory.structs(memory.values(parameters))
    var facts = model.foreign(memory)
    handle = functions.create?(host.table, &facts, values, UInt64(parameters.count), words.fresh())
    if let problem = host.takeFault() { throw .failed(plugin: id, at: "create", reason: problem) }
    guard handle != nil else {
      throw .failed(plugin: id, at: "create", reason: reason(words.code))
    }
    guard !words.wasOverrun else { throw .failed(plugin: id, at: "create", reason: Self.overrun) }
  }

  deinit { destroy() }

  package func destroy() {
    guard let handle else { return }
    self.handle = nil
    functions.destroy?(handle)
  }

  package func plan(_ item: ItemFacts?) throws(PluginError) -> PlanRequest {
    let memory = ForeignMemory()
    let foreign = item.flatMap { memory.structs([$0.foreign(memory)]) }
    var plan = ablate_plan()
    plan.struct_size = ABI.size(of: ablate_plan.self)
    try call("plan") { functions.plan?(handle, foreign, &plan, $0) }
    let request: PlanRequest
    do { request = try ForeignReader.plan(plan) } catch {
      throw .failed(plugin: id, at: error.field, reason: error.problem)
    }
    if !request.accesses.isEmpty, !handlesEvents {
      throw .failed(plugin: id, at: "plan", reason: "asks for accesses, but has no on_event")
    }
    if request.readings.contains(where: { $0.operation == .capture }), !learns {
      throw .failed(
        plugin: id, at: "plan", reason: "asks for the reading capture, but has no extension \(ABLATE_EXT_FIT)")
    }
    try request.check(library.manifest, host.services)
    return request
  }

  package func beginLane(_ lane: UInt32, _ item: ItemFacts) throws(PluginError) {
    guard let begin = functions.begin_lane else { return }
    let memory = ForeignMemory()
    let foreign = memory.structs([item.foreign(memory)])
    try call("begin_lane") { begin(handle, lane, foreign, $0) }
  }

  /// `place` names the hook point in an error: "text.3.z, step 0".
  package func onEvent(
    _ event: UnsafePointer<ablate_event>, at place: @autoclosure () -> String
  ) throws(PluginError) {
    guard let handler = functions.on_event else { return }
    try call(place()) { handler(handle, event, $0) }
  }

  package func endLane(_ lane: UInt32, readings: [Column]) throws(PluginError) {
    if let change = surroundings.restore() { throw .failed(plugin: id, at: "end_lane", reason: change) }
    guard let end = functions.end_lane else { return }
    let memory = ForeignMemory()
    let columns = memory.structs(memory.columns(readings))
    let rows = UInt64(readings.first?.values.count ?? 0)
    try call("end_lane") { end(handle, lane, columns, UInt64(readings.count), rows, $0) }
  }

  /// A table of functions that the plugin has beside the header's, for as long as the instance lives.
  func `extension`(_ id: String) -> UnsafeRawPointer? { functions.extension?(handle, id) }

  /// Bytes of the host's allocator that the plugin holds.
  package var outstandingBytes: Int { host.outstanding }

  private static let overrun = "wrote past the end of the error message"

  func call(
    _ place: @autoclosure () -> String, _ body: (UnsafeMutablePointer<ablate_error>) -> ablate_status?
  ) throws(PluginError) {
    guard handle != nil else { throw .failed(plugin: id, at: place(), reason: "was called after destroy") }
    let mode = ablate_float_mode()
    let status = body(words.fresh())
    if ablate_float_mode() != mode {
      ablate_set_float_mode(mode)
      throw .failed(
        plugin: id, at: place(), reason: "changed how the processor computes: rounding, or denormals to zero")
    }
    if words.wasOverrun { throw .failed(plugin: id, at: place(), reason: Self.overrun) }
    if let problem = host.takeFault() { throw .failed(plugin: id, at: place(), reason: problem) }
    guard status == ABLATE_OK else { throw .failed(plugin: id, at: place(), reason: reason(status ?? ABLATE_E_STATE)) }
  }

  private func reason(_ status: ablate_status) -> String {
    let names: [ablate_status: String] = [
      ABLATE_E_INVALID: "invalid parameter or manifest", ABLATE_E_UNSUPPORTED: "unsupported",
      ABLATE_E_STATE: "a call out of order", ABLATE_E_MEMORY: "out of memory", ABLATE_E_CANCELLED: "cancelled",
      ABLATE_E_INTERNAL: "internal error",
    ]
    let said = words.message
    return "\(names[status] ?? "error \(status)")\(said.isEmpty ? ", without a message" : ": \(said)")"
  }
}

extension PlanRequest {
  /// A plan may use what this host offers, within what the manifest says, and what a probe may do.
  func check(_ manifest: PluginManifest, _ services: HostServices) throws(PluginError) {
    for edit in edits where !services.editOperations.contains(edit.operation) {
      throw .failed(
        plugin: manifest.id, at: "plan", reason: "asks for the edit \(edit.operation), which this host does not offer")
    }
    for reading in readings where !services.readingOperations.contains(reading.operation) {
      throw .failed(
        plugin: manifest.id, at: "plan",
        reason: "asks for the reading \(reading.operation), which this host does not offer")
    }
    try checkFootprint(manifest)
  }

  /// Every (tower, site, access) of the plan, with its name in a message. Edges are writes to the scores or the
  /// pattern.
  private var touched: [(what: String, tower: String, site: String, access: Access)] {
    accesses.map { ("access", $0.tower, $0.site, $0.access) }
      + edits.map { ("edit \($0.operation)", $0.tower, $0.site ?? $0.edgeSite, .write) }
      + readings.map { ("reading \($0.operation)", $0.tower, $0.site, .read) }
  }

  package func checkFootprint(_ manifest: PluginManifest) throws(PluginError) {
    for (what, tower, site, access) in touched {
      if manifest.kind == .probe, access.contains(.write) {
        throw .planOutside(
          plugin: manifest.id, request: "\(what) at \(tower).\(site)", problem: "a probe may only read")
      }
      guard manifest.covers(tower: tower, site: site, access: access) else {
        throw .planOutside(
          plugin: manifest.id, request: "\(what) at \(tower).\(site)", problem: "is not in the footprint of plugin.json"
        )
      }
    }
  }
}

extension EditRequest {
  /// Where an edge edit acts.
  var edgeSite: String { operation == .edgeZero ? "pattern" : "attn_scores" }
}
