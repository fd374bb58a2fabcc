import Diagnostics
import Foundation

/// What the trials of one model under one condition cost, all examples together. The engine gives it.
package struct CostEstimate: Sendable, Equatable {
  package var model: String
  /// nil for what is computed once per example, for all conditions.
  package var condition: String?
  /// Visits of plugins and edits to hook points: hook point x step x trial.
  package var visits: Int
  /// Multiply-adds of the matrix products, as far as they are known before anything runs.
  package var multiplyAdds: Int
  /// Those of as many full passes.
  package var full: Int
  /// The most packs that an example's conditions run in, by the memory of the day: no part of the JSON.
  package var packs = 1

  package init(model: String, condition: String?, visits: Int, multiplyAdds: Int, full: Int) {
    self.model = model
    self.condition = condition
    self.visits = visits
    self.multiplyAdds = multiplyAdds
    self.full = full
  }

  package mutating func add(_ multiplyAdds: Int, visits: Int, full: Int) {
    self.multiplyAdds += multiplyAdds
    self.visits += visits
    self.full += full
  }

  func adding(_ other: CostEstimate) -> CostEstimate {
    var sum = self
    sum.add(other.multiplyAdds, visits: other.visits, full: other.full)
    return sum
  }

  fileprivate var words: String {
    String(format: "%.2f G multiply-adds, %.1f %% of a full pass", Double(multiplyAdds) / 1e9, percent)
  }

  /// Of a full pass, in percent, rounded to a tenth.
  package var percent: Double { full == 0 ? 0 : (1000 * Double(multiplyAdds) / Double(full)).rounded() / 10 }
}

/// A plan as it is shown before anything runs.
package struct PlanDescription: Sendable {
  package let plan: Plan
  /// One per model and condition; empty when the engine was not asked.
  package var costs: [CostEstimate]
  /// How long all trials take on this machine, if that was found out.
  package var seconds: Double?

  package init(plan: Plan, costs: [CostEstimate] = [], seconds: Double? = nil) {
    self.plan = plan
    self.costs = costs
    self.seconds = seconds
  }

  private var partCount: Int { plan.dataset.examples.reduce(0) { $0 + $1.parts.count } }

  private func cost(_ model: String, _ condition: String?) -> CostEstimate? {
    costs.first { $0.model == model && $0.condition == condition }
  }

  /// The same on every machine and from every folder: no digest of a binary, no path, no time.
  package var json: JSON {
    let manifest = plan.manifest
    let conditions = manifest.conditions.map { condition in
      JSON.object([
        ("name", .string(condition.name)), ("steps", .array(condition.steps.map(\.json))),
        ("trials", .int(plan.dataset.examples.count * manifest.models.count)),
      ])
    }
    let costs = costs.map { cost in
      JSON.object([
        ("model", .string(cost.model)), ("condition", cost.condition.map(JSON.string) ?? .null),
        ("visits", .int(cost.visits)), ("multiply_adds", .int(cost.multiplyAdds)),
        ("percent_of_full", .double(cost.percent)),
      ])
    }
    return .object([
      ("schema", .string("ablate.plan/1")), ("name", .string(manifest.name)), ("seed", .int(manifest.seed)),
      ("models", .strings(manifest.models.map(\.name))), ("examples", .int(plan.dataset.examples.count)),
      ("parts", .int(partCount)), ("dataset_digest", .string(plan.dataset.digest)),
      ("mask_rule", manifest.maskRule.json),
      ("trials", .int(plan.trials.count)), ("conditions", .array(conditions)),
      ("probes", .object(manifest.probes.map { ($0.name, $0.json) })),
      ("readings", .strings(manifest.readings.map(\.rawValue))), ("max_new_tokens", .int(manifest.maxNewTokens)),
      ("costs", .array(costs)),
    ])
  }

  /// For a terminal.
  package var text: String {
    let manifest = plan.manifest
    let (examples, unit) = (plan.dataset.examples.count, plan.dataset.unit)
    let units = Set(plan.dataset.examples.map(\.unit)).count
    let shared = unit == .image && units == examples ? "" : ", in \(unit.counted(units))"
    var lines = [
      "\(manifest.name): \(manifest.models.count) models x \(examples) examples x \(manifest.conditions.count) conditions"
        + " = \(plan.trials.count) trials", "",
      "models      " + manifest.models.map(\.name).joined(separator: ", "),
      "dataset     \(plan.dataset.path): \(examples) of \(plan.dataset.available) examples, \(partCount) parts\(shared)",
      "probes      " + manifest.probes.map(\.words).joined(separator: ", "),
      "readings    " + manifest.readings.map(\.rawValue).joined(separator: ", "), "conditions",
    ]
    let width = manifest.groups.map(\.name.count).max() ?? 0
    for group in manifest.groups {
      let name = group.name.padding(toLength: width, withPad: " ", startingAt: 0)
      lines.append("  \(name)  " + group.conditions.words)
    }
    lines += costLines(width)
    return lines.joined(separator: "\n") + "\n"
  }

  private func costLines(_ width: Int) -> [String] {
    guard !costs.isEmpty else { return [] }
    var lines = ["cost"]
    for model in plan.manifest.models {
      lines.append("  \(model.name)")
      for group in plan.manifest.groups {
        let costs = group.conditions.compactMap { cost(model.name, $0.name) }
        guard let first = costs.first else { continue }
        let sum = costs.dropFirst().reduce(first) { $0.adding($1) }
        let name = group.name.padding(toLength: width, withPad: " ", startingAt: 0)
        lines.append("    \(name)  \(sum.visits) visits, \(sum.words)")
      }
      if let shared = cost(model.name, nil) {
        lines.append("    " + "shared".padding(toLength: width, withPad: " ", startingAt: 0) + "  \(shared.words)")
        if shared.packs > 2 {
          lines.append("    an example's conditions run in up to \(shared.packs) packs, to fit the memory")
        }
      }
    }
    let time = seconds.map { "about \(Progress.duration($0.rounded(.up))) on this machine" }
    lines.append("time        " + (time ?? "not tried, the examples are too big for it; `ablate bench` times a pass"))
    return lines
  }
}

