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

  /// Writes beside `path` and renames, so that there is never half a file. Returns the number of rows.
  package func write(_ store: RunStore, to path: String) throws -> Int {
    let file = try PartialFile(path)
    var count = 0
    switch self {
    case .csv:
      try file.write(StoredRow.columns.joined(separator: ",") + "\n")
      try store.forEachRow { row in
        count += 1
        try file.write(row.csv)
      }
    case .jsonl:
      try store.forEachRow { row in
        count += 1
        try file.write(row.json.compact + "\n")
      }
    case .npy:
      var widths = [Int](repeating: 1, count: 8)
      try store.forEachRow { row in
        count += 1
        for (column, text) in row.texts.enumerated() { widths[column] = max(widths[column], text.unicodeScalars.count) }
      }
      try file.write(NumpyRows.header(widths: widths, count: count))
      try store.forEachRow { row in try file.write(NumpyRows.bytes(row, widths: widths)) }
    }
    try file.finish()
    return count
  }
}

extension StoredRow {
  fileprivate var csv: String {
    // Text is always in quotes: readers that guess the dialect from the first rows then guess right.
    func text(_ text: String?) -> String { text.map { "\"\($0.replacing("\"", with: "\"\""))\"" } ?? "" }
    let fields = [
      text(model), text(example), text(className), text(condition), text(probe), text(point),
      token.map(String.init) ?? "", text(label), text(metric), CSV.number(value),
    ]
    return fields.joined(separator: ",") + "\n"
  }

  fileprivate var json: JSON {
    func text(_ text: String?) -> JSON { text.map { .string($0) } ?? .null }
    return .object([
      ("model", .string(model)), ("example", .string(example)), ("class", text(className)),
      ("condition", .string(condition)), ("probe", .string(probe)), ("point", .string(point)),
      ("token", token.map { .int($0) } ?? .null), ("label", text(label)), ("metric", .string(metric)),
      ("value", value.map { .double($0) } ?? .null),
    ])
  }
}

/// The format of numpy's `.npy`, version 1.0 (numpy/lib/format.py): magic, a Python literal padded to 64 bytes, records.
enum NumpyRows {
  private static let textColumns = StoredRow.columns.filter { $0 != "token" && $0 != "value" }

  static func header(widths: [Int], count: Int) -> Data {
    let texts = zip(textColumns, widths).map { "('\($0)', '<U\($1)')" }
    let fields = (texts + ["('token', '<i8')", "('value', '<f8')"]).joined(separator: ", ")
    var header = "{'descr': [\(fields)], 'fortran_order': False, 'shape': (\(count),), }"
    header += String(repeating: " ", count: 63 - (10 + header.utf8.count) % 64) + "\n"
    let length = UInt16(header.utf8.count)
    return Data([0x93] + Array("NUMPY".utf8) + [1, 0, UInt8(length & 255), UInt8(length >> 8)]) + Data(header.utf8)
  }

  static func bytes(_ row: StoredRow, widths: [Int]) -> Data {
    var bytes = Data()
    for (text, width) in zip(row.texts, widths) {
      let scalars = text.unicodeScalars.map(\.value) + [UInt32](repeating: 0, count: width - text.unicodeScalars.count)
      for scalar in scalars { withUnsafeBytes(of: scalar.littleEndian) { bytes.append(contentsOf: $0) } }
    }
    withUnsafeBytes(of: Int64(row.token ?? -1).littleEndian) { bytes.append(contentsOf: $0) }
    withUnsafeBytes(of: (row.value ?? .nan).bitPattern.littleEndian) { bytes.append(contentsOf: $0) }
    return bytes
  }
}

/// A file that comes into being whole, when `finish` is called.
private final class PartialFile {
  private let path: String
  private let handle: FileHandle
  private var pending = Data()
  private var isFinished = false

  private var partial: String { path + ".partial" }

  init(_ path: String) throws {
    self.path = path
    guard FileManager.default.createFile(atPath: path + ".partial", contents: nil),
      let handle = FileHandle(forWritingAtPath: path + ".partial")
    else { throw ExperimentError.file(path: path, what: "cannot be written") }
    self.handle = handle
  }

  deinit { if !isFinished { try? FileManager.default.removeItem(atPath: partial) } }

  func write(_ text: String) throws { try write(Data(text.utf8)) }

  func write(_ data: Data) throws {
    pending.append(data)
    if pending.count >= 1 << 20 { try flush() }
  }

  func finish() throws {
    try flush()
    try? handle.close()
    guard rename(partial, path) == 0 else {
      throw ExperimentError.file(path: path, what: "cannot be written: \(String(cString: strerror(errno)))")
    }
    isFinished = true
  }

  private func flush() throws {
    do {
      try handle.write(contentsOf: pending)
    } catch {
      throw ExperimentError.file(path: path, what: "cannot be written: \(error.localizedDescription)")
    }
    pending.removeAll(keepingCapacity: true)
  }
}
