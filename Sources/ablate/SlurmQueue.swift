import Diagnostics
import Experiments
import Foundation

/// Slurm, by its own commands.
struct SlurmQueue {
  /// What was submitted for a run, `slurm/jobs.json` in its folder: a line per submission, so that `status` can ask for it.
  struct Submission: Codable {
    var array: String
    var offset: Int
    var shards: [Int]
    var merge: String?
  }

  private static let file = "slurm/jobs.json"
  let folder: RunFolder

  var submissions: [Submission] {
    guard let data = FileManager.default.contents(atPath: folder.file(SlurmQueue.file)) else { return [] }
    return (try? JSONDecoder().decode([Submission].self, from: data)) ?? []
  }

  /// What the queue has of the run's shards; empty where Slurm is not at hand.
  func tasks() throws -> [Int: QueuedTask] {
    let submissions = submissions
    guard !submissions.isEmpty else { return [:] }
    let jobs = submissions.map(\.array).joined(separator: ",")
    // Jobs that ended long ago are unknown to Slurm; it complains and lists the others.
    guard let answer = try Tool("squeue", ["--noheader", "--array", "--jobs", jobs, "--format=%F %K %T %r"]) else {
      return [:]
    }
    var tasks: [Int: QueuedTask] = [:]
    for line in answer.output.split(separator: "\n") {
      let words = line.split(separator: " ", maxSplits: 3).map(String.init)
      guard words.count == 4, let task = Int(words[1]), let from = submissions.first(where: { $0.array == words[0] })
      else { continue }
      tasks[task + from.offset] = QueuedTask(
        job: "\(words[0])_\(task)", isRunning: words[2] == "RUNNING", reason: words[3] == "None" ? "" : words[3])
    }
    return tasks
  }

  /// How many tasks an array may have, and one more: Slurm's default where it does not say.
  static func maxArraySize() throws -> Int {
    let settings = try Tool("scontrol", ["show", "config"])?.output ?? ""
    return settings.firstMatch(of: /MaxArraySize\s*=\s*([0-9]+)/).flatMap { Int($0.1) } ?? 1001
  }

  /// Submits the arrays and, behind them, the merge. It comes whatever becomes of the arrays: it says what is missing.
  func submit(_ arrays: [(file: String, chunk: SlurmScripts.Chunk)], merge: String) throws -> [String] {
    var submitted: [Submission] = []
    for (file, chunk) in arrays {
      submitted.append(Submission(array: try sbatch([file]), offset: chunk.offset, shards: chunk.shards))
      try note(submitted)
    }
    let after = "--dependency=afterany:" + submitted.map(\.array).joined(separator: ":")
    let job = try sbatch([after, merge])
    for index in submitted.indices { submitted[index].merge = job }
    try note(submitted)
    return submitted.map(\.array) + [job]
  }

  private func note(_ submitted: [Submission]) throws {
    let before = submissions.filter { old in !submitted.contains { $0.array == old.array } }
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
    try folder.write(String(decoding: encoder.encode(before + submitted), as: UTF8.self) + "\n", to: SlurmQueue.file)
  }

  private func sbatch(_ arguments: [String]) throws -> String {
    guard let answer = try Tool("sbatch", ["--parsable"] + arguments) else {
      throw EngineError.missing(program: "sbatch")
    }
    guard answer.status == 0, let job = answer.output.split(whereSeparator: { ";\n".contains($0) }).first else {
      throw EngineError.refused(
        command: (["sbatch"] + arguments).joined(separator: " "),
        answer: answer.errors.trimmingCharacters(in: .whitespacesAndNewlines))
    }
    return String(job)
  }
}

/// What an engine cannot do.
enum EngineError: DiagnosedError {
  case missing(program: String)
  case refused(command: String, answer: String)
  /// Shards that ended otherwise than done.
  case shards(folder: String, [String], ExitStatus)

  var diagnosis: Diagnosis {
    switch self {
    case .missing(let program):
      Diagnosis(
        "there is no \(program) on this machine",
        remedy: "submit on a login node of the cluster, or with --engine local",
        exit: .missingInput)
    case .refused(let command, let answer):
      Diagnosis(
        "Slurm refused: \(answer)", at: command,
        remedy: "correct the --sbatch-arg options, or the files, and submit again",
        exit: .failure)
    case .shards(let folder, let words, let exit):
      Diagnosis(
        words.joined(separator: "; "), at: folder, remedy: "the same command runs only what is missing", exit: exit)
    }
  }
}
