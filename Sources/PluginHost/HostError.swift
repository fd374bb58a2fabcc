import Diagnostics
import Models
import PluginRuntime

/// What can go wrong when plugins are attached to a model.
package enum HostError: DiagnosedError {
  case plugin(PluginError)
  case model(ModelError)
  /// A request of a plugin or edit that this model cannot meet.
  case request(attachment: String, item: String, ModelError)

  package var diagnosis: Diagnosis {
    switch self {
    case .plugin(let error): return error.diagnosis
    case .model(let error): return error.diagnosis
    case .request(let attachment, let item, let error):
      var diagnosis = error.diagnosis
      diagnosis.place = "\(attachment)\(item.isEmpty ? "" : ", item \(item)"), \(diagnosis.place)"
      return diagnosis
    }
  }
}
