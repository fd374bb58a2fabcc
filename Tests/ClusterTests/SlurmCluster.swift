import Foundation
import Glibc
import TestSupport

/// Slurm on this machine, see slurm.sh, for as long as the value lives.
final class SlurmCluster {
  let folder: TemporaryFolder
  /// Whether every node has a network of its own.
  let hasNetworks: Bool

  /// Why there can be none here; nil where there can.
  static let missing: String? = {
    let programs = ["slurmctld", "slurmd", "sbatch", "munged", "ip", "nsenter"].filter { Shell.path(of: $0) == nil }
    if !programs.isEmpty { return "not installed: \(programs.joined(separator: ", ")) (make test-deps)" }
    return getuid() == 0 ? nil : "only root can start Slurm's daemons"
  }()

  private static var script: String { repository + "/Tests/ClusterTests/slurm.sh" }

  init(maxArraySize: Int = 1001) throws {
    folder = try TemporaryFolder()
    chmod(folder.path, 0o755)
    let started = try Shell.run(
      ["bash", Self.script, "start", folder.path], environment: ["MAX_ARRAY": "\(maxArraySize)"])
    guard started.status == 0 else { throw Unusable(words: started.output) }
    hasNetworks = started.output.contains("networks")
  }

  deinit { _ = try? Shell.run(["bash", Self.script, "stop", folder.path]) }

  struct Unusable: Error { let words: String }

  var environment: [String: String] { ["SLURM_CONF": folder.file("slurm.conf")] }

  func network(_ state: String, of node: String) throws {
    let answer = try Shell.run(["bash", Self.script, state, folder.path, String(node.dropFirst())])
    guard answer.status == 0 else { throw Unusable(words: answer.output) }
  }

  func run(_ command: [String]) throws -> Shell.Answer { try Shell.run(command, environment: environment) }

  /// Until nothing is in the queue any more.
  func finish(within seconds: Double = 150) throws {
    try wait("the queue to empty", seconds) { try run(["squeue", "--noheader"]).output.isEmpty }
  }

  func wait(_ what: String, _ seconds: Double = 60, until done: () throws -> Bool) throws {
    let end = Date().addingTimeInterval(seconds)
    while try !done() {
      guard Date() < end else {
        let queue = try run(["squeue", "--array"]).output
        throw Unusable(words: "waited \(seconds) s for \(what)\n\(queue)")
      }
      usleep(100_000)
    }
  }
}
