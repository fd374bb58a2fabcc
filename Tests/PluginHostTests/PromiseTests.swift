import Foundation
import Models
import PluginHost
import PluginRuntime
import Testing

/// The design's promises 1, 3, 4 and 7, kept by the real plugins through a session.
@Suite(.serialized) struct PromiseTests {
  // MARK: 1. hooking changes nothing

  @Test(arguments: ["mha", "gqa", "tied", "vip", "next_llama"])
  func `identity at every hook point leaves every bit and every generated id alone`(name: String) throws {
    let host = try HostCase(name, newTokens: 6)
    let points = host.model.hooks.all
    let outcomes = try host.run(
      [("clean", []), ("hooked", [.bundled("identity")])], at: points.map { $0.site == .logits ? "logits" : "\($0)" })
    let (clean, hooked) = (try #require(outcomes["clean"]), try #require(outcomes["hooked"]))
    #expect(hooked.failure == nil && clean.activations.count == points.count)
    let different = clean.activations.filter { hooked.activations[$0.key] != $0.value }.keys
    #expect(different.sorted() == [])
    #expect(clean.logitBits == hooked.logitBits)
    #expect(clean.output.generated.count == 6 && clean.output.generated == hooked.output.generated)
    let receipt = hooked.receipts[0]
    let tiles = host.input.segments.layout.tiles
    let each = points.count + (tiles - 1) * points.count { $0.tower == .vision }
    #expect(receipt.visitsMade == each + 5 * points.count { $0.tower == .text })
    #expect(receipt.visitsPlanned == receipt.visitsMade)
    #expect(receipt.elementsChanged == 0 && receipt.rowsChanged == 0 && receipt.note == nil && receipt.reachable)
  }

  @Test func `identity alone in its pack gives the logits of a pass without plugins`() throws {
    let host = try HostCase("mha", newTokens: 6)
    let (clean, hooked) = (try host.run([]), try host.run([.bundled("identity")]))
    #expect(clean.output.generated == hooked.output.generated)
    #expect(clean.logitBits == hooked.logitBits.suffix(clean.logitBits.count))  // identity asks for all rows' logits
  }

  @Test(arguments: ["mha", "gqa", "tied"])
  func `without any head nothing comes out of attention`(name: String) throws {
    let host = try HostCase(name)
    let heads = (0..<host.model.configuration.text.heads).map(String.init).joined(separator: "+")
    let outcome = try host.run([.bundled("zero-heads", ["heads": heads])], at: ["text.*.attn_out", "text.*.z"])
    for layer in 0..<host.model.hooks.textLayers {
      #expect(try outcome["text.\(layer).attn_out"].values.allSatisfy { $0 == 0 })
      #expect(try outcome["text.\(layer).z"].values.allSatisfy { $0.bitPattern == 0 })
    }
    #expect(outcome.failure == nil && outcome.receipts[0].visitsMade == host.model.hooks.textLayers)
  }

  @Test func `without any head in the vision tower attention adds its bias alone`() throws {
    let host = try HostCase("mha")
    let outcome = try host.run(
      [.bundled("zero-heads", ["tower": "vision", "heads": "0+1+2", "layers": "1"])],
      at: ["vision.0.attn_out", "vision.1.attn_out"])
    let rows = try (0..<26).map { try outcome.bits("vision.1.attn_out", row: $0) }
    #expect(Set(rows).count == 1 && rows[0].contains { $0 != 0 })
    #expect(Set(try (0..<26).map { try outcome.bits("vision.0.attn_out", row: $0) }).count > 1)
  }

  // MARK: 3. a blocked edge is blocked

  /// Row 10 is an image row, 36 the last one.
  private static let key = 10
  private static func perturbed(_ layer: Int, _ tower: String = "text", row: Int = key) -> [AttachmentSpec] {
    ["k", "v"].map {
      .edit(.siteAdd, tower, site: $0, layers: "\(layer)", rows: "[\(row)]", value: 1, vector: [2.5])
    }
  }

  private func cut(_ queries: String, _ keys: String = "[10]", heads: String? = nil) throws -> AttachmentSpec {
    var parameters = ["tower": "text", "queries": queries, "keys": keys]
    parameters["heads"] = heads
    return try .bundled("attention-knockout", parameters)
  }

  @Test(arguments: ["mha", "gqa", "tied"])
  func `what a blocked key and value hold does not reach the query at any blocked layer`(name: String) throws {
    let host = try HostCase(name)
    let layers = host.model.hooks.textLayers
    for layer in 0..<layers {
      let outcomes = try host.run(
        [
          ("cut", [cut("last")]), ("cut, perturbed", [cut("last")] + Self.perturbed(layer)), ("open", []),
          ("open, perturbed", Self.perturbed(layer)),
        ], at: ["text.*.z", "text.*.resid_post"])
      func changes(_ a: String, _ point: String) throws -> Bool {
        let (x, y) = (try #require(outcomes[a]), try #require(outcomes[a + ", perturbed"]))
        return try x.bits(point, row: host.lastRow) != y.bits(point, row: host.lastRow)
      }
      #expect(try !changes("cut", "text.\(layer).z") && !changes("cut", "text.\(layer).resid_post"))
      #expect(try changes("open", "text.\(layer).z") && changes("open", "text.\(layer).resid_post"))
      // The rows between still read the key, and the last row reads them one layer later.
      if layer + 1 < layers { #expect(try changes("cut", "text.\(layer + 1).resid_post")) }
    }
  }

  @Test(arguments: ["mha", "gqa", "tied"])
  func `when every path is cut nothing changes anywhere, and through the one path left it does`(name: String) throws {
    let host = try HostCase(name)
    let points = ["text.*.z", "text.*.resid_post"]
    let rows = host.input.ids.count
    func bits(_ rule: AttachmentSpec, perturbed: Bool) throws -> ConditionOutcome {
      try host.run([rule] + (perturbed ? Self.perturbed(0) : []), at: points)
    }
    let every = try [false, true].map { try bits(cut("[11:\(rows)]"), perturbed: $0) }
    #expect(every[0].logitBits == every[1].logitBits)
    for row in 0..<rows {
      for layer in 0..<host.model.hooks.textLayers {
        let point = "text.\(layer).resid_post"
        let same = try every[0].bits(point, row: row) == every[1].bits(point, row: row)
        #expect(same == (row != Self.key), "\(point), row \(row)")
      }
    }
    let butOne = try [false, true].map { try bits(cut("[11:\(rows)] - [20]"), perturbed: $0) }
    func same(_ point: String, _ row: Int) throws -> Bool {
      try butOne[0].bits(point, row: row) == butOne[1].bits(point, row: row)
    }
    #expect(try same("text.0.z", host.lastRow) && same("text.0.resid_post", host.lastRow))
    #expect(try !same("text.0.z", 20) && !same("text.1.z", host.lastRow))
    #expect(butOne[0].logitBits != butOne[1].logitBits)
  }

  @Test func `an edge that one head keeps is read by that head alone`() throws {
    let host = try HostCase("gqa")
    let rule = try cut("last", heads: "0+1+3")
    let pair = try [[], Self.perturbed(0)].map { try host.run([rule] + $0, at: ["text.0.z"]) }
    let width = host.model.configuration.text.headWidth
    let z = try pair.map { try $0.bits("text.0.z", row: host.lastRow) }
    for head in 0..<4 {
      let range = (head * width)..<((head + 1) * width)
      #expect((z[0][range] == z[1][range]) == (head != 2), "head \(head)")
    }
  }

  @Test(arguments: [("blind", false), ("isolated", false), ("open", true)])
  func `CLS carries one patch to the others only where its policy leaves it open`(policy: String, leaks: Bool) throws {
    let host = try HostCase("mha")
    let rule = try AttachmentSpec.bundled("attention-knockout", ["cls": policy])
    let pair = try [[], Self.perturbed(0, "vision", row: 8)].map {
      try host.run([rule] + $0, at: ["vision.*.resid_post", "vision.0.z"])
    }
    func same(_ point: String, _ row: Int) throws -> Bool {
      try pair[0].bits(point, row: row) == pair[1].bits(point, row: row)
    }
    for patch in 1..<26 where patch != 8 {
      #expect(try same("vision.0.resid_post", patch), "row \(patch) reads row 8 in spite of the cut")
      #expect(try same("vision.1.resid_post", patch) != leaks, "row \(patch)")
    }
    #expect(try same("vision.0.resid_post", 0) != leaks && !same("vision.0.resid_post", 8))
    #expect((pair[0].logitBits == pair[1].logitBits) == false)  // patch 8 itself is read by the decoder
  }

  @Test(arguments: [("blind", true), ("isolated", false)])
  func `patches read CLS when it is blind, and not when it is isolated`(policy: String, reads: Bool) throws {
    let host = try HostCase("mha")
    let rule = try AttachmentSpec.bundled("attention-knockout", ["cls": policy])
    let pair = try [[], Self.perturbed(0, "vision", row: 0)].map { try host.run([rule] + $0, at: ["vision.0.z"]) }
    for patch in 1..<26 {
      #expect(try (pair[0].bits("vision.0.z", row: patch) != pair[1].bits("vision.0.z", row: patch)) == reads)
    }
  }

  @Test func `a plugin that writes into a blocked edge does not open it`() throws {
    let host = try HostCase("mha")
    for site in ["attn_scores", "pattern"] {
      let open = AttachmentSpec.edit(.siteSet, site: site, layers: "0", rows: "last", value: 0.5)
      let pair = try [[], Self.perturbed(0)].map {
        try host.run([cut("last"), open] + $0, at: ["text.0.z", "text.0.pattern"])
      }
      #expect(try pair[0].bits("text.0.z", row: host.lastRow) == pair[1].bits("text.0.z", row: host.lastRow), "\(site)")
      let pattern = try pair[0]["text.0.pattern"]
      let blocked = (0..<4).map { pattern.values[($0 * 37 + 36) * 37 + Self.key] }
      #expect(site == "pattern" || blocked == [0, 0, 0, 0])  // the capture at `pattern` stands before the last cut
    }
  }

  // MARK: 4. undefined cases are defined

  @Test func `a query without keys is an error, attends to itself, or mixes nothing`() throws {
    let host = try HostCase("mha")
    func run(_ onEmpty: String) throws -> ConditionOutcome {
      try host.run(
        [
          .bundled(
            "attention-knockout",
            [
              "tower": "text", "queries": "[0]", "keys": "[0]", "keep_self": "false", "on_empty": onEmpty,
              "layers": "1",
            ])
        ], at: ["text.1.pattern", "text.1.z", "text.1.v"])
    }
    let error = #expect(throws: HostError.self) { _ = try run("error") }
    #expect(error?.diagnosis.what == "row 0 may attend to nothing")
    #expect(error?.diagnosis.place.contains("text.1.attn_scores") == true)
    #expect(error?.diagnosis.remedy == "set keep_self, or on_empty to self or zero")
    let (itself, zero) = (try run("self"), try run("zero"))
    for head in 0..<4 {
      #expect(try itself["text.1.pattern"].values[head * 37 * 37] == 1)
      #expect(try zero["text.1.pattern"].values[(head * 37 * 37)..<(head * 37 * 37 + 37)].allSatisfy { $0 == 0 })
    }
    #expect(try itself.bits("text.1.z", row: 0) == itself.bits("text.1.v", row: 0))
    #expect(try zero.bits("text.1.z", row: 0).allSatisfy { $0 == 0 })
    #expect(itself.logitBits != zero.logitBits)
  }

  @Test func `two writers act in the condition's order, and the receipt says so`() throws {
    let host = try HostCase("mha")
    let double = try AttachmentSpec.bundled("scale", ["factor": "2", "layers": "0", "tokens": "[5]"])
    let add = AttachmentSpec.edit(.siteAdd, site: "resid_post", layers: "0", rows: "[4:7]", value: 1, vector: [1])
    let elsewhere = AttachmentSpec.edit(.siteAdd, site: "resid_post", layers: "0", rows: "[6]", value: 1, vector: [1])
    let outcomes = try host.run(
      [("clean", []), ("scale, add", [double, add]), ("add, scale", [add, double]), ("apart", [double, elsewhere])],
      at: ["text.0.resid_post"])
    let x = try #require(outcomes["clean"])["text.0.resid_post"].values[(5 * 48)..<(6 * 48)]
    func row(_ name: String) throws -> [Float] {
      Array(try #require(outcomes[name])["text.0.resid_post"].values[(5 * 48)..<(6 * 48)])
    }
    #expect(try row("scale, add") == x.map { $0 * 2 + 1 } && row("add, scale") == x.map { ($0 + 1) * 2 })
    #expect(outcomes["scale, add"]?.receipts.map(\.note?.text) == [nil, "writes after scale at the same rows"])
    #expect(outcomes["add, scale"]?.receipts.map(\.note?.text) == [nil, "writes after edit siteAdd at the same rows"])
    #expect(outcomes["apart"]?.receipts.map(\.note) == [nil, nil])
  }

  @Test(arguments: ["resid_post", "z", "rot_k", "mlp_post", "pattern", "attn_scores"])
  func `a C function through libffi does bit for bit what the edit does`(site: String) throws {
    let host = try HostCase("gqa", newTokens: 3)
    let outcomes = try host.run(
      [
        ("function", [.bundled("scale", ["factor": "0.7", "site": site, "layers": "0", "tokens": "[3:30]"])]),
        ("edit", [.edit(.siteScale, site: site, layers: "0", rows: "[3:30]", value: 0.7)]), ("clean", []),
      ], at: ["text.0.\(site)", "text.*.resid_post", "logits"])
    let (function, edit) = (try #require(outcomes["function"]), try #require(outcomes["edit"]))
    #expect(function.activations == edit.activations && function.activations != outcomes["clean"]?.activations)
    #expect(function.output.generated == edit.output.generated && function.failure == nil)
    let (a, b) = (function.receipts[0], edit.receipts[0])
    #expect(a.elementsChanged == b.elementsChanged && a.largestChange == b.largestChange && a.elementsChanged > 0)
    #expect((a.visitsMade, a.rowsChanged) == (b.visitsMade, b.rowsChanged))
  }
}
