import Diagnostics
import Foundation

/// What a run tells of itself while it works, `status.json` in its folder: for `ablate status`, which asks no process.
package struct RunStatus: Codable, Sendable, Equatable {
  package enum State: String, Codable, Sendable {
    case running, done, stopped, failed
  }

  package var schema = "ablate.status/1"
  package var state = State.running
  /// Trials that are stored.
  package var done = 0
  package var total: Int
  /// Of those, the ones that were stored before this process.
  package var before = 0
  /// Why it stopped or failed, in words.
  package var reason: String?
  package var host = ProcessInfo.processInfo.hostName
  package var process = Int(ProcessInfo.processInfo.processIdentifier)
  package var instructionSet: String
  /// Seconds since 1970.
  package var started = Date().timeIntervalSince1970
  package var updated = Date().timeIntervalSince1970
  /// `squeue` knows the job under this name, and how often Slurm has started it again.
  package var slurmJob: String?
  package var slurmRestarts: Int?

  package init(total: Int, instructionSet: String, environment: [String: String]) {
    self.total = total
    self.instructionSet = instructionSet
    slurmJob =
      environment["SLURM_ARRAY_JOB_ID"].map { "\($0)_\(environment["SLURM_ARRAY_TASK_ID"] ?? "")" }
      ?? environment["SLURM_JOB_ID"]
    slurmRestarts = slurmJob == nil ? nil : environment["SLURM_RESTART_COUNT"].flatMap { Int($0) } ?? 0
  }

  /// Seconds per trial of this process; nil before its first one.
  package var pace: Double? { done > before ? (updated - started) / Double(done - before) : nil }

  package init?(of folder: RunFolder) {
    guard let data = FileManager.default.contents(atPath: folder.file("status.json")),
      let status = try? RunStatus.decoder.decode(RunStatus.self, from: data)
    else { return nil }
    self = status
  }

  private static var decoder: JSONDecoder {
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    return decoder
  }

  fileprivate var text: String? {
    let encoder = JSONEncoder()
    encoder.keyEncodingStrategy = .convertToSnakeCase
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
    return (try? encoder.encode(self)).map { String(decoding: $0, as: UTF8.self) + "\n" }
  }
}

/// Keeps a run's `status.json`: at the start, every two seconds, and at the end. That it cannot be written stops no run.
package final class StatusFile {
  private let folder: RunFolder
  private var status: RunStatus
  private var written = 0.0

  package init(_ folder: RunFolder, _ status: RunStatus) {
    self.folder = folder
    self.status = status
  }

  package func observe(done: Int) {
    if written == 0 { status.before = done }
    status.done = done
    if Date().timeIntervalSince1970 - written >= 2 { write() }
  }

  /// Does a run's work; its end goes into the file.
  package func following<T>(_ work: () throws -> T) throws -> T {
    do {
      let result = try work()
      status.state = .done
      write()
      return result
    } catch {
      let diagnosis = (error as? any DiagnosedError)?.diagnosis
      status.state = diagnosis?.exit == .resumable ? .stopped : .failed
      status.reason = diagnosis?.what ?? "\(error)"
      write()
      throw error
    }
  }

  private func write() {
    status.updated = Date().timeIntervalSince1970
    written = status.updated
    if let text = status.text { try? folder.write(text, to: "status.json") }
  }
}
