import Models
import PluginHost
import PluginRuntime
import Testing

/// How a label may be spelled, and what stands for a spelling of several pieces.
@Suite(.serialized) struct LensSettingTests {
  /// Rank, logit and log-probability of each label at the last layer, at the last prompt row; the receipt's note.
  private func read(
    _ labels: [ItemFacts.Label], _ settings: [String: String] = [:]
  ) throws -> (answers: [String: [Double]], note: String?) {
    let host = try HostCase("mha", labels: labels)
    let given = ["sites": "text.resid_post", "layers": "-1", "tokens": "last"].merging(settings) { $1 }
    let lens = try AttachmentSpec.bundled("logit-lens", given)
    let outcome = try #require(host.run([("clean", [])], probes: [("lens", lens)])["clean"])
    let note = outcome.receipts[0].note?.text
    guard let table = outcome.tables.first else { return ([:], note) }
    let columns = Dictionary(uniqueKeysWithValues: table.columns.map { ($0.name, $0.values) })
    guard case .strings(let names) = columns["label"], case .numbers(let ranks) = columns["rank"],
      case .numbers(let logits) = columns["logit"], case .numbers(let logprobs) = columns["logprob"]
    else { throw Missing(what: "a column") }
    let answers = names.indices.map { (names[$0], [ranks[$0], logits[$0], logprobs[$0]]) }
    return (Dictionary(answers) { first, _ in first }, note)
  }

  private func label(_ name: String, _ ids: [Int32], forms: [ReadingRequest.Form: [Int32]] = [:]) -> ItemFacts.Label {
    ItemFacts.Label(field: "part/\(name)", text: name, ids: ids, forms: forms)
  }

  private func single(_ ids: [Int32]) throws -> [Int32: [Double]] {
    let answers = try read(ids.map { label("\($0)", [$0]) }).answers
    return Dictionary(uniqueKeysWithValues: try ids.map { ($0, try #require(answers["part/\($0)"])) })
  }

  @Test func `of the spellings that were asked for the best counts`() throws {
    let known = try single([100, 77, 3])
    let labels = [label("leg", [100], forms: [.bare: [77], .capital: [3]])]
    func answer(_ forms: String) throws -> [Double]? { try read(labels, ["forms": forms]).answers["part/leg"] }
    #expect(try read(labels).answers["part/leg"] == known[100])
    #expect(try answer("bare") == known[77] && answer("capital") == known[3])
    let best = known.values.min { $0[0] < $1[0] }
    #expect(try answer("spaced+bare+capital+plural") == best)
    let none = try read(labels, ["forms": "plural"])
    #expect(none.answers.isEmpty && none.note == "does not rank what is not one token: leg")
  }

  @Test func `a label of several pieces is left out, or its first, best or mean piece stands for it`() throws {
    let known = try single([100, 77])
    let (first, second) = (try #require(known[100]), try #require(known[77]))
    let labels = [label("handlebar", [100, 77])]
    func answer(_ pieces: String) throws -> [Double]? { try read(labels, ["pieces": pieces]).answers["part/handlebar"] }
    #expect(try answer("exclude") == nil && answer("first") == first)
    #expect(try answer("min") == (first[0] <= second[0] ? first : second))
    #expect(try answer("mean") == zip(first, second).map { ($0 + $1) / 2 })
    #expect(try read(labels).note == "does not rank what is not one token: handlebar")
    #expect(try read(labels, ["pieces": "mean"]).note == nil)
  }

  @Test func `the words that are read first stand in a table of their own, only where they are asked for`() throws {
    let host = try HostCase("mha", labels: [label("leg", [100])], masks: ["part/leg": [0, 24], "part/none": []])
    func tables(_ settings: [String: String]) throws -> [ConditionOutcome.Table] {
      let lens = try AttachmentSpec.bundled("logit-lens", ["sites": "text.resid_post"].merging(settings) { $1 })
      let outcome = try #require(
        host.run([("clean", [])], probes: [("lens", lens)], at: ["text.-1.resid_post"])["clean"])
      return outcome.tables
    }
    #expect(try tables([:]).map(\.table) == ["logit_lens"])
    let both = try tables(["words": "2", "layers": "-1"])
    #expect(both.map(\.table) == ["logit_lens", "words"])
    let columns = Dictionary(uniqueKeysWithValues: try #require(both.last).columns.map { ($0.name, $0.values) })
    #expect(columns.keys.sorted() == ["label", "layer", "row", "site", "word_1", "word_2"])
    #expect(columns["row"] == .integers([2, 26]) && columns["label"] == .strings(["part/leg", "part/leg"]))
    // The last layer's lens is the model's own head: the first word is the most likely id there.
    let all = try host.model.run(
      host.input, [LaneRequest(Program(), outputRows: [2, 26])])[0].logits
    let known = host.model.facts.knownVocabulary
    let first = (0..<2).map { row in
      let logits = (0..<known).map { all.base[row * all.shape[1] + $0] }
      return host.model.word(logits.indices.max { logits[$0] < logits[$1] } ?? -1)
    }
    #expect(columns["word_1"] == .strings(first))
    #expect(columns["word_2"] != columns["word_1"])
    // With a word that cannot be ranked there are words all the same.
    let unranked = try tables(["words": "1", "layers": "-1", "forms": "plural"])
    #expect(unranked.map(\.table) == ["words"])
  }

  @Test func `a word is shown without the mark of a space, or as the vocabulary spells it where that shows nothing`()
    throws
  {
    let host = try HostCase("gqa")
    let (spaced, bare) = (try host.model.ids(word: "the"), try host.model.ids(word: "the", form: .bare))
    #expect(!spaced.isEmpty)
    for id in [spaced, bare].filter({ $0.count == 1 }).joined() { #expect(host.model.word(id) == "the") }
    #expect(host.model.word(1 << 20) == "[1048576]")
  }

  @Test func `words are found in the forms that a vocabulary has`() throws {
    let host = try HostCase("mha")
    #expect(try host.model.ids(word: "wheel", form: .bare) == [41] && host.model.ids(word: "wheel") == [41])
    #expect(try host.model.ids(word: "wheel", form: .capital).isEmpty)
    #expect(
      try host.model.ids(word: "wheel", form: .plural).isEmpty && host.model.ids(word: "wheels", form: .bare).isEmpty)
  }
}
