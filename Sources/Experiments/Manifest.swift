import Checkpoints
import Datasets
import Diagnostics
import PluginHost
import PluginRuntime
import Tensors

/// The whole truth of an experiment, as plain values with every default filled in. `ManifestLoader.swift` makes it from
/// YAML, `manifests/experiment.schema.json` says the same to editors.
package struct Manifest: Sendable, Equatable {
  /// The version of the manifest's schema that this program reads.
  package static let schemaVersion = 1

  package var name: String
  package var seed: Int
  package var models: [ModelReference]
  /// What the models' linear layers compute in.
  package var dtype: ComputeType
  package var dataset: DatasetReference
  package var maskRule: MaskRule
  package var conditions: [ConditionDefinition]
  package var probes: [ProbeDefinition]
  package var readings: [Reading]
  /// How many tokens are generated at most for an answer; 0: none.
  package var maxNewTokens: Int
  package var displacement = Displacement.standard
  package var compensation: CompensationAnalysis?
  package var sweeps: [SweepAnalysis]
  package var comparisons: [Comparison]

  /// Names of the probes and readings that a pass answers. The others learn behind all passes.
  package var passReadings: [String] { probes.filter { $0.fit == nil }.map(\.name) + readings.map(\.rawValue) }
}

package struct ModelReference: Sendable, Equatable {
  /// How rows and reports call it: the word in the manifest, or the last part of a folder's path or of `org/name`.
  package var name: String
  package var location: Location

  package enum Location: Sendable, Equatable {
    /// A name in `checkpoints`.
    case bundled(String)
    /// Absolute, or relative to the working folder.
    case folder(String)
    /// In the local Hugging Face cache.
    case hub(HubName)
  }

  package init(name: String, location: Location) {
    self.name = name
    self.location = location
  }
}

/// A named list of what is done to the model; the empty one is the clean run.
package struct ConditionDefinition: Sendable, Equatable {
  package var name: String
  package var steps: [ConditionStep]
  /// The entry that a sweep or seeds made it from; nil: it is written out.
  package var sweep: SweepPoint?
  /// Which repetition it is, where the manifest asks for several seeds.
  package var seed: Int?
}

package enum ConditionStep: Sendable, Equatable {
  case plugin(PluginUse)
  case edit(EditDefinition)
  /// Another image in the place of the example's.
  case image(InputImage)

  /// The run that its patches take activations from.
  package var from: PatchReference? {
    switch self {
    case .plugin(let use): use.from
    case .edit(let edit): edit.from
    case .image: nil
    }
  }
}

/// A plugin with the parameters that the manifest gives it; those that it does not name keep the plugin's defaults.
package struct PluginUse: Sendable, Equatable {
  package var plugin: String
  package var parameters: [Parameter]
  /// The run that its patches take activations from; nil: it patches nothing.
  package var from: PatchReference?
  /// Where its code runs; nil: the manifest leaves it open.
  package var executor: Executor?
  /// Where the manifest says it, `file:line:column`: for the errors that only the plugin's own list of parameters can find.
  package var place: String

  package struct Parameter: Sendable, Equatable {
    package var name: String
    package var value: ParameterValue
    package var place: String
  }

  package static func == (a: PluginUse, b: PluginUse) -> Bool {
    a.plugin == b.plugin && a.from == b.from && a.executor == b.executor
      && a.parameters.elementsEqual(b.parameters) { $0.name == $1.name && $0.value == $1.value }
  }
}

/// A parameter as the manifest spells it. The plugin's declaration decides whether an int may stand for a double.
package indirect enum ParameterValue: Sendable, Equatable {
  case bool(Bool)
  case int(Int)
  case double(Double)
  case string(String)
  case list([ParameterValue])
}

/// A probe: a plugin that only reads, under the name that its rows carry.
package struct ProbeDefinition: Sendable, Equatable {
  package var name: String
  package var use: PluginUse
  /// The same question where the answer should be no.
  package var control: ProbeControl?
  /// How it is fitted, if it learns.
  package var fit: FitDefinition?
  /// Which repetition it is, where the manifest asks for several seeds.
  package var seed: Int?
}

/// What is read of every trial without a plugin.
package enum Reading: String, Sendable, CaseIterable {
  /// Is the generated answer the right one (0 or 1)? The row's text is the generated answer.
  case accuracy
  /// Log-probability (nats) of the right answer, teacher-forced, summed over its tokens.
  case answerLogprob = "answer_logprob"
  /// Kullback-Leibler divergence (nats) of the clean next-token distribution from this trial's, at the last prompt token.
  case kl
  /// How far activations are from those of the clean run: norm ratio and cosine, each the mean over chosen rows.
  case displacement
}

/// Where the reading `displacement` looks.
package struct Displacement: Sendable, Equatable {
  /// Hook points, `tower.layers.site`.
  package var points: [String]
  /// Rows, the same selector in each tower.
  package var tokens: String

  package init(points: [String], tokens: String) { (self.points, self.tokens) = (points, tokens) }

  package static let standard = Displacement(
    points: ["vision.*.resid_post", "projector.out", "text.*.resid_post"], tokens: "image")

  var json: JSON { .object([("at", .strings(points)), ("tokens", .string(tokens))]) }
}
