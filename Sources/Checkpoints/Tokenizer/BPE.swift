/// Byte-pair encoding as `tokenizers` computes it (models/bpe/model.rs): the characters of a word, merged by rank.
struct BPE: Sendable {
  let path: String
  let vocabulary: PieceTable
  /// (left id, right id) packed in 64 bits -> rank.
  private let ranks: [UInt64: Int32]
  /// The id that the merge of a rank makes.
  private let merged: [Int32]
  private let unkToken: [UInt8]?
  private let unkId: Int?
  private let continuingSubwordPrefix: [UInt8]
  private let endOfWordSuffix: [UInt8]
  private let fuseUnk: Bool
  private let ignoreMerges: Bool
  /// The ids of <0x00> ... <0xFF>, -1 where the vocabulary lacks one; empty without byte fallback.
  private let byteIds: [Int]

  init(path: String, fields: inout TokenizerFields, scanner: inout TokenizerScanner) throws(CheckpointError) {
    self.path = path
    switch fields.take("dropout") {
    case nil, .int(0), .double(0): break
    case let value?: throw fields.unsupported("dropout", "merges dropped at random (\(value.brief))")
    }
    unkToken = try fields.bytes("unk_token")
    continuingSubwordPrefix = try fields.bytes("continuing_subword_prefix") ?? []
    endOfWordSuffix = try fields.bytes("end_of_word_suffix") ?? []
    fuseUnk = try fields.bool("fuse_unk", default: false)
    ignoreMerges = try fields.bool("ignore_merges", default: false)
    let byteFallback = try fields.bool("byte_fallback", default: false)
    let vocabulary = try Tokenizer.vocabulary(of: &fields, scanner: &scanner)
    self.vocabulary = vocabulary
    unkId = unkToken.flatMap { vocabulary.id(of: $0) }
    byteIds = byteFallback ? (0..<256).map { vocabulary.id(of: Self.byteToken(UInt8($0))) ?? -1 } : []
    (ranks, merged) = try Self.merges(
      of: &fields, scanner: &scanner, vocabulary: vocabulary, prefixLength: continuingSubwordPrefix.count)
    try fields.finish()
  }

  /// "<0x0A>"
  private static func byteToken(_ byte: UInt8) -> [UInt8] {
    let digits = Array("0123456789ABCDEF".utf8)
    return Array("<0x".utf8) + [digits[Int(byte >> 4)], digits[Int(byte & 15)]] + Array(">".utf8)
  }

  private static func key(_ left: Int32, _ right: Int32) -> UInt64 {
    UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
  }

  // MARK: - merges

  /// `model.merges`: a list of "left right" or ["left", "right"].
  private static func merges(
    of fields: inout TokenizerFields, scanner: inout TokenizerScanner, vocabulary: PieceTable, prefixLength: Int
  ) throws(CheckpointError) -> ([UInt64: Int32], [Int32]) {
    guard case .deferred(let start) = try fields.required("merges") else {
      throw fields.malformed("merges", "expected a list of merges")
    }
    var ranks: [UInt64: Int32] = [:]
    ranks.reserveCapacity(vocabulary.count)
    var merged: [Int32] = []
    var pair: [UInt8] = []
    scanner.position = start
    try scanner.expect(UInt8(ascii: "["))
    if try scanner.take(UInt8(ascii: "]")) { return (ranks, merged) }
    repeat {
      _ = try scanner.peek()
      let offset = scanner.position
      let split = try nextMerge(&scanner, into: &pair)
      guard let split else { continue }
      let left = try id(of: pair[..<split], in: vocabulary, scanner, offset)
      let right = try id(of: pair[split...], in: vocabulary, scanner, offset)
      guard pair.count - split >= prefixLength else {
        throw scanner.failure("a merge whose right piece is shorter than continuing_subword_prefix", at: offset)
      }
      pair.removeSubrange(split..<split + prefixLength)
      let whole = try id(of: pair[...], in: vocabulary, scanner, offset)
      ranks[key(Int32(left), Int32(right))] = Int32(merged.count)
      merged.append(Int32(whole))
    } while try scanner.take(0x2C)
    try scanner.expect(UInt8(ascii: "]"))
    return (ranks, merged)
  }

  /// Reads a merge into `pair`, left piece and right piece without a gap, and gives the length of the left one;
  /// nil for the "#version" line that old files carry.
  private static func nextMerge(
    _ scanner: inout TokenizerScanner, into pair: inout [UInt8]
  ) throws(CheckpointError) -> Int? {
    let offset = scanner.position
    pair.removeAll(keepingCapacity: true)
    if try scanner.take(UInt8(ascii: "[")) {
      try scanner.appendString(to: &pair)
      let split = pair.count
      try scanner.expect(0x2C)
      try scanner.appendString(to: &pair)
      try scanner.expect(UInt8(ascii: "]"))
      return split
    }
    try scanner.appendString(to: &pair)
    if pair.starts(with: "#version".utf8) { return nil }
    guard let split = pair.firstIndex(of: 0x20), pair.lastIndex(of: 0x20) == split else {
      let text = String(decoding: pair.prefix(60), as: UTF8.self)
      throw scanner.failure("the merge \"\(text)\" is not two pieces with one space between", at: offset)
    }
    pair.remove(at: split)
    return split
  }

