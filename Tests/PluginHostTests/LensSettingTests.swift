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
    let note = outcome.receipts[0].note
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

  @Test func `words are found in the forms that a vocabulary has`() throws {
    let host = try HostCase("mha")
    #expect(try host.model.ids(word: "wheel", form: .bare) == [41] && host.model.ids(word: "wheel") == [41])
    #expect(try host.model.ids(word: "wheel", form: .capital).isEmpty)
    #expect(
      try host.model.ids(word: "wheel", form: .plural).isEmpty && host.model.ids(word: "wheels", form: .bare).isEmpty)
  }
}
