extension Tokenizer {
  /// `decoder` of a tokenizer.json: turns pieces back into text. Every step maps a list of pieces to a list of pieces.
  indirect enum Decoder: Sendable {
    case sequence([Decoder])
    case replace(TextPattern, with: [UInt8])
    case byteFallback
    case fuse
    case strip(content: [UInt8], start: Int, stop: Int)
    case byteLevel
    case metaspace(Metaspace)
    case bpe(suffix: [UInt8])

    init(_ value: TokenizerJSON, path: String, place: String) throws(CheckpointError) {
      var fields = try TokenizerFields(value, path: path, place: place)
      let type = try fields.text("type") ?? ""
      switch type {
      case "Sequence":
        var parts: [Decoder] = []
        for (index, part) in try fields.list("decoders").enumerated() {
          parts.append(try Decoder(part, path: path, place: "\(place).decoders[\(index)]"))
        }
        self = .sequence(parts)
      case "Replace":
        self = .replace(try TextPattern(&fields, key: "pattern"), with: try fields.requiredBytes("content"))
      case "ByteFallback": self = .byteFallback
      case "Fuse": self = .fuse
      case "Strip":
        self = .strip(
          content: try fields.scalar("content"), start: try fields.int("start"), stop: try fields.int("stop"))
      case "ByteLevel":
        for key in ["add_prefix_space", "trim_offsets", "use_regex"] { _ = try fields.bool(key, default: true) }
        self = .byteLevel
      case "Metaspace": self = .metaspace(try Metaspace(&fields))
      case "BPEDecoder": self = .bpe(suffix: try fields.bytes("suffix") ?? Array("</w>".utf8))
      default: throw fields.unsupported("type", "the decoder \"\(type)\"")
      }
      try fields.finish()
    }

    func apply(to pieces: [[UInt8]]) -> [[UInt8]] {
      switch self {
      case .sequence(let parts): return parts.reduce(pieces) { $1.apply(to: $0) }
      case .replace(let pattern, let content): return pieces.map { Self.replace(pattern, with: content, in: $0) }
      case .byteFallback: return Self.joinBytes(pieces)
      case .fuse: return [pieces.flatMap { $0 }]
      case .strip(let content, let start, let stop):
        return pieces.map { Self.strip($0, content, start: start, stop: stop) }
      case .byteLevel:
        let bytes = pieces.flatMap { ByteLevel.bytes(of: $0) }
        return [Array(String(decoding: bytes, as: UTF8.self).utf8)]
      case .metaspace(let metaspace):
        return pieces.enumerated().map { index, piece in
          let space: [UInt8] = index == 0 && metaspace.prependScheme != .never ? [] : [0x20]
          return Self.replace(.literal(metaspace.replacement), with: space, in: piece)
        }
      case .bpe(let suffix):
        return pieces.enumerated().map { index, piece in
          Self.replace(.literal(suffix), with: index == pieces.count - 1 ? [] : [0x20], in: piece)
        }
      }
    }

    /// A pattern that cannot be matched leaves the piece as it is: pieces are short, and the pattern compiled.
    private static func replace(_ pattern: TextPattern, with content: [UInt8], in piece: [UInt8]) -> [UInt8] {
      guard let spans = try? pattern.spans(of: piece[...]) else { return piece }
      return spans.flatMap { $0.isMatch ? content[...] : piece[$0.range] }
    }

    /// Runs of <0x..> become their text, or one U+FFFD per byte where they are no UTF-8.
    private static func joinBytes(_ pieces: [[UInt8]]) -> [[UInt8]] {
      var result: [[UInt8]] = []
      var run: [UInt8] = []
      func flush() {
        if run.isEmpty { return }
        if String(validating: run, as: UTF8.self) != nil {
          result.append(run)
        } else {
          result += run.map { _ in Array("\u{FFFD}".utf8) }
        }
        run = []
      }
      for piece in pieces {
        if piece.count == 6, piece.starts(with: "<0x".utf8), piece[5] == UInt8(ascii: ">"),
          let byte = UInt32(hexDigits: piece[3..<5])
        {
          run.append(UInt8(byte))
        } else {
          flush()
          result.append(piece)
        }
      }
      flush()
      return result
    }

    private static func strip(_ piece: [UInt8], _ content: [UInt8], start: Int, stop: Int) -> [UInt8] {
      var piece = piece[...]
      for _ in 0..<min(start, piece.count) where piece.starts(with: content) { piece = piece.dropFirst(content.count) }
      for _ in 0..<min(stop, piece.count) where piece.suffix(content.count).elementsEqual(content) {
        piece = piece.dropLast(content.count)
      }
      return Array(piece)
    }
  }
}
