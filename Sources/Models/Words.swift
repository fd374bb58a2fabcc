import Checkpoints
import Foundation

extension VisionLanguageModel {
  /// The ids of a word as it stands inside a text, behind a space: for a Llama vocabulary the piece `▁tail`, for a byte-level one
  /// `Ġtail`. One id where the vocabulary has the word whole; none where it cannot spell it.
  package func ids(word: String) throws(ModelError) -> [Int] {
    let plain = try encode(word, special: false)
    let spaced = try encode(" " + word, special: false)
    let marked = spaced.count == 1 && (tokenizer.piece(spaced[0])?.starts(with: [0xC4, 0xA0]) ?? false)  // Ġ
    let ids = marked || spaced.count < plain.count ? spaced : plain
    return tokenizer.decode(ids).trimmingCharacters(in: .whitespaces) == word ? ids : []
  }

  /// The ids that follow the prompt when the answer is written behind it.
  package func ids(answer: String, after prompt: String) throws(ModelError) -> [Int] {
    let separator = prompt.last?.isWhitespace ?? false ? "" : " "
    let start = try encode(prompt, special: true)
    let whole = try encode(prompt + separator + answer, special: true)
    if whole.count > start.count, Array(whole.prefix(start.count)) == start {
      return Array(whole.dropFirst(start.count))
    }
    return try ids(word: answer)
  }

  private func encode(_ text: String, special: Bool) throws(ModelError) -> [Int] {
    do { return try tokenizer.encode(text, addSpecialTokens: special) } catch { throw .checkpoint(error) }
  }
}
