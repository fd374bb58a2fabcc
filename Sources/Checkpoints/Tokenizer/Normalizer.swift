extension Tokenizer {
  /// `normalizer` of a tokenizer.json: rewrites the text before it is cut.
  indirect enum Normalizer: Sendable {
    case sequence([Normalizer])
    case form(NormalizationForm)
    case lowercase
    case prepend([UInt8])
    case replace(TextPattern, with: [UInt8])
    case strip(left: Bool, right: Bool)

    init(_ value: TokenizerJSON, path: String, place: String) throws(CheckpointError) {
      var fields = try TokenizerFields(value, path: path, place: place)
      let type = try fields.text("type") ?? ""
      switch type {
      case "Sequence":
        var parts: [Normalizer] = []
        for (index, part) in try fields.list("normalizers").enumerated() {
          parts.append(try Normalizer(part, path: path, place: "\(place).normalizers[\(index)]"))
        }
        self = .sequence(parts)
      case "Lowercase": self = .lowercase
      case "Prepend": self = .prepend(try fields.requiredBytes("prepend"))
      case "Replace":
        self = .replace(try TextPattern(&fields, key: "pattern"), with: try fields.requiredBytes("content"))
      case "Strip":
        self = .strip(
          left: try fields.bool("strip_left", default: true), right: try fields.bool("strip_right", default: true))
      default:
        guard let form = NormalizationForm(rawValue: type) else {
          throw fields.unsupported("type", "the normalizer \"\(type)\"")
        }
        self = .form(form)
      }
      try fields.finish()
    }

    func apply(to piece: inout TextPiece) throws(CheckpointError) {
      switch self {
      case .sequence(let parts): for part in parts { try part.apply(to: &piece) }
      case .form(let form): piece.bytes = form.apply(to: piece.bytes)
      case .lowercase:
        let scalars = String(decoding: piece.bytes, as: UTF8.self).unicodeScalars
        piece.bytes = ArraySlice(scalars.flatMap { Array($0.properties.lowercaseMapping.utf8) })
      case .prepend(let prefix): if !piece.bytes.isEmpty { piece.bytes = ArraySlice(prefix + piece.bytes) }
      case .replace(let pattern, let content):
        var result: [UInt8] = []
        let spans = try pattern.spans(of: piece.bytes)
        if content.isEmpty, let span = spans.first, span.isMatch, !span.range.isEmpty { piece.isFirst = false }
        for (range, isMatch) in spans {
          result.append(contentsOf: isMatch ? content[...] : piece.bytes[range])
        }
        piece.bytes = result[...]
      case .strip(let left, let right): Self.strip(&piece, left: left, right: right)
      }
    }

    private static func strip(_ piece: inout TextPiece, left: Bool, right: Bool) {
      let scalars = String(decoding: piece.bytes, as: UTF8.self).unicodeScalars
      if left {
        let width = scalars.prefix { $0.properties.isWhitespace }.reduce(0) { $0 + UTF8.width($1) }
        piece.bytes = piece.bytes.dropFirst(width)
        if width > 0 { piece.isFirst = false }
      }
      if right {
        let width = scalars.reversed().prefix { $0.properties.isWhitespace }.reduce(0) { $0 + UTF8.width($1) }
        piece.bytes = piece.bytes.dropLast(width)
      }
    }
  }
}
