import Diagnostics

/// What can be wrong with a shared plugin: its file, its signature, its place, or what an experiment pins.
package enum StoreError: DiagnosedError, Equatable {
  case missing(path: String, what: String, remedy: String)
  /// A pack that is damaged, or was made by hand.
  case pack(path: String, problem: String)
  case key(path: String, problem: String)
  case signature(path: String, problem: String)
  /// A pack has no library for this machine.
  case platform(path: String, has: [String])
  case unwritable(path: String, problem: String)
  case registry(path: String, problem: String, remedy: String)
  /// An experiment's plugin is not the one that its lockfile pins.
  case unpinned(lock: String, plugin: String, differences: [String])

  package var diagnosis: Diagnosis {
    switch self {
    case .missing(let path, let what, let remedy): Diagnosis(what, at: path, remedy: remedy, exit: .missingInput)
    case .pack(let path, let problem): Diagnosis(problem, at: path, remedy: "fetch or pack it again", exit: .badData)
    case .key(let path, let problem):
      Diagnosis(problem, at: path, remedy: "openssl genpkey -algorithm ed25519 -out key.pem makes one", exit: .badData)
    case .signature(let path, let problem):
      Diagnosis(problem, at: path, remedy: "ask its author for a pack that is signed", exit: .badData)
    case .platform(let path, let has):
      Diagnosis(
        "it has no library for \(Pack.platform), but for \(has.joined(separator: ", "))", at: path,
        remedy: "build it from source here, and pack it with --binary for the other machines", exit: .badData)
    case .unwritable(let path, let problem):
      Diagnosis(problem, at: path, remedy: "choose another folder", exit: .badData)
    case .registry(let path, let problem, let remedy): Diagnosis(problem, at: path, remedy: remedy, exit: .missingInput)
    case .unpinned(let lock, let plugin, let differences):
      Diagnosis(
        "the plugin '\(plugin)' is not the one that is pinned: \(differences.joined(separator: "; "))", at: lock,
        remedy: "bring the pinned one back, or pin this one: ablate plugin lock", exit: .badData)
    }
  }
}
