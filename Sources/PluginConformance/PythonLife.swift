import Diagnostics
import PluginRuntime

/// A plugin in Python in its worker, with the services of a checking host: what `Subject` is for a library.
final class PythonSubject {
  let calls: any PluginCalls
  private let record: EmittedDigests

  private final class EmittedDigests {
    var byLane: [UInt32: String] = [:]
  }

  /// What was emitted for each lane.
  var emitted: [UInt32: String] { record.byLane }

  init(_ manifest: PluginManifest, _ parameters: [BoundParameter]) throws(PluginError) {
    let record = EmittedDigests()
    self.record = record
    let services = HostServices(
      emit: { lane, table, columns in record.byLane[lane] = columns.digest(after: record.byLane[lane], table: table) },
      randomKey: { lane in SIMD2(7, lane) },
      select: { tower, _ in Specimen.rows(of: tower).map(Int.init) })
    calls = try Placement(.worker, .asked(by: "the check")).open(
      manifest, parameters: parameters, model: Specimen.modelFacts, services: services)
  }
}

extension Life {
  /// The life of a plugin in Python.
  func worked(_ plugin: PluginUnderTest) throws(Finding) -> Record {
    do {
      return try lifeInWorker(plugin)
    } catch let error as PluginError {
      throw .fault(error.inCall)
    } catch let finding as Finding {
      throw finding
    } catch { throw .fault("\(error)") }
  }

  private func lifeInWorker(_ plugin: PluginUnderTest) throws -> Record {
    let subject = try PythonSubject(plugin.manifest, plugin.parameters)
    var plan = try subject.calls.plan(nil)
    for lane in lanes {
      if plan.perItem { plan = try subject.calls.plan(Specimen.itemFacts) }
      try subject.calls.beginLane(lane, Specimen.itemFacts)
    }
    var record = Record()
    for (index, visit) in try Visit.all(of: plan).enumerated() { try make(visit, index, subject, &record) }
    let answers = Answers(plan)
    for lane in lanes { try subject.calls.endLane(lane, readings: answers.count == 0 ? [] : answers.columns) }
    record.emitted = subject.emitted
    return record
  }

  private func make(_ whole: Visit, _ index: Int, _ subject: PythonSubject, _ record: inout Record) throws {
    for block in blocks ?? [0..<whole.rows.count] {
      var visit = whole
      visit.rows = Array(whole.rows[block.clamped(to: 0..<whole.rows.count)])
      let memories = lanes.compactMap { ViewMemory(numbers(visit, $0, index), .open, isWritable: visit.isWritable) }
      let slices = zip(lanes, memories).map { lane, memory in
        SliceView(
          lane: lane, access: visit.access, view: memory.start, margin: ViewMemory.openMargin, shape: visit.shape,
          rows: visit.rows.map(Int.init), heads: visit.hasHeads ? visit.heads.map(Int.init) : [],
          keys: visit.hasKeys ? Specimen.sequence[visit.tower] ?? 0 : 0,
          isLastBlock: block.upperBound >= whole.rows.count,
          writable: visit.isWritable)
      }
      let place = EventPlace(phase: visit.phase, layer: visit.layer, step: 0, tower: visit.tower, site: visit.site)
      try subject.calls.onEvent(place, slices)
      for (lane, memory) in zip(lanes, memories) {
        if watchesMemory { try memory.check("on_event at \(visit.name)") }
        record.views[lane, default: []].append(memory.bits)
      }
    }
  }
}

extension CheckedPlugin {
  func checkPythonCreate(_ plugin: PluginUnderTest) throws {
    _ = try PythonSubject(plugin.manifest, plugin.parameters)
    for (i, parameter) in plugin.parameters.enumerated() {
      guard let spec = plugin.manifest.params.first(where: { $0.id == parameter.id }) else { continue }
      for value in spec.extremes {
        var parameters = plugin.parameters
        parameters[i].value = value
        if let words = endOfMaking(plugin.manifest, parameters) {
          throw Finding.fault("create with \(spec.id) = \(value.spelled): \(words)")
        }
      }
    }
  }

  /// How the process ended; nil where it made the plugin, or refused with an exception, which are words.
  private func endOfMaking(_ manifest: PluginManifest, _ parameters: [BoundParameter]) -> String? {
    let made = Result { try PythonSubject(manifest, parameters) }
    guard case .failure(let error) = made, case .failed(_, _, let reason)? = error as? PluginError else { return nil }
    return reason.hasPrefix("it ") ? reason : nil
  }

  func checkPythonPlan(_ plugin: PluginUnderTest) throws {
    let calls = try PythonSubject(plugin.manifest, plugin.parameters).calls
    let plan = try calls.plan(nil)
    guard try calls.plan(nil) == plan else { throw Finding.fault("two plans of one instance differ") }
    let ofItem = plan.perItem ? try calls.plan(Specimen.itemFacts) : plan
    _ = try Visit.all(of: ofItem)
    try calls.beginLane(0, Specimen.itemFacts)
    guard try !plan.perItem || calls.plan(Specimen.itemFacts) == ofItem else {
      throw Finding.fault("the plan of an item changes once its lane is open")
    }
  }
}
