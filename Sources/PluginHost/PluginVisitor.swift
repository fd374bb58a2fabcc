import Models
import PluginRuntime
import Tensors

/// Calls imperative plugins: one call per instance with the slices of all its lanes.
final class PluginVisitor: HookVisitor {
  /// Per lane of the pack: the attachments of its condition, then the probes.
  private let lanes: [[Attachment]]
  private let headCount: (HookPoint) -> Int
  /// Of an audit: a plugin has changed memory that it did not declare. Whatever the process computes from now on may be wrong.
  private(set) var violation: PluginError?

  init(_ lanes: [[Attachment]], headCount: @escaping (HookPoint) -> Int) {
    self.lanes = lanes
    self.headCount = headCount
  }

  func visit(_ batch: [Visit]) -> [LaneFailure] {
    var failures: [LaneFailure] = []
    var open = batch
    while let first = open.first {
      let attachment = lanes[first.lane][first.plugin]
      let together = open.filter { lanes[$0.lane][$0.plugin] === attachment }
      open.removeAll { lanes[$0.lane][$0.plugin] === attachment }
      do {
        try call(attachment, together)
      } catch {
        let reason = if case .failed(_, _, let reason) = error { reason } else { "\(error)" }
        failures += together.map { LaneFailure(lane: $0.lane, plugin: $0.plugin, point: $0.point, reason: reason) }
      }
    }
    return failures
  }

  private func call(_ attachment: Attachment, _ visits: [Visit]) throws(PluginError) {
    guard case .plugin(let calls) = attachment.kind, let first = visits.first else { return }
    let place = EventPlace(
      phase: phase(first), layer: first.point.layer, step: first.step, tower: first.point.tower.rawValue,
      site: first.point.site.rawValue)
    let memory = MemoryWatch.isOn ? MemoryWatch.Picture(without: visits.map(\.data.memory)) : nil
    try calls.onEvent(place, visits.map(slice))
    if let change = memory?.change, violation == nil {
      violation = .failed(
        plugin: attachment.name, at: "\(first.point)", reason: "changed memory that it did not declare: \(change)")
    }
  }

  private func phase(_ visit: Visit) -> EventPlace.Phase {
    switch visit.point.tower {
    case .vision: .vision
    case .projector: .projector
    case .text: visit.step == 0 ? .prefill : .decode
    }
  }

  private func slice(_ visit: Visit) -> SliceView {
    SliceView(
      lane: UInt32(visit.lane), access: visit.access, view: visit.data.base, margin: StagedCopy.margin,
      shape: visit.shape, rows: visit.rows, heads: visit.heads ?? Array(0..<headCount(visit.point)),
      firstKey: visit.firstKey, keys: visit.point.site.axes == .headsRowsKeys ? visit.shape[2] : 0,
      isLastBlock: visit.isLastBlock, writable: visit.writable)
  }
}
