import Foundation

extension Tokenizer {
  /// The ids of a word as it stands inside a text, behind a space: for a Llama vocabulary the piece `▁tail`, for a byte-level one
  /// `Ġtail`. One id where the vocabulary has the word whole; none where it cannot spell it.
  package func ids(word: String) throws(CheckpointError) -> [Int] {
    let plain = try encode(word, addSpecialTokens: false)
    let spaced = try encode(" " + word, addSpecialTokens: false)
    let marked = spaced.count == 1 && (piece(spaced[0])?.starts(with: [0xC4, 0xA0]) ?? false)  // Ġ
    let ids = marked || spaced.count < plain.count ? spaced : plain
    return decode(ids).trimmingCharacters(in: .whitespaces) == word ? ids : []
  }
}
