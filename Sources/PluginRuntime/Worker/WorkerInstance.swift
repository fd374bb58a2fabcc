import Diagnostics
import Foundation
import PluginABI

/// A plugin whose code runs in a sandboxed process. The host sends values and views, and believes nothing that comes back: plans are
/// checked, columns are bounded, views have the caller's canaries on both sides.
///
/// A worker that ends, hangs or answers nonsense costs the call, and the lanes that were open in it. The next plan or lane starts another
/// one; after `WorkerLimits.ends` no more.
package final class WorkerInstance: PluginCalls {
  private let manifest: PluginManifest
  private let parameters: [BoundParameter]
  private let model: ModelFacts
  private let services: HostServices
  private let code: CodeFile
  let limits: WorkerLimits
  private(set) var worker: WorkerProcess?
  private var isDestroyed = false
  /// At which calls its workers ended, and why.
  package private(set) var ends: [String] = []
  private var openLanes: Set<UInt32> = []
  /// Lanes that were open in a worker that ended.
  private var lostLanes: [UInt32: String] = [:]
  private var sandbox: [String] = []
  package internal(set) var isLens = false

  package var sha256: String { code.sha256 }
  package var place: String { "worker (\(sandbox.joined(separator: ", ")))" }

  /// What there must be of a sandbox for a plugin that nobody vouches for: no gain of rights, no files, no calls.
  private static let required = ["no_new_privs", "landlock", "seccomp"]

  /// - Parameter mustHold: refuse where this kernel grants less than a sandbox.
  package init(
    _ manifest: PluginManifest, parameters: [BoundParameter], model: ModelFacts, services: HostServices,
    mustHold: Bool = false, limits: WorkerLimits? = nil
  ) throws(PluginError) {
    (self.manifest, self.parameters, self.model, self.services) = (manifest, parameters, model, services)
    if let limits { self.limits = limits } else { self.limits = try WorkerLimits() }
    code = try manifest.checkedCode()
    try start()
    let lacking = Self.required.filter { means in !sandbox.contains { $0.hasPrefix(means) } }
    if mustHold, !lacking.isEmpty { throw .sandbox(plugin: manifest.id, lacking: lacking) }
  }

  package func destroy() {
    isDestroyed = true
    guard let worker else { return }
    self.worker = nil
    // A worker that does not go is killed when `worker` is released.
    try? worker.channel.send(.destroy)
    _ = try? worker.channel.receive()
  }

  deinit { destroy() }

  package func plan(_ item: ItemFacts?) throws(PluginError) -> PlanRequest {
    var message = WireWriter()
    message.put(item)
    let request = try call(.plan, message, at: "plan", PlanRequest.self)
    try request.check(manifest, services)
    return request
  }

  package func beginLane(_ lane: UInt32, _ item: ItemFacts) throws(PluginError) {
    lostLanes[lane] = nil
    var message = WireWriter()
    message.put(lane, item)
    try call(.beginLane, message, at: "begin_lane", Nothing.self)
    openLanes.insert(lane)
  }

  package func endLane(_ lane: UInt32, readings: [Column]) throws(PluginError) {
    defer { openLanes.remove(lane) }
    try checkAlive([lane], at: "end_lane")
    var message = WireWriter()
    message.put(lane, readings)
    try call(.endLane, message, at: "end_lane", Nothing.self)
  }

  /// The slices go in as many calls as the shared memory needs: rows of different lanes may come in different events.
  package func onEvent(_ place: EventPlace, _ slices: [SliceView]) throws(PluginError) {
    try checkAlive(slices.map(\.lane), at: place.text)
    var rest = slices[...]
    while let first = rest.first {
      var (used, count) = (0, 0)
      for slice in rest where used + slice.sharedBytes <= WorkerChannel.viewBytes {
        (used, count) = (used + slice.sharedBytes, count + 1)
      }
      guard count > 0 else {
        throw failed(place.text, "a view of \(first.count * 4) bytes does not fit a worker's shared memory")
      }
      try event(place, rest.prefix(count))
      rest = rest.dropFirst(count)
    }
  }

  private func event(_ place: EventPlace, _ slices: ArraySlice<SliceView>) throws(PluginError) {
    let worker = try running(at: place.text)
    var message = WireWriter()
    message.put(place, UInt64(slices.count))
    var offset = 0
    for slice in slices {
      memcpy(worker.channel.views + offset, slice.view - slice.margin, slice.stagedBytes)
      slice.write(to: &message, at: offset)
      offset += slice.sharedBytes
    }
    try call(.event, message, at: place.text, Nothing.self)
    offset = 0
    for slice in slices {
      memcpy(slice.view - slice.margin, worker.channel.views + offset, slice.stagedBytes)
      offset += slice.sharedBytes
    }
  }
}

// MARK: calls

extension WorkerInstance {
  /// An answer without a value.
  struct Nothing: Wire {
    func write(to wire: inout WireWriter) {}
    init(from wire: inout WireReader) throws(WireFault) {}
  }

  func failed(_ place: String, _ reason: String) -> PluginError {
    .failed(plugin: manifest.id, at: place, reason: reason)
  }

  private func checkAlive(_ lanes: [UInt32], at place: String) throws(PluginError) {
    if let reason = lanes.compactMap({ lostLanes[$0] }).first { throw failed(place, "its worker had ended: \(reason)") }
  }

  private func running(at place: String) throws(PluginError) -> WorkerProcess {
    if worker == nil {
      guard !isDestroyed else { throw failed(place, "was called after destroy") }
      guard ends.count < limits.ends else {
        throw failed(place, "is in quarantine after \(ends.count) ends of its worker; the last: \(ends.last ?? "")")
      }
      try start()
    }
    guard let worker else { throw failed(place, "has no worker") }
    return worker
  }

