/// The batch scripts of a study in shards, as text that a person can read, change and submit by hand.
package struct SlurmScripts: Sendable {
  /// Of the job, and of the study.
  package var name: String
  /// Absolute paths, as is all that the scripts name: the program, the manifest, the run folder, the working folder.
  package var program: String
  package var manifest: String
  package var folder: String
  package var workingFolder: String
  /// How many shards the study has.
  package var count: Int
  /// For `ablate run` and `ablate merge`, `--worker`.
  package var flags: [String]
  /// Options for sbatch as a user gives them, `--partition=gpu`.
  package var options: [String]
  /// How many tasks may run at once; nil: as many as the cluster lets.
  package var atOnce: Int?

  package init(
    name: String, program: String, manifest: String, folder: String, workingFolder: String, count: Int,
    flags: [String] = [], options: [String], atOnce: Int?
  ) {
    self.name = name
    self.program = program
    self.manifest = manifest
    self.folder = folder
    self.workingFolder = workingFolder
    self.count = count
    self.flags = flags
    self.options = options
    self.atOnce = atOnce
  }

  /// One array of tasks: those of its shards that are to be run.
  package struct Chunk: Sendable, Equatable {
    /// A task's number is its shard's, less this.
    package var offset: Int
    package var shards: [Int]

    package init(offset: Int, shards: [Int]) {
      self.offset = offset
      self.shards = shards
    }
  }

  /// - Parameter limit: the cluster's `MaxArraySize`; a task's number is below it.
  package static func chunks(of shards: [Int], limit: Int) -> [Chunk] {
    let size = max(1, limit - 1)
    return Dictionary(grouping: shards) { ($0 - 1) / size }.sorted { $0.key < $1.key }.map {
      Chunk(offset: $0.key * size, shards: $0.value.sorted())
    }
  }

  /// `1-3,7`
  package static func ranges(_ numbers: [Int]) -> String {
    var ranges: [ClosedRange<Int>] = []
    for number in numbers {
      if let last = ranges.last, last.upperBound + 1 == number {
        ranges[ranges.count - 1] = last.lowerBound...number
      } else {
        ranges.append(number...number)
      }
    }
    return ranges.map { $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound)-\($0.upperBound)" }
      .joined(separator: ",")
  }

  package func array(_ chunk: Chunk) -> String {
    let tasks = SlurmScripts.ranges(chunk.shards.map { $0 - chunk.offset }) + (atOnce.map { "%\($0)" } ?? "")
    let shard = chunk.offset == 0 ? "$SLURM_ARRAY_TASK_ID" : "$((SLURM_ARRAY_TASK_ID + \(chunk.offset)))"
    return """
      #!/bin/bash
      # The shards of the study '\(name)', one per task. Written by `ablate submit`; to submit it by hand: sbatch THIS_FILE
      #SBATCH --job-name=\(name)
      #SBATCH --array=\(tasks)
      #SBATCH --output=\(folder)/slurm/%A_%a.log
      #SBATCH --open-mode=append
      #SBATCH --requeue
      #SBATCH --signal=B:USR1@120
      \(userOptions)
      cd \(quotedForShell(workingFolder)) || exit 66
      export OMP_NUM_THREADS="${SLURM_CPUS_PER_TASK:-${SLURM_CPUS_ON_NODE:-1}}"
      echo "task ${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID} on $(hostname), start ${SLURM_RESTART_COUNT:-0}"

      # SIGUSR1 comes two minutes before the time limit, SIGTERM when the task has to make room. ablate finishes the example in
      # hand, stores it and exits with 75; then the task goes back into the queue, unless it was cancelled, and its next start resumes.
      asked=
      trap 'asked=SIGUSR1; kill -USR1 "$child"' USR1
      trap 'asked=SIGTERM; kill -TERM "$child"' TERM
      \(quotedForShell(program)) run \(quotedForShell(manifest)) --out \(quotedForShell(folder)) \\
        --shard "\(shard)/\(count)"\(moreWords) &
      child=$!
      wait "$child"
      while kill -0 "$child" 2>/dev/null; do wait "$child"; done
      wait "$child"  # the shell remembers how its child ended
      code=$?
      task="${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}"
      # 138 and 143: the signal came before ablate listened.
      if [ -n "$asked" ] && [[ $code =~ ^(75|138|143)$ ]] \\
        && [ "$(squeue --noheader --jobs "$task" --format=%T)" = RUNNING ]; then
        echo "$asked: stopped with $code, going back into the queue"
        scontrol requeue "$task"
      fi
      exit "$code"

      """
  }

  package var merge: String {
    """
    #!/bin/bash
    # Brings the shards of the study '\(name)' together and makes its report. Written by `ablate submit`.
    #SBATCH --job-name=\(name)-merge
    #SBATCH --output=\(folder)/slurm/merge.log
    #SBATCH --open-mode=append
    #SBATCH --requeue
    \(userOptions)
    cd \(quotedForShell(workingFolder)) || exit 66
    \(quotedForShell(program)) merge \(quotedForShell(folder))\(moreWords) && \(quotedForShell(program)) report \
    \(quotedForShell(folder))

    """
  }

  private var moreWords: String { flags.map { " \(quotedForShell($0))" }.joined() }
  private var userOptions: String { options.map { "#SBATCH \($0)\n" }.joined() }
}

/// A word as a shell takes it, quoted only where it must be.
package func quotedForShell(_ word: String) -> String {
  let plain = word.utf8.allSatisfy { byte in
    (48...57).contains(byte) || (65...90).contains(byte) || (97...122).contains(byte)
      || "_-./=:,+@%".utf8.contains(byte)
  }
  return plain && !word.isEmpty ? word : "'" + word.replacing("'", with: "'\\''") + "'"
}
