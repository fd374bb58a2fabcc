import Foundation

/// Where every shard of a study stands: from the shards' own files, and from the queue where there is one.
package struct ShardStates: Sendable {
  package enum State: String, Sendable {
    case done, running, waiting, stopped, failed, lost, unstarted
  }

  package struct Shard: Sendable {
    package var number: Int
    package var state: State
    package var done: Int
    package var failed: Int
    package var total: Int
    /// `n2, job 12_3`
    package var place: String
    package var reason: String
    /// Seconds until it is done, while it runs.
    package var left: Double?
  }

  package let shards: [Shard]

  /// - Parameter queue: what the cluster says of a shard, by its number.
  package init(_ folder: RunFolder, _ list: ShardList, queue: [Int: QueuedTask] = [:]) throws {
    let manifest = try list.parsedManifest()
    shards = try (1...list.shards.count).map { number in
      try ShardStates.shard(number, folder, list, manifest, queue[number])
    }
  }

  private static func shard(
    _ number: Int, _ folder: RunFolder, _ list: ShardList, _ manifest: Manifest, _ task: QueuedTask?
  ) throws -> Shard {
    let attempts = (0..<RunFolder.mostAttempts).map { folder.shard(number, attempt: $0) }
    let said = attempts.compactMap { attempt in RunStatus(of: attempt).map { (attempt, $0) } }
    let total = list.trials(ofShard: number, manifest).count
    let place = said.last.map { words(for: $0.1) } ?? ""
    // A store that is being written is left in peace.
    if let (_, live) = said.last(where: { $0.1.state == .running && RunLock.isHeld(in: $0.0) }) {
      return Shard(
        number: number, state: .running, done: live.done, failed: 0, total: total, place: words(for: live), reason: "",
        left: live.pace.map { $0 * Double(live.total - live.done) })
    }
    let done = total - (try list.missing(inShard: number, of: folder, manifest).count)
    let failed = try folder.attempts(ofShard: number).last.map {
      try RunStore(path: $0.store, readOnly: true).failedTrials().count
    }
    var shard = Shard(
      number: number, state: .unstarted, done: done, failed: failed ?? 0, total: total, place: place, reason: "")
    if done == total {
      shard.state = .done
    } else if let task {
      shard.state = task.isRunning ? .running : .waiting
      shard.reason = task.reason
      shard.place = "job \(task.job)"
    } else if let (_, last) = said.last {
      shard.state = last.state == .running ? .lost : last.state == .failed ? .failed : .stopped
      shard.reason = last.state == .running ? "its process ended without a word" : last.reason ?? ""
    }
    return shard
  }

  private static func words(for status: RunStatus) -> String {
    let restarts = status.slurmRestarts.map { $0 == 0 ? "" : ", started \($0 + 1) times" } ?? ""
    return status.host + (status.slurmJob.map { ", job \($0)" } ?? "") + restarts
  }

  /// The shards that somebody has to start: not done, not running, not in a queue.
  package var unattended: [Int] { shards.filter { ![.done, .running, .waiting].contains($0.state) }.map(\.number) }

  /// Seconds until all is done at the pace of the shards that run now; nil while none has got anywhere.
  package var left: Double? {
    let pace = shards.reduce(0.0) { sum, shard in
      guard let left = shard.left, left > 0 else { return sum }
      return sum + Double(shard.total - shard.done) / left
    }
    let trials = shards.reduce(0) { $0 + $1.total - $1.done }
    return trials == 0 ? 0 : pace > 0 ? Double(trials) / pace : nil
  }
}

/// A task of a job array as the queue has it.
package struct QueuedTask: Sendable, Equatable {
  package var job: String
  package var isRunning: Bool
  /// Why it waits, in the queue's word.
  package var reason: String

  package init(job: String, isRunning: Bool, reason: String) {
    self.job = job
    self.isRunning = isRunning
    self.reason = reason
  }
}

extension ShardStates {
  package var json: JSON {
    .object([
      ("schema", .string("ablate.shard-states/1")),
      ("shards", .array(shards.map(\.json))),
      ("seconds_left", left.map { .double($0) } ?? .null),
    ])
  }

  /// For a terminal.
  package var text: String {
    var lines = shards.map { shard in
      let counts = "\(shard.done)/\(shard.total) trials" + (shard.failed == 0 ? "" : ", \(shard.failed) failed")
      let left = shard.left.map { ", \(Progress.duration($0)) left" } ?? ""
      let notes = [shard.place, shard.reason].filter { !$0.isEmpty }.joined(separator: ": ")
      return "  \(shard.number)/\(shards.count)  "
        + shard.state.rawValue.padding(toLength: 9, withPad: " ", startingAt: 0)
        + "  " + counts + left + (notes.isEmpty ? "" : "  (\(notes))")
    }
    let states = Dictionary(grouping: shards, by: \.state.rawValue).sorted { $0.key < $1.key }
    let (done, total) = (shards.reduce(0) { $0 + $1.done }, shards.reduce(0) { $0 + $1.total })
    let estimate = done == total ? "" : left.map { ", about \(Progress.duration($0)) left" } ?? ""
    lines.append(
      "\(done) of \(total) trials; shards: " + states.map { "\($1.count) \($0)" }.joined(separator: ", ") + estimate)
    return lines.joined(separator: "\n") + "\n"
  }
}

extension ShardStates.Shard {
  fileprivate var json: JSON {
    .object([
      ("shard", .int(number)), ("state", .string(state.rawValue)), ("done", .int(done)), ("failed", .int(failed)),
      ("total", .int(total)), ("place", .string(place)), ("reason", .string(reason)),
      ("seconds_left", left.map { .double($0) } ?? .null),
    ])
  }
}
