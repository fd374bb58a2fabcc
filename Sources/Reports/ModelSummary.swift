import Experiments
import Foundation
import Statistics

/// One model's part of the summary.
package struct ModelSummary: Sendable {
  package let model: String
  /// Hook points at which the analysis' probe read, in the order of the forward pass.
  package let points: [String]
  /// In the manifest's order; conditions without rows are left out.
  package let conditions: [ConditionSummary]
  /// In the manifest's order, the primary one first.
  package let contrasts: [ContrastSummary]
  package let warnings: [String]

  init(model: String, manifest: Manifest, best: [RunStore.BestRow], scalars: [RunStore.MeanRow]) {
    self.model = model
    let points = orderedHookPoints(Set(best.map(\.point)))
    self.points = points
    let byCondition = Dictionary(grouping: best, by: \.condition)
    conditions = manifest.conditions.compactMap { condition in
      let rows = byCondition[condition.name] ?? []
      let scalars = scalars.filter { $0.condition == condition.name }
      guard !rows.isEmpty || !scalars.isEmpty else { return nil }
      return ConditionSummary(name: condition.name, points: points, rows: rows, scalars: scalars)
    }
    guard let analysis = manifest.compensation else {
      (contrasts, warnings) = ([], [])
      return
    }
    let atPoint = byCondition.mapValues { $0.filter { $0.point == analysis.point } }
    contrasts = analysis.designs.map { design in
      ContrastSummary(design, rows: atPoint, point: analysis.point)
    }
    warnings = contrasts.compactMap { contrast in
      contrast.incomplete == 0
        ? nil
        : "\(model), \(contrast.design.name): \(contrast.incomplete) parts lack one of the four conditions and are left out"
    }
  }
}

/// A part of an image, as rows name it.
struct PartInstance: Hashable {
  var example: String
  var label: String

  init(_ row: RunStore.BestRow) { (example, label) = (row.example, row.label) }
}

package struct ConditionSummary: Sendable {
  package let name: String
  /// One per hook point of the model; nil where this condition has no rows.
  package let ranks: [RankSummary?]
  /// Readings taken once per trial.
  package let scalars: [RunStore.MeanRow]

  init(name: String, points: [String], rows: [RunStore.BestRow], scalars: [RunStore.MeanRow]) {
    self.name = name
    let byPoint = Dictionary(grouping: rows, by: \.point)
    ranks = points.map { point in byPoint[point].flatMap(RankSummary.init) }
    self.scalars = scalars
  }
}

/// Best ranks (over a part's patches) of all parts at one hook point.
package struct RankSummary: Sendable {
  package let median: Double
  package let meanLog2: Double
  /// Half the width of the 95 % interval of `meanLog2`, clustered by image; 0 with fewer than two images.
  package let halfWidth: Double
  package let count: Int

  init?(_ rows: [RunStore.BestRow]) {
    guard !rows.isEmpty else { return nil }
    let logs = rows.map { log2($0.best) }
    median = Statistics.median(rows.map(\.best))
    meanLog2 = mean(logs)
    let estimate = try? clusteredMean(logs, clusters: rows.map(\.example))
    halfWidth = estimate.map { ($0.high - $0.low) / 2 } ?? 0
    count = rows.count
  }
}

/// The compensation contrast of one two-by-two.
package struct ContrastSummary: Sendable {
  package let design: TwoByTwo
  package let point: String
  package let parts: Int
  package let images: Int
  /// Parts that were read in some but not in all of the four conditions.
  package let incomplete: Int
  /// The contrast, or why there is none.
  package let result: Result<Compensation, StatisticsError>

  init(_ design: TwoByTwo, rows: [String: [RunStore.BestRow]], point: String) {
    self.design = design
    self.point = point
    let cells = design.conditions.map { name in
      Dictionary((rows[name] ?? []).map { (PartInstance($0), log2($0.best)) }, uniquingKeysWith: { first, _ in first })
    }
    // In the order of the clean condition's rows: sums must not depend on the order of a dictionary.
    let ordered = (rows[design.clean] ?? []).map(PartInstance.init)
    let complete = ordered.compactMap { part -> FourRanks? in
      guard let clean = cells[0][part], let vision = cells[1][part], let text = cells[2][part],
        let both = cells[3][part]
      else { return nil }
      return FourRanks(
        cluster: part.example, clean: clean, visionCut: vision, textCut: text, bothCut: both)
    }
    parts = complete.count
    images = Set(complete.map(\.cluster)).count
    incomplete = cells.reduce(into: Set<PartInstance>()) { $0.formUnion($1.keys) }.count - complete.count
    do throws(StatisticsError) {
      result = .success(try Compensation(complete))
    } catch { result = .failure(error) }
  }
}

/// Hook points in the order in which the forward pass meets them.
func orderedHookPoints(_ points: Set<String>) -> [String] {
  let towers = ["vision", "projector", "text"]
  let sites = [
    "in", "embed", "resid_pre", "q", "k", "v", "rot_q", "rot_k", "attn_scores", "pattern", "z", "attn_out", "resid_mid",
    "mlp_pre", "mlp_post", "mid", "mlp_out", "out", "resid_post", "final_norm", "logits",
  ]
  // A site without a layer stands before the layers (`text.embed`) or after them (`text.final_norm`, `text.logits`).
  func key(_ point: String) -> (Int, Int, Int, String) {
    let words = point.split(separator: ".").map(String.init)
    let site = words.last ?? ""
    let layer = words.dropFirst().first.flatMap(Int.init) ?? (["final_norm", "logits"].contains(site) ? .max : -1)
    let place = sites.firstIndex(of: site) ?? sites.count
    return (towers.firstIndex(of: words.first ?? "") ?? towers.count, layer, place, point)
  }
  return points.sorted { key($0) < key($1) }
}
