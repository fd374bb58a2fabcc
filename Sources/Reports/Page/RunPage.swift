import Datasets
import Diagnostics
import Experiments
import Foundation
import Statistics

/// The sections of a run's page, in its order.
struct RunPage {
  let summary: RunSummary
  let readings: RunReadings
  let headline: String

  /// No more rows than a browser shows at once; the run store has all of them.
  static let mostRows = 10_000

  var html: String {
    get throws {
      let gallery = try gallery()
      let page = Page(
        title: summary.manifest.name, headline: headline, version: summary.version,
        warnings: summary.warnings + gallery.warnings,
        findings: summary.findings.map {
          Page.FindingRow(kind: $0.kind.rawValue, verdict: $0.verdict, sentence: $0.sentence)
        }, findingsNote: claimNote,
        sections: [
          layers, compensation, learned, sweeps, comparisons, gallery.section, breakdown, items, metrics, provenance,
        ])
      return try page.html
    }
  }

  private var claimNote: String {
    "Primary is the one contrast that the manifest names with its margin before the run; everything else is exploratory. "
      + "Compensates: C is above zero (95 % interval, paired by part, clustered by \(summary.unit.singular)) and the loss with a "
      + "working decoder lies within the margin (two one-sided tests at 5 %). Not distinguishable: the interval holds zero; that "
      + "is no proof of zero."
  }

  private var layers: Page.Section {
    Page.Section(
      anchor: "layers", title: "Layer by layer", intro: nil,
      figures: summary.models.compactMap { CurveFigure($0)?.figure }.map(Page.Plot.init),
      tables: summary.models.compactMap { model in
        model.pointTable.map { Page.Table($0, caption: "\(model.model): \(model.pointTitle)") }
      })
  }

  private var compensation: Page.Section {
    Page.Section(
      anchor: "compensation", title: "Compensation", intro: nil,
      figures: [summary.contrastFigure].compactMap { $0.map(Page.Plot.init) },
      tables: summary.models.compactMap { model in
        model.contrastTable.map { Page.Table($0, caption: "\(model.model): \(model.contrastTitle)") }
      }
        + summary.models.compactMap { model in
          model.readingTable.map { Page.Table($0, caption: "\(model.model): readings taken once per trial, means") }
        })
  }

  private var learned: Page.Section {
    Page.Section(
      anchor: "learned", title: "Probes that learn", intro: nil,
      tables: summary.models.compactMap { model in
        model.learnedTable.map { Page.Table($0, caption: "\(model.model): \(model.learnedTitle)") }
      })
  }

  private var sweeps: Page.Section {
    let all = summary.models.flatMap { model in model.sweeps.map { (model.model, $0) } }
    return Page.Section(
      anchor: "sweeps", title: "Sweeps", intro: nil,
      figures: all.compactMap { model, sweep in sweep.figure(model: model) }.map(Page.Plot.init),
      tables: all.compactMap { model, sweep in
        // The heat map says the same numbers.
        sweep.table.map { Page.Table($0, caption: "\(model): \(sweep.title)", isFolded: true) }
      })
  }

  private var comparisons: Page.Section {
    let all = summary.comparisons
    return Page.Section(
      anchor: "comparisons", title: "Comparisons",
      intro: nil, list: all.isEmpty ? nil : Page.List(items: all.flatMap(\.sentences)),
      figures: [summary.comparisonFigure].compactMap { $0.map(Page.Plot.init) },
      tables: all.flatMap { comparison -> [Page.Table] in
        let items = comparison.itemTable
        return [Page.Table(comparison.table, caption: "\(comparison.comparison.name): \(comparison.title)")]
          + (items.rows.isEmpty
            ? []
            : [
              Page.Table(
                items.cut(to: RunPage.mostRows), caption: "\(comparison.title): items, the largest differences first",
                note: RunPage.note(items.rows.count), sortable: true, isFolded: all.count > 1 ? true : nil)
            ])
      })
  }

  private static func note(_ rows: Int) -> String? {
    rows > mostRows ? "The first \(mostRows) of \(rows) rows; ablate export writes all of them." : nil
  }

  private func gallery() throws -> (section: Page.Section, warnings: [String]) {
    var section = Page.Section(
      anchor: "gallery", title: "Gallery",
      intro:
        "Two parts each with the largest, the middle and the smallest compensation, one per image. The part's patches are "
        + "outlined; a patch's colour is the rank of the part's word there, at the hook point of the primary contrast. Below, "
        + "layer by layer: the best rank over the part's patches, and, where the probe was asked for words, those that it reads "
        + "first there, the part's own underlined.")
    guard summary.models.contains(where: { !$0.items.isEmpty }) else { return (section, []) }
    guard let dataset = try? Dataset(summary.manifest.dataset) else {
      return (section, ["the dataset is not at \(summary.manifest.dataset.path): no gallery"])
    }
    guard summary.datasetDigest == nil || summary.datasetDigest == dataset.digest else {
      return (section, ["the dataset at \(dataset.path) is not the one that was run: no gallery"])
    }
    let examples = Dictionary(dataset.examples.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
    var warnings: [String] = []
    for (reference, model) in zip(summary.manifest.models, summary.models) {
      let boxes = PatchBoxes(reference)
      if boxes == nil { warnings.append("the checkpoint of \(model.model) is gone: its patches are not outlined") }
      guard let gallery = try Gallery(model, readings: readings, boxes: boxes, examples: examples) else { continue }
      section.gallery.append(gallery)
    }
    return (section, warnings)
  }

  private var breakdown: Page.Section {
    Page.Section(
      anchor: "breakdown", title: "By part and class",
      intro:
        "The primary two-by-two taken apart: means as costs (larger is worse), C with its 95 % interval for each row alone. "
        + "Many rows: some intervals miss zero by chance.",
      tables: summary.models.flatMap { model in
        [("part", model.breakdown?.byPart), ("class", model.breakdown?.byClass)].compactMap { name, groups in
          guard let groups, !groups.isEmpty else { return nil }
          return Page.Table(
            Breakdown.table(groups, name, summary.unit),
            caption: "\(model.model), by \(name), in \(model.measure.metric.unit)")
        }
      })
  }

  private var items: Page.Section {
    let table = summary.itemTable
    return Page.Section(
      anchor: "items", title: "Items", intro: nil,
      tables: table.rows.isEmpty
        ? []
        : [
          Page.Table(
            table.cut(to: RunPage.mostRows), caption: "Parts of the primary two-by-two as costs, the largest |C| first",
            note: RunPage.note(table.rows.count), sortable: true)
        ])
  }

  private var metrics: Page.Section {
    Page.Section(
      anchor: "metrics", title: "Other metrics", intro: "Means over parts at each hook point; exploratory.",
      tables: summary.models.compactMap { model in
        model.breakdown.map { Page.Table($0.metricTable(model.points), caption: model.model) }
      })
  }

  private var provenance: Page.Section {
    Page.Section(
      anchor: "provenance", title: "Receipts and provenance",
      intro:
        "A receipt says what a plugin did: hook points visited (made must equal planned), rows and numbers changed.",
      tables: summary.receipts.isEmpty
        ? [] : [Page.Table(summary.receiptTable, caption: "Receipts, summed over trials")],
      texts: [
        Page.Text(title: "Provenance of the last session", text: summary.provenance.pretty),
        Page.Text(title: "What computed", text: summary.engines.map { "\($0.model)\n\($0.facts.pretty)" }.joined()),
        Page.Text(title: "The manifest with every default", text: summary.manifest.resolved.pretty),
      ])
  }
}
