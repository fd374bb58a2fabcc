import Experiments

/// Rows as columns. Texts are numbers of the words that occur, in the order of their first use.
struct RowColumns {
  struct Texts {
    let name: String
    /// -1: there is none.
    private(set) var codes: [Int] = []
    private(set) var words: [String] = []
    private var code: [String: Int] = [:]

    init(_ name: String) { self.name = name }

    mutating func add(_ text: String?) {
      guard let text else { return codes.append(-1) }
      let known = code[text] ?? words.count
      if known == words.count {
        code[text] = known
        words.append(text)
      }
      codes.append(known)
    }
  }

  private(set) var texts = StoredRow.textColumns.map(Texts.init)
  private(set) var tokens: [Int?] = []
  /// nil: not a number.
  private(set) var values: [Double?] = []
  var count: Int { values.count }

  mutating func add(_ row: StoredRow) {
    for (column, text) in row.texts.enumerated() { texts[column].add(text) }
    tokens.append(row.token)
    values.append(row.value)
  }
}
