import Diagnostics

/// What can go wrong between a manifest and its rows.
package enum ExperimentError: DiagnosedError, Equatable {
  /// A manifest that is not one; `place` is `file:line:column`.
  case manifest(place: String, what: String, remedy: String)
  /// A file that a manifest names and that is not there.
  case missing(place: String, what: String, remedy: String)
  /// A file that is there and cannot be read or written.
  case file(path: String, what: String)
  /// Another process owns the run folder.
  case inUse(folder: String, owner: String)
  /// The folder holds rows that the plan of today does not explain.
  case changed(folder: String, differences: [String])
  /// A shard list that is missing or does not fit what is asked of it.
  case shards(folder: String, what: String, remedy: String, exit: ExitStatus)
  /// Two attempts at a trial gave different values.
  case conflict(folder: String, trials: Int, first: String)
  /// Trials of the shard list that no shard has stored.
  case unfinished(folder: String, missing: Int, total: Int, shards: [String])
  /// A database that cannot be reached, or refuses.
  case database(place: String, what: String, remedy: String, exit: ExitStatus)
  /// No run in this folder.
  case noRun(folder: String, what: String)
  /// A probe that cannot learn from what it is given.
  case learning(probe: String, what: String, remedy: String)
  /// Two things that cannot be compared, in a manifest or on the command line.
  case comparison(what: String, remedy: String)
  /// The run store refuses: a schema of another version, a damaged file, a full disk.
  case store(path: String, what: String)
  case diskFull(folder: String, done: Int, total: Int)
  /// A signal came; what was finished is committed.
  case interrupted(folder: String, done: Int, total: Int, command: String)
  /// Trials failed; the others are in the store.
  case failedTrials(folder: String, failed: Int, total: Int, first: String)
  /// Plugins that matched nothing in any example: a mistake in their parameters, never a result.
  case matchedNothing(folder: String, plugins: [String])
  /// Trials computed anew have other values than the stored ones.
  case differs(folder: String, trials: Int, differences: [String])
  /// The engine answered something else than what it was asked: a defect of Ablate.
  case evaluator(model: String, example: String, what: String)

  package var diagnosis: Diagnosis {
    switch self {
    case .manifest(let place, let what, let remedy):
      return Diagnosis(what, at: place, remedy: remedy, exit: .badData)
    case .missing(let place, let what, let remedy):
      return Diagnosis(what, at: place, remedy: remedy, exit: .missingInput)
    case .file(let path, let what):
      return Diagnosis(what, at: path, exit: .missingInput)
    case .inUse(let folder, let owner):
      return Diagnosis(
        "the run folder is in use by \(owner)", at: folder,
        remedy: "wait for it, or give this run another folder with --out", exit: .resumable)
    case .changed(let folder, let differences):
      return Diagnosis(
        "the folder holds rows of another experiment: \(differences.joined(separator: "; "))", at: folder,
        remedy: "give the changed run another folder with --out, or start this one anew with --fresh", exit: .badData)
    case .shards(let folder, let what, let remedy, let exit):
      return Diagnosis(what, at: folder, remedy: remedy, exit: exit)
    case .conflict(let folder, let trials, let first):
      return Diagnosis(
        "two attempts differ in \(trials) trials, and nothing was merged; first: \(first)", at: folder,
        remedy: "take away the attempt that is wrong (other machine, other libraries?) and merge again", exit: .badData)
    case .unfinished(let folder, let missing, let total, let shards):
      return Diagnosis(
        "\(missing) of \(total) trials are missing: " + shards.joined(separator: "; "), at: folder,
        remedy: "run those shards again, or `ablate submit`, which submits only them; then merge again",
        exit: .resumable)
    case .database(let place, let what, let remedy, let exit):
      return Diagnosis(what, at: place, remedy: remedy, exit: exit)
    case .noRun(let folder, let what):
      return Diagnosis(what, at: folder, remedy: "`ablate run MANIFEST` makes one", exit: .missingInput)
    case .learning(let probe, let what, let remedy):
      return Diagnosis(what, at: "probe '\(probe)'", remedy: remedy, exit: .badData)
    case .comparison(let what, let remedy):
      return Diagnosis(what, at: "comparison", remedy: remedy, exit: .usage)
    case .store(let path, let what):
      return Diagnosis(what, at: path, remedy: "give another folder with --out, or --fresh", exit: .badData)
    case .diskFull(let folder, let done, let total):
      return Diagnosis(
        "the disk is full; \(done) of \(total) trials are stored and none of them is lost", at: folder,
        remedy: "make room and run the same command again", exit: .resumable)
    case .interrupted(let folder, let done, let total, let command):
      return Diagnosis(
        "interrupted; \(done) of \(total) trials are stored", at: folder, remedy: "resume with: \(command)",
        exit: .resumable)
    case .failedTrials(let folder, let failed, let total, let first):
      return Diagnosis(
        "\(failed) of \(total) trials failed, first: \(first)", at: folder,
        remedy: "`ablate report` counts them; --retry-failed runs them again", exit: .pluginFailure)
    case .matchedNothing(let folder, let plugins):
      return Diagnosis(
        "matched nothing in any example: \(plugins.joined(separator: "; "))", at: folder,
        remedy: "correct their tower, layers or tokens in the manifest", exit: .badData)
    case .differs(let folder, let trials, let differences):
      return Diagnosis(
        "\(differences.count) of \(trials) trials have other values: \(differences.joined(separator: "; "))",
        at: folder,
        remedy: "if model, plugins and library are those of the run, this is a defect of Ablate; please report it",
        exit: .badData)
    case .evaluator(let model, let example, let what):
      return Diagnosis(
        what, at: "model \(model), example \(example)", remedy: "this is a defect of Ablate; please report it",
        exit: .failure)
    }
  }
}
