import Datasets
import Diagnostics

extension Manifest {
  /// The manifest with every default written out. JSON is a subset of YAML: this is again a manifest, and it loads to an
  /// equal value (from the same working folder).
  package var resolved: JSON {
    var fields: [(String, JSON)] = [
      ("ablate", .int(Manifest.schemaVersion)), ("name", .string(name)), ("seed", .int(seed)),
      ("models", .strings(models.map(\.spelling))), ("dtype", .string(dtype.rawValue)), ("dataset", dataset.json),
      ("mask_rule", maskRule.json), ("conditions", .object(conditions.map { ($0.name, $0.json) })),
      ("probes", .object(probes.map { ($0.name, $0.json) })),
      ("readings", .strings(readings.map(\.rawValue))),
      ("generate", .object([("max_new_tokens", .int(maxNewTokens))])),
    ]
    if readings.contains(.displacement) || displacement != .standard {
      fields.append(("displacement", displacement.json))
    }
    var analysis = compensation.map { [("compensation", $0.json)] } ?? []
    if !sweeps.isEmpty { analysis.append(("sweeps", .object(sweeps.map { ($0.name, $0.json) }))) }
    if !analysis.isEmpty { fields.append(("analysis", .object(analysis))) }
    if !comparisons.isEmpty { fields.append(("compare", .object(comparisons.map { ($0.name, $0.json) }))) }
    return .object(fields)
  }

  /// What differs from `other`, one phrase per difference. Paths are left out: contents are compared by their digests.
  package func differences(from other: JSON) -> [String] {
    let ours = resolved
    let plain = Manifest.keys.filter { !["models", "dataset", "analysis", "compare"].contains($0) }
    return plain.flatMap { Manifest.differences(at: $0, was: other[$0], is: ours[$0]) }
      + ["limit", "offset"].flatMap {
        Manifest.differences(at: "dataset.\($0)", was: other["dataset"]?[$0], is: ours["dataset"]?[$0])
      }
  }

  /// What differs between two JSON values, key by key.
  package static func differences(at path: String, was: JSON?, is now: JSON?) -> [String] {
    guard was != now else { return [] }
    guard case .object(let old)? = was, case .object(let new)? = now else {
      return ["'\(path)' was \(was?.compact ?? "absent") and is \(now?.compact ?? "absent")"]
    }
    let keys = old.map(\.0) + new.map(\.0).filter { key in !old.contains { $0.0 == key } }
    return keys.flatMap { differences(at: path.isEmpty ? $0 : "\(path).\($0)", was: was?[$0], is: now?[$0]) }
  }
}

extension ModelReference {
  var spelling: String {
    switch location {
    case .bundled(let name): name
    // A dot keeps a folder from being taken for a repository.
    case .folder(let path): path.hasPrefix("/") || path.hasPrefix(".") ? path : "./\(path)"
    case .hub(let name): name.description
    }
  }
}

extension DatasetReference {
  var json: JSON {
    var fields: [(String, JSON)] = [("path", .string(path))]
    if let limit { fields.append(("limit", .int(limit))) }
    fields.append(("offset", .int(offset)))
    return .object(fields + (cluster.map { [("cluster", .string($0))] } ?? []))
  }
}

extension MaskRule {
  package var json: JSON {
    switch self {
    case .coverage(let share): .object([("coverage", .double(share))])
    case .any: .string("any")
    case .centre: .string("centre")
    }
  }
}

extension ConditionDefinition {
  /// A condition of a sweep says which value it has of which entry, a repetition which seed; it loads to the same again.
  var json: JSON {
    let steps = JSON.array(steps.map(\.json))
    guard let sweep else { return steps }
    let values = sweep.values.map { ($0.name, JSON.array([$0.value.json])) }
    let point = values.isEmpty ? [] : [("sweep", JSON.object(values)), ("of", .string(sweep.template))]
    return .object(point + (seed.map { [("seed", .int($0))] } ?? []) + [("steps", steps)])
  }
}

extension ConditionStep {
  var json: JSON {
    switch self {
    case .plugin(let use): use.json
    case .edit(let edit): .object([("edit", edit.json)])
    case .image(let image): .object([("input", .object([("image", .string(image.rawValue))]))])
    }
  }

  /// The name of the plugin, nil for an edit.
  package var plugin: String? {
    if case .plugin(let use) = self { use.plugin } else { nil }
  }
}

extension PluginUse {
  package var json: JSON {
    let with = JSON.object(parameters.map { ($0.name, $0.value.json) })
    return .object(
      [("plugin", .string(plugin))] + (parameters.isEmpty ? [] : [("with", with)])
        + (from.map { [("from", $0.json)] } ?? []) + (executor.map { [("executor", .string($0.rawValue))] } ?? []))
  }
}

extension ProbeDefinition {
  package var json: JSON {
    guard case .object(let use) = use.json else { return use.json }
    return .object(
      use + (control.map { [("control", .string($0.rawValue))] } ?? []) + (fit.map { [("fit", $0.json)] } ?? [])
        + (seed.map { [("seed", .int($0))] } ?? []))
  }
}

extension ParameterValue {
  package var json: JSON {
    switch self {
    case .bool(let value): .bool(value)
    case .int(let value): .int(value)
    case .double(let value): .double(value)
    case .string(let value): .string(value)
    case .list(let values): .array(values.map(\.json))
    }
  }
}

extension Measure {
  fileprivate var fields: [(String, JSON)] {
    [
      ("probe", .string(probe)), ("metric", .string(metric.name)), ("aggregation", .string(aggregation.rawValue)),
    ]
  }
}

extension CompensationAnalysis {
  var json: JSON {
    let table = designs.map { design in
      let cells = zip(["clean", "vision_cut", "text_cut", "both_cut"], design.conditions)
      return (design.name, JSON.object(cells.map { ($0, .string($1)) }))
    }
    return .object(
      measure.fields + [("point", .string(point))] + (margin.map { [("margin", .double($0))] } ?? [])
        + [("controls", .strings(controls)), ("two_by_two", .object(table))])
  }
}

extension SweepAnalysis {
  var json: JSON {
    .object(measure.fields + [("baseline", .string(baseline)), ("conditions", .strings(conditions))])
  }
}

extension Comparison {
  package var json: JSON {
    let fields = kind == .probe ? measure.fields.filter { $0.0 != "probe" } : measure.fields
    return .object(
      [("a", .string(a)), ("b", .string(b)), ("by", .string(kind.rawValue))] + fields
        + [("condition", .string(condition))] + (point.map { [("point", .string($0))] } ?? []))
  }
}
