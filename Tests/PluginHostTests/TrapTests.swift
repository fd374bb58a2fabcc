import Checkpoints
import Foundation
import Models
import PluginHost
import PluginRuntime
import Tensors
import Testing

/// Traps seen in published code for these experiments, each as a sentence that holds here.
@Suite(.serialized) struct TrapTests {
  private func pass(_ host: HostCase, _ steps: [AttachmentSpec], at points: [String]) throws -> ConditionOutcome {
    let outcome = try host.run(steps, at: points)
    #expect(outcome.failure == nil)
    return outcome
  }

  /// A boolean mask on an additive one writes 0, which allows: a silent no-op. Here edges are named, never mask values.
  @Test(arguments: ["text", "vision"])
  func `a dropped edge has no attention and the others share it, a kept one is no dropped one`(tower: String) throws {
    let host = try HostCase("mha")
    let point = "\(tower).0.pattern"
    let clean = try pass(host, [], at: [point])[point]
    let (query, key) = (20, 9)
    for (operation, gone) in [(EditRequest.Operation.edgeDrop, true), (.edgeKeepOnly, false)] {
      let edit = AttachmentSpec.edit(operation, tower, layers: "0", rows: "[\(query)]", keys: "[\(key)]")
      let cut = try pass(host, [edit], at: [point])[point]
      let (rows, keys) = (cut.shape[1], cut.shape[2])
      for head in 0..<cut.shape[0] {
        let entries = (0..<keys).map { cut.base[(head * rows + query) * keys + $0] }
        #expect((entries[key] == 0) == gone && (gone || entries[key] == 1))
        #expect(abs(entries.reduce(0, +) - 1) < 1e-5)
        let other = (head * rows + 8) * keys
        #expect((0..<keys).allSatisfy { cut.base[other + $0] == clean.base[other + $0] })
      }
    }
  }

  /// finfo.min on a whole row softmaxes to uniform over all keys, future ones included; minus infinity gives NaN.
  @Test func `a fully blocked row never attends to the future and is never NaN`() throws {
    let host = try HostCase("mha")
    let query = 20
    for (onEmpty, own) in [(EditRequest.OnEmpty.zero, Float(0)), (.itself, 1)] {
      let edit = AttachmentSpec.edit(.edgeDrop, layers: "1", rows: "[\(query)]", keys: "all", onEmpty: onEmpty)
      let outcome = try pass(host, [edit], at: ["text.1.pattern", "text.1.z", "text.*.resid_post"])
      let pattern = try outcome["text.1.pattern"]
      let (rows, keys) = (pattern.shape[1], pattern.shape[2])
      for head in 0..<pattern.shape[0] {
        let entries = (0..<keys).map { pattern.base[(head * rows + query) * keys + $0] }
        #expect(entries[query] == own && entries.enumerated().allSatisfy { $0.offset == query || $0.element == 0 })
      }
      #expect(try outcome["text.2.resid_post"].values.allSatisfy(\.isFinite))
      if onEmpty == .zero {
        #expect(try outcome.bits("text.1.z", row: query).allSatisfy { $0 == 0 || $0 == 0x8000_0000 })
      }
    }
  }

  /// transformers' last hidden state is normed already, and a lens on it norms twice; others leave the norm out.
  @Test(arguments: ["mha", "gqa", "tied"])
  func `the lens norms once: at the last layer it is the model's own logit, and without the norm it is not`(
    name: String
  ) throws {
    let labels = [ItemFacts.Label(field: "part/x", text: "x", ids: [77])]
    let host = try HostCase(name, labels: labels)
    func logit(_ norm: String) throws -> Double {
      let given = ["sites": "text.resid_post", "layers": "-1", "tokens": "last", "norm": norm, "vocabulary": "all"]
      let lens = try AttachmentSpec.bundled("logit-lens", given)
      let outcome = try #require(host.run([("clean", [])], probes: [("lens", lens)])["clean"])
      let column = try #require(outcome.tables[0].columns.first { $0.name == "logit" })
      guard case .numbers(let values) = column.values else { throw Missing(what: "numbers") }
      return values[0]
    }
    let own = try Double(pass(host, [], at: []).output.logits.base[77])
    #expect(abs(try logit("final") - own) <= 1e-5 * max(1, abs(own)))
    #expect(abs(try logit("none") - own) > 1e-2)
  }

