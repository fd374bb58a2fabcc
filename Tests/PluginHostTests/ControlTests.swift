import Models
import PluginHost
import PluginRuntime
import Tensors
import Testing

/// Controls that share the pass: other patches, other words, other images, other edges.
@Suite(.serialized) struct ControlTests {
  /// A 5 x 5 grid: a leg of three patches, a tail of two, a body of one; patch 24 is touched by a part that does not own it.
  private static func host() throws -> HostCase {
    var host = try HostCase("mha")
    let masks = ["part/leg": [0, 1, 2], "part/tail": [5, 6], "part/body": [10]]
    let labels = [("leg", 100), ("tail", 77), ("body", 3)].map {
      ItemFacts.Label(field: "part/\($0.0)", text: $0.0, ids: [Int32($0.1)])
    }
    func word(_ text: String, _ id: Int32, _ count: Int) -> WordCount {
      WordCount(label: .init(field: "word", text: text, ids: [id]), count: count)
    }
    host.item = Item(
      id: "one", index: 0, input: host.input, masks: masks.mapValues { $0.map { (patch: $0, coverage: 1) } },
      labels: labels, background: Array(11..<24),
      words: [
        word("leg", 100, 40), word("wheel", 50, 30), word("tail", 77, 10), word("wing", 51, 8), word("oar", 52, 1),
        word("body", 3, 1),
      ])
    return host
  }

  private struct Read: Hashable { let label: String, row: Int64, logit: Double }

  /// What each probe reads at the first layer, and its receipt's note.
  private func read(
    _ controls: [ProbeControl?], item: Item? = nil, seed: UInt64 = 1
  ) throws -> [(rows: [Read], note: Note?)] {
    let host = try Self.host()
    let lens = try AttachmentSpec.bundled("logit-lens", ["sites": "text.resid_post", "layers": "0"])
    let probes = controls.enumerated().map { ProbeSpec(name: "p\($0)", spec: lens, control: $1) }
    let session = try Session(host.model, conditions: [("clean", [])], probes: probes, seed: seed)
    let wish = Session.Wish(outputRows: [host.lastRow])
    let outcome = try session.run(item ?? host.item, conditions: ["clean"], wish)[0]
    #expect(outcome.failure == nil)
    return try controls.indices.map { i in
      guard let table = outcome.tables.first(where: { $0.source == "p\(i)" }) else {
        return ([], outcome.receipts[i].note)
      }
      let columns = Dictionary(uniqueKeysWithValues: table.columns.map { ($0.name, $0.values) })
      guard case .strings(let labels) = columns["label"], case .integers(let rows) = columns["row"],
        case .numbers(let logits) = columns["logit"]
      else { throw Missing(what: "a column") }
      return (
        labels.indices.map { Read(label: labels[$0], row: rows[$0], logit: logits[$0]) }, outcome.receipts[i].note
      )
    }
  }

  private func patches(_ read: [Read], _ label: String) -> Set<Int64> {
    Set(read.filter { $0.label == "part/\(label)" }.map { $0.row - 2 })  // two tokens stand before the image
  }

  @Test func `random patches are as many as the part's, none of them its own, and beside the probe in the same pass`()
    throws
  {
    let all = try read([nil, .randomObject, .randomBackground])
    #expect(patches(all[0].rows, "leg") == [0, 1, 2] && all[0].note == nil)
    for part in ["tail", "body"] {
      let (own, object) = (patches(all[0].rows, part), patches(all[1].rows, part))
      #expect(object.count == own.count && object.isDisjoint(with: own) && object.isSubset(of: [0, 1, 2, 5, 6, 10]))
    }
    #expect(patches(all[1].rows, "leg").isSubset(of: [5, 6, 10]) && patches(all[1].rows, "leg").count == 3)
    for part in ["leg", "tail", "body"] {
      let background = patches(all[2].rows, part)
      #expect(background.count == patches(all[0].rows, part).count && background.isSubset(of: Set(11..<24)))
    }
    #expect(try read([.randomObject])[0].rows == all[1].rows)
    #expect(try read([.randomBackground], seed: 2)[0].rows != all[2].rows)
  }

  @Test func `what cannot be matched is said and counted`() throws {
    let host = try Self.host()
    let big = ["part/leg": Array(0..<20), "part/tail": [20, 21]]
    let item = Item(
      id: "one", index: 0, input: host.input, masks: big.mapValues { $0.map { (patch: $0, coverage: 1) } },
      labels: Array(host.item.labels.prefix(2)), background: [24])
    let controls: [ProbeControl] = [.randomObject, .randomBackground, .randomWord]
    let all = try read(controls, item: item)
    #expect(all[0].note == Note(.omission, "1 of 2 not matched: leg") && patches(all[0].rows, "tail").count == 2)
    #expect(all[1].note?.text == "2 of 2 not matched: leg, tail" && all[1].rows.isEmpty)
    #expect(all[2].note?.text == "2 of 2 not matched: leg, tail")
  }