  private static func id(
    of piece: ArraySlice<UInt8>, in vocabulary: PieceTable, _ scanner: TokenizerScanner, _ offset: Int
  ) throws(CheckpointError) -> Int {
    if let id = vocabulary.id(of: piece) { return id }
    let text = String(decoding: piece.prefix(60), as: UTF8.self)
    throw scanner.failure("a merge needs the piece \"\(text)\", which is not in the vocabulary", at: offset)
  }

  // MARK: - encoding

  private struct Symbol {
    var id: Int32
    /// Neighbours in the list of symbols, -1 at its ends.
    var previous: Int32
    var next: Int32
    var alive = true
  }

  func encode(_ word: ArraySlice<UInt8>, into ids: inout [Int]) throws(CheckpointError) {
    if word.isEmpty { return }
    if ignoreMerges, let id = vocabulary.id(of: word) {
      ids.append(id)
      return
    }
    var symbols = try characters(of: word)
    merge(&symbols)
    for symbol in symbols where symbol.alive { ids.append(Int(symbol.id)) }
  }

  /// One symbol per character that the vocabulary has; bytes or the unknown token for the others. Without both, a
  /// character leaves nothing, as in `tokenizers`.
  private func characters(of word: ArraySlice<UInt8>) throws(CheckpointError) -> [Symbol] {
    var symbols: [Symbol] = []
    symbols.reserveCapacity(word.count)
    func add(_ id: Int) {
      let index = Int32(symbols.count)
      if index > 0 { symbols[symbols.count - 1].next = index }
      symbols.append(Symbol(id: Int32(id), previous: index - 1, next: -1))
    }
    // An unknown token waits for the next known character, so that fuse_unk can join it to its successors. Byte tokens
    // pass a waiting one by, as they do in `tokenizers`.
    var waiting: Int?
    var decorated: [UInt8] = []
    var start = word.startIndex
    while start < word.endIndex {
      var end = start + 1
      while end < word.endIndex, word[end] & 0xC0 == 0x80 { end += 1 }
      let isFirst = start == word.startIndex
      let isLast = end == word.endIndex
      var character = word[start..<end]
      if (!isFirst && !continuingSubwordPrefix.isEmpty) || (isLast && !endOfWordSuffix.isEmpty) {
        decorated = (isFirst ? [] : continuingSubwordPrefix) + character + (isLast ? endOfWordSuffix : [])
        character = decorated[...]
      }
      start = end
      if let id = vocabulary.id(of: character) {
        if let unknown = waiting { add(unknown) }
        waiting = nil
        add(id)
      } else if !byteIds.isEmpty, character.allSatisfy({ byteIds[Int($0)] >= 0 }) {
        for byte in character { add(byteIds[Int(byte)]) }
      } else if let unkToken {
        guard let unkId else { throw Tokenizer.unencodable(character, unkToken: unkToken, path: path) }
        if let unknown = waiting, !fuseUnk { add(unknown) }
        waiting = unkId
      }
    }
    if let unknown = waiting { add(unknown) }
    return symbols
  }

  /// Merges neighbours, lowest rank first and leftmost among equals.
  private func merge(_ symbols: inout [Symbol]) {
    if ranks.isEmpty { return }
    var queue = MergeQueue()
    func push(_ left: Int32, _ right: Int32) {
      guard left >= 0, right >= 0 else { return }
      if let rank = ranks[Self.key(symbols[Int(left)].id, symbols[Int(right)].id)] {
        queue.push(UInt64(UInt32(bitPattern: rank)) << 32 | UInt64(UInt32(bitPattern: left)))
      }
    }
    for index in symbols.indices.dropLast() { push(Int32(index), Int32(index + 1)) }
    while let top = queue.pop() {
      let position = Int(top & 0xFFFF_FFFF)
      let newId = merged[Int(top >> 32)]
      guard symbols[position].alive, symbols[position].next >= 0 else { continue }
      let right = symbols[Int(symbols[position].next)]
      // An entry is stale when its neighbours have changed and no longer make this piece.
      guard let rank = ranks[Self.key(symbols[position].id, right.id)], merged[Int(rank)] == newId else { continue }
      symbols[Int(symbols[position].next)].alive = false
      symbols[position].id = newId
      symbols[position].next = right.next
      if right.next >= 0 { symbols[Int(right.next)].previous = Int32(position) }
      push(symbols[position].previous, Int32(position))
      push(Int32(position), right.next)
    }
  }
}

/// A binary heap, smallest first, of rank << 32 | position.
private struct MergeQueue {
  private var items: [UInt64] = []

  mutating func push(_ item: UInt64) {
    items.append(item)
    var child = items.count - 1
    while child > 0, items[(child - 1) / 2] > items[child] {
      items.swapAt(child, (child - 1) / 2)
      child = (child - 1) / 2
    }
  }

  mutating func pop() -> UInt64? {
    guard let last = items.popLast() else { return nil }
    guard let top = items.first else { return last }
    items[0] = last
    var parent = 0
    while true {
      var least = parent
      for child in 2 * parent + 1...2 * parent + 2 where child < items.count && items[child] < items[least] {
        least = child
      }
      if least == parent { return top }
      items.swapAt(parent, least)
      parent = least
    }
  }
}
