import Experiments
import Foundation

/// Rows as Apache Parquet (parquet.thrift and Encodings.md of parquet-format 2.10), as far as a flat table of texts and numbers needs it:
/// row groups of one page a column, uncompressed, texts by dictionary. Every column may hold nulls.
struct ParquetRows {
  /// Rows are kept in memory for one group.
  static let rowsPerGroup = 1 << 17

  /// Physical types of parquet.thrift.
  private enum Kind: Int { case int64 = 2, double = 5, byteArray = 6 }
  private enum Encoding { static let plain = 0, rle = 3, dictionary = 8 }
  private static let magic = Data("PAR1".utf8)

  /// Where the next byte goes.
  private var offset = 0
  private var groups: [ThriftCompact] = []
  private var count = 0

  /// What a file begins with.
  mutating func start() -> Data { placed(Self.magic) }

  /// The pages of a row group.
  mutating func group(_ rows: RowColumns) -> Data {
    let first = offset
    var bytes = Data()
    var chunks: [ThriftCompact] = []
    for name in StoredRow.columns {
      let column = Column(name, rows)
      let start = offset
      let dictionary = column.words.map { placed(page(dictionary: $0)) } ?? Data()
      let dataStart = offset
      let data = placed(page(column))
      bytes += dictionary + data
      chunks.append(chunk(column, rows.count, start: start, dataStart: column.words == nil ? nil : dataStart))
    }
    var group = ThriftCompact()
    group.structures(1, chunks)
    group.int64(2, offset - first)
    group.int64(3, rows.count)
    groups.append(group)
    count += rows.count
    return bytes
  }

  /// What a file ends with: the schema, and where everything is.
  func end() -> Data {
    var root = ThriftCompact()
    root.text(4, "rows")
    root.int32(5, StoredRow.columns.count)
    let columns = StoredRow.columns.map { name in
      let kind = Column.kind(of: name)
      var column = ThriftCompact()
      column.int32(1, kind.rawValue)
      column.int32(3, 1)  // optional
      column.text(4, name)
      if kind == .byteArray { column.int32(6, 0) }  // UTF8
      return column
    }
    var file = ThriftCompact()
    file.int32(1, 2)
    file.structures(2, [root] + columns)
    file.int64(3, count)
    file.structures(4, groups)
    file.text(6, "ablate")
    let footer = file.data
    var bytes = footer
    bytes.append(littleEndian: UInt32(footer.count))
    return bytes + Self.magic
  }

  private mutating func placed(_ bytes: Data) -> Data {
    offset += bytes.count
    return bytes
  }

  /// One column of a row group.
  private struct Column {
    let name: String
    let kind: Kind
    /// Of texts, the dictionary; nil for numbers.
    let words: [String]?
    /// Of each row: does it hold a value?
    let isPresent: [Bool]
    /// The values that are there, encoded.
    let values: Data

    static func kind(of name: String) -> Kind { name == "token" ? .int64 : name == "value" ? .double : .byteArray }

    init(_ name: String, _ rows: RowColumns) {
      (self.name, kind) = (name, Column.kind(of: name))
      switch kind {
      case .int64:
        (words, isPresent) = (nil, rows.tokens.map { $0 != nil })
        values = rows.tokens.reduce(into: Data()) { if let token = $1 { $0.append(littleEndian: Int64(token)) } }
      case .double:
        (words, isPresent) = (nil, rows.values.map { $0 != nil })
        values = rows.values.reduce(into: Data()) { if let value = $1 { $0.append(littleEndian: value.bitPattern) } }
      case .byteArray:
        let texts = rows.texts.first { $0.name == name }
        let (all, codes) = (texts?.words ?? [], texts?.codes ?? [])
        let width = max(1, Int.bitWidth - max(all.count - 1, 1).leadingZeroBitCount)
        (words, isPresent) = (all, codes.map { $0 >= 0 })
        values = Data([UInt8(width)]) + runs(codes.filter { $0 >= 0 }, bitWidth: width)
      }
    }
  }

  private func page(dictionary words: [String]) -> Data {
    var values = Data()
    for word in words {
      values.append(littleEndian: UInt32(word.utf8.count))
      values.append(contentsOf: word.utf8)
    }
    var header = ThriftCompact()
    header.int32(1, words.count)
    header.int32(2, Encoding.plain)
    return page(type: 2, values) { $0.structure(7, header) }
  }

  private func page(_ column: Column) -> Data {
    let levels = runs(column.isPresent.map { $0 ? 1 : 0 }, bitWidth: 1)
    var bytes = Data()
    bytes.append(littleEndian: UInt32(levels.count))
    bytes += levels + column.values
    var header = ThriftCompact()
    header.int32(1, column.isPresent.count)
    header.int32(2, column.words == nil ? Encoding.plain : Encoding.dictionary)
    header.int32(3, Encoding.rle)
    header.int32(4, Encoding.rle)
    return page(type: 0, bytes) { $0.structure(5, header) }
  }

  private func page(type: Int, _ bytes: Data, _ describe: (inout ThriftCompact) -> Void) -> Data {
    var header = ThriftCompact()
    header.int32(1, type)
    header.int32(2, bytes.count)
    header.int32(3, bytes.count)
    describe(&header)
    return header.data + bytes
  }

  /// - Parameter dataStart: where the data page begins, if a dictionary's page stands before it.
  private func chunk(_ column: Column, _ rows: Int, start: Int, dataStart: Int?) -> ThriftCompact {
    var facts = ThriftCompact()
    facts.int32(1, column.kind.rawValue)
    facts.int32s(2, [Encoding.plain, Encoding.rle] + (column.words == nil ? [] : [Encoding.dictionary]))
    facts.texts(3, [column.name])
    facts.int32(4, 0)  // uncompressed
    facts.int64(5, rows)
    facts.int64(6, offset - start)
    facts.int64(7, offset - start)
    facts.int64(9, dataStart ?? start)
    if dataStart != nil { facts.int64(11, start) }
    var chunk = ThriftCompact()
    chunk.int64(2, start)
    chunk.structure(3, facts)
    return chunk
  }
}

/// The hybrid of run lengths and packed bits, of runs alone: neighbouring rows mostly agree.
private func runs(_ values: [Int], bitWidth: Int) -> Data {
  var bytes = Data()
  var first = 0
  while first < values.count {
    var end = first + 1
    while end < values.count, values[end] == values[first] { end += 1 }
    bytes.append(varint: UInt64(end - first) << 1)
    for byte in 0..<((bitWidth + 7) / 8) { bytes.append(UInt8(truncatingIfNeeded: values[first] >> (8 * byte))) }
    first = end
  }
  return bytes
}
