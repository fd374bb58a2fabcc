/// The model of a tokenizer.json: it turns one pre-token into ids.
enum TokenizerModel: Sendable {
  case bpe(BPE)
  case wordLevel(WordLevel)

  var vocabulary: PieceTable {
    switch self {
    case .bpe(let model): model.vocabulary
    case .wordLevel(let model): model.vocabulary
    }
  }

  /// Appends the ids of `word` (UTF-8) to `ids`.
  func encode(_ word: ArraySlice<UInt8>, into ids: inout [Int]) throws(CheckpointError) {
    switch self {
    case .bpe(let model): try model.encode(word, into: &ids)
    case .wordLevel(let model): try model.encode(word, into: &ids)
    }
  }
}

/// A word is a piece or it is unknown.
struct WordLevel: Sendable {
  let path: String
  let vocabulary: PieceTable
  let unkToken: [UInt8]

  init(path: String, fields: inout TokenizerFields, scanner: inout TokenizerScanner) throws(CheckpointError) {
    self.path = path
    unkToken = try fields.requiredBytes("unk_token")
    vocabulary = try Tokenizer.vocabulary(of: &fields, scanner: &scanner)
    try fields.finish()
  }

  func encode(_ word: ArraySlice<UInt8>, into ids: inout [Int]) throws(CheckpointError) {
    guard let id = vocabulary.id(of: word) ?? vocabulary.id(of: unkToken) else {
      throw Tokenizer.unencodable(word, unkToken: unkToken, path: path)
    }
    ids.append(id)
  }
}

extension Tokenizer {
  static func unencodable(_ word: ArraySlice<UInt8>, unkToken: [UInt8], path: String) -> CheckpointError {
    .malformed(
      path: path, at: "model.unk_token",
      problem: "the text has \"\(String(decoding: word.prefix(60), as: UTF8.self))\", which is not in the vocabulary, "
        + "and neither is the token for unknown words, \"\(String(decoding: unkToken, as: UTF8.self))\"",
      remedy: "use words of the vocabulary, or a tokenizer with that token")
  }

  /// `model.vocab`, {"piece": id, ...}.
  static func vocabulary(
    of fields: inout TokenizerFields, scanner: inout TokenizerScanner
  ) throws(CheckpointError) -> PieceTable {
    guard case .deferred(let start) = try fields.required("vocab") else {
      throw fields.malformed("vocab", "expected an object of pieces and ids")
    }
    var table = PieceTable()
    var piece: [UInt8] = []
    scanner.position = start
    try scanner.expect(UInt8(ascii: "{"))
    if try scanner.take(UInt8(ascii: "}")) { return table }
    repeat {
      _ = try scanner.peek()
      let offset = scanner.position
      piece.removeAll(keepingCapacity: true)
      try scanner.appendString(to: &piece)
      try scanner.expect(UInt8(ascii: ":"))
      let id = try scanner.integer()
      guard id <= maxId else { throw scanner.failure("the token id \(id) is larger than \(maxId)", at: offset) }
      guard table.insert(piece, id: id) else {
        let text = String(decoding: piece.prefix(60), as: UTF8.self)
        throw scanner.failure("the piece \"\(text)\" or its id \(id) stands twice in the vocabulary", at: offset)
      }
    } while try scanner.take(0x2C)
    try scanner.expect(UInt8(ascii: "}"))
    return table
  }
}
