/// What is told to a person about a failure: what happened, where, and what to do about it.
package struct Diagnosis: Sendable, Equatable {
  /// What went wrong, one sentence without a full stop.
  package var what: String
  /// The place: a file, `file:line:column`, a key, a hook point, a trial. Empty when there is none.
  package var place: String
  /// What to do next, one sentence. Empty when nothing can be advised.
  package var remedy: String
  package var exit: ExitStatus

  package init(_ what: String, at place: String = "", remedy: String = "", exit: ExitStatus) {
    self.what = what
    self.place = place
    self.remedy = remedy
    self.exit = exit
  }
}

/// The exit codes of `ablate`, after sysexits.h; README.md documents them.
package enum ExitStatus: Int32, Sendable {
  case failure = 1
  case usage = 64
  case badData = 65
  case missingInput = 66
  case pluginFailure = 70
  /// Interrupted by a signal or a full disk: the same command resumes.
  case resumable = 75
}

/// An error with a diagnosis. Every module has one enum that conforms; the command renders it in one place.
package protocol DiagnosedError: Error, CustomStringConvertible {
  var diagnosis: Diagnosis { get }
}

extension DiagnosedError {
  package var description: String {
    let diagnosis = diagnosis
    let place = diagnosis.place.isEmpty ? "" : "\(diagnosis.place): "
    let remedy = diagnosis.remedy.isEmpty ? "" : " (\(diagnosis.remedy))"
    return place + diagnosis.what + remedy
  }
}
