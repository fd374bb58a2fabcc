import Checkpoints
import Datasets
import Diagnostics
import Models
import PluginHost
import PluginRuntime
import Tensors

/// Means of activations over the chosen rows of a dataset, for mean ablation: what `ablate mean` writes.
package struct ActivationMeans {
  package let points: [HookPoint]
  /// Per point, the mean over rows: [entries of one row], heads one after the other.
  package let tensors: [(name: String, tensor: Tensor)]
  /// How many rows each mean is of.
  package let rows: Int
  package let metadata: [String: String]

  package init(
    of model: VisionLanguageModel, _ dataset: Dataset, at patterns: [String], tokens: String, rule: MaskRule
  ) throws {
    let points = try model.hooks.match(patterns)
    if let point = points.first(where: { $0.site.axes == .headsRowsKeys }) {
      throw ModelError.hookPoint(
        "\(point)", problem: "the rows of a pattern are of different lengths, so that they have no mean",
        remedy: "take z or resid_post")
    }
    let session = try Session(model, conditions: [("clean", [])], probes: [], seed: 0)
    var (sums, counts): ([HookPoint: [Double]], [HookPoint: Int]) = ([:], [:])
    for example in dataset.examples {
      let item = try PreparedExample(example, model: model, rule: rule, newTokens: 0, forced: false).item
      let wish = Session.Wish(outputRows: [item.input.ids.count - 1], captures: points)
      for capture in try session.run(item, conditions: ["clean"], wish)[0].output.results.captures {
        let rows = try item.rows(of: .selector(tokens), in: capture.point.tower).filter { $0 < capture.rows.count }
        let width = capture.tensor.count / capture.rows.count
        for row in rows {
          let x = capture.tensor.base + row * width
          for i in 0..<width { sums[capture.point, default: Array(repeating: 0, count: width)][i] += Double(x[i]) }
        }
        counts[capture.point, default: 0] += rows.count
      }
    }
    guard let least = points.map({ counts[$0] ?? 0 }).min(), least > 0 else {
      throw ModelError.selector(
        tokens, problem: "names no row in any of the examples", remedy: "a mean needs at least one row")
    }
    self.points = points
    rows = least
    tensors = points.map { point in
      let mean = (sums[point] ?? []).map { Float($0 / Double(counts[point] ?? 1)) }
      return ("\(point)", Tensor(mean, shape: [mean.count]))
    }
    metadata = [
      "schema": "ablate.means/1", "model": model.name, "model_digest": model.digest,
      "dataset_digest": dataset.digest, "examples": "\(dataset.examples.count)", "tokens": tokens, "rows": "\(least)",
      "mask_rule": rule.json.compact,
    ]
  }
}
