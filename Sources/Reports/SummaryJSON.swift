import Diagnostics
import Experiments
import Statistics

extension RunSummary {
  /// Schema `ablate.report/1`: what `ablate report --json` writes.
  package var json: JSON {
    .object([
      ("schema", .string("ablate.report/1")), ("name", .string(manifest.name)),
      (
        "trials",
        .object([
          ("planned", .int(size.planned)), ("completed", .int(size.completed)), ("failed", .int(size.failed)),
        ])
      ), ("warnings", .strings(warnings)), ("findings", .array(findings.map(\.json))),
      ("models", .array(models.map(\.json))), ("comparisons", .array(comparisons.map(\.json))),
    ])
  }
}

extension Finding {
  fileprivate var json: JSON {
    .object([("kind", .string(kind.rawValue)), ("verdict", .string(verdict)), ("sentence", .string(sentence))])
  }
}

extension ModelSummary {
  fileprivate var json: JSON {
    let conditions = conditions.map { condition in
      JSON.object([
        ("name", .string(condition.name)),
        (
          "points",
          .object(zip(points, condition.points).compactMap { point, summary in summary.map { (point, $0.json) } })
        ),
        (
          "readings",
          .array(
            condition.scalars.map { row in
              .object([
                ("probe", .string(row.probe)), ("metric", .string(row.metric)), ("mean", .double(row.mean)),
                ("count", .int(row.count)),
              ])
            })
        ),
      ])
    }
    return .object([
      ("model", .string(model)), ("metric", .string(measure.metric.name)),
      ("aggregation", .string(measure.aggregation.rawValue)), ("conditions", .array(conditions)),
      ("contrasts", .array(contrasts.map(\.json))), ("controls", .array(controls.map(\.json))),
      ("sweeps", .object(sweeps.map { ($0.sweep.name, $0.json) })),
    ])
  }
}

extension PointSummary {
  fileprivate var json: JSON {
    .object([
      ("mean", .double(mean)),
      ("interval", interval.map { .array([.double($0.lowerBound), .double($0.upperBound)]) } ?? .null),
      ("median_rank", medianRank.map { .double($0) } ?? .null), ("parts", .int(count)),
    ])
  }
}

extension ContrastSummary {
  fileprivate var json: JSON {
    var fields: [(String, JSON)] = [
      ("name", .string(design.name)), ("probe", .string(measure.probe)), ("point", .string(point)),
      ("parts", .int(parts)), ("cluster_by", .string(unit.key)), ("clusters", .int(units)),
      ("incomplete", .int(incomplete)),
      ("verdict", .string(verdict)),
    ]
    switch result {
    case .failure(let reason): fields.append(("refused", .string(reason.words(unit))))
    case .success(let found):
      fields += [
        ("loss_on", found.lossOn.json), ("loss_off", found.lossOff.json), ("compensation", found.compensation.json),
      ]
      if let recovery = found.recovery {
        let numbers = [recovery.value, recovery.low, recovery.high].map { JSON.double($0) }
        fields.append(("recovery", .object(Array(zip(["value", "low", "high"], numbers)))))
      }
      if let within = found.lossWithin {
        fields.append(
          (
            "loss_within",
            .object([("margin", .double(within.margin)), ("p", .double(within.p)), ("holds", .bool(within.holds))])
          ))
      }
    }
    return .object(fields)
  }
}

extension SweepSummary {
  fileprivate var json: JSON {
    guard case .success(let grid) = result else { return .null }
    let rows = conditions.indices.map { row in
      JSON.object(
        zip(points, cells(row)).map { point, cell in
          (point, .object([("estimate", cell.estimate.json), ("p_adjusted", .double(cell.p))]))
        })
    }
    return .object([
      ("baseline", .string(sweep.baseline)), ("critical_value", .double(grid.criticalValue)),
      ("conditions", .object(Array(zip(conditions, rows)))),
    ])
  }
}

extension Estimate {
  fileprivate var json: JSON {
    .object([
      ("mean", .double(mean)), ("standard_error", .double(standardError)), ("low", .double(low)),
      ("high", .double(high)),
    ])
  }
}
