import Experiments
import Foundation

/// A run's report: a summary for the terminal, Markdown, a page, and figures. A function of the rows.
package struct RunReport {
  package let folder: RunFolder
  package let summary: RunSummary
  private let readings: RunReadings

  /// - Parameter path: a run folder.
  package init(path: String) throws {
    folder = RunFolder(path)
    (summary, readings) = try RunSummary.read(RunReport.store(in: path))
  }

  static func store(in path: String) throws -> RunStore {
    let folder = RunFolder(path)
    guard FileManager.default.fileExists(atPath: folder.store) else {
      throw ExperimentError.noRun(folder: path, what: "there is no run in this folder (no run.sqlite)")
    }
    return try RunStore(path: folder.store, readOnly: true)
  }

  /// One self-contained page; it asks the network for nothing.
  package var html: String {
    get throws { try RunPage(summary: summary, readings: readings, headline: headline).html }
  }

  /// Writes `report.html`, `report.md` and the figures, each with the numbers that are in it, into the run folder; returns
  /// the path of the first.
  package func write() throws -> String {
    for figure in summary.figures {
      try folder.write(figure.svg, to: "figures/\(figure.name).svg")
      try folder.write(figure.csv, to: "figures/\(figure.name).csv")
      PDF.write(besides: folder.file("figures/\(figure.name).svg"))
    }
    try folder.write(markdown, to: "report.md")
    try folder.write(html, to: "report.html")
    return folder.file("report.html")
  }

  private var headline: String {
    let size = summary.size
    let failed = size.failed == 0 ? "" : ", \(size.failed) failed"
    let units = size.units == size.examples ? "" : " in \(summary.unit.counted(size.units))"
    let shape = [
      counted(summary.models.count, "model"), counted(size.examples, "example") + units,
      counted(summary.manifest.conditions.count, "condition"),
    ]
    return "\(size.completed) of \(counted(size.planned, "trial"))\(failed): \(shape.joined(separator: " x ")), "
      + "\(fixed(size.seconds, 1)) s of computing"
  }

  /// For the terminal.
  package var text: String {
    var lines = ["\(summary.manifest.name): \(headline)"]
    lines += summary.warnings.map { "WARNING: \($0)" }
    for model in summary.models {
      lines += ["", model.model]
      for (title, table) in sections(model) { lines += ["  \(title)"] + table.aligned(indent: "    ") }
    }
    let findings = summary.findings
    if !findings.isEmpty { lines += [""] + findings.map(\.words) }
    return lines.joined(separator: "\n") + "\n"
  }

  package var markdown: String {
    var lines = ["# \(escapedForMarkdown(summary.manifest.name))", "", headline + ".", ""]
    lines += summary.warnings.map { "- **Warning:** \(escapedForMarkdown($0))" }
    if !summary.warnings.isEmpty { lines.append("") }
    lines += summary.findings.map { "- \(escapedForMarkdown($0.words))" }
    lines += summary.figures.flatMap { figure -> [String] in
      let name = "figures/\(figure.name).svg"
      let target = name.addingPercentEncoding(withAllowedCharacters: .urlPathAllowed) ?? name
      return ["", "![\(escapedForMarkdown(figure.title))](\(target))", "", escapedForMarkdown(figure.caption)]
    }
    for model in summary.models {
      lines += ["", "## \(escapedForMarkdown(model.model))"]
      for (title, table) in sections(model) { lines += ["", escapedForMarkdown(title) + ":", ""] + table.markdown }
    }
    return lines.joined(separator: "\n") + "\n"
  }

  private func sections(_ model: ModelSummary) -> [(String, TextTable)] {
    let all: [(String, TextTable?)] =
      [
        (model.pointTitle, model.pointTable), (model.contrastTitle, model.contrastTable),
        ("readings", model.readingTable), (model.learnedTitle, model.learnedTable),
      ] + model.sweeps.map { ($0.title, $0.table) }
    return all.compactMap { title, table in table.map { (title, $0) } }
  }
}

extension Finding {
  /// `primary: ...`
  var words: String { "\(kind.rawValue): \(sentence)" }
}
