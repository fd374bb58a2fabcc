import Experiments
import Foundation

/// A run's report: a summary for the terminal, Markdown, and figures. A function of the rows.
package struct RunReport: Sendable {
  package let folder: RunFolder
  package let summary: RunSummary

  /// - Parameter path: a run folder.
  package init(path: String) throws {
    folder = RunFolder(path)
    guard FileManager.default.fileExists(atPath: folder.store) else {
      throw ExperimentError.noRun(folder: path, what: "there is no run in this folder (no run.sqlite)")
    }
    summary = try RunSummary(RunStore(path: folder.store, readOnly: true))
  }

  /// Name and text of each SVG file.
  package var figures: [(name: String, svg: String)] {
    summary.models.compactMap { model in
      RankFigure(model)?.svg.map { ("figures/\(model.model).svg", $0) } ?? nil
    }
  }

  /// Writes `report.md` and the figures into the run folder; returns the path of the former.
  package func write() throws -> String {
    for figure in figures { try folder.write(figure.svg, to: figure.name) }
    try folder.write(markdown, to: "report.md")
    return folder.file("report.md")
  }

  private var headline: String {
    let size = summary.size
    let failed = size.failed == 0 ? "" : ", \(size.failed) failed"
    let shape = [
      counted(summary.models.count, "model"), counted(size.examples, "image"),
      counted(summary.manifest.conditions.count, "condition"),
    ]
    return "\(size.completed) of \(counted(size.planned, "trial"))\(failed): \(shape.joined(separator: " x ")), "
      + "\(fixed(size.seconds, 1)) s of computing"
  }

  private static let rankTitle =
    "rank of the part's word, the best over the part's patches: median over parts / mean log2"
  private static let contrastTitle =
    "compensation in bits of rank, 95 % intervals by image: C = loss with the decoder cut - loss with it working, R = C / loss"

  /// For the terminal.
  package var text: String {
    var lines = ["\(summary.manifest.name): \(headline)"]
    lines += summary.warnings.map { "WARNING: \($0)" }
    for model in summary.models {
      lines += ["", model.model]
      for (title, table) in sections(model) { lines += ["  \(title)"] + table.aligned(indent: "    ") }
    }
    let findings = findings
    if !findings.isEmpty { lines += [""] + findings }
    return lines.joined(separator: "\n") + "\n"
  }

  package var markdown: String {
    var lines = ["# \(escapedForMarkdown(summary.manifest.name))", "", headline + ".", ""]
    lines += summary.warnings.map { "- **Warning:** \(escapedForMarkdown($0))" }
    if !summary.warnings.isEmpty { lines.append("") }
    lines += findings.map { "- \(escapedForMarkdown($0))" }
    let figures = figures
    for model in summary.models {
      lines += ["", "## \(escapedForMarkdown(model.model))"]
      let name = "figures/\(model.model).svg"
      if figures.contains(where: { $0.name == name }) {
        let target = name.addingPercentEncoding(withAllowedCharacters: .urlPathAllowed) ?? name
        lines += ["", "![Mean log2 rank by layer for the conditions of \(escapedForMarkdown(model.model))](\(target))"]
      }
      for (title, table) in sections(model) { lines += ["", escapedForMarkdown(title) + ":", ""] + table.markdown }
    }
    return lines.joined(separator: "\n") + "\n"
  }

  private func sections(_ model: ModelSummary) -> [(String, TextTable)] {
    [
      (RunReport.rankTitle, model.rankTable), (RunReport.contrastTitle, model.contrastTable),
      ("readings", model.readingTable),
    ].compactMap { title, table in table.map { (title, $0) } }
  }

  /// One sentence per model, on the primary two-by-two.
  private var findings: [String] {
    summary.models.compactMap { model in model.contrasts.first?.sentence(model: model.model) }
  }
}
