/// A tokenizer as Hugging Face `tokenizers` runs it from a tokenizer.json: normaliser, pre-tokenizer, model, post-
/// processor, decoder. Everything is keyed by UTF-8 bytes. A part of the file that is not computed here is refused by
/// name.
package struct Tokenizer: Sendable {
  /// Ids above are taken for damage: the largest vocabularies have 262,144 pieces.
  static let maxId = (1 << 24) - 1

  let normalizer: Normalizer?
  let preTokenizer: PreTokenizer?
  let model: TokenizerModel
  let postProcessor: PostProcessor?
  let decoder: Decoder?
  /// By id; of a token that the model also has, this one counts.
  let addedTokens: [Int: AddedToken]
  let addedIds: PieceTable
  /// Of the added tokens that are matched after normalisation: their content as normalised. `decode` shows it, as
  /// `tokenizers` does since 0.23.
  let normalizedContents: [Int: [UInt8]]
  /// Finds the tokens that are matched in the text as it is, and those matched after normalisation.
  let verbatimMatcher: AddedTokenMatcher
  let normalizedMatcher: AddedTokenMatcher
  /// Ids of the added tokens marked special, which `decode` leaves out.
  package let specialIds: Set<Int>
  /// 1 + the largest id, added tokens included.
  package let vocabularySize: Int

  /// The ids of `text`. With `addSpecialTokens` the post-processor adds its own (such as a leading <s>); special tokens
  /// written in the text are found either way.
  ///
  /// Throws when the text has a word that the vocabulary lacks and there is no token for unknown words.
  package func encode(_ text: String, addSpecialTokens: Bool = true) throws(CheckpointError) -> [Int] {
    var verbatim: [AddedTokenMatcher.Segment] = []
    verbatimMatcher.split(TextPiece(text.utf8, isFirst: true), into: &verbatim)
    var segments: [AddedTokenMatcher.Segment] = []
    for segment in verbatim {
      guard case .text(var piece) = segment else {
        segments.append(segment)
        continue
      }
      try normalizer?.apply(to: &piece)
      normalizedMatcher.split(piece, into: &segments)
    }
    var ids: [Int] = []
    for segment in segments {
      switch segment {
      case .token(let id): ids.append(id)
      case .text(let piece):
        for word in try preTokenizer?.apply(to: [piece]) ?? [piece] { try model.encode(word.bytes, into: &ids) }
      }
    }
    return addSpecialTokens ? postProcessor?.apply(to: ids) ?? ids : ids
  }

  /// The text of `ids`; bytes that are no UTF-8 become U+FFFD, ids without a piece nothing, as in `tokenizers`. One
  /// difference: `tokenizers` 0.23 fails to skip a special token that its own normaliser changes; here it is skipped.
  package func decode(_ ids: [Int], skipSpecialTokens: Bool = true) -> String {
    let pieces = ids.compactMap { id -> [UInt8]? in
      skipSpecialTokens && specialIds.contains(id) ? nil : normalizedContents[id] ?? piece(id)
    }
    let bytes = decoder?.apply(to: pieces).flatMap { $0 } ?? Array(pieces.joined(separator: [0x20]))
    return String(decoding: bytes, as: UTF8.self)
  }

  /// The bytes of an id as the vocabulary spells it ("▁the", "Ġthe"); nil if no piece has this id.
  package func piece(_ id: Int) -> [UInt8]? {
    addedTokens[id]?.content ?? model.vocabulary.piece(id)
  }

  /// The id of the piece that the vocabulary, or an added token, spells with exactly these bytes.
  package func id(ofPiece bytes: [UInt8]) -> Int? {
    addedIds.id(of: bytes) ?? model.vocabulary.id(of: bytes)
  }
}
