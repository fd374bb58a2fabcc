import Diagnostics

/// What can be wrong with a dataset folder, or with the files that one is made from.
package enum DatasetError: DiagnosedError, Equatable {
  /// A file that is not what it should be; `place` is `file:line`, or the file and the key in it.
  case malformed(place: String, what: String, remedy: String)
  /// A file that a dataset names and that is not there.
  case missing(place: String, what: String, remedy: String)

  package var diagnosis: Diagnosis {
    switch self {
    case .malformed(let place, let what, let remedy): Diagnosis(what, at: place, remedy: remedy, exit: .badData)
    case .missing(let place, let what, let remedy): Diagnosis(what, at: place, remedy: remedy, exit: .missingInput)
    }
  }
}
