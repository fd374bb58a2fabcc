import Datasets
import Diagnostics
import PluginHost

/// What runs trials: a model with its plugins. The runner knows no more of the engine than this.
package protocol Evaluator {
  /// All pending conditions of one example on one model, in one go.
  ///
  /// - Parameters:
  ///   - conditions: names of conditions of the manifest, in its order.
  ///   - probes: names of probes and built-in readings; at least those are measured.
  /// - Returns: one outcome per condition, in any order, the failed ones included. A failure of a plugin is an outcome.
  /// - Throws: what ends the run: an image that cannot be read, a model that cannot be used. Nothing of this example is
  ///   stored then; what came before it is.
  mutating func evaluate(_ example: Example, conditions: [String], probes: [String]) throws -> [TrialOutcome]

  /// What a probe that learns captures, in words: probes of which it is the same learn from the same features.
  func captures(of probe: String) -> String

  /// The probe of this name, made anew; its random numbers follow from `fit`.
  func learner(_ probe: String, fit: String) throws -> LearnedProbe

  /// How what a probe has learned to answer is read, if it is a lens; nil of one that tells classes apart.
  func lens(of probe: String) -> LensReader?

  /// What computed, known only afterwards: kernels, threads. An object; goes into the provenance.
  var facts: JSON { get }
}

extension Evaluator {
  package var facts: JSON { .object([]) }

  package func captures(of probe: String) -> String { probe }

  package func lens(of probe: String) -> LensReader? { nil }

  package func learner(_ probe: String, fit: String) throws -> LearnedProbe {
    throw ExperimentError.learning(probe: probe, what: "this evaluator has no probes that learn", remedy: "")
  }
}

package struct TrialOutcome: Sendable, Equatable {
  package var condition: String
  package var result: Result
  /// What probes that learn have read.
  package var features: [Features]

  package enum Result: Sendable, Equatable {
    case completed([MeasuredValue], [Receipt])
    case failed(TrialFailure)
  }

  package init(condition: String, result: Result, features: [Features] = []) {
    self.condition = condition
    self.result = result
    self.features = features
  }
}

package struct TrialFailure: Sendable, Equatable {
  /// Empty when no plugin is to blame.
  package var plugin: String
  /// As text, for instance `text.3.pattern`; empty when unknown.
  package var hookPoint: String
  package var reason: String

  package init(plugin: String, hookPoint: String, reason: String) {
    self.plugin = plugin
    self.hookPoint = hookPoint
    self.reason = reason
  }
}

/// One number that a probe or a built-in reading gives, or one reading in words.
package struct MeasuredValue: Sendable, Equatable {
  /// The probe's or the reading's name in the manifest.
  package var probe: String
  /// The hook point as text; empty for what has none.
  package var point: String
  /// The row's position in the sequence (text tower) or patch grid (vision tower), from 0.
  package var token: Int?
  /// What was looked for: for a part its `name`.
  package var label: String?
  package var metric: String
  /// Stored as NULL where it is not a number.
  package var value: Double
  /// Of a reading in words, whose value is no number: `word_1` of a lens. Beside a number the words that it judges: of `accuracy` the
  /// generated answer, or the class that a probe names.
  package var text: String?

  package init(
    probe: String, point: String, token: Int?, label: String?, metric: String, value: Double, text: String? = nil
  ) {
    self.probe = probe
    self.point = point
    self.token = token
    self.label = label
    self.metric = metric
    self.value = value
    self.text = text
  }
}

/// What one plugin or edit of a trial's condition did, or one probe saw: no silent no-op.
package struct Receipt: Sendable, Equatable {
  /// The plugin's name; for an edit of the manifest `edit` and its operation.
  package var plugin: String
  /// The hook points that matched, as a pattern: `text.0-3.attn_scores`.
  package var points: String
  /// Visits are counted in hook point x step x lane, so that reuse does not change them.
  package var visitsPlanned: Int
  package var visitsMade: Int
  package var rowsChanged: Int
  package var elementsChanged: Int
  package var largestChange: Double
  /// Does anything that the trial reads depend on what was changed?
  package var reachable: Bool
  /// It matched nothing in this example (it did in others, else the run is refused).
  package var notApplicable: Bool
  package var note: Note?

  package init(
    plugin: String, points: String, visitsPlanned: Int, visitsMade: Int, rowsChanged: Int = 0, elementsChanged: Int = 0,
    largestChange: Double = 0, reachable: Bool = true, notApplicable: Bool = false, note: Note? = nil
  ) {
    self.plugin = plugin
    self.points = points
    self.visitsPlanned = visitsPlanned
    self.visitsMade = visitsMade
    self.rowsChanged = rowsChanged
    self.elementsChanged = elementsChanged
    self.largestChange = largestChange
    self.reachable = reachable
    self.notApplicable = notApplicable
    self.note = note
  }
}
