import ArgumentParser
import Diagnostics
import Experiments
import Foundation

/// `3/8`, or `auto`: the number that a job array gives its task.
struct ShardChoice: ExpressibleByArgument {
  private enum Number {
    case given(Int, of: Int)
    case ofTask
  }

  private let number: Number

  init?(argument: String) {
    if argument == "auto" {
      number = .ofTask
      return
    }
    let parts = argument.split(separator: "/", omittingEmptySubsequences: false).map { Int($0) }
    guard parts.count == 2, let index = parts[0], let count = parts[1], (1...max(1, count)).contains(index) else {
      return nil
    }
    number = .given(index, of: count)
  }

  /// The shard's number in `list`, from 1. Slurm's array tasks are counted as the array says, from 1 here; Kubernetes
  /// counts the pods of an indexed job from 0.
  func number(in list: ShardList, _ folder: RunFolder) throws -> Int {
    let (count, environment) = (list.shards.count, ProcessInfo.processInfo.environment)
    func refuse(_ what: String, _ remedy: String) -> ExperimentError {
      .shards(folder: folder.path, what: what, remedy: remedy, exit: .usage)
    }
    switch number {
    case .given(let index, let total):
      guard total == count else {
        throw refuse("--shard \(index)/\(total), but the run has \(count) shards", "give I/\(count), or --shard auto")
      }
      return index
    case .ofTask:
      let task = environment["SLURM_ARRAY_TASK_ID"].flatMap { Int($0) }
      guard let index = task ?? environment["JOB_COMPLETION_INDEX"].flatMap({ Int($0) }).map({ $0 + 1 }) else {
        throw refuse(
          "--shard auto outside of a job array: neither SLURM_ARRAY_TASK_ID nor JOB_COMPLETION_INDEX is set",
          "give --shard I/\(count)")
      }
      guard (1...count).contains(index) else {
        throw refuse("array task \(index) has no shard: they are 1 to \(count)", "submit the array as 1-\(count)")
      }
      return index
    }
  }
}
