import Checkpoints
import Diagnostics
import Tensors

/// What can go wrong between a prepared checkpoint and its activations.
package enum ModelError: DiagnosedError {
  case hookPoint(String, problem: String, remedy: String)
  /// `text` is the selector as written; `place` the tower, condition or item in which it was resolved.
  case selector(String, place: String = "", problem: String, remedy: String = "")
  case input(place: String, problem: String, remedy: String)
  /// An edit that cannot be compiled: an empty row under `on_empty: error`, a head that does not exist.
  case edit(place: String, problem: String, remedy: String)
  case checkpoint(CheckpointError)
  case tensor(TensorError)

  package var diagnosis: Diagnosis {
    switch self {
    case .hookPoint(let text, let problem, let remedy):
      Diagnosis(problem, at: "hook point '\(text)'", remedy: remedy, exit: .usage)
    case .selector(let text, let place, let problem, let remedy):
      Diagnosis(
        problem, at: place.isEmpty ? "selector '\(text)'" : "\(place): selector '\(text)'", remedy: remedy,
        exit: .badData)
    case .input(let place, let problem, let remedy): Diagnosis(problem, at: place, remedy: remedy, exit: .badData)
    case .edit(let place, let problem, let remedy): Diagnosis(problem, at: place, remedy: remedy, exit: .badData)
    case .checkpoint(let error): error.diagnosis
    case .tensor(let error): error.diagnosis
    }
  }
}

/// Runs `body`, giving its error as a `ModelError`.
func lifting<T>(_ body: () throws(TensorError) -> T) throws(ModelError) -> T {
  do { return try body() } catch { throw .tensor(error) }
}
