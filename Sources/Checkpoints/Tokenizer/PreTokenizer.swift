import Foundation

extension Tokenizer {
  /// `pre_tokenizer` of a tokenizer.json: cuts the text into the words that the model sees.
  indirect enum PreTokenizer: Sendable {
    case sequence([PreTokenizer])
    case split(TextPattern, SplitBehavior, invert: Bool)
    case byteLevel(addPrefixSpace: Bool, TextPattern?)
    case metaspace(Metaspace)
    case whitespace

    /// The regular expression of GPT-2, which `ByteLevel` carries unless use_regex is false.
    private static let gpt2 = #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#

    init(_ value: TokenizerJSON, path: String, place: String) throws(CheckpointError) {
      var fields = try TokenizerFields(value, path: path, place: place)
      let type = try fields.text("type") ?? ""
      switch type {
      case "Sequence":
        var parts: [PreTokenizer] = []
        for (index, part) in try fields.list("pretokenizers").enumerated() {
          parts.append(try PreTokenizer(part, path: path, place: "\(place).pretokenizers[\(index)]"))
        }
        self = .sequence(parts)
      case "Split":
        let pattern = try TextPattern(&fields, key: "pattern")
        let name = try fields.text("behavior") ?? ""
        guard let behavior = SplitBehavior(rawValue: name) else {
          throw fields.unsupported("behavior", "the split behaviour \"\(name)\"")
        }
        self = .split(pattern, behavior, invert: try fields.bool("invert", default: false))
      case "Digits":
        let individual = try fields.bool("individual_digits", default: false)
        self = .split(.scalars { $0.isNumeric }, individual ? .isolated : .contiguous, invert: false)
      case "ByteLevel":
        let useRegex = try fields.bool("use_regex", default: true)
        _ = try fields.bool("trim_offsets", default: true)  // moves offsets, not ids
        guard let regex = try? NSRegularExpression(pattern: Self.gpt2) else {
          throw fields.unsupported("use_regex", "this platform's regular expressions")
        }
        self = .byteLevel(
          addPrefixSpace: try fields.bool("add_prefix_space", default: true), useRegex ? .regex(regex) : nil)
      case "Metaspace": self = .metaspace(try Metaspace(&fields))
      case "Whitespace": self = .whitespace
      case "WhitespaceSplit": self = .split(.scalars { $0.properties.isWhitespace }, .removed, invert: false)
      default: throw fields.unsupported("type", "the pre-tokenizer \"\(type)\"")
      }
      try fields.finish()
    }

    func apply(to pieces: [TextPiece]) throws(CheckpointError) -> [TextPiece] {
      if case .sequence(let parts) = self {
        var pieces = pieces
        for part in parts { pieces = try part.apply(to: pieces) }
        return pieces
      }
      var result: [TextPiece] = []
      for piece in pieces where !piece.bytes.isEmpty { try apply(to: piece, into: &result) }
      return result
    }

    private func apply(to piece: TextPiece, into result: inout [TextPiece]) throws(CheckpointError) {
      switch self {
      case .sequence: break  // in the caller
      case .split(let pattern, let behavior, let invert):
        var spans = try pattern.spans(of: piece.bytes)
        if invert { spans = spans.map { ($0.range, !$0.isMatch) } }
        result += piece.split(spans, behavior)
      case .byteLevel(let addPrefixSpace, let regex):
        var piece = piece
        if addPrefixSpace, piece.bytes.first != 0x20 { piece.bytes = [0x20] + piece.bytes }
        let parts = try regex.map { regex throws(CheckpointError) in
          piece.split(try regex.spans(of: piece.bytes), .isolated)
        }
        result += (parts ?? [piece]).map { TextPiece(ByteLevel.characters(of: $0.bytes), isFirst: $0.isFirst) }
      case .metaspace(let metaspace): result += try metaspace.apply(to: piece)
      case .whitespace: result += Self.wordsAndPunctuation(piece)
      }
    }

    /// Runs of `\w` and runs of what is neither `\w` nor white space.
    private static func wordsAndPunctuation(_ piece: TextPiece) -> [TextPiece] {
      var result: [TextPiece] = []
      var start = piece.bytes.startIndex
      var position = start
      var kind = 0  // 0 white space, 1 word, 2 neither
      for scalar in String(decoding: piece.bytes, as: UTF8.self).unicodeScalars {
        let next = scalar.isWord ? 1 : scalar.properties.isWhitespace ? 0 : 2
        if next != kind {
          if kind != 0 { result.append(piece.slice(start..<position)) }
          start = position
          kind = next
        }
        position += UTF8.width(scalar)
      }
      if kind != 0 { result.append(piece.slice(start..<position)) }
      return result
    }
  }

  /// Spaces as a visible character, usually U+2581, and words that begin with it.
  struct Metaspace: Sendable {
    enum PrependScheme: String, Sendable { case always, first, never }
    let replacement: [UInt8]
    let prependScheme: PrependScheme
    let split: Bool

    /// The same fields stand in a pre-tokenizer and in a decoder.
    init(_ fields: inout TokenizerFields) throws(CheckpointError) {
      replacement = try fields.scalar("replacement")
      _ = try fields.text("str_rep")  // the same character again, in old files
      split = try fields.bool("split", default: true)
      let addPrefixSpace = try fields.bool("add_prefix_space", default: true)
      let name = try fields.text("prepend_scheme") ?? (addPrefixSpace ? "always" : "never")
      guard let scheme = PrependScheme(rawValue: name), addPrefixSpace || scheme == .never else {
        throw fields.unsupported("prepend_scheme", "\"\(name)\" with add_prefix_space \(addPrefixSpace)")
      }
      prependScheme = scheme
    }

    func apply(to piece: TextPiece) throws(CheckpointError) -> [TextPiece] {
      var piece = piece
      try Normalizer.replace(.literal([0x20]), with: replacement).apply(to: &piece)
      let wanted = prependScheme == .always || (prependScheme == .first && piece.isFirst)
      if wanted, !piece.bytes.starts(with: replacement) { piece.bytes = ArraySlice(replacement + piece.bytes) }
      if !split { return [piece] }
      return piece.split(try TextPattern.literal(replacement).spans(of: piece.bytes), .mergedWithNext)
    }
  }
}
