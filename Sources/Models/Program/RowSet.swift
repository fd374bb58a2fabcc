/// A set of rows of one tower, one bit each: plans are unions and cuts of hundreds of rows, for every layer of every condition.
package struct RowSet: Sendable, Hashable, ExpressibleByArrayLiteral {
  /// Without zeros at the end, so that equal sets have equal words.
  private var words: [UInt64] = []

  package init() {}

  package init(_ rows: some Sequence<Row>) {
    for row in rows { insert(row) }
  }

  package init(_ rows: Range<Row>) {
    guard let last = rows.last else { return }
    words = Array(repeating: ~0, count: last / 64 + 1)
    words[last / 64] = ~0 >> UInt64(63 - (last & 63))
    for index in 0..<(rows.lowerBound / 64) { words[index] = 0 }
    words[rows.lowerBound / 64] &= ~0 << UInt64(rows.lowerBound & 63)
  }

  package init(arrayLiteral rows: Row...) { self.init(rows) }

  private init(words: [UInt64]) {
    self.words = words
    while self.words.last == 0 { self.words.removeLast() }
  }

  package var isEmpty: Bool { words.isEmpty }
  package var count: Int { words.reduce(0) { $0 + $1.nonzeroBitCount } }

  package var first: Row? {
    words.firstIndex { $0 != 0 }.map { $0 * 64 + words[$0].trailingZeroBitCount }
  }

  package var last: Row? {
    words.last.map { words.count * 64 - 1 - $0.leadingZeroBitCount }
  }

  /// Sorted.
  package var rows: [Row] {
    var rows: [Row] = []
    rows.reserveCapacity(count)
    for (index, word) in words.enumerated() {
      var rest = word
      while rest != 0 {
        rows.append(index * 64 + rest.trailingZeroBitCount)
        rest &= rest - 1
      }
    }
    return rows
  }

  /// The rows as runs of neighbours.
  package var ranges: [Range<Row>] {
    rows.reduce(into: []) { ranges, row in
      if let last = ranges.last, last.upperBound == row {
        ranges[ranges.count - 1] = last.lowerBound..<(row + 1)
      } else {
        ranges.append(row..<(row + 1))
      }
    }
  }

  package func contains(_ row: Row) -> Bool {
    row >> 6 < words.count && words[row >> 6] & (1 << UInt64(row & 63)) != 0
  }

  package mutating func insert(_ row: Row) {
    while words.count <= row >> 6 { words.append(0) }
    words[row >> 6] |= 1 << UInt64(row & 63)
  }

  package func union(_ other: RowSet) -> RowSet {
    let (long, short) = words.count < other.words.count ? (other.words, words) : (words, other.words)
    var result = long
    for index in short.indices { result[index] |= short[index] }
    return RowSet(words: result)
  }

  package func intersection(_ other: RowSet) -> RowSet {
    RowSet(words: zip(words, other.words).map { $0 & $1 })
  }

  package func subtracting(_ other: RowSet) -> RowSet {
    var result = words
    for index in result.indices where index < other.words.count { result[index] &= ~other.words[index] }
    return RowSet(words: result)
  }

  package mutating func formUnion(_ other: RowSet) { self = union(other) }

  /// The rows up to and with `last`.
  package func through(_ last: Row) -> RowSet { intersection(RowSet(0..<(last + 1))) }

  /// Whether it has a row up to and with `last` that is not in `other`.
  package func hasRow(through last: Row, outside other: RowSet) -> Bool {
    for index in words.indices where index * 64 <= last {
      var word = words[index]
      if index < other.words.count { word &= ~other.words[index] }
      if last - index * 64 < 63 { word &= (2 << UInt64(last - index * 64)) - 1 }
      if word != 0 { return true }
    }
    return false
  }
}
