import Foundation

extension Tokenizer {
  /// Reads a tokenizer.json. `path` is that file.
  package init(contentsOf path: String) throws(CheckpointError) {
    guard let data = FileManager.default.contents(atPath: path) else {
      throw .missing(path: path, remedy: "a checkpoint needs the tokenizer.json that Hugging Face tokenizers write")
    }
    try self.init(path: path, bytes: [UInt8](data))
  }

  /// The same from the bytes of the file; `path` only names it in errors.
  package init(path: String, bytes: [UInt8]) throws(CheckpointError) {
    guard String(validating: bytes, as: UTF8.self) != nil else {
      throw .malformed(path: path, problem: "the file is not UTF-8 text", remedy: "copy or download it again")
    }
    var scanner = TokenizerScanner(path: path, bytes: bytes)
    let document = try scanner.document(deferring: ["model.vocab", "model.merges"])
    var fields = try TokenizerFields(document, path: path, place: "")
    if let version = try fields.text("version"), version != "1.0" {
      throw fields.unsupported("version", "version \"\(version)\" of tokenizer.json; Ablate reads 1.0")
    }
    for key in ["truncation", "padding"] where fields.take(key) != nil {
      throw fields.unsupported(
        key, "a \(key) setting",
        remedy: "set it to null: Ablate encodes whole prompts, as transformers does unless asked")
    }
    normalizer = try fields.take("normalizer").map { value throws(CheckpointError) in
      try Normalizer(value, path: path, place: "normalizer")
    }
    preTokenizer = try fields.take("pre_tokenizer").map { value throws(CheckpointError) in
      try PreTokenizer(value, path: path, place: "pre_tokenizer")
    }
    postProcessor = try fields.take("post_processor").map { value throws(CheckpointError) in
      try PostProcessor(value, path: path, place: "post_processor")
    }
    decoder = try fields.take("decoder").map { value throws(CheckpointError) in
      try Decoder(value, path: path, place: "decoder")
    }
    let model = try Self.model(try fields.required("model"), path: path, scanner: &scanner)
    let added = try Self.addedTokens(&fields, path: path, vocabulary: model.vocabulary)
    try fields.finish()
    self.model = model
    addedTokens = Dictionary(uniqueKeysWithValues: added.map { ($0.id, $0) })
    var addedIds = PieceTable()
    for token in added { _ = addedIds.insert(token.content, id: token.id) }
    self.addedIds = addedIds
    specialIds = Set(added.filter(\.special).map(\.id))
    vocabularySize = max(model.vocabulary.idLimit, addedIds.idLimit)
    verbatimMatcher = AddedTokenMatcher(added.filter { !$0.normalized }.map { ($0.content, $0) })
    var patterns: [(pattern: [UInt8], token: AddedToken)] = []
    for token in added.filter({ $0.normalized && $0.special }) + added.filter({ $0.normalized && !$0.special }) {
      var piece = TextPiece(token.content, isFirst: true)
      try normalizer?.apply(to: &piece)
      patterns.append((Array(piece.bytes), token))
    }
    normalizedMatcher = AddedTokenMatcher(patterns)
    normalizedContents = Dictionary(uniqueKeysWithValues: patterns.map { ($0.token.id, $0.pattern) })
    try Self.checkIds(of: postProcessor, in: self, path: path)
  }

  private static func model(
    _ value: TokenizerJSON, path: String, scanner: inout TokenizerScanner
  ) throws(CheckpointError) -> TokenizerModel {
    var fields = try TokenizerFields(value, path: path, place: "model")
    // Files of tokenizers before 0.8 name no type; only BPE has merges.
    let type = try fields.text("type") ?? (fields.has("merges") ? "BPE" : "")
    switch type {
    case "BPE": return .bpe(try BPE(path: path, fields: &fields, scanner: &scanner))
    case "WordLevel": return .wordLevel(try WordLevel(path: path, fields: &fields, scanner: &scanner))
    default:
      throw fields.unsupported("type", "the tokenizer model \"\(type)\"", remedy: "Ablate reads BPE and WordLevel")
    }
  }

  /// `added_tokens`, by id. `tokenizers` takes the id of a token that the vocabulary has from there and numbers the
  /// others in the order of their ids after the vocabulary, whatever the file says: a file that says otherwise is
  /// refused.
  private static func addedTokens(
    _ fields: inout TokenizerFields, path: String, vocabulary: PieceTable
  ) throws(CheckpointError) -> [AddedToken] {
    guard fields.has("added_tokens") else { return [] }
    var tokens: [AddedToken] = []
    for (index, item) in try fields.list("added_tokens").enumerated() {
      tokens.append(try AddedToken(item, path: path, place: "added_tokens[\(index)]"))
    }
    tokens.sort { $0.id < $1.id }
    var seen = PieceTable()
    var largest: Int?
    for token in tokens {
      let next = largest.map { $0 >= vocabulary.count ? $0 + 1 : vocabulary.count } ?? vocabulary.count
      let expected = vocabulary.id(of: token.content) ?? next
      let text = String(decoding: token.content.prefix(60), as: UTF8.self)
      guard expected == token.id, !token.content.isEmpty, seen.insert(token.content, id: token.id) else {
        throw .malformed(
          path: path, at: "added_tokens",
          problem: "the token \"\(text)\" has id \(token.id), but the vocabulary and the tokens before it give it "
            + "\(expected), or it stands twice",
          remedy: "save the tokenizer again with the tokenizers library")
      }
      largest = max(largest ?? 0, token.id)
    }
    return tokens
  }

  private static func checkIds(
    of postProcessor: PostProcessor?, in tokenizer: Tokenizer, path: String
  ) throws(CheckpointError) {
    for id in postProcessor?.apply(to: []) ?? [] where tokenizer.piece(id) == nil {
      throw .malformed(
        path: path, at: "post_processor", problem: "the template adds the token id \(id), which has no piece")
    }
  }
}
