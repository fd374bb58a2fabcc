import Diagnostics
import Models
import PluginRuntime

/// One entry of a condition (or one probe), as a manifest or a command line gives it.
package enum AttachmentSpec: Sendable {
  case plugin(
    PluginManifest, parameters: [String: GivenValue], from: PatchOrigin? = nil,
    placement: Placement = Placement(.inProcess, .asked(by: "the caller")))
  case edit(ManifestEdit)
  /// Another image in the place of the item's.
  case image(InputImage)

  var image: InputImage? { if case .image(let image) = self { image } else { nil } }

  /// The run that its patches read.
  var origin: PatchOrigin? {
    switch self {
    case .plugin(_, _, let from, _): from
    case .edit(let edit):
      edit.request.sourceCondition.map { PatchOrigin(condition: $0, item: edit.request.sourceItem) }
    case .image: nil
    }
  }
}

/// An edit that a manifest says directly, without a plugin.
package struct ManifestEdit: Sendable {
  /// The operation as the manifest spells it.
  package var name: String
  package var request: EditRequest
  /// `file:line:column`, for errors.
  package var place: String

  package init(name: String, request: EditRequest, place: String) {
    self.name = name
    self.request = request
    self.place = place
  }
}

/// A plugin made ready for one condition of one model, or an edit.
final class Attachment {
  /// What does the work.
  enum Kind {
    case plugin(any PluginCalls)
    case edit(ManifestEdit)
    case image(InputImage)
  }

  let name: String
  let kind: Kind
  let expectsNoChange: Bool
  let isProbe: Bool
  /// Why a plugin's code runs where it runs.
  private let reason: Placement.Reason?
  /// The run that its patches read.
  let origin: PatchOrigin?
  /// Rows that the plugin emitted, per lane.
  let emitted: EmittedRows
  /// What `select` resolves selectors against.
  private let inHand = ItemInHand()
  /// What it asks for on every item; nil where it is asked for each.
  private(set) var symbolicPlan: PlanRequest?

  /// For errors: where a manifest says it, or which plugin it is.
  var place: String {
    if case .edit(let edit) = kind { "\(edit.place): \(name)" } else { name }
  }

  init(_ spec: AttachmentSpec, model: ModelFacts, seed: UInt64) throws(PluginError) {
    emitted = EmittedRows(seed: seed)
    origin = spec.origin
    switch spec {
    case .image(let image):
      name = "image \(image.rawValue)"
      (kind, expectsNoChange, isProbe, reason) = (.image(image), false, false, nil)
    case .edit(let edit):
      name = "edit \(edit.name)"
      (kind, expectsNoChange, isProbe, reason) = (.edit(edit), false, false, nil)
    case .plugin(let manifest, let given, _, let placement):
      name = manifest.id
      reason = placement.reason
      expectsNoChange = manifest.expectsNoChange
      isProbe = manifest.kind == .probe
      let (rows, inHand) = (emitted, inHand)
      let services = HostServices(
        log: { level, text in
          if level.rawValue >= HostServices.LogLevel.warning.rawValue { logLine("\(manifest.id): \(text)") }
        },
        emit: { lane, table, columns in try rows.take(lane, table, columns) },
        randomKey: { try rows.key(of: $0) }, select: { try inHand.rows(of: $1, in: $0) })
      let calls = try placement.open(
        manifest, parameters: manifest.resolve(given), model: model, services: services)
      kind = .plugin(calls)
      let plan = try calls.plan(nil)
      if !plan.perItem { symbolicPlan = plan }
    }
  }

  /// Where a plugin's code runs, what holds it there, and why there, for provenance.
  var placement: String? {
    guard case .plugin(let calls) = kind, let reason else { return nil }
    return "\(calls.place): \(reason)"
  }

  /// What it asks for on one item.
  func plan(_ item: Item, condition: String) throws(PluginError) -> PlanRequest {
    switch kind {
    case .plugin(let calls):
      if let symbolicPlan { return symbolicPlan }
      inHand.item = item
      defer { inHand.item = nil }
      return try calls.plan(item.facts(condition: condition))
    case .image: return PlanRequest()
    case .edit(let edit):
      var plan = PlanRequest()
      plan.edits = [edit.request]
      return plan
    }
  }
}

extension Attachment {
  /// Opens a lane of a plugin that has lanes.
  func begin(_ lane: Int, _ item: Item, condition: String) throws(PluginError) {
    guard case .plugin(let calls) = kind else { return }
    emitted.begin(UInt32(lane), name: "\(item.id)\u{0}\(condition)")
    inHand.item = item
    defer { inHand.item = nil }
    try calls.beginLane(UInt32(lane), item.facts(condition: condition))
  }
}

/// The item of the call that a plugin is in.
private final class ItemInHand {
  var item: Item?

  func rows(of selector: String, in tower: String) throws -> [Int] {
    guard let item else { throw OutsideItem() }
    guard let tower = Tower(rawValue: tower) else {
      throw ModelError.selector(selector, problem: "no tower '\(tower)'", remedy: "vision, projector or text")
    }
    return try item.rows(of: .selector(selector), in: tower)
  }
}

/// Rows and random keys of an instance's lanes.
final class EmittedRows {
  private let seed: UInt64
  private var keys: [UInt32: UInt64] = [:]
  private var tables: [UInt32: [(table: String, columns: [Column])]] = [:]

  init(seed: UInt64) { self.seed = seed }

  /// `name` stays the same for a trial wherever it runs, so that its random numbers do.
  func begin(_ lane: UInt32, name: String) {
    keys[lane] = UInt64(SHA256.hex(name).prefix(16), radix: 16) ?? 0
    tables[lane] = []
  }

  func key(of lane: UInt32) throws(NoLane) -> SIMD2<UInt32> {
    guard let key = keys[lane] else { throw NoLane(lane) }
    return Philox.key(seed: seed, lane: key)
  }

  func take(_ lane: UInt32, _ table: String, _ columns: [Column]) throws(NoLane) {
    guard tables[lane] != nil else { throw NoLane(lane) }
    tables[lane]?.append((table, columns))
  }

  func end(_ lane: UInt32) -> [(table: String, columns: [Column])] {
    keys[lane] = nil
    return tables.removeValue(forKey: lane) ?? []
  }
}

import Foundation

/// A line on standard error.
@Sendable func logLine(_ text: String) { FileHandle.standardError.write(Data((text + "\n").utf8)) }
