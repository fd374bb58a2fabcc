import Diagnostics

/// What the report computes: the sections `analysis` and `compare`. The rest of the manifest is read before.
extension Manifest {
  mutating func readAnalysis(_ fields: ManifestFields) throws {
    let section = try fields["analysis"]?.fields(known: ["compensation", "sweeps"])
    compensation = try section?["compensation"].map(compensation)
    sweeps = try section?["sweeps"]?.namedChildren().map { try sweep($0, $1.value) } ?? []
    comparisons = try fields["compare"]?.namedChildren().map { try comparison($0, $1.value) } ?? []
  }

  private func compensation(_ node: ManifestNode) throws -> CompensationAnalysis {
    let fields = try node.fields(known: CompensationAnalysis.keys)
    let probe = try fields.required("probe").choice(probes.map(\.name))
    let table = try fields.required("two_by_two")
    let designs = try table.namedChildren().map { try design($0, $1.value) }
    guard !designs.isEmpty else { throw table.refuse("no two-by-two is named") }
    let margin = try fields["margin"]?.double()
    if let margin, margin <= 0 {
      throw node.refuse("the margin \(margin) is not above 0", remedy: "the largest loss that is still called none")
    }
    return CompensationAnalysis(
      measure: try measure(fields, probe: probe), point: try fields.required("point").string(), margin: margin,
      controls: try fields["controls"]?.list().map { try $0.choice(probes.map(\.name)) } ?? [], designs: designs)
  }

  private func design(_ name: String, _ node: ManifestNode) throws -> TwoByTwo {
    let fields = try node.fields(known: ["clean", "vision_cut", "text_cut", "both_cut"])
    let known = conditions.map(\.name)
    let cells = try ["clean", "vision_cut", "text_cut", "both_cut"].map { try fields.required($0).choice(known) }
    guard Set(cells).count == 4 else { throw node.refuse("the four cells need four different conditions") }
    return TwoByTwo(name: name, clean: cells[0], visionCut: cells[1], textCut: cells[2], bothCut: cells[3])
  }

  /// `metric` and `aggregation` of a lens.
  private func measure(_ fields: ManifestFields, probe: String) throws -> Measure {
    var measure = Measure(probe: probe)
    if let node = fields["metric"] {
      measure.metric = Metric(try node.string())
      if case .stored(let name) = measure.metric {
        let known = Metric.ofLens.map(\.name)
        throw node.refuse("\(node.named) cannot be '\(name)'", remedy: suggestion(for: name, in: known))
      }
    }
    if let node = fields["aggregation"] {
      measure.aggregation =
        Aggregation(rawValue: try node.choice(Aggregation.allCases.map(\.rawValue))) ?? measure.aggregation
    }
    return measure
  }

  private func sweep(_ name: String, _ node: ManifestNode) throws -> SweepAnalysis {
    let fields = try node.fields(known: ["probe", "metric", "aggregation", "baseline", "conditions"])
    let known = conditions.map(\.name)
    let probe = try fields.required("probe").choice(probes.map(\.name))
    let baseline = try fields.required("baseline").choice(known)
    let list = try fields.required("conditions")
    let patterns = try list.list().map { item -> String in
      let pattern = try item.string()
      guard conditions.contains(where: { $0.matches(pattern) }) else {
        throw item.refuse("no condition is called '\(pattern)'", remedy: suggestion(for: pattern, in: known))
      }
      return pattern
    }
    guard !patterns.isEmpty else { throw list.refuse("no condition is named") }
    let chosen = conditions.filter { condition in patterns.contains { condition.matches($0) } }.map(\.name)
    return SweepAnalysis(
      name: name, measure: try measure(fields, probe: probe), baseline: baseline,
      conditions: chosen.filter { $0 != baseline })
  }

  private func comparison(_ name: String, _ node: ManifestNode) throws -> Comparison {
    let fields = try node.fields(known: [
      "a", "b", "by", "metric", "aggregation", "probe", "condition", "point",
    ])
    do {
      return try Comparison(
        name: name, fields.required("a").string(), fields.required("b").string(), in: self,
        by: fields["by"]?.string(), metric: fields.required("metric").string(),
        aggregation: fields["aggregation"]?.string(), probe: fields["probe"]?.string(),
        condition: fields["condition"]?.string(), point: fields["point"]?.string())
    } catch .comparison(let what, let remedy) as ExperimentError {
      throw node.refuse(what, remedy: remedy)
    }
  }
}

extension CompensationAnalysis {
  fileprivate static let keys = ["probe", "metric", "aggregation", "point", "margin", "controls", "two_by_two"]
}

