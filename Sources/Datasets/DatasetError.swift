import Diagnostics

/// What can be wrong with a dataset folder, or with the files that one is made from.
package enum DatasetError: DiagnosedError, Equatable {
  /// A file that is not what it should be; `place` is `file:line`, or the file and the key in it.
  case malformed(place: String, what: String, remedy: String)
  /// A file or folder that is named and that is not there.
  case missing(place: String, what: String, remedy: String)
  /// An import would overwrite something.
  case exists(folder: String)
  case unwritable(path: String, what: String)

  package var diagnosis: Diagnosis {
    switch self {
    case .malformed(let place, let what, let remedy): Diagnosis(what, at: place, remedy: remedy, exit: .badData)
    case .missing(let place, let what, let remedy): Diagnosis(what, at: place, remedy: remedy, exit: .missingInput)
    case .exists(let folder):
      Diagnosis(
        "the folder is there already and not empty", at: folder, remedy: "name another one, or remove it",
        exit: .badData)
    case .unwritable(let path, let what):
      Diagnosis(
        "cannot be written: \(what)", at: path, remedy: "name another folder, or make room", exit: .missingInput)
    }
  }
}
