import Diagnostics
import Experiments
import Foundation

/// A run's rows in a file that other tools read in one line.
package enum RowExport: String, CaseIterable, Sendable {
  /// RFC 4180 with a header line; what is not a number is empty.
  case csv
  /// One JSON object a line.
  case jsonl
  /// A structured array of numpy; text as fixed-width Unicode, -1 for no token, NaN for what is not a number.
  case npy
  /// One table of nullable columns, in row groups.
  case parquet
  /// One tensor per column, texts as codes.
  case safetensors

  package static let names = allCases.map(\.rawValue).joined(separator: ", ")

  /// Writes beside `path` and renames, so that there is never half a file. Returns the number of rows.
  package func write(_ store: RunStore, to path: String) throws -> Int {
    let file = try PartialFile(path)
    let count =
      switch self {
      case .csv: try writeLines(store, file, header: StoredRow.columns.joined(separator: ",") + "\n", \.csv)
      case .jsonl: try writeLines(store, file, header: "") { $0.json.compact + "\n" }
      case .npy: try writeNumpy(store, file)
      case .parquet: try writeParquet(store, file)
      case .safetensors: try writeSafetensors(store, file)
      }
    try file.finish()
    return count
  }

  private func writeLines(
    _ store: RunStore, _ file: PartialFile, header: String, _ line: (StoredRow) -> String
  ) throws -> Int {
    try file.write(header)
    var count = 0
    try store.forEachRow { row in
      count += 1
      try file.write(line(row))
    }
    return count
  }

  private func writeNumpy(_ store: RunStore, _ file: PartialFile) throws -> Int {
    var count = 0
    var widths = StoredRow.textColumns.map { _ in 1 }
    try store.forEachRow { row in
      count += 1
      for (column, text) in row.texts.enumerated() {
        widths[column] = max(widths[column], text?.unicodeScalars.count ?? 0)
      }
    }
    try file.write(NumpyRows.header(widths: widths, count: count))
    try store.forEachRow { row in try file.write(NumpyRows.bytes(row, widths: widths)) }
    return count
  }

  private func writeParquet(_ store: RunStore, _ file: PartialFile) throws -> Int {
    var (table, rows, count) = (ParquetRows(), RowColumns(), 0)
    try file.write(table.start())
    try store.forEachRow { row in
      rows.add(row)
      count += 1
      if rows.count == ParquetRows.rowsPerGroup {
        try file.write(table.group(rows))
        rows = RowColumns()
      }
    }
    if rows.count > 0 { try file.write(table.group(rows)) }
    try file.write(table.end())
    return count
  }

  private func writeSafetensors(_ store: RunStore, _ file: PartialFile) throws -> Int {
    var rows = RowColumns()
    try store.forEachRow { rows.add($0) }
    try file.write(SafetensorsRows.bytes(rows))
    return rows.count
  }
}

extension StoredRow {
  fileprivate var csv: String {
    // Text is always in quotes: readers that guess the dialect from the first rows then guess right.
    func text(_ text: String?) -> String { text.map { "\"\($0.replacing("\"", with: "\"\""))\"" } ?? "" }
    let fields = [
      text(model), text(example), text(className), text(cluster), text(condition), text(probe), text(point),
      token.map(String.init) ?? "", text(label), text(metric), CSV.number(value), text(self.text),
    ]
    return fields.joined(separator: ",") + "\n"
  }

  fileprivate var json: JSON {
    func text(_ text: String?) -> JSON { text.map { .string($0) } ?? .null }
    return .object([
      ("model", .string(model)), ("example", .string(example)), ("class", text(className)),
      ("cluster", .string(cluster)), ("condition", .string(condition)), ("probe", .string(probe)),
      ("point", .string(point)),
      ("token", token.map { .int($0) } ?? .null), ("label", text(label)), ("metric", .string(metric)),
      ("value", value.map { .double($0) } ?? .null), ("text", text(self.text)),
    ])
  }
}
