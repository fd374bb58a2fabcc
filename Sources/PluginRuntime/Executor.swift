/// Where a plugin's code runs. The numbers are the same, bit for bit.
package enum Executor: String, CaseIterable, Sendable {
  /// In the host: a call is a function call, and a plugin that crashes takes the host with it.
  case inProcess = "in-process"
  /// In a sandboxed process of its own: a call costs some tens of microseconds, and a crash is a failed lane.
  case worker
}

/// Where a plugin's code runs, and why there: what provenance says of it.
package struct Placement: Sendable, Equatable {
  package enum Reason: Sendable, Equatable {
    /// Whose word it is: a flag, or the manifest.
    case asked(by: String)
    /// Why the code is trusted: `bundled`, `pinned`, `signed by alice`.
    case trusted(String)
    /// Nobody vouches for it: the sandbox must hold.
    case untrusted
  }

  package var executor: Executor
  package var reason: Reason

  package init(_ executor: Executor, _ reason: Reason) { (self.executor, self.reason) = (executor, reason) }
}

extension Placement.Reason: CustomStringConvertible {
  package var description: String {
    switch self {
    case .asked(let who): "asked for by \(who)"
    case .trusted(let why): why
    case .untrusted: "neither bundled, pinned nor signed"
    }
  }
}

extension Placement: CustomStringConvertible {
  package var description: String { "\(executor.rawValue), \(reason)" }

  /// Checks the plugin's library, loads it where it is to run, and makes an instance with these parameters, which are those of
  /// `PluginManifest.resolve`. Nothing behind this function knows which executor a plugin has.
  package func open(
    _ manifest: PluginManifest, parameters: [BoundParameter], model: ModelFacts, services: HostServices
  ) throws(PluginError) -> any PluginCalls {
    switch (executor, manifest.grade) {
    case (.worker, _):
      return try WorkerInstance(
        manifest, parameters: parameters, model: model, services: services, mustHold: reason == .untrusted)
    case (.inProcess, .sdk):
      return try PluginInstance(
        PluginLibrary.open(manifest), parameters: parameters, model: model, services: services)
    case (.inProcess, .plain): return try PlainInstance(PlainFunction.open(manifest), parameters: parameters)
    case (.inProcess, .python):
      if case .asked(let who) = reason {
        throw .failed(
          plugin: manifest.id, at: "create", reason: "\(who) asks for in-process, but Python runs in a worker only")
      }
      return try WorkerInstance(manifest, parameters: parameters, model: model, services: services)
    }
  }
}

/// The calls of a plugin's life, wherever its code runs. Serial: one call at a time.
///
/// A call that the plugin answers with an error, or does not survive, throws `PluginError.failed` with the reason.
package protocol PluginCalls: AnyObject {
  /// SHA-256 of the library's bytes.
  var sha256: String { get }
  /// Where the code runs and what holds it there, for provenance.
  var place: String { get }
  /// What the plugin asks for: for all items (nil, once, before anything runs), or for one. Checked against the host's operations and
  /// the manifest's footprint, not yet against the model.
  func plan(_ item: ItemFacts?) throws(PluginError) -> PlanRequest
  func beginLane(_ lane: UInt32, _ item: ItemFacts) throws(PluginError)
  /// Calls the plugin with all lanes' slices of one hook point.
  func onEvent(_ place: EventPlace, _ slices: [SliceView]) throws(PluginError)
  /// `readings` are the answers to the plan's readings, in columns of equal length; empty when there were none.
  func endLane(_ lane: UInt32, readings: [Column]) throws(PluginError)
  /// The calls of a probe that learns, of an instance that runs no lanes.
  func fit() throws(PluginError) -> any FitCalls
  /// Ends the instance; the second time nothing happens.
  func destroy()
}

extension PluginCalls {
  package var place: String { Executor.inProcess.rawValue }
}