  private func start() throws(PluginError) {
    let fresh = try WorkerProcess(
      code: code.descriptor, program: manifest.grade == .python ? .python(mebibytes: limits.mebibytes) : .library)
    worker = fresh
    var message = WireWriter()
    message.put(limits.mebibytes, manifest.path, Array(manifest.source), parameters, model)
    message.put(services.editOperations.map(\.rawValue).sorted(), services.readingOperations.map(\.rawValue).sorted())
    do { sandbox = try call(.create, message, at: "create", [String].self) } catch {
      let hasEnded = worker == nil
      worker = nil
      // A plain function is tried while it is made.
      guard hasEnded, let plain = manifest.plain, case .failed(_, _, let reason) = error else { throw error }
      throw .knownAnswer(path: code.path, symbol: plain.symbol, fault: .ended(reason))
    }
  }

  /// Sends a request, does what the plugin asks the host for meanwhile, and gives what it answers.
  ///
  /// - Parameter given: seconds that it may take; nil: those of a call.
  @discardableResult
  func call<Answer: Wire>(
    _ kind: WorkerChannel.Kind, _ message: WireWriter, at place: @autoclosure () -> String, within given: Double? = nil,
    _ answer: Answer.Type
  ) throws(PluginError) -> Answer {
    let (worker, seconds) = (try running(at: place()), given ?? limits.seconds)
    let reason: String
    do {
      worker.channel.patience = seconds
      try worker.channel.send(kind, message)
      let started = ContinuousClock.now
      while true {
        switch try worker.channel.receive() {
        case .log(let level, let text): services.log(HostServices.LogLevel(rawValue: level) ?? .info, text)
        case .message(.done, var wire):
          let value = try wire.get(Answer.self)
          try wire.end()
          return value
        case .message(.failed, var wire): throw try PluginError(from: &wire, manifest)
        case .message(let request, var wire): try worker.channel.send(.answer, serve(request, &wire))
        }
        // A plugin that hangs may go on to log or to ask.
        if started.duration(to: .now) > .seconds(seconds) { throw WorkerChannel.Silence.tooLate }
      }
    } catch let error as PluginError {
      throw error
    } catch WorkerChannel.Silence.closed {
      reason = worker.words()
    } catch WorkerChannel.Silence.tooLate {
      reason = worker.words(hung: seconds)
    } catch WorkerChannel.Silence.nonsense(let problem) {
      reason = "its worker does not keep to the protocol: \(problem)"
    } catch {
      reason = "its worker does not keep to the protocol: \((error as? WireFault)?.problem ?? "\(error)")"
    }
    lose(reason, at: place())
    throw failed(place(), reason)
  }

  private func lose(_ reason: String, at place: String) {
    worker?.kill()
    worker = nil
    ends.append("at \(place): \(reason)")
    for lane in openLanes { lostLanes[lane] = reason }
    openLanes = []
  }

  /// What a plugin asks of its host inside of a call.
  private func serve(_ request: WorkerChannel.Kind, _ wire: inout WireReader) throws -> WireWriter {
    var answer = WireWriter()
    switch request {
    case .emit:
      let (lane, table, columns): (UInt32, String, [Column]) = (try wire.get(), try wire.get(), try wire.get())
      try columns.checkTable()
      answer.put(refusal { try services.emit(lane, table, columns) })
    case .select:
      let (tower, selector): (String, String) = (try wire.get(), try wire.get())
      var rows: [Int] = []
      answer.put(refusal { rows = try services.select(tower, selector) }, rows)
    case .randomKey:
      let lane: UInt32 = try wire.get()
      var key = SIMD2<UInt32>()
      answer.put(refusal { key = try services.randomKey(lane) }, key)
    default: throw WireFault(problem: "\(request) is no question")
    }
    return answer
  }

  /// Why the host refused, in words; nil if it did not.
  private func refusal(_ body: () throws -> Void) -> String? {
    do { try body() } catch { return (error as? any DiagnosedError)?.diagnosis.what ?? "\(error)" }
    return nil
  }
}

extension [Column] {
  /// What `ForeignReader.columns` has checked in the worker, which the host does not believe.
  fileprivate func checkTable() throws(WireFault) {
    guard count <= 64, Set(map(\.name)).count == count, !contains(where: { $0.name.isEmpty }) else {
      throw WireFault(problem: "a table of \(count) columns")
    }
    for column in self
    where column.values.count != first?.values.count
      || column.valid.map({ $0.count != column.values.count }) ?? false
    {
      throw WireFault(problem: "column '\(column.name)' has another length")
    }
  }
}

// MARK: views

extension SliceView {
  /// The view with its margins.
  fileprivate var stagedBytes: Int { (count + 2 * margin) * 4 }
  /// What it takes in the shared memory, where views begin at multiples of 64.
  fileprivate var sharedBytes: Int { (stagedBytes + 63) / 64 * 64 }

  fileprivate func write(to wire: inout WireWriter, at offset: Int) {
    wire.put(lane, access, offset + 4 * margin, shape, rows, heads, firstKey, keys, isLastBlock, writable)
  }

  /// - Parameter views: where the worker has the shared views.
  init(from wire: inout WireReader, in views: UnsafeMutableRawPointer) throws(WireFault) {
    let (lane, access): (UInt32, Int) = (try wire.get(), try wire.get())
    let view = views + (try wire.get(Int.self))
    self.init(
      lane: lane, access: access, view: view.assumingMemoryBound(to: Float.self), shape: try wire.get(),
      rows: try wire.get(), heads: try wire.get(), firstKey: try wire.get(), keys: try wire.get(),
      isLastBlock: try wire.get(), writable: try wire.get())
  }
}