  /// Rows of the unembedding that no token has get logits too.
  @Test func `padded rows of the vocabulary do not push a rank down unless they are asked for`() throws {
    let host = try HostCase("mha", labels: [ItemFacts.Label(field: "part/x", text: "x", ids: [77])])
    #expect(host.model.tokenizer.vocabularySize == 136 && host.model.configuration.text.vocabulary == 167)
    func ranks(_ vocabulary: String) throws -> [Double] {
      let lens = try AttachmentSpec.bundled(
        "logit-lens", ["sites": "text.resid_post", "tokens": "all", "vocabulary": vocabulary])
      let outcome = try #require(host.run([("clean", [])], probes: [("lens", lens)])["clean"])
      guard case .numbers(let values)? = outcome.tables[0].columns.first(where: { $0.name == "rank" })?.values else {
        throw Missing(what: "ranks")
      }
      return values
    }
    let (known, all) = (try ranks("known"), try ranks("all"))
    #expect(try known == ranks("0-135") && zip(known, all).allSatisfy { $0 <= $1 } && known != all)
    #expect(zip(known, all).allSatisfy { $1 - $0 <= 31 })
  }

  /// `width // 24` of the source loses the strips at the right and at the bottom where 24 does not divide it.
  @Test(arguments: [(97, 97), (130, 97), (97, 211), (30, 31)])
  func `a mask's last rows and columns reach the last patches of the grid`(width: Int, height: Int) throws {
    let host = try HostCase("mha")
    let geometry = host.model.images.geometry(width: width, height: height)
    let vision = host.model.configuration.vision
    func coverage(_ inside: (Int, Int) -> Bool) throws -> [Float] {
      let pixels = (0..<height).flatMap { y in (0..<width).map { x in UInt8(inside(x, y) ? 255 : 0) } }
      return try patchCoverage(
        mask: GrayImage(width: width, height: height, pixels: pixels), value: nil, geometry: geometry,
        patchSize: vision.patchSize, rows: vision.grid, cols: vision.grid)
    }
    #expect(try coverage { _, _ in true }.allSatisfy { $0 == 1 })
    // The crop's last visible column and row, a third of a patch wide, are in the last column and row of patches only.
    let strip = Double(min(width, height)) / Double(vision.grid) / 3
    let (right, bottom) = (
      Double(width + min(width, height)) / 2 - strip, Double(height + min(width, height)) / 2 - strip
    )
    let last = try coverage { x, y in Double(x) >= right || Double(y) >= bottom }
    for patch in 0..<vision.patches {
      let isLast = patch % vision.grid == vision.grid - 1 || patch / vision.grid == vision.grid - 1
      #expect((last[patch] > 0) == isLast, "patch \(patch)")
    }
  }

  /// `text_start_index = 576` where the image stands at 5...580.
  @Test func `image rows come from the prompt's own segment map, not from a fixed offset`() throws {
    let host = try HostCase("mha")
    for prefix in [[1], [1, 5, 7], [1, 5, 7, 11, 12, 13]] {
      let ids = prefix + Array(repeating: 4, count: 25) + [11, 12, 8]
      let input = try host.model.input(ids: ids, pixels: host.input.pixels)
      let item = Item(id: "x", index: 0, input: input, masks: ["part/leg": [(patch: 24, coverage: 1)]])
      let first = prefix.count
      #expect(try item.rows(of: .selector("image"), in: .text) == Array(first..<first + 25))
      #expect(try item.rows(of: .selector("mask:part"), in: .text) == [first + 24])
      #expect(try item.rows(of: .selector("question"), in: .text) == Array(first + 25..<first + 28))
      #expect(try item.rows(of: .selector("mask:part"), in: .vision) == [25])
    }
  }

  /// With a key-value cache a step has one query: a hook that skips it, or a block list for the prefill's rows, cuts nothing there.
  @Test func `a cut of generated tokens holds in every decoding step, and leaves the prefill alone`() throws {
    let host = try HostCase("mha", newTokens: 5)
    let cut = try AttachmentSpec.bundled(
      "attention-knockout", ["tower": "text", "queries": "generated", "keys": "image"])
    let mass = try AttachmentSpec.bundled("attention-mass", ["tokens": "generated + last"])
    let outcomes = try host.run([("clean", []), ("cut", [cut])], probes: [("mass", mass)])
    func image(_ condition: String) throws -> [Int64: Double] {
      let columns = Dictionary(
        uniqueKeysWithValues: try #require(outcomes[condition]?.tables.first).columns.map { ($0.name, $0.values) })
      guard case .integers(let rows) = columns["row"], case .numbers(let masses) = columns["image"] else {
        throw Missing(what: "columns")
      }
      return Dictionary(zip(rows, masses), uniquingKeysWith: max)
    }
    let (open, closed) = (try image("clean"), try image("cut"))
    #expect(open.count == 5 && open.values.allSatisfy { $0 > 0 })
    for (row, mass) in closed { #expect((mass > 0) == (row == Int64(host.lastRow)), "row \(row)") }
    #expect(outcomes["clean"]?.logitBits == outcomes["cut"]?.logitBits)
    #expect(outcomes["clean"]?.output.generated.first == outcomes["cut"]?.output.generated.first)
  }
}
