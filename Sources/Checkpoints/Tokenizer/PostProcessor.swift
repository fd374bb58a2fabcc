extension Tokenizer {
  /// `post_processor` of a tokenizer.json: puts special tokens around the text's ids.
  indirect enum PostProcessor: Sendable {
    case sequence([PostProcessor])
    /// nil stands for the ids of the text.
    case template([[Int]?])
    /// `ByteLevel`: moves offsets, not ids.
    case none

    init(_ value: TokenizerJSON, path: String, place: String) throws(CheckpointError) {
      var fields = try TokenizerFields(value, path: path, place: place)
      let type = try fields.text("type") ?? ""
      switch type {
      case "Sequence":
        var parts: [PostProcessor] = []
        for (index, part) in try fields.list("processors").enumerated() {
          parts.append(try PostProcessor(part, path: path, place: "\(place).processors[\(index)]"))
        }
        self = .sequence(parts)
      case "ByteLevel":
        for key in ["add_prefix_space", "trim_offsets", "use_regex"] { _ = try fields.bool(key, default: true) }
        self = .none
      case "RobertaProcessing", "BertProcessing":
        for key in ["add_prefix_space", "trim_offsets"] { _ = try fields.bool(key, default: true) }
        let (cls, sep) = (try Self.tokenAndId(&fields, "cls"), try Self.tokenAndId(&fields, "sep"))
        self = .template([[cls], nil, [sep]])
      case "TemplateProcessing": self = .template(try Self.template(&fields))
      default: throw fields.unsupported("type", "the post-processor \"\(type)\"")
      }
      try fields.finish()
    }

    /// ["</s>", 2]
    private static func tokenAndId(_ fields: inout TokenizerFields, _ key: String) throws(CheckpointError) -> Int {
      let list = try fields.list(key)
      guard list.count == 2, case .int(let id) = list[1], 0...maxId ~= id else {
        throw fields.malformed(key, "expected a token and its id")
      }
      return id
    }

    private static func template(_ fields: inout TokenizerFields) throws(CheckpointError) -> [[Int]?] {
      _ = fields.take("pair")  // for two texts, which Ablate never encodes together
      var specials: [String: [Int]] = [:]
      if case .object(let members)? = fields.take("special_tokens") {
        for (key, value) in members {
          var token = try TokenizerFields(
            value, path: fields.path, place: fields.name("special_tokens") + "." + key)
          _ = (token.take("id"), token.take("tokens"))
          specials[key] = try token.list("ids").map { item throws(CheckpointError) in
            guard case .int(let id) = item, 0...maxId ~= id else { throw token.malformed("ids", "expected token ids") }
            return id
          }
          try token.finish()
        }
      }
      return try fields.list("single").enumerated().map { index, item throws(CheckpointError) in
        try part(item, specials: specials, path: fields.path, place: fields.name("single") + "[\(index)]")
      }
    }

    /// {"SpecialToken": {"id": "<s>", "type_id": 0}} or {"Sequence": {"id": "A", "type_id": 0}}
    private static func part(
      _ item: TokenizerJSON, specials: [String: [Int]], path: String, place: String
    ) throws(CheckpointError) -> [Int]? {
      var outer = try TokenizerFields(item, path: path, place: place)
      let isSpecial = outer.has("SpecialToken")
      let key = isSpecial ? "SpecialToken" : "Sequence"
      var inner = try TokenizerFields(outer.required(key), path: path, place: outer.name(key))
      try outer.finish()
      let name = try inner.text("id") ?? ""
      _ = inner.take("type_id")  // segment ids, which no supported model reads
      try inner.finish()
      if isSpecial {
        guard let ids = specials[name] else { throw inner.malformed("id", "\"\(name)\" is not in special_tokens") }
        return ids
      }
      guard name == "A" else { throw inner.malformed("id", "the template for one text names the sequence \"\(name)\"") }
      return nil
    }

    func apply(to ids: [Int]) -> [Int] {
      switch self {
      case .none: ids
      case .sequence(let parts): parts.reduce(ids) { $1.apply(to: $0) }
      case .template(let parts): parts.flatMap { $0 ?? ids }
      }
    }
  }
}
