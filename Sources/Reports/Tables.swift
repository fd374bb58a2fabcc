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
  /// Condition x hook point: median best rank and mean log2 of it.
  var rankTable: TextTable? {
    let rows = conditions.filter { $0.ranks.contains { $0 != nil } }
    guard !rows.isEmpty else { return nil }
    var table = TextTable(header: ["median / mean log2"] + points)
    for condition in rows {
      table.rows.append(
        [condition.name]
          + condition.ranks.map { rank in rank.map { "\(fixed($0.median, 1)) / \(fixed($0.meanLog2))" } ?? "" })
    }
    return table
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

  /// Two-by-two x losses, C and R.
  var contrastTable: TextTable? {
    guard !contrasts.isEmpty else { return nil }
    var table = TextTable(header: ["two-by-two", "loss, decoder works", "loss, decoder cut", "C", "R", "parts"])
    for contrast in contrasts {
      guard case .success(let found) = contrast.result else {
        table.rows.append([contrast.design.name, "", "", "", "", "\(contrast.parts)"])
        continue
      }
      table.rows.append([
        contrast.design.name, found.lossOn.words, found.lossOff.words, found.compensation.words,
        found.recovery?.words ?? "-", "\(contrast.parts)",
      ])
    }
    return table
  }
}
