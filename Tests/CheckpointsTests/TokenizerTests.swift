import Checkpoints
import Foundation
import Testing

/// Golden cases come from PyPI `tokenizers` through `Tools/tokenizer_parity.py --write-fixtures`; versions and seed
/// stand inside the files. Texts are compared by their bytes: Swift's String equality would hide a wrong normalisation.
@Suite struct TokenizerTests {
  static let vocabularies = [
    "llama-bytes-500", "gpt2-like-600", "qwen2-like-600", "clip-like-900", "metaspace-first-500", "wordlevel-llava",
    "whitespace-nfkd",
  ]

  private struct Golden: Decodable {
    struct Encode: Decodable { let text: String, ids: [Int], bare: [Int] }
    struct Decode: Decodable { let ids: [Int], text: String, whole: String }
    let vocabularySize: Int
    let encode: [Encode]
    let decode: [Decode]
  }

  private static let fixtures = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .appendingPathComponent("Fixtures/tokenizer")

  private func path(_ name: String) -> String { Self.fixtures.appendingPathComponent("\(name).tokenizer.json").path }

  private func golden(_ name: String) throws -> Golden {
    let data = try Data(contentsOf: Self.fixtures.appendingPathComponent("\(name).golden.json"))
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    return try decoder.decode(Golden.self, from: data)
  }

  private func bytes(_ name: String) throws -> [UInt8] {
    [UInt8](try Data(contentsOf: URL(fileURLWithPath: path(name))))
  }