  @Test func `another word is asked at the part's own patches, and the receipt says which`() throws {
    let all = try read([nil, .wrongPart, .randomWord])
    for read in all[1...] { #expect(Set(read.rows.map(\.row)).isSubset(of: Set(all[0].rows.map(\.row)))) }
    #expect(patches(all[1].rows, "leg") == [0, 1, 2] && all[1].rows != all[0].rows)
    let wrong = try #require(all[1].note).text
    #expect(wrong.hasPrefix("read leg as ") && ["leg as tail", "leg as body"].contains { wrong.contains($0) })
    // Within a factor of two as frequent: leg (40) as wheel (30), tail (10) as wing (8), body (1) as oar (1).
    #expect(all[2].note == Note(.fact, "read leg as wheel, tail as wing, body as oar"))
  }

  @Test func `a blank image is the mean colour, a shuffled one the same patches in another order`() throws {
    let host = try HostCase("mha")
    let points = ["vision.embed", "text.*.resid_post"]
    let outcomes = try host.run(
      [("clean", []), ("blank", [.image(.blank)]), ("shuffled", [.image(.shuffled)]), ("again", [.image(.shuffled)])],
      at: points)
    let embed = try outcomes.mapValues { try $0["vision.embed"] }
    let (clean, blank, shuffled) = (
      try #require(embed["clean"]), try #require(embed["blank"]), try #require(embed["shuffled"])
    )
    #expect(clean.values != blank.values && clean.values != shuffled.values && blank.values != shuffled.values)
    #expect(outcomes["shuffled"]?.activations == outcomes["again"]?.activations)
    // CLS comes from no pixel; patch embeddings without positions are those of the clean image in another order.
    let width = clean.shape[1]
    func row(_ tensor: Tensor, _ row: Int) -> [Float] {
      (0..<width).map { tensor.base[row * width + $0] - blank.base[row * width + $0] }
    }
    #expect(row(clean, 0) == row(shuffled, 0))
    let patches = (1..<clean.shape[0]).map { row(clean, $0) }
    let places = (1..<clean.shape[0]).map { place in
      patches.firstIndex { zip($0, row(shuffled, place)).allSatisfy { abs($0 - $1) < 1e-4 } }
    }
    let found = places.compactMap(\.self)
    #expect(Set(found).count == patches.count && found != Array(patches.indices))
    let receipt = try #require(outcomes["blank"]?.receipts.first)
    #expect(
      receipt.plugin == "image blank" && receipt.points == "pixels" && receipt.visitsMade == 1 && receipt.note == nil)
    #expect(receipt.elementsChanged > host.input.pixels.count / 2)
  }

  @Test(arguments: ["number", "mass"], ["vision", "text"])
  func `random edges are as many per query as the cut's, or of as much attention`(match: String, tower: String) throws {
    let host = try HostCase("mha", masks: ["part/leg": [6, 7, 12]])
    let rows = [
      "tower": tower, "queries": "mask:part", "keys": tower == "text" ? "image - mask:part" : "patches - mask:part",
    ]
    let cut = try AttachmentSpec.bundled("attention-knockout", rows.merging(["cls": "open"]) { $1 })
    let random = try AttachmentSpec.bundled("random-edges", rows.merging(["match": match]) { $1 })
    let outcomes = try host.run([("clean", []), ("cut", [cut]), ("random", [random])], at: ["\(tower).0.pattern"])
    let again = try host.run([("random", [random])], at: ["\(tower).0.pattern"])
    #expect(outcomes.values.allSatisfy { $0.failure == nil })
    let point = "\(tower).0.pattern"
    let clean = try #require(outcomes["clean"])[point]
    let (cutTo, randomTo) = (try #require(outcomes["cut"])[point], try #require(outcomes["random"])[point])
    #expect(try randomTo.values == #require(again["random"])[point].values && randomTo.values != cutTo.values)
    let (heads, count, keys) = (clean.shape[0], clean.shape[1], clean.shape[2])
    let first = tower == "text" ? 2 : 1
    for head in 0..<heads {
      for query in [6, 7, 12].map({ $0 + first }) {
        let start = (head * count + query) * keys
        func gone(_ tensor: Tensor) -> [Int] {
          (0..<keys).filter { clean.base[start + $0] > 0 && tensor.base[start + $0] == 0 }
        }
        func mass(_ keys: [Int]) -> Double { keys.reduce(0) { $0 + Double(clean.base[start + $1]) } }
        #expect(!gone(randomTo).contains(query))
        #expect(abs((0..<keys).reduce(0) { $0 + Double(randomTo.base[start + $1]) } - 1) < 1e-5)
        if match == "number" {
          #expect(gone(randomTo).count == gone(cutTo).count)
        } else {
          let most = (0..<keys).map { Double(clean.base[start + $0]) }.max() ?? 0
          #expect(abs(mass(gone(randomTo)) - mass(gone(cutTo))) <= most)
        }
      }
      let untouched = (head * count) * keys
      #expect((0..<keys).allSatisfy { randomTo.base[untouched + $0] == clean.base[untouched + $0] })
    }
    #expect(
      Set(
        [6, 7, 12].map { query in
          (0..<keys).filter {
            randomTo.base[(query + first) * keys + $0] == 0 && clean.base[(query + first) * keys + $0] > 0
          }
        }
      ).count > 1)
  }
}
