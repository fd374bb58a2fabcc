import Diagnostics

/// What can be wrong with the files of a checkpoint, an image or a tokenizer.
package enum CheckpointError: DiagnosedError {
  case missing(path: String, remedy: String)
  /// `at` is the key, tensor, byte offset or token at which the problem was seen.
  case malformed(path: String, at: String = "", problem: String, remedy: String = "")
  /// Well formed, but something that Ablate does not compute.
  case unsupported(path: String, key: String, problem: String, remedy: String = "")
  /// An output file that cannot be written there.
  case unwritable(path: String, problem: String, remedy: String)

  package var diagnosis: Diagnosis {
    switch self {
    case .missing(let path, let remedy):
      Diagnosis("no such file or folder", at: path, remedy: remedy, exit: .missingInput)
    case .malformed(let path, let at, let problem, let remedy):
      Diagnosis(
        problem, at: at.isEmpty ? path : "\(path): \(at)",
        remedy: remedy.isEmpty ? "correct the file, or fetch it again" : remedy, exit: .badData)
    case .unsupported(let path, let key, let problem, let remedy):
      Diagnosis(
        "unsupported: \(problem)", at: "\(path): \(key)",
        remedy: remedy.isEmpty ? "use a file without it, or report what it is for" : remedy, exit: .badData)
    case .unwritable(let path, let problem, let remedy):
      Diagnosis("the file cannot be written: \(problem)", at: path, remedy: remedy, exit: .missingInput)
    }
  }
}
