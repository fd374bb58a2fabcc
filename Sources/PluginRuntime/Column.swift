import PluginABI

/// A column of typed rows, as a plugin emits it or reads it in end_lane.
package struct Column: Sendable, Equatable {
  package enum Values: Sendable, Equatable {
    case bools([Bool])
    case integers([Int64])
    case numbers([Double])
    case strings([String])

    package var count: Int {
      switch self {
      case .bools(let all): all.count
      case .integers(let all): all.count
      case .numbers(let all): all.count
      case .strings(let all): all.count
      }
    }
  }

  package var name: String
  package var values: Values
  /// Which rows hold a value; nil: all do.
  package var valid: [Bool]?

  package init(_ name: String, _ values: Values, valid: [Bool]? = nil) {
    self.name = name
    self.values = values
    self.valid = valid
  }
}

extension ForeignReader {
  static let rowCap: UInt64 = 1 << 24

  /// Copies the columns of a table that a plugin emits.
  static func columns(
    _ start: UnsafePointer<ablate_column>?, _ count: UInt64, rows: UInt64
  ) throws(Fault) -> [Column] {
    let reader = ForeignReader(at: "emit")
    guard rows <= rowCap else { throw reader.fault("n_rows", "is \(rows); at most \(rowCap)") }
    guard count <= 64 else { throw reader.fault("n_columns", "is \(count); at most 64") }
    var columns: [Column] = []
    for (i, column) in try reader.structs(start, count, "columns").enumerated() {
      let copy = try ForeignReader(at: "columns[\(i)]").column(column, rows: Int(rows))
      guard !columns.contains(where: { $0.name == copy.name }) else {
        throw reader.fault("columns[\(i)].name", "'\(copy.name)' is used twice")
      }
      columns.append(copy)
    }
    return columns
  }

  private func column(_ column: ablate_column, rows: Int) throws(Fault) -> Column {
    let name = try string(column.name, "name")
    guard rows == 0 || column.data != nil || column.type == ABLATE_T_STR else { throw fault("data", "is NULL") }
    let values: Column.Values
    switch column.type {
    case ABLATE_T_BOOL: values = .bools(elements(column.data, rows, of: Int64.self).map { $0 != 0 })
    case ABLATE_T_I64: values = .integers(elements(column.data, rows, of: Int64.self))
    case ABLATE_T_F64: values = .numbers(elements(column.data, rows, of: Double.self))
    case ABLATE_T_STR: values = .strings(try texts(column, rows))
    default: throw fault("type", "is \(column.type); a column is BOOL, I64, F64 or STR")
    }
    let valid = column.valid.map { UnsafeBufferPointer(start: $0, count: rows).map { $0 != 0 } }
    return Column(name, values, valid: valid)
  }

  private func elements<T: BitwiseCopyable>(_ data: UnsafeRawPointer?, _ count: Int, of type: T.Type) -> [T] {
    guard let data else { return [] }
    return (0..<count).map { data.loadUnaligned(fromByteOffset: $0 * MemoryLayout<T>.size, as: type) }
  }

  private func texts(_ column: ablate_column, _ rows: Int) throws(Fault) -> [String] {
    guard rows > 0 else { return [] }
    guard let offsets = column.offsets else { throw fault("offsets", "is NULL") }
    var all: [String] = []
    for i in 0..<rows {
      let (from, to) = (Int(offsets[i]), Int(offsets[i + 1]))
      guard from >= 0, to >= from, to - from <= 1 << 20 else {
        throw fault("offsets[\(i)]", "runs from \(from) to \(to)")
      }
      guard to == from || column.data != nil else { throw fault("data", "is NULL") }
      let bytes = UnsafeRawBufferPointer(start: column.data.map { $0 + from }, count: to - from)
      guard let text = String(validating: bytes, as: UTF8.self) else { throw fault("data", "row \(i) is not UTF-8") }
      all.append(text)
    }
    return all
  }
}

extension Column {
  /// Copies the columns of an `emit`; for hosts other than `PluginInstance`.
  package static func copied(
    _ start: UnsafePointer<ablate_column>?, _ count: UInt64, rows: UInt64
  ) throws(PluginError) -> [Column] {
    do { return try ForeignReader.columns(start, count, rows: rows) } catch {
      throw .failed(plugin: "", at: error.field, reason: error.problem)
    }
  }
}
