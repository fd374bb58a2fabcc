import Checkpoints
import Foundation

extension VisionLanguageModel {
  /// The ids of a word as it stands inside a text.
  package func ids(word: String) throws(ModelError) -> [Int] {
    do { return try tokenizer.ids(word: word) } catch { throw .checkpoint(error) }
  }

  /// An id as a reader sees it: its text without spaces around it, or, where that shows nothing, as the vocabulary spells it.
  package func word(_ id: Int) -> String {
    let text = tokenizer.decode([id], skipSpecialTokens: false).trimmingCharacters(in: .whitespacesAndNewlines)
    guard text.isEmpty || text.contains("\u{FFFD}") else { return text }
    return tokenizer.piece(id).map { String(decoding: $0, as: UTF8.self) } ?? "[\(id)]"
  }

  /// How a word may stand in a text beside its plain form behind a space.
  package enum WordForm: Sendable, CaseIterable {
    /// The piece without a mark of a space before it: `tail` beside `▁tail`.
    case bare
    case capital
    /// By the regular rule of English: `tails`, `torches`, `bodies`.
    case plural
  }

  /// The ids of another form of a word; none where the vocabulary cannot spell it (bare: in one piece).
  package func ids(word: String, form: WordForm) throws(ModelError) -> [Int] {
    switch form {
    case .bare: return tokenizer.id(ofPiece: Array(word.utf8)).map { [$0] } ?? []
    case .capital: return try ids(word: word.prefix(1).uppercased() + word.dropFirst())
    case .plural: return try ids(word: word.regularPlural)
    }
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

extension String {
  fileprivate var regularPlural: String {
    if ["s", "x", "z", "ch", "sh"].contains(where: hasSuffix) { return self + "es" }
    guard hasSuffix("y"), let before = dropLast().last, !"aeiou".contains(before) else { return self + "s" }
    return dropLast() + "ies"
  }
}
