/// A token that is found in the text before the model sees it.
struct AddedToken: Sendable {
  let id: Int
  let content: [UInt8]
  let singleWord: Bool
  let lstrip: Bool
  let rstrip: Bool
  let normalized: Bool
  let special: Bool

  init(_ value: TokenizerJSON, path: String, place: String) throws(CheckpointError) {
    var fields = try TokenizerFields(value, path: path, place: place)
    id = try fields.int("id")
    content = try fields.requiredBytes("content")
    singleWord = try fields.bool("single_word", default: false)
    lstrip = try fields.bool("lstrip", default: false)
    rstrip = try fields.bool("rstrip", default: false)
    normalized = try fields.bool("normalized", default: true)
    special = try fields.bool("special", default: false)
    try fields.finish()
  }
}

/// Finds added tokens, leftmost first and the longest there.
struct AddedTokenMatcher: Sendable {
  enum Segment: Sendable {
    case token(Int)
    case text(TextPiece)
  }

  /// By first byte, longest pattern first.
  private var buckets: [[(pattern: [UInt8], token: AddedToken)]] = Array(repeating: [], count: 256)
  private var isEmpty = true

  /// `patterns` are the tokens' contents, normalised where the token is.
  init(_ tokens: [(pattern: [UInt8], token: AddedToken)]) {
    for (pattern, token) in tokens {
      guard let first = pattern.first else { continue }
      let longerCount = buckets[Int(first)].prefix { $0.pattern.count >= pattern.count }.count
      buckets[Int(first)].insert((pattern, token), at: longerCount)
      isEmpty = false
    }
  }

  /// Cuts the piece at its tokens, appending to `segments`.
  func split(_ piece: TextPiece, into segments: inout [Segment]) {
    let text = piece.bytes
    var done = text.startIndex
    var position = text.startIndex
    while !isEmpty, position < text.endIndex {
      guard
        let (pattern, token) = buckets[Int(text[position])].first(where: { text[position...].starts(with: $0.pattern) })
      else {
        position += 1
        continue
      }
      var start = position
      var end = position + pattern.count
      position = end
      if token.singleWord, Self.endsWithWord(text[..<start]) || Self.startsWithWord(text[end...]) { continue }
      if token.lstrip { start = max(start - Self.spaceAtEnd(text[..<start]), done) }
      if token.rstrip { end += Self.spaceAtStart(text[end...]) }
      if done < start { segments.append(.text(piece.slice(done..<start))) }
      segments.append(.token(token.id))
      done = end
    }
    if done < text.endIndex { segments.append(.text(piece.slice(done..<text.endIndex))) }
  }

  private static func first(_ bytes: ArraySlice<UInt8>) -> Unicode.Scalar? {
    String(decoding: bytes.prefix(4), as: UTF8.self).unicodeScalars.first
  }

  private static func last(_ bytes: ArraySlice<UInt8>) -> Unicode.Scalar? {
    String(decoding: bytes.suffix(4), as: UTF8.self).unicodeScalars.last
  }

  private static func endsWithWord(_ bytes: ArraySlice<UInt8>) -> Bool { last(bytes)?.isWord ?? false }

  private static func startsWithWord(_ bytes: ArraySlice<UInt8>) -> Bool { first(bytes)?.isWord ?? false }

  /// The number of bytes of white space that `bytes` begins with.
  private static func spaceAtStart(_ bytes: ArraySlice<UInt8>) -> Int {
    var rest = bytes
    while let scalar = first(rest), scalar.properties.isWhitespace { rest = rest.dropFirst(UTF8.width(scalar)) }
    return bytes.count - rest.count
  }

  private static func spaceAtEnd(_ bytes: ArraySlice<UInt8>) -> Int {
    var rest = bytes
    while let scalar = last(rest), scalar.properties.isWhitespace { rest = rest.dropLast(UTF8.width(scalar)) }
    return bytes.count - rest.count
  }
}
