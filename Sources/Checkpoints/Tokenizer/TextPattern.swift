import Foundation

/// A run of bytes of a text and whether the pattern matched there.
typealias PatternSpan = (range: Range<Int>, isMatch: Bool)

/// What a Split, a Replace and their like look for.
enum TextPattern: Sendable {
  case literal([UInt8])
  case regex(NSRegularExpression)
  case scalars(@Sendable (Unicode.Scalar) -> Bool)

  /// {"String": "..."} or {"Regex": "..."}
  init(_ fields: inout TokenizerFields, key: String) throws(CheckpointError) {
    var inner = try TokenizerFields(fields.required(key), path: fields.path, place: fields.name(key))
    if let literal = try inner.bytes("String") {
      self = .literal(literal)
    } else if let regex = try inner.text("Regex") {
      self = .regex(try Self.compile(regex, fields: inner))
    } else {
      throw fields.unsupported(key, "a pattern that is neither \"String\" nor \"Regex\"")
    }
    try inner.finish()
  }

  /// `tokenizers` matches with Oniguruma in Ruby syntax: ^ and $ stand at every line, lines end at \n alone. What
  /// the ICU engine here would take in another sense is refused.
  private static func compile(_ pattern: String, fields: TokenizerFields) throws(CheckpointError) -> NSRegularExpression
  {
    if let construct = firstConstructWithAnotherMeaning(Array(pattern.utf8)) {
      throw fields.unsupported("Regex", "\"\(construct)\" in the pattern \(pattern)")
    }
    let options: NSRegularExpression.Options = [.anchorsMatchLines, .useUnixLineSeparators]
    guard let regex = try? NSRegularExpression(pattern: pattern, options: options) else {
      throw fields.unsupported("Regex", "the regular expression \(pattern) does not compile here")
    }
    return regex
  }

  /// Oniguruma and ICU differ in \h (a hexadecimal digit; a horizontal space), (?m) (dot matches newlines; anchors
  /// match lines) and {n,m}+ (repeated; possessive).
  private static func firstConstructWithAnotherMeaning(_ pattern: [UInt8]) -> String? {
    var i = 0
    var isCount = false
    while i < pattern.count {
      let next = i + 1 < pattern.count ? pattern[i + 1] : 0
      switch pattern[i] {
      case UInt8(ascii: "\\"):
        if next == UInt8(ascii: "h") || next == UInt8(ascii: "H") { return "\\h" }
        isCount = false
        i += 1
      case UInt8(ascii: "{"): isCount = next &- 0x30 < 10 || next == UInt8(ascii: ",")
      case UInt8(ascii: "}"): if isCount && next == UInt8(ascii: "+") { return "{n,m}+" }
      case UInt8(ascii: "("):
        let flags = pattern[min(i + 2, pattern.count)...].prefix { $0 == 0x2D || ($0 >= 0x61 && $0 <= 0x7A) }
        if next == UInt8(ascii: "?"), flags.contains(UInt8(ascii: "m")) { return "(?m)" }
      default: break
      }
      i += 1
    }
    return nil
  }

  /// The text cut into matches and what lies between them, in order, without gaps.
  func spans(of text: ArraySlice<UInt8>) throws(CheckpointError) -> [PatternSpan] {
    var spans: [PatternSpan] = []
    var last = text.startIndex
    for match in try matches(in: text) {
      if last < match.lowerBound { spans.append((last..<match.lowerBound, false)) }
      spans.append((match, true))
      last = match.upperBound
    }
    if last < text.endIndex { spans.append((last..<text.endIndex, false)) }
    return spans
  }

  /// Matches from left to right without overlap, in byte positions of `text`.
  private func matches(in text: ArraySlice<UInt8>) throws(CheckpointError) -> [Range<Int>] {
    switch self {
    case .literal(let literal): Self.occurrences(of: literal, in: text)
    case .scalars(let predicate): Self.scalars(where: predicate, in: text)
    case .regex(let regex): try Self.matches(of: regex, in: text)
    }
  }

  private static func occurrences(of literal: [UInt8], in text: ArraySlice<UInt8>) -> [Range<Int>] {
    guard let first = literal.first else { return [] }
    var result: [Range<Int>] = []
    var i = text.startIndex
    while i + literal.count <= text.endIndex {
      if text[i] == first, text[i..<i + literal.count].elementsEqual(literal) {
        result.append(i..<i + literal.count)
        i += literal.count
      } else {
        i += 1
      }
    }
    return result
  }

  private static func scalars(
    where predicate: (Unicode.Scalar) -> Bool, in text: ArraySlice<UInt8>
  ) -> [Range<Int>] {
    var result: [Range<Int>] = []
    var position = text.startIndex
    for scalar in String(decoding: text, as: UTF8.self).unicodeScalars {
      let width = UTF8.width(scalar)
      if predicate(scalar) { result.append(position..<position + width) }
      position += width
    }
    return result
  }

  private static func matches(
    of regex: NSRegularExpression, in text: ArraySlice<UInt8>
  ) throws(CheckpointError) -> [Range<Int>] {
    let string = String(decoding: text, as: UTF8.self)
    let utf16 = Array(string.utf16)
    var found: [NSRange] = []
    var failed = false
    let whole = NSRange(location: 0, length: utf16.count)
    regex.enumerateMatches(in: string, options: .reportCompletion, range: whole) { match, flags, _ in
      // Oniguruma's iterator passes over an empty match right behind a match; ICU's gives it.
      guard let range = match?.range, range.length > 0 || range.location != found.last?.upperBound else {
        failed = failed || flags.contains(.internalError)
        return
      }
      found.append(range)
    }
    if failed {
      throw .malformed(
        path: "the prompt", problem: "the tokenizer's regular expression gave up on \(text.count) bytes of text",
        remedy: "use a shorter prompt")
    }
    // UTF-16 positions to byte positions; matches come in order.
    var unit = 0
    var byte = text.startIndex
    func bytePosition(_ target: Int) -> Int {
      while unit < target {
        switch utf16[unit] {
        case ..<0x80: byte += 1
        case ..<0x800: byte += 2
        case 0xD800..<0xE000: byte += 2  // each half of a four-byte character
        default: byte += 3
        }
        unit += 1
      }
      return byte
    }
    var result: [Range<Int>] = []
    result.reserveCapacity(found.count)
    for range in found {
      let start = bytePosition(range.location)
      result.append(start..<bytePosition(range.location + range.length))
    }
    return result
  }
}

extension Unicode.Scalar {
  /// As Rust's `char::is_numeric`: general categories Nd, Nl, No.
  var isNumeric: Bool {
    switch properties.generalCategory {
    case .decimalNumber, .letterNumber, .otherNumber: true
    default: false
    }
  }

  /// `\w` of Rust's `regex` with Unicode 16.0, as in `tokenizers` 0.23: Alphabetic, marks, decimal digits, connectors,
  /// join controls.
  var isWord: Bool {
    if let age = properties.age, age.major > 16 { return false }
    switch properties.generalCategory {
    case .nonspacingMark, .spacingMark, .enclosingMark, .decimalNumber, .connectorPunctuation: return true
    default: return properties.isAlphabetic || properties.isJoinControl
    }
  }
}
