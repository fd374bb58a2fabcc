import Diagnostics
import Experiments
import Foundation
import Synchronization

/// Runs shards as processes of this machine, each on processors of its own.
struct LocalEngine {
  let program: String
  let manifest: String
  let folder: RunFolder
  let count: Int
  /// More words for `ablate run`.
  let flags: [String]
  let atOnce: Int?

  /// A shard that has ended, and on which of the groups of processors.
  private struct End: Sendable {
    var shard: Int
    var group: Int
    var code: Int32
  }

  private final class Ends: Sendable {
    private let ends = Mutex<[End]>([])
    func add(_ end: End) { ends.withLock { $0.append(end) } }
    func take() -> [End] {
      ends.withLock { ends in
        defer { ends = [] }; return ends
      }
    }
  }

  /// The processors that this process may use, divided: as many groups as shards run at once.
  func groups(of processors: [Int], shards: Int) -> [[Int]] {
    let count = max(1, min(processors.count, atOnce ?? shards, shards))
    return (0..<count).map { group in
      Array(processors[(group * processors.count / count)..<((group + 1) * processors.count / count)])
    }
  }

  /// - Throws: `shards` when some ended otherwise than done; the others have run all the same.
  func run(_ shards: [Int], _ interruption: Interruption) throws {
    let groups = groups(of: LocalEngine.processors, shards: shards.count)
    let ends = Ends()
    var (waiting, free) = (shards[...], Array(groups.indices))
    var running: [Int: Process] = [:]
    var failures: [End] = []
    var told = false
    while !(running.isEmpty && (waiting.isEmpty || interruption.isRequested)) {
      while !interruption.isRequested, let shard = waiting.first, let group = free.popLast() {
        waiting.removeFirst()
        running[shard] = try start(shard, on: groups[group]) { code in
          ends.add(End(shard: shard, group: group, code: code))
        }
      }
      if interruption.isRequested, !told {
        told = true
        running.values.forEach { kill($0.processIdentifier, SIGTERM) }
      }
      usleep(50_000)
      for end in ends.take() {
        running[end.shard] = nil
        free.append(end.group)
        if end.code != 0 { failures.append(end) }
        Progress.toStandardError("shard \(end.shard)/\(count): \(end.code == 0 ? "done" : "exit code \(end.code)")\n")
      }
    }
    try check(failures, waiting.count)
  }

  private func check(_ failures: [End], _ waiting: Int) throws {
    guard !failures.isEmpty || waiting > 0 else { return }
    let resumable = ExitStatus.resumable.rawValue
    let worst = failures.map(\.code).first { $0 != resumable }
    let words = failures.sorted { $0.shard < $1.shard }.map {
      "shard \($0.shard) ended with \($0.code), see \(log($0.shard))"
    }
    throw EngineError.shards(
      folder: folder.path, words + (waiting == 0 ? [] : ["\(waiting) shards were not started"]),
      worst.map { ExitStatus(rawValue: $0) ?? .failure } ?? .resumable)
  }

  private func log(_ shard: Int) -> String { "local/" + String(format: "%04d.log", shard) }

  private func start(_ shard: Int, on processors: [Int], ended: @escaping @Sendable (Int32) -> Void) throws -> Process {
    let path = folder.file(log(shard))
    if !FileManager.default.fileExists(atPath: path) { try folder.write("", to: self.log(shard)) }
    guard let log = FileHandle(forWritingAtPath: path), let taskset = Tool.path(of: "taskset") else {
      throw EngineError.missing(program: "taskset")
    }
    log.seekToEndOfFile()
    let process = Process()
    process.executableURL = URL(fileURLWithPath: taskset)
    process.arguments =
      [
        "--cpu-list", processors.map(String.init).joined(separator: ","), program, "run", manifest, "--out",
        folder.path,
        "--shard", "\(shard)/\(count)",
      ] + flags
    process.environment = ProcessInfo.processInfo.environment.merging(["OMP_NUM_THREADS": "\(processors.count)"]) { $1 }
    process.standardInput = FileHandle.nullDevice
    (process.standardOutput, process.standardError) = (log, log)
    process.terminationHandler = { process in
      ended(process.terminationReason == .exit ? process.terminationStatus : 128 + process.terminationStatus)
    }
    try process.run()
    return process
  }

  /// From the kernel's list, `0-3,8`.
  private static var processors: [Int] {
    let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
    let list = status.firstMatch(of: /Cpus_allowed_list:\s*([0-9,-]+)/)?.1 ?? "0"
    return list.split(separator: ",").flatMap { range -> [Int] in
      let ends = range.split(separator: "-").compactMap { Int($0) }
      return ends.count == 2 && ends[0] <= ends[1] ? Array(ends[0]...ends[1]) : Array(ends.prefix(1))
    }
  }
}
