/// A table as text: the first column is aligned to the left, the others to the right.
struct TextTable {
  var header: [String]
  var rows: [[String]] = []

  /// Lines with columns of equal width, two spaces apart.
  func aligned(indent: String = "") -> [String] {
    let all = [header] + rows
    let widths = header.indices.map { column in all.map { $0[column].count }.max() ?? 0 }
    return all.map { row in
      let cells = zip(row, widths).enumerated().map { index, cell in
        let space = String(repeating: " ", count: cell.1 - cell.0.count)
        return index == 0 ? cell.0 + space : space + cell.0
      }
      return indent + trimmed(cells.joined(separator: "  "))
    }
  }

  /// A table of Markdown; what comes from data is escaped.
  var markdown: [String] {
    func line(_ cells: [String]) -> String { "| " + cells.joined(separator: " | ") + " |" }
    let rule = line(header.indices.map { $0 == 0 ? "---" : "---:" })
    return [line(header.map(escapedForMarkdown)), rule] + rows.map { line($0.map(escapedForMarkdown)) }
  }

  private func trimmed(_ line: String) -> String {
    var line = line
    while line.last == " " { line.removeLast() }
    return line
  }
}

/// `text` without anything that Markdown or the HTML in it would act on.
func escapedForMarkdown(_ text: String) -> String {
  var escaped = ""
  for character in text {
    switch character {
    case "<": escaped += "&lt;"
    case ">": escaped += "&gt;"
    case "&": escaped += "&amp;"
    case "|", "\\", "`", "*", "_", "[", "]", "#": escaped += "\\\(character)"
    case "\n", "\r", "\r\n": escaped += " "
    default: escaped.append(character)
    }
  }
  return escaped
}

extension ModelSummary {
  /// Condition x hook point: of ranks the median before the mean.
  var pointTable: TextTable? {
    let rows = conditions.filter { $0.points.contains { $0 != nil } }
    guard !rows.isEmpty else { return nil }
    let isRank = rows.contains { $0.points.contains { $0?.medianRank != nil } }
    var table = TextTable(header: [isRank ? "median / \(measure.metric.words)" : measure.metric.words] + points)
    for condition in rows {
      table.rows.append(
        [condition.name]
          + condition.points.map { point in
            guard let point else { return "" }
            return (point.medianRank.map { "\(fixed($0, 1)) / " } ?? "") + fixed(point.mean)
          })
    }
    return table
  }

  var pointTitle: String {
    "rank of the part's word, the \(measure.aggregation.words): median over parts / \(measure.metric.words)"
  }

  /// Condition x reading: means of what is measured once per trial.
  var readingTable: TextTable? {
    var columns: [String] = []
    func name(_ row: (probe: String, metric: String)) -> String {
      row.probe == row.metric ? row.probe : "\(row.probe) \(row.metric)"
    }
    for scalar in conditions.flatMap(\.scalars) {
      let column = name((scalar.probe, scalar.metric))
      if !columns.contains(column) { columns.append(column) }
    }
    guard !columns.isEmpty else { return nil }
    var table = TextTable(header: ["mean"] + columns)
    for condition in conditions {
      table.rows.append(
        [condition.name]
          + columns.map { column in
            let found = condition.scalars.first { name(($0.probe, $0.metric)) == column }
            return found.map { fixed($0.mean, 3) } ?? ""
          })
    }
    return table
  }

  /// Two-by-two x losses, C, R and what is claimed; the controls below.
  var contrastTable: TextTable? {
    guard !contrasts.isEmpty else { return nil }
    var table = TextTable(header: [
      "two-by-two", "loss, decoder works", "loss, decoder cut", "C", "R", "parts", "finding",
    ])
    for contrast in contrasts + controls {
      let name = contrast.name(beside: measure.probe)
      guard case .success(let found) = contrast.result else {
        table.rows.append([name, "", "", "", "", "\(contrast.parts)", contrast.verdict])
        continue
      }
      table.rows.append([
        name, found.lossOn.words, found.lossOff.words, found.compensation.words, found.recovery?.words ?? "-",
        "\(contrast.parts)", contrast.verdict,
      ])
    }
    return table
  }

  var contrastTitle: String {
    "compensation in \(measure.metric.unit), 95 % intervals by \(unit.singular): C = loss with the decoder cut - loss with it "
      + "working, R = C / loss"
  }
}

extension SweepSummary {
  /// Condition x hook point: difference from the baseline, starred where clear of zero for all cells together.
  var table: TextTable? {
    guard case .success = result else { return nil }
    var table = TextTable(header: ["\(sweep.measure.metric.words) - \(sweep.baseline)"] + points)
    for (row, condition) in conditions.enumerated() {
      table.rows.append(
        [condition] + cells(row).map { fixed($0.estimate.mean) + ($0.estimate.excludesZero ? "*" : "") })
    }
    return table
  }

  var title: String {
    "sweep \(sweep.name), \(counted(parts, "part")) in \(unit.counted(units)): cost against \(sweep.baseline) in "
      + "\(sweep.measure.metric.unit); *: clear of zero, all cells taken together (max-statistic, 95 %)"
  }
}
