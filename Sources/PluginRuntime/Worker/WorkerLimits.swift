import Foundation

/// What a worker may take. The environment sets it and no manifest: no number depends on it.
package struct WorkerLimits: Sendable, Equatable {
  /// Until a call is given up and the worker killed: `ABLATE_WORKER_SECONDS`.
  package var seconds = 60.0
  /// The same for what a probe learns in: `ABLATE_WORKER_FIT_SECONDS`.
  package var fitSeconds = 3600.0
  /// Of address space, in MiB: `ABLATE_WORKER_MEMORY`. It bounds the threads too, by their stacks.
  package var mebibytes = 4096
  /// So many ends of its worker, and an instance is started no more.
  package var ends = 3

  package init(
    environment: [String: String] = ProcessInfo.processInfo.environment
  ) throws(PluginError) {
    seconds = try Self.setting("ABLATE_WORKER_SECONDS", environment, 0.001...86400) ?? seconds
    fitSeconds = try Self.setting("ABLATE_WORKER_FIT_SECONDS", environment, 0.001...8_640_000) ?? fitSeconds
    mebibytes = try Self.setting("ABLATE_WORKER_MEMORY", environment, 1024...1_048_576).map { Int($0) } ?? mebibytes
  }

  private static func setting(
    _ name: String, _ environment: [String: String], _ range: ClosedRange<Double>
  ) throws(PluginError) -> Double? {
    guard let text = environment[name], !text.isEmpty else { return nil }
    guard let value = Double(text), range.contains(value) else {
      throw .setting(name: name, problem: "'\(text)' is no number in \(range.lowerBound)...\(range.upperBound)")
    }
    return value
  }
}
