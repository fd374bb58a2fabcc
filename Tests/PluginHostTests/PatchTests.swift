import Foundation
import Models
import PluginHost
import PluginRuntime
import Tensors
import Testing

/// Patches: an activation becomes that of another run of the same item, or of another.
@Suite(.serialized) struct PatchTests {
  private static func patch(
    _ condition: String, _ site: String = "resid_post", tower: String = "text", layers: String = "all",
    heads: [Int]? = nil, rows: String = "all", item: String? = nil, sourceLayer: Int? = nil
  ) -> AttachmentSpec {
    let request = EditRequest(
      operation: .sitePatch, tower: tower, site: site, layers: .selector(layers), heads: heads,
      queries: .selector(rows), keys: .selector("all"), value: 0, vector: nil, sourceCondition: condition,
      sourceItem: item, sourceLayer: sourceLayer, keepSelf: false, onEmpty: .error)
    return .edit(ManifestEdit(name: "patch", request: request, place: "test"))
  }

  private static let cut = ["tower": "text", "layers": "0"]

  @Test(arguments: ["mha", "gqa", "tied"])
  func `from the clean run into itself changes no bit at any site, and says so`(name: String) throws {
    let host = try HostCase(name, newTokens: 3)
    let points = host.model.hooks.all.filter { ![.finalNorm, .logits].contains($0.site) }
    let steps = Set(points.map { [$0.tower.rawValue, $0.site.rawValue] }).sorted { $0.joined() < $1.joined() }.map {
      Self.patch("clean", $0[1], tower: $0[0])
    }
    let outcomes = try host.run([("same", steps), ("clean", [])], at: ["text.*.resid_post", "projector.out"])
    let (same, clean) = (try #require(outcomes["same"]), try #require(outcomes["clean"]))
    #expect(same.failure == nil && same.activations == clean.activations && same.activations.count >= 3)
    #expect(same.logitBits == clean.logitBits && same.output.generated == clean.output.generated)
    for receipt in same.receipts {
      #expect(receipt.note?.text == "changed nothing" || receipt.note?.text.hasPrefix("writes after") == true)
      #expect(receipt.visitsMade == receipt.visitsPlanned && receipt.visitsMade > 0)
      #expect(receipt.elementsChanged == 0 && receipt.largestChange == 0)
    }
  }

  /// Everything behind the patched layer is the source's, whatever was cut before it.
  @Test(arguments: ["mha", "gqa", "tied"])
  func `of a whole layer carries the source's run, clean into ablated and ablated into clean`(name: String) throws {
    let host = try HostCase(name, newTokens: 0)
    let cut = try AttachmentSpec.bundled("attention-knockout", Self.cut)
    let outcomes = try host.run(
      [
        ("restored", [cut, Self.patch("clean", layers: "1")]), ("clean", []), ("cut", [cut]),
        ("damaged", [Self.patch("cut", layers: "1")]),
      ], at: ["text.*.resid_post"])
    func bits(_ condition: String, _ layer: Int) throws -> [UInt32] {
      try #require(outcomes[condition]).bits("text.\(layer).resid_post")
    }
    for (target, source, own) in [("restored", "clean", "cut"), ("damaged", "cut", "clean")] {
      #expect(try bits(target, 0) == bits(own, 0) && bits(target, 0) != bits(source, 0))
      for layer in 1..<host.model.hooks.textLayers { #expect(try bits(target, layer) == bits(source, layer)) }
      #expect(outcomes[target]?.logitBits == outcomes[source]?.logitBits)
      #expect(outcomes[target]?.logitBits != outcomes[own]?.logitBits)
      #expect(outcomes[target]?.receipts.last?.rowsChanged ?? 0 > 0)
    }
  }

  @Test func `takes only the rows, heads and layer that it names`() throws {
    let host = try HostCase("mha")
    let noise = AttachmentSpec.edit(.siteScale, site: "embed", value: -0.5)
    let outcomes = try host.run(
      [
        ("clean", []), ("other", [noise]),
        ("heads", [Self.patch("other", "z", layers: "1", heads: [2], rows: "[5:9]")]),
        ("later", [Self.patch("other", layers: "1", rows: "last", sourceLayer: 2)]),
        ("pattern", [Self.patch("other", "pattern", layers: "0", heads: [1], rows: "last")]),
      ], at: ["text.*.z", "text.*.resid_post", "text.0.pattern"])
    func tensor(_ condition: String, _ point: String) throws -> Tensor { try #require(outcomes[condition])[point] }
    let (z, clean, other) = try (tensor("heads", "text.1.z"), tensor("clean", "text.1.z"), tensor("other", "text.1.z"))
    let (heads, width) = (z.shape[1], z.shape[2])
    for row in 0..<z.shape[0] {
      for head in 0..<heads {
        let start = (row * heads + head) * width
        let from = head == 2 && (5..<9).contains(row) ? other : clean
        #expect((0..<width).allSatisfy { z.base[start + $0] == from.base[start + $0] })
      }
    }
    let later = try #require(outcomes["later"])
    #expect(
      try later.bits("text.1.resid_post", row: host.lastRow)
        == #require(outcomes["other"]).bits("text.2.resid_post", row: host.lastRow))
    #expect(
      try later.bits("text.1.resid_post", row: 3) == #require(outcomes["clean"]).bits("text.1.resid_post", row: 3))
    let pattern = try tensor("pattern", "text.0.pattern")
    let (rows, last) = (pattern.shape[1], host.lastRow)
    for head in 0..<heads {
      let from = try tensor(head == 1 ? "other" : "clean", "text.0.pattern")
      let start = (head * rows + last) * rows
      #expect((0..<rows).allSatisfy { pattern.base[start + $0] == from.base[start + $0] })
    }
  }

  /// A chain: what is patched from is itself patched.
  @Test func `runs sources first, in whatever order the conditions stand, and leaves them out of the answer`() throws {
    let host = try HostCase("mha")
    let cut = try AttachmentSpec.bundled("attention-knockout", Self.cut)
    let session = try Session(
      host.model,
      conditions: [
        ("third", [Self.patch("second", layers: "-1")]), ("second", [Self.patch("first", layers: "1")]),
        ("first", [cut]),
      ], probes: [], seed: 0)
    let wish = Session.Wish(outputRows: [host.lastRow])
    let alone = try session.run(host.item, conditions: ["third"], wish)
    #expect(alone.map(\.condition) == ["third"])
    let all = try session.run(host.item, conditions: ["first", "second", "third"], wish)
    #expect(Set(all.map(\.condition)) == ["first", "second", "third"])
    #expect(Set(all.map(\.logitBits)).count == 1 && all.allSatisfy { $0.logitBits == alone[0].logitBits })
  }

  @Test func `from another item takes that item's run, and needs as many rows there`() throws {
    let host = try HostCase("mha", masks: ["part/leg": [0, 1]])
    let other = Item(
      id: "two", index: 1, input: host.input.replacing(pixels: Tensor(zeros: host.input.pixels.shape)),
      masks: ["part/leg": [(patch: 3, coverage: 1)]])
    func session(_ steps: [AttachmentSpec]) throws -> Session {
      try Session(host.model, conditions: [("clean", []), ("resampled", steps)], probes: [], seed: 0) { name, item in
        #expect(name == "random" && item.id == "one")
        return other
      }
    }
    let wish = Session.Wish(outputRows: [host.lastRow])
    let resampled = try session([Self.patch("clean", "embed", item: "random")])
      .run(host.item, conditions: ["clean", "resampled"], wish)
    let reference = try session([]).run(other, conditions: ["clean"], wish)
    #expect(resampled[1].logitBits == reference[0].logitBits && resampled[0].logitBits != reference[0].logitBits)
    let uneven = try session([Self.patch("clean", "embed", rows: "mask:part", item: "random")])
      .run(host.item, conditions: ["resampled"], wish)
    #expect(uneven[0].failure?.reason == "2 rows are patched, but 'two', which is patched from, has 1 of them")
    let nobody = try Session(
      host.model, conditions: [("clean", []), ("x", [Self.patch("clean", item: "two")])], probes: [], seed: 0)
    #expect(
      try nobody.run(host.item, conditions: ["x"], wish)[0].failure?.reason
        == "there is no item 'two' here: patches from others need a dataset")
  }

  @Test(arguments: [
    ("a", "b", "its patches come from itself: a <- b <- a"), ("a", "a", "its patches come from itself: a <- a"),
    ("c", "b", "patches from 'c', which is no condition"),
  ])
  func `round in a circle, or from nowhere, is refused with the path`(a: String, b: String, why: String) throws {
    let host = try HostCase("mha")
    let (into, from) = a == "c" ? ("b", "c") : (a, b)
    var conditions: [(name: String, steps: [AttachmentSpec])] = [(name: into, steps: [Self.patch(from)])]
    if into != "b" { conditions.append((name: "b", steps: [Self.patch("a")])) }
    let error = #expect(throws: HostError.self) {
      _ = try Session(host.model, conditions: conditions, probes: [], seed: 0)
    }
    #expect(error?.diagnosis.what.contains(why) == true)
  }

  @Test func `from a condition that failed fails by its name`() throws {
    let host = try HostCase("mha")
    let large = AttachmentSpec.edit(.siteScale, site: "resid_post", layers: "0", value: 1e30)
    let infinite = try AttachmentSpec.bundled("scale", ["site": "resid_post", "layers": "0", "factor": "1e30"])
    let outcomes = try host.run([("bad", [large, infinite]), ("target", [Self.patch("bad")]), ("fine", [])])
    #expect(outcomes["bad"]?.failure != nil && outcomes["fine"]?.failure == nil)
    #expect(outcomes["target"]?.failure?.reason.hasPrefix("condition 'bad', which is patched from, failed: ") == true)
  }
}
