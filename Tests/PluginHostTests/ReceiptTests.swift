import Foundation
import Models
import PluginHost
import PluginRuntime
import Testing

/// Promise 2: the receipt counts what was planned, done and changed, and knows whether anything reads it.
@Suite(.serialized) struct ReceiptTests {
  @Test func `a write is counted in visits, rows and entries, with its largest change`() throws {
    let host = try HostCase("mha")
    let clean = try host.run([], at: ["text.1.resid_post"])["text.1.resid_post"]
    let outcome = try host.run([.edit(.siteScale, site: "resid_post", layers: "1", rows: "[3:6]", value: 2)])
    let receipt = outcome.receipts[0]
    #expect(receipt.plugin == "edit siteScale" && receipt.points == "text.1.resid_post")
    #expect(receipt.visitsPlanned == 1 && receipt.visitsMade == 1)
    #expect(receipt.rowsChanged == 3 && receipt.elementsChanged == 3 * 48)
    let largest = clean.values[(3 * 48)..<(6 * 48)].map(abs).max()
    #expect(Float(receipt.largestChange) == largest && receipt.reachable && !receipt.notApplicable)
    let layers = try host.run([.edit(.siteScale, site: "z", layers: "0,2", rows: "image", value: 2)]).receipts[0]
    #expect(layers.points == "text.0,2.z" && layers.visitsMade == 2 && layers.rowsChanged == 2 * 25)
  }

  @Test func `each generated token is a visit where its row was asked for`() throws {
    let host = try HostCase("gqa", newTokens: 6)
    let outcomes = try host.run([
      ("all", [.edit(.siteScale, site: "z", layers: "0", value: 0.5)]),
      ("generated", [.edit(.siteScale, site: "z", layers: "0", rows: "generated", value: 0.5)]),
      ("question", [.edit(.siteScale, site: "z", layers: "0", rows: "question", value: 0.5)]),
    ])
    for (name, visits, rows) in [("all", 6, 37 + 5), ("generated", 5, 5)] {
      let receipt = try #require(outcomes[name]).receipts[0]
      #expect(outcomes[name]?.output.steps == 5 && receipt.visitsMade == visits && receipt.rowsChanged == rows)
      #expect(receipt.visitsPlanned == visits)
    }
    #expect(outcomes["question"]?.receipts[0].visitsMade == 1)
  }

  @Test func `edges are counted as visible edges times heads`() throws {
    let host = try HostCase("mha")
    func receipt(_ parameters: [String: String]) throws -> PluginReceipt {
      try host.run([.bundled("attention-knockout", parameters.merging(["tower": "text"]) { $1 })]).receipts[0]
    }
    let few = try receipt(["queries": "[20:22]", "keys": "[10:12]", "heads": "0+2", "layers": "1-2"])
    #expect(few.elementsChanged == 2 * 2 * 2 * 2 && few.rowsChanged == 2 * 2 && few.visitsMade == 2)
    #expect(few.largestChange == .infinity && few.points == "text.1-2.attn_scores" && few.note == nil)
    let image = try receipt([:])
    #expect(image.elementsChanged == 25 * 24 / 2 * 4 * 3)
    let vision = try host.run([.bundled("attention-knockout", ["cls": "blind"])]).receipts[0]
    #expect(vision.elementsChanged == (25 * 24 + 25) * 3 * 2)
    let future = try receipt(["queries": "[10]", "keys": "[20]"])
    #expect(future.elementsChanged == 0 && future.largestChange == 0 && future.note?.text == "changed nothing")
  }

  @Test func `the dropped CLS row of the last vision layer is reachable only where something reads it`() throws {
    let host = try HostCase("mha")
    func receipt(_ site: String, _ layer: String, at points: [String] = [], on host: HostCase) throws -> PluginReceipt {
      let edit = AttachmentSpec.edit(.siteScale, "vision", site: site, layers: layer, rows: "cls", value: 2)
      return try host.run([edit], at: points).receipts[0]
    }
    let dropped = try receipt("resid_post", "-1", on: host)
    #expect(!dropped.reachable && dropped.note?.text == "cannot affect anything that this trial reads")
    #expect(dropped.elementsChanged == 24 && dropped.visitsMade == 1)
    #expect(try receipt("resid_post", "0", on: host).reachable)
    #expect(try receipt("v", "-1", on: host).reachable)
    #expect(try !receipt("z", "-1", on: host).reachable)
    #expect(try receipt("resid_post", "-1", at: ["vision.1.resid_post"], on: host).reachable)
    #expect(try receipt("resid_post", "-1", on: HostCase("gqa")).reachable)  // there the projector takes CLS
  }

  @Test func `a row of the last text layer is reachable only where it is read`() throws {
    let host = try HostCase("mha")
    func receipt(
      _ site: String, _ layer: String, at points: [String] = [], probes: [(String, AttachmentSpec)] = []
    ) throws -> PluginReceipt {
      let edit = AttachmentSpec.edit(.siteScale, site: site, layers: layer, rows: "[5]", value: 2)
      return try #require(host.run([("c", [edit])], probes: probes, at: points)["c"]).receipts[0]
    }
    #expect(try !receipt("resid_post", "-1").reachable)
    #expect(try receipt("resid_post", "-2").reachable && receipt("k", "-1").reachable)
    #expect(try !receipt("q", "-1").reachable)
    #expect(try receipt("resid_post", "-1", at: ["text.2.resid_post"]).reachable)
    let probe = try AttachmentSpec.bundled("attention-mass", ["tokens": "[5]", "layers": "2"])
    #expect(try receipt("q", "-1", probes: [("mass", probe)]).reachable)
  }

  @Test func `what is called unreachable changes no logit and no id`() throws {
    let host = try HostCase("mha")
    let clean = try host.run([])
    for (tower, rows) in [("vision", "cls"), ("text", "[5]")] {
      let outcome = try host.run([.edit(.siteScale, tower, site: "resid_post", layers: "-1", rows: rows, value: 9)])
      #expect(!outcome.receipts[0].reachable && outcome.logitBits == clean.logitBits)
    }
  }

  @Test func `a probe has a receipt in every lane`() throws {
    let host = try HostCase("gqa")
    let probe = try AttachmentSpec.bundled("attention-mass")
    let half = AttachmentSpec.edit(.siteScale, site: "z", layers: "0", value: 0.5)
    let outcomes = try host.run([("clean", []), ("half", [half])], probes: [("mass", probe)])
    for name in ["clean", "half"] {
      let receipt = try #require(outcomes[name]?.receipts.last)
      #expect(receipt.plugin == "attention-mass" && receipt.visitsMade == 2 && receipt.visitsPlanned == 2)
      #expect(receipt.elementsChanged == 0 && receipt.note == nil)
      #expect(outcomes[name]?.tables.map(\.source) == ["mass"])
    }
    #expect(outcomes["clean"]?.tables[0].columns != outcomes["half"]?.tables[0].columns)
  }
}
