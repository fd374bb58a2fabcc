import Foundation
import Models
import PluginHost
import PluginRuntime
import Testing

/// The silent no-ops of other tools (research on peers, section 5c): each is an error by name, or a warning in the receipt.
@Suite(.serialized) struct NoOpTests {
  private func error(_ host: HostCase, _ steps: [AttachmentSpec]) -> HostError? {
    do { _ = try host.run(steps) } catch { return error as? HostError }
    return nil
  }

  @Test(arguments: [
    ("[30:60]", "30:60", "beyond the text tower's rows: there are 37"),
    ("[37]", "37", "beyond the text tower's rows: there are 37"),
    ("image[0:6,0:5]", "0:6", "beyond the patch grid's rows: there are 5"),
  ])
  func `tokens beyond the sequence are an error that names them`(tokens: String, slice: String, what: String) throws {
    let host = try HostCase("mha")
    for step in [
      try .bundled("zero-heads", ["heads": "0", "tokens": tokens]),
      .edit(.siteScale, site: "z", rows: tokens, value: 0),
      try .bundled("attention-knockout", ["tower": "text", "queries": tokens]),
      try .bundled("scale", ["factor": "2", "tokens": tokens]),
    ] as [AttachmentSpec] {
      let diagnosis = error(host, [step])?.diagnosis
      #expect(diagnosis?.what == what)
      #expect(diagnosis?.place.hasSuffix("item one, selector '\(slice)'") == true)
    }
  }

  @Test func `a selector that matches nothing in an item makes the plugin not applicable there, in so many words`()
    throws
  {
    let host = try HostCase("mha", masks: ["part/tail": [6, 7]])
    let outcomes = try host.run([
      ("without", [.bundled("zero-heads", ["heads": "0", "tokens": "mask:wing"])]),
      ("edges", [.bundled("attention-knockout", ["tower": "text", "keys": "mask:wing"])]),
      ("with", [.bundled("zero-heads", ["heads": "0", "tokens": "mask:part"])]), ("clean", []),
    ])
    for name in ["without", "edges"] {
      let outcome = try #require(outcomes[name])
      #expect(outcome.failure == nil && outcome.receipts[0].notApplicable)
      #expect(outcome.receipts[0].note?.text == "matched nothing in this item" && outcome.receipts[0].visitsMade == 0)
      #expect(outcome.logitBits == outcomes["clean"]?.logitBits)
    }
    #expect(outcomes["with"]?.receipts[0].notApplicable == false && outcomes["with"]?.receipts[0].note == nil)
    #expect(outcomes["with"]?.logitBits != outcomes["clean"]?.logitBits)
  }

  @Test func `names of layers, heads, sites and towers that do not exist are errors`() throws {
    let host = try HostCase("mha")
    for (step, what) in [
      (try .bundled("zero-heads", ["heads": "4"]), "head 4 does not exist"),
      (try .bundled("attention-knockout", ["heads": "3"]), "head 3 does not exist"),
      (try .bundled("zero-heads", ["heads": "0", "layers": "3"]), "text has layers 0 to 2"),
      (.edit(.siteScale, site: "resid_pots"), "no site 'resid_pots'"),
      (.edit(.siteScale, "txt", site: "z"), "no tower 'txt'"),
      (.edit(.siteScale, "vision", site: "rot_q"), "vision has no site 'rot_q' in a layer"),
      (.edit(.siteScale, site: "z", rows: "imgae"), "no rows are called 'imgae'"),
      (.edit(.siteScale, site: "resid_post", heads: [0]), "the site has no heads"),
      (.edit(.siteAdd, site: "resid_post", value: 1, vector: [1, 2]), "the vector has 2 entries"),
    ] as [(AttachmentSpec, String)] {
      #expect(error(host, [step])?.diagnosis.what == what)
    }
  }

  @Test func `the vision layer that nothing reads is an error that says why`() throws {
    let host = try HostCase("mha")  // three vision layers; the projector reads hidden state 2
    let why = "vision layer 2 cannot affect the output: the projector reads hidden state 2, the output of layer 1"
    for step in [
      try .bundled("attention-knockout", ["layers": "2"]),
      try .bundled("identity", ["tower": "vision", "layers": "2"]),
      try .bundled("zero-heads", ["tower": "vision", "heads": "0", "layers": "0-2"]),
      .edit(.siteScale, "vision", site: "z", layers: "2", value: 0),
    ] as [AttachmentSpec] {
      #expect(error(host, [step])?.diagnosis.what == why)
    }
    let capture = #expect(throws: ModelError.self) { _ = try host.model.hooks.match("vision.2.resid_post") }
    #expect(capture?.diagnosis.what == why && capture?.diagnosis.remedy == "use layers 0 to 1, or all")
    // All layers, or the last, are those that count.
    #expect(
      try host.run([.bundled("zero-heads", ["tower": "vision", "heads": "0", "layers": "-1"])]).receipts[0].points
        == "vision.1.z")
  }

  @Test func `the CLS row that the projector drops warns where nothing reads it`() throws {
    let host = try HostCase("mha")
    let outcome = try host.run([
      .bundled("zero-heads", ["tower": "vision", "heads": "0+1+2", "layers": "-1", "tokens": "cls"])
    ])
    #expect(
      outcome.receipts[0].note?.text == "cannot affect anything that this trial reads" && !outcome.receipts[0].reachable
    )
    #expect(
      error(host, [.edit(.siteScale, site: "z", rows: "cls")])?.diagnosis.what
        == "the text tower of this model has no CLS row")
  }

  /// Other tools hand out a copy whose edit is lost, or attention weights that nothing reads any more. Here the copy that a plugin
  /// writes is the only one, and whatever it holds is computed on.
  @Test func `a write to a copy cannot be lost, and written attention weights are what values are mixed with`() throws {
    let host = try HostCase("mha")
    let points = ["text.1.z", "text.1.attn_out", "text.1.pattern"]
    let zero = try host.run([.bundled("scale", ["factor": "0", "site": "pattern", "layers": "1"])], at: points)
    #expect(try zero["text.1.z"].values.allSatisfy { $0 == 0 } && zero["text.1.attn_out"].values.allSatisfy { $0 == 0 })
    let heads = try host.run([.bundled("zero-heads", ["heads": "0+1+2+3", "layers": "1"])], at: points)
    #expect(try heads["text.1.attn_out"].values.allSatisfy { $0 == 0 })
    let clean = try host.run([])
    #expect(zero.logitBits == heads.logitBits && heads.logitBits != clean.logitBits)
    #expect(
      try zero["text.1.pattern"].values.allSatisfy { $0 == 0 } && heads["text.1.pattern"].values.contains { $0 > 0 })
  }

  @Test func `changing nothing warns, unless the plugin says that it expects to`() throws {
    let host = try HostCase("mha")
    for step in [
      try .bundled("scale", ["factor": "1"]), .edit(.siteScale, site: "z", value: 1),
      .edit(.edgeDrop, rows: "[3]", keys: "[9]"),
    ] as [AttachmentSpec] {
      let outcome = try host.run([step])
      #expect(outcome.receipts[0].note?.text == "changed nothing" && outcome.receipts[0].elementsChanged == 0)
      #expect(outcome.failure == nil && !outcome.receipts[0].notApplicable)
    }
    #expect(try host.run([.bundled("identity")]).receipts[0].note == nil)
  }
}