  @Test(arguments: vocabularies) func `ids are those of tokenizers`(name: String) throws {
    let tokenizer = try Tokenizer(contentsOf: path(name))
    let golden = try golden(name)
    #expect(golden.encode.count >= 40)
    #expect(tokenizer.vocabularySize == golden.vocabularySize)
    for example in golden.encode {
      #expect(try tokenizer.encode(example.text) == example.ids, "\(example.text.debugDescription)")
      #expect(
        try tokenizer.encode(example.text, addSpecialTokens: false) == example.bare, "\(example.text.debugDescription)")
    }
  }

  @Test(arguments: vocabularies) func `decoded text is that of tokenizers, byte for byte`(name: String) throws {
    let tokenizer = try Tokenizer(contentsOf: path(name))
    let golden = try golden(name)
    #expect(golden.decode.count >= 20)
    for example in golden.decode {
      #expect(Array(tokenizer.decode(example.ids).utf8) == Array(example.text.utf8), "\(example.ids)")
      let whole = tokenizer.decode(example.ids, skipSpecialTokens: false)
      #expect(Array(whole.utf8) == Array(example.whole.utf8), "\(example.ids)")
    }
  }

  @Test(arguments: vocabularies) func `every piece finds its own id`(name: String) throws {
    let tokenizer = try Tokenizer(contentsOf: path(name))
    var count = 0
    for id in 0..<tokenizer.vocabularySize {
      guard let piece = tokenizer.piece(id) else { continue }
      #expect(tokenizer.id(ofPiece: piece) == id)
      count += 1
    }
    #expect(count == tokenizer.vocabularySize)
    #expect(tokenizer.piece(tokenizer.vocabularySize) == nil)
    #expect(tokenizer.piece(-1) == nil)
  }

  @Test func `canonically equivalent pieces keep their own ids`() throws {
    // U+1F75 and U+03AE are one key to Swift's String, and two pieces of Llama's vocabulary.
    let tokenizer = try Tokenizer(
      path: "t", bytes: Array(wordLevel("\"<unk>\":0,\"\u{1F75}\":1,\"\u{03AE}\":2,\"e\u{301}\":3,\"\u{e9}\":4").utf8))
    #expect(try tokenizer.encode("\u{1F75} \u{03AE} e\u{301} \u{e9}") == [1, 2, 3, 4])
    #expect(tokenizer.id(ofPiece: Array("\u{1F75}".utf8)) == 1)
    #expect(tokenizer.id(ofPiece: Array("\u{03AE}".utf8)) == 2)
    #expect(Array(tokenizer.decode([1, 2]).utf8) == Array("\u{1F75} \u{03AE}".utf8))
  }

  @Test(arguments: ["NFC", "NFD", "NFKC", "NFKD"]) func `normal forms are those of tokenizers`(form: String) throws {
    let data = try Data(contentsOf: Self.fixtures.appendingPathComponent("normalization.golden.json"))
    let object = try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
    let cases = try #require(object[form] as? [[String]])
    // Byte tokens alone: decoding gives the normalised text back.
    let pieces = (0..<256).map { byte in
      let digits = String(byte, radix: 16, uppercase: true)
      return "\"<0x\(byte < 16 ? "0" : "")\(digits)>\":\(byte)"
    }
    let top = #""normalizer":{"type":"\#(form)"},"decoder":{"type":"ByteFallback"},"#
    let text = bpe(pieces.joined(separator: ","), merges: "", model: #""byte_fallback":true,"#, top: top)
    let tokenizer = try Tokenizer(path: "t", bytes: Array(text.utf8))
    #expect(cases.count >= 30)
    for example in cases {
      let result = tokenizer.decode(try tokenizer.encode(example[0]))
      #expect(Array(result.utf8) == Array(example[1].utf8), "\(example[0].unicodeScalars.map(\.value))")
    }
  }

  @Test func `special tokens in the text are found and left out of decoded text`() throws {
    let tokenizer = try Tokenizer(contentsOf: path("wordlevel-llava"))
    let image = try #require(tokenizer.id(ofPiece: Array("<image>".utf8)))
    let ids = try tokenizer.encode("USER : <image> what is the striped part ? ASSISTANT :")
    #expect(ids.first == tokenizer.id(ofPiece: Array("<s>".utf8)))
    #expect(ids.filter { $0 == image }.count == 1)
    #expect(tokenizer.specialIds.contains(0))
    #expect(!tokenizer.decode(ids).contains("<s>"))
  }

  @Test func `added tokens take the space beside them and stand alone as they ask`() throws {
    func token(_ id: Int, _ content: String, _ flags: String) -> String {
      #"{"id":\#(id),"content":"\#(content)",\#(flags)}"#
    }
    let verbatim = #""normalized":false"#
    let tokens = [
      token(3, "<l>", verbatim + #","lstrip":true"#), token(4, "<r>", verbatim + #","rstrip":true"#),
      token(5, "<l>x", verbatim), token(6, "Wo", verbatim + #","single_word":true"#),
      token(7, "BIG", #""normalized":true"#),
    ].joined(separator: ",")
    let top =
      #""added_tokens":[\#(tokens)],"normalizer":{"type":"Lowercase"},"decoder":{"type":"Fuse"},"#
    let tokenizer = try Tokenizer(path: "t", bytes: Array(bpe(#""a":0," ":1,"\n":2"#, merges: "", top: top).utf8))
    // ids and texts of tokenizers 0.23.3
    let cases: [(String, [Int], String)] = [
      ("a \n <l> a", [0, 3, 1, 0], "a<l> a"), ("a <r> \n a", [0, 1, 4, 0], "a <r>a"), ("<l>x<l>", [5, 3], "<l>x<l>"),
      ("Woa Wo a", [0, 1, 6, 1, 0], "a Wo a"), ("a bIg", [0, 1, 7], "a big"),
    ]
    for (text, ids, decoded) in cases {
      #expect(try tokenizer.encode(text) == ids)
      #expect(tokenizer.decode(ids) == decoded)
    }
  }

  @Test func `escapes in the file are the characters they name`() throws {
    let vocab = #""\u00e9":0,"\ud83d\udc4d":1,"\n\t\b\f\r":2,"\"\\\/":3,"\u20AC":4"#
    let tokenizer = try Tokenizer(path: "t", bytes: Array(bpe(vocab, merges: "").utf8))
    let pieces = ["\u{e9}", "\u{1F44D}", "\n\t\u{8}\u{c}\r", "\"\\/", "\u{20AC}"]
    for (id, piece) in pieces.enumerated() { #expect(tokenizer.piece(id) == Array(piece.utf8)) }
  }

  @Test func `bytes that are no text decode to replacement characters`() throws {
    let tokenizer = try Tokenizer(contentsOf: path("llama-bytes-500"))
    let ids = ["<0xE2>", "<0x82>", "<0xAC>", "<0xFF>"].compactMap { tokenizer.id(ofPiece: Array($0.utf8)) }
    #expect(ids.count == 4)
    #expect(tokenizer.decode(Array(ids.prefix(3))) == "€")
    #expect(tokenizer.decode(ids) == "\u{FFFD}\u{FFFD}\u{FFFD}\u{FFFD}")
  }

  @Test func `a long word without spaces is merged in a moment`() throws {
    let tokenizer = try Tokenizer(contentsOf: path("llama-bytes-500"))
    let text = String(repeating: "the question of the part ", count: 4000)
    let clock = ContinuousClock()
    var ids: [Int] = []
    let time = try clock.measure { ids = try tokenizer.encode(text, addSpecialTokens: false) }
    #expect(Array(tokenizer.decode(ids).utf8) == Array(text.utf8))
    #expect(time < .seconds(20))  // quadratic merging would take minutes
  }

  // MARK: - bad input

  private func wordLevel(_ vocab: String, model: String = "", top: String = "") -> String {
    #"{"version":"1.0",\#(top)"pre_tokenizer":{"type":"WhitespaceSplit"},"model":{"type":"WordLevel","#
      + #""unk_token":"<unk>",\#(model)"vocab":{\#(vocab)}}}"#
  }

  private func bpe(_ vocab: String, merges: String, model: String = "", top: String = "") -> String {
    #"{\#(top)"model":{"type":"BPE",\#(model)"vocab":{\#(vocab)},"merges":[\#(merges)]}}"#
  }

  private func message(_ text: String) -> String { message(Array(text.utf8)) }

  private func message(_ bytes: [UInt8]) -> String {
    do {
      _ = try Tokenizer(path: "t.json", bytes: bytes)
      return "no error"
    } catch {
      return "\(error)"
    }
  }

  @Test func `merges are read as pairs and as strings`() throws {
    for merges in [#""a b","ab c""#, #"["a","b"],["ab","c"]"#, ##""#version: 0.2","a b","ab c""##] {
      let text = bpe(#""a":0,"b":1,"c":2,"ab":3,"abc":4"#, merges: merges)
      let tokenizer = try Tokenizer(path: "t", bytes: Array(text.utf8))
      #expect(try tokenizer.encode("abcabb") == [4, 3, 1])
    }
  }

  @Test func `a missing file is refused by name`() {
    let error = #expect(throws: CheckpointError.self) { try Tokenizer(contentsOf: "/nowhere/tokenizer.json") }
    #expect("\(error as Any)".contains("/nowhere/tokenizer.json"))
  }

  @Test func `a truncated file is refused at its byte`() throws {
    let bytes = try bytes("wordlevel-llava")
    let end = try #require(bytes.lastIndex(of: UInt8(ascii: "}")))
    for length in 0...end {
      #expect(message(Array(bytes[..<length])).contains("t.json: byte "), "\(length) bytes")
    }
  }

  @Test(arguments: ["llama-bytes-500", "gpt2-like-600", "wordlevel-llava"])
  func `damaged files are refused or read, and never trap`(name: String) throws {
    let original = try bytes(name)
    var state: UInt64 = 7
    func random(_ limit: Int) -> Int {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int((state >> 33) % UInt64(limit))
    }
    var refused = 0
    for _ in 0..<150 {
      var damaged = original
      for _ in 0...random(3) {
        damaged[random(damaged.count)] = [0x22, 0x7B, 0x5D, 0x5C, 0x30, 0xFF, 0x2C, 0x41][random(8)]
      }
      guard let tokenizer = try? Tokenizer(path: "t", bytes: damaged) else {
        refused += 1
        continue
      }
      _ = try? tokenizer.encode("Hello <image> 123 \u{1F75}")
      _ = tokenizer.decode(Array(0..<tokenizer.vocabularySize))
    }
    #expect(refused > 20)
  }

  @Test func `what Ablate does not compute is refused by key and value`() {
    let vocab = #""<unk>":0"#
    let cases: [(String, [String])] = [
      (#"{"model":{"type":"Unigram","vocab":[]}}"#, ["model.type", "Unigram"]),
      (wordLevel(vocab, model: #""fancy":true,"#), ["model.fancy", "true"]),
      (wordLevel(vocab, top: #""truncation":{"max_length":9},"#), ["truncation"]),
      (wordLevel(vocab, top: #""normalizer":{"type":"Precompiled"},"#), ["normalizer.type", "Precompiled"]),
      (
        wordLevel(vocab, top: #""decoder":{"type":"Sequence","decoders":[{"type":"CTC"}]},"#),
        ["decoder.decoders[0]", "CTC"]
      ),
      (wordLevel(vocab, top: #""post_processor":{"type":"Odd"},"#), ["post_processor.type", "Odd"]),
      (bpe(#""a":0"#, merges: "", model: #""dropout":0.5,"#), ["model.dropout", "0.5"]),
      (bpe(#""a":0"#, merges: "", top: #""pre_tokenizer":{"type":"BertPreTokenizer"},"#), ["pre_tokenizer", "Bert"]),
      (
        bpe(#""a":0"#, merges: "", top: #""normalizer":{"type":"Replace","pattern":{"Regex":"\\h"},"content":""},"#),
        ["normalizer.pattern.Regex", #"\h"#]
      ),
    ]
    for (text, words) in cases {
      let message = message(text)
      #expect(message.contains("unsupported") && words.allSatisfy(message.contains), "\(message)")
    }
  }

  @Test func `malformed files are refused with the place`() {
    let deep = String(repeating: "[", count: 100_000)
    let cases: [(String, String)] = [
      (bpe(#""a":0,"b":1"#, merges: #""a b""#), #"the piece "ab", which is not in the vocabulary"#),
      (bpe(#""a":0,"b":1"#, merges: #"["a","c"]"#), #"the piece "c", which is not in the vocabulary"#),
      (bpe(#""a":0,"b":1"#, merges: #""a b c""#), "not two pieces"),
      (deep, "nested more than"),
      (#"{"model":{"vocab":"# + deep, "nested more than"),
      (wordLevel(#""a":0,"a":1"#), "stands twice"),
      (wordLevel(#""a":0,"b":0"#), "stands twice"),
      (wordLevel(#""a":-1"#), "expected a token id"),
      (wordLevel(#""a":1.5"#), "expected a token id"),
      (wordLevel(#""a":99999999999999999999"#), "token id"),
      (wordLevel(#""\ud800":0"#), "surrogate"),
      (wordLevel(#""a":0"#) + "x", "after the end"),
      (wordLevel(#""a":0"#, top: #""added_tokens":[{"id":7,"content":"<x>"}],"#), "has id 7"),
      (
        wordLevel(
          #""a":0"#,
          top: #""post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"z"}}],"#
            + #""special_tokens":{}},"#
        ),
        "not in special_tokens"
      ),
    ]
    for (text, words) in cases { #expect(message(text).contains(words), "\(message(text))") }
    #expect(message([0x7B, 0x22, 0xFF, 0x22, 0x7D]).contains("UTF-8"))
  }

  @Test func `a word that cannot be encoded is an error, not a guess`() throws {
    let tokenizer = try Tokenizer(path: "t.json", bytes: Array(wordLevel(#""a":0,"b":1"#).utf8))
    #expect(try tokenizer.encode("a b") == [0, 1])
    let error = #expect(throws: CheckpointError.self) { try tokenizer.encode("a zebra") }
    #expect("\(error as Any)".contains("zebra"))
  }
}