extension Manifest {
  /// The conditions as they are shown: those of one sweep together, under the name of its entry.
  fileprivate var groups: [(name: String, conditions: [ConditionDefinition])] {
    conditions.reduce(into: []) { groups, condition in
      let template = condition.sweep?.template
      if let template, groups.last?.conditions.last?.sweep?.template == template {
        groups[groups.count - 1].conditions.append(condition)
      } else {
        groups.append((template ?? condition.name, [condition]))
      }
    }
  }
}

extension [ConditionDefinition] {
  /// What is done: of a sweep the number of conditions, the first and the last.
  fileprivate var words: String {
    func words(_ condition: ConditionDefinition) -> String {
      condition.steps.isEmpty ? "nothing is changed" : condition.steps.map(\.words).joined(separator: ", then ")
    }
    guard let first, let last else { return "" }
    if count == 1 { return words(first) }
    return "\(count) conditions, from \(first.name): \(words(first)), to \(last.name): \(words(last))"
  }
}

extension ConditionStep {
  /// `attention-knockout(tower: vision, cls: blind)`
  var words: String {
    switch self {
    case .plugin(let use): use.words
    case .edit(let edit): "edit \(edit.json.compact)"
    case .image(let image): "\(image.rawValue) image"
    }
  }
}

extension ProbeDefinition {
  fileprivate var words: String {
    "\(name) = \(use.words)" + (control.map { " as control \($0.rawValue)" } ?? "")
      + (fit.map { ", \($0.words)" } ?? "")
  }
}

extension FitDefinition {
  fileprivate var words: String {
    "learns in the shared pass, then fits \(fits) times per hook point "
      + (condition.map { "of '\($0)'" } ?? "and condition")
      + (train.map { ", on the images of \($0.path) (passes of their own)" } ?? "")
  }
}

extension PluginUse {
  var words: String {
    let with = parameters.map { parameter in
      if case .string(let text) = parameter.value { return "\(parameter.name): \(text)" }
      return "\(parameter.name): \(parameter.value.json.compact)"
    }
    return plugin + (with.isEmpty ? "" : "(\(with.joined(separator: ", ")))")
  }
}
