import Diagnostics
import Models
import PluginRuntime

/// One entry of a condition (or one probe), as a manifest or a command line gives it.
package enum AttachmentSpec: Sendable {
  case plugin(PluginManifest, parameters: [String: GivenValue])
  case edit(ManifestEdit)
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
  enum Executor {
    case sdk(PluginInstance)
    case plain(PlainCall, PlainTarget)
    case edit(ManifestEdit)
  }

  let name: String
  let executor: Executor
  let expectsNoChange: Bool
  let isProbe: Bool
  /// Digest of the library's bytes; empty for an edit.
  let digest: String
  /// Rows that the plugin emitted, per lane.
  let emitted: EmittedRows
  private var symbolicPlan: PlanRequest?

  /// For errors: where a manifest says it, or which plugin it is.
  var place: String {
    if case .edit(let edit) = executor { "\(edit.place): \(name)" } else { name }
  }

  init(_ spec: AttachmentSpec, model: ModelFacts, seed: UInt64) throws(PluginError) {
    emitted = EmittedRows(seed: seed)
    switch spec {
    case .edit(let edit):
      name = "edit \(edit.name)"
      (executor, expectsNoChange, isProbe, digest) = (.edit(edit), false, false, "")
    case .plugin(let manifest, let given):
      name = manifest.id
      expectsNoChange = manifest.expectsNoChange
      isProbe = manifest.kind == .probe
      let parameters = try manifest.resolve(given)
      switch manifest.grade {
      case .plain:
        let function = try PlainFunction.open(manifest)
        let target = PlainTarget(parameters, access: function.access)
        try target.plan.checkFootprint(manifest)
        executor = .plain(try function.bound(to: parameters), target)
        digest = function.sha256
      case .sdk:
        let library = try PluginLibrary.open(manifest)
        let rows = emitted
        let services = HostServices(
          log: { level, text in
            if level.rawValue >= HostServices.LogLevel.warning.rawValue { logLine("\(manifest.id): \(text)") }
          },
          emit: { lane, table, columns in rows.take(lane, table, columns) },
          randomKey: { rows.key(of: $0) })
        let instance = try PluginInstance(library, parameters: parameters, model: model, services: services)
        executor = .sdk(instance)
        digest = library.sha256
        let plan = try instance.plan(nil)
        if !plan.perItem { symbolicPlan = plan }
      }
    }
  }

  /// What it asks for on one item.
  func plan(_ item: ItemFacts) throws(PluginError) -> PlanRequest {
    switch executor {
    case .sdk(let instance):
      if let symbolicPlan { return symbolicPlan }
      return try instance.plan(item)
    case .plain(_, let target): return target.plan
    case .edit(let edit):
      var plan = PlanRequest()
      plan.edits = [edit.request]
      return plan
    }
  }
}

/// What a plain function is applied to: the parameters `tower`, `site`, `layers` and `tokens`.
struct PlainTarget {
  let plan: PlanRequest

  init(_ parameters: [BoundParameter], access: Access) {
    func text(_ id: String, _ fallback: String) -> String {
      switch parameters.first(where: { $0.id == id })?.value {
      case .string(let text), .selector(let text): text
      default: fallback
      }
    }
    var request = PlanRequest()
    request.accesses = [
      AccessRequest(
        access: access, tower: text("tower", "text"), site: text("site", "resid_post"),
        layers: .selector(text("layers", "all")), heads: nil, tokens: .selector(text("tokens", "all")))
    ]
    plan = request
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

  func key(of lane: UInt32) -> SIMD2<UInt32> { Philox.key(seed: seed, lane: keys[lane] ?? 0) }

  func take(_ lane: UInt32, _ table: String, _ columns: [Column]) { tables[lane, default: []].append((table, columns)) }

  func end(_ lane: UInt32) -> [(table: String, columns: [Column])] { tables.removeValue(forKey: lane) ?? [] }
}

import Foundation

/// A line on standard error.
@Sendable func logLine(_ text: String) { FileHandle.standardError.write(Data((text + "\n").utf8)) }
