/// The primary contrast, named before the run, and what is shown beside it.
package struct CompensationAnalysis: Sendable, Equatable {
  package var measure: Measure
  /// The hook point at which the contrast is taken, for instance `text.3.resid_post`.
  package var point: String
  /// The largest loss that is still called none, in the metric's unit; without it nothing is claimed.
  package var margin: Double?
  /// Probes of which the same contrast is shown beside the primary one.
  package var controls: [String]
  /// The first is the primary one; the others are exploratory.
  package var designs: [TwoByTwo]
}

/// V: vision patch attention intact or cut; T: the decoder's image-to-image attention intact or cut. Names of conditions.
package struct TwoByTwo: Sendable, Equatable {
  package var name: String
  package var clean: String
  package var visionCut: String
  package var textCut: String
  package var bothCut: String

  package var conditions: [String] { [clean, visionCut, textCut, bothCut] }
}

/// Conditions that differ in one thing, for instance the layers of a cut, each against a baseline at every hook point.
package struct SweepAnalysis: Sendable, Equatable {
  package var name: String
  package var measure: Measure
  package var baseline: String
  /// In the manifest's order; patterns are resolved.
  package var conditions: [String]
}

/// Two probes, conditions or models, A and B, on the same items. Of a probe or condition that is repeated under several seeds the name
/// without the seed stands for all its repetitions.
package struct Comparison: Sendable, Equatable {
  package var name: String
  package var a: String
  package var b: String
  package var kind: Kind
  /// Of conditions and models: the probe that is read. Of probes: without meaning, A and B stand in its place.
  package var measure: Measure
  /// Of probes and models: the condition under which they are read.
  package var condition: String
  /// nil: at every hook point where both have rows.
  package var point: String?

  package enum Kind: String, Sendable, CaseIterable {
    case probe
    case condition
    case model
  }

  /// The repetitions that A or B stands for, by seed; one without a seed where the name is that of one thing.
  package func repetitions(of name: String, in manifest: Manifest) -> [(seed: Int?, name: String)] {
    let all: [(seed: Int?, name: String, base: String)] =
      switch kind {
      case .condition: manifest.conditions.map { ($0.seed, $0.name, $0.base) }
      case .probe: manifest.probes.map { ($0.seed, $0.name, $0.base) }
      case .model: []
      }
    let found = all.filter { $0.seed != nil && $0.base == name && $0.name != name }
    return found.isEmpty ? [(nil, name)] : found.map { ($0.seed, $0.name) }
  }
}