extension Comparison {
  /// From words of a manifest or of the command line, checked against `manifest`.
  ///
  /// - Throws: `ExperimentError.comparison`.
  package init(
    name: String, _ a: String, _ b: String, in manifest: Manifest, by kind: String? = nil, metric: String,
    aggregation: String? = nil, probe: String? = nil, condition: String? = nil, point: String? = nil
  ) throws {
    guard a != b else { throw ExperimentError.comparison(what: "A and B are both '\(a)'", remedy: "name two") }
    let names: [Kind: [String]] = [
      .probe: manifest.probes.map(\.name) + manifest.readings.map(\.rawValue),
      .condition: manifest.conditions.map(\.name), .model: manifest.models.map(\.name),
    ]
    // The name without the seed stands for all repetitions.
    let comparable = names.merging([
      .probe: manifest.probes.filter { $0.seed != nil }.map(\.base),
      .condition: manifest.conditions.filter { $0.seed != nil }.map(\.base),
    ]) { $0 + $1 }
    let kinds = try kind.map { [try Comparison.choice(of: "by", $0, Kind.allCases.map { ($0.rawValue, $0) })] }
    let fitting = (kinds ?? Kind.allCases).filter { kind in
      comparable[kind]?.contains(a) == true && comparable[kind]?.contains(b) == true
    }
    guard let found = fitting.first, fitting.count == 1 else {
      let all = (kinds ?? Kind.allCases).flatMap { comparable[$0] ?? [] }
      if let stranger = [a, b].first(where: { !all.contains($0) }) {
        throw ExperimentError.comparison(
          what: "the run has no probe, condition or model '\(stranger)'", remedy: suggestion(for: stranger, in: all))
      }
      throw ExperimentError.comparison(
        what: "'\(a)' and '\(b)' are names of \(fitting.isEmpty ? "different" : "several") kinds",
        remedy: "compare two probes, two conditions or two models; 'by' says which")
    }
    let metric = Metric(metric)
    self.init(
      name: name, a: a, b: b, kind: found, measure: Measure(probe: a, metric: metric),
      condition: try condition.map { word in
        try Comparison.choice(of: "condition", word, (names[.condition] ?? []).map { ($0, $0) })
      } ?? manifest.conditions.first?.name ?? "", point: point)
    try checkSeeds(manifest)
    if found != .probe {
      measure.probe = try Comparison.owner(of: metric, named: probe, in: manifest, known: names[.probe] ?? [])
    }
    let given = try aggregation.map { word in
      try Comparison.choice(of: "aggregation", word, Aggregation.allCases.map { ($0.rawValue, $0) })
    }
    // Of a number that nobody told whether more is better there is no best patch.
    measure.aggregation = given ?? (metric.smallerIsBetter == nil ? .mean : .best)
    guard measure.aggregation != .best || metric.smallerIsBetter != nil else {
      throw ExperimentError.comparison(
        what: "it is not known whether more or less of '\(metric.name)' is best", remedy: "aggregation: mean or median")
    }
  }

  /// Two sides with seeds are paired seed by seed.
  private func checkSeeds(_ manifest: Manifest) throws {
    let (ours, theirs) = (repetitions(of: a, in: manifest), repetitions(of: b, in: manifest))
    let seeds = [ours, theirs].map { $0.compactMap(\.seed) }
    guard !seeds[0].isEmpty, !seeds[1].isEmpty, Set(seeds[0]) != Set(seeds[1]) else { return }
    let words = seeds.map { $0.map(String.init).joined(separator: ", ") }
    throw ExperimentError.comparison(
      what: "'\(a)' has the seeds \(words[0]), and '\(b)' \(words[1])",
      remedy: "give both the same seeds, or compare with one without seeds")
  }

  /// Whose metric it is: the named probe's, that of the reading of the same name, or that of the only probe.
  private static func owner(
    of metric: Metric, named probe: String?, in manifest: Manifest, known: [String]
  ) throws -> String {
    if let probe { return try choice(of: "probe", probe, known.map { ($0, $0) }) }
    let readings = manifest.readings.filter { $0.metric == metric.name || $0.rawValue == metric.name }
    if let reading = readings.first { return reading.rawValue }
    if let probe = manifest.compensation?.measure.probe ?? manifest.probes.first?.name { return probe }
    throw ExperimentError.comparison(
      what: "no probe of the run gives '\(metric.name)'", remedy: "readings: " + known.joined(separator: ", "))
  }

  private static func choice<T>(of key: String, _ word: String, _ known: [(String, T)]) throws -> T {
    guard let found = known.first(where: { $0.0 == word }) else {
      throw ExperimentError.comparison(
        what: "'\(key)' cannot be '\(word)'", remedy: suggestion(for: word, in: known.map(\.0)))
    }
    return found.1
  }
}

extension Reading {
  /// The `metric` of its rows.
  package var metric: String { self == .answerLogprob ? "logprob" : rawValue }
}

extension ConditionDefinition {
  /// By its name, by the entry of a sweep that it was made from (`prefix_<k>`), or by a pattern.
  fileprivate func matches(_ pattern: String) -> Bool {
    pattern == sweep?.template || Experiments.matches(pattern, name)
  }
}

/// `*` in a pattern stands for any text.
private func matches(_ pattern: String, _ name: String) -> Bool {
  let pieces = pattern.split(separator: "*", omittingEmptySubsequences: false).map(String.init)
  guard pieces.count > 1 else { return pattern == name }
  guard name.hasPrefix(pieces[0]), name.hasSuffix(pieces[pieces.count - 1]) else { return false }
  guard name.utf8.count >= pieces[0].utf8.count + pieces[pieces.count - 1].utf8.count else { return false }
  var rest = name.dropFirst(pieces[0].count).dropLast(pieces[pieces.count - 1].count)
  for piece in pieces.dropFirst().dropLast() where !piece.isEmpty {
    guard let found = rest.range(of: piece) else { return false }
    rest = rest[found.upperBound...]
  }
  return true
}
