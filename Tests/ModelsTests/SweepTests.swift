import CShims
import Checkpoints
import Foundation
import Models
import Tensors
import Testing

/// Promise 6 for reuse: a sweep gives every bit that full passes give: logits, generated ids, readings, receipts. Without AVX-512 the
/// promise is `SweepTests.bound`.
@Suite(.serialized) struct SweepTests {
  /// The published bound on max|a-b| / max|b| between reuse and full recomputation where oneDNN's kernels are not row-invariant (AVX2,
  /// SSE4.1).
  static let bound = 1e-5

  @Test(arguments: ["mha", "gqa", "tied"])
  func `random conditions of one example have the bits of their own full passes`(name: String) throws {
    let comparison = try Comparison(name, seed: 2, packs: 40)
    if Engine.provenance.isa.hasPrefix("avx512") {
      #expect(comparison.different == [], "\(name): the first of them differs by \(comparison.largest)")
    }
    #expect(comparison.largest <= SweepTests.bound)
    #expect(comparison.borrowing > 10 && comparison.alone > 2 && comparison.riders > 3, "every way was gone")
    #expect(comparison.multiplied < comparison.full * 3 / 4, "\(comparison.multiplied) of \(comparison.full)")
  }

  @Test(arguments: ["mha", "gqa"])
  func `decoding from a borrowed pass chooses the ids and has the bits of a full pass`(name: String) throws {
    let comparison = try Comparison(name, seed: 8, packs: 12, newTokens: 5, forced: [7, 11, 5])
    guard Engine.provenance.isa.hasPrefix("avx512") else { return }  // another last bit may choose another word
    #expect(comparison.different == [])
    #expect(comparison.borrowing > 3 && comparison.texts > 2, "\(comparison.texts) different texts")
  }

  @Test func `under AVX2 reuse stays within the published bound`() async {
    await #expect(processExitsWith: .success) {
      setenv("ONEDNN_MAX_CPU_ISA", "AVX2", 1)  // oneDNN reads it at its first use, which comes after this
      try #require(Engine.provenance.isa == "avx2", "the child ran on \(Engine.provenance.isa)")
      for name in ["mha", "gqa"] {
        let comparison = try Comparison(name, seed: 3, packs: 4)
        #expect(comparison.largest <= SweepTests.bound, "\(name): \(comparison.largest)")
        #expect(comparison.borrowing > 1)
      }
    }
  }

  @Test(arguments: [0, 1, 2, 3])
  func `a lane that fails leaves the sweep and the others keep their bits`(failing: Int) throws {
    let (model, input) = try LaneTests.load("gqa", newTokens: 4)
    let last = input.ids.count - 1
    func calling(_ site: Site, _ rows: [Row], writes: Bool) -> Program {
      var program = Program()
      program.add(Op(.call(access: 0, writes: writes), rows: rows, plugin: 0), at: HookPoint(.text, 0, site))
      return program
    }
    var vision = Program()
    vision.add(Op(.call(access: 0, writes: true), rows: [1, 2], plugin: 0), at: HookPoint(.vision, 0, .mlpOut))
    // The first only reads: it is the clean pass that the others borrow, and has to go on when its plugin fails.
    let requests = [
      calling(.residMid, [3], writes: false), calling(.residMid, [3, last], writes: true),
      calling(.k, [last], writes: true), vision,
    ].map { LaneRequest($0, outputRows: [last]) }
    #expect(model.sweepPlan(input, requests).rider == 0)
    let whole = try model.run(input, requests, visitor: Scaling())
    let swept = try model.sweep(input, requests, visitor: Scaling(failing: [failing]))
    #expect(swept[failing].failure?.reason == "enough" && swept[failing].failure?.lane == failing)
    #expect(swept[failing].logits.count == 0 && swept[failing].generated.isEmpty)
    for lane in requests.indices where lane != failing {
      #expect(swept[lane].failure == nil && bits(swept[lane].logits) == bits(whole[lane].logits))
      #expect(swept[lane].generated == whole[lane].generated && swept[lane].generated.count == 4)
    }
  }

  @Test(exact, arguments: ["mha", "gqa"])
  func `conditions of the vision tower resume where they begin and have the bits of full passes`(name: String) throws {
    let (model, input) = try LaneTests.load(name)
    let last = model.hooks.visionLayers - 1
    let heads = model.configuration.vision.heads
    var programs = try (0...last).map { layer in
      var program = Program()
      program.edges[HookPoint(.vision, layer, .attnScores)] = try EdgeMask(
        [EdgeRule(.drop, queries: [2, 3, 5], keys: [1, 2, 3, 4], keepSelf: true)], heads: heads,
        length: 1 + model.configuration.vision.patches, causal: false, place: "")
      return program
    }
    for (site, row) in [(Site.mlpOut, 4), (.residPre, 2), (.k, 0), (.residPost, 0)] {
      var program = Program()
      program.add(Op(.scale(0.5), rows: [row]), at: HookPoint(.vision, last, site))
      program.add(Op(.capture(reading: 0), rows: [0, 1, 4], plugin: 0), at: HookPoint(.vision, last, .residPost))
      programs.append(program)
    }
    programs.append(Program())
    let requests = programs.map { LaneRequest($0, outputRows: [input.ids.count - 1]) }
    let before = model.work
    let swept = try model.sweep(input, requests)
    #expect(model.work.computed - before.computed < (model.work.full - before.full) * 3 / 4)
    for (request, output) in zip(requests, swept) {
      let alone = try model.run(input, [request])[0]
      #expect(LaneTests.differences(alone, output) == [] && alone.results.receipts == output.results.receipts)
    }
  }

  @Test(exact, arguments: ["mha", "gqa", "tied"])
  func `another prompt about the same image takes what it shares with the last one, bit for bit`(name: String) throws {
    let parity = try ParityCase(name, "clean")
    let model = try parity.model()
    let (ids, pixels) = (try parity.goldens.integers("input_ids"), try parity.goldens.floats("pixel_values"))
    // Other words behind the image, fewer or more of them.
    let prompts = [ids, ids.dropLast(1) + [7, 9], ids + [6, 7, 8], ids.dropLast(1) + [11]].map { Array($0) }
    for (turn, prompt) in prompts.enumerated() {
      let input = try model.input(ids: prompt, pixels: pixels, newTokens: 3)
      var programs = RandomPrograms(model, input, seed: UInt64(20 + turn))
      let requests = try [Program(), programs.next(), programs.any()].map {
        LaneRequest($0, outputRows: [prompt.count - 1])
      }
      let swept = try model.sweep(input, requests, visitor: Scaling())
      let fresh = try parity.model()
      for (request, output) in zip(requests, swept) {
        let alone = try fresh.run(input, [request], visitor: Scaling())[0]
        #expect(LaneTests.differences(alone, output) == [] && alone.generated == output.generated)
      }
    }
  }

  @Test func `another prompt about the same image computes only its own rows`() throws {
    let parity = try ParityCase("tied", "clean")
    let model = try parity.model()
    let (ids, pixels) = (try parity.goldens.integers("input_ids"), try parity.goldens.floats("pixel_values"))
    let computed = try [ids, ids.dropLast(1) + [7, 9], ids].map { prompt in
      let before = model.work.computed
      let request = LaneRequest(Program(), outputRows: [prompt.count - 1])
      _ = try model.sweep(model.input(ids: Array(prompt), pixels: pixels), [request])
      return model.work.computed - before
    }
    #expect(computed.dropFirst().allSatisfy { $0 * 10 < computed[0] }, "\(computed)")
  }

  @Test(exact) func `conditions that do not fit the memory run in several packs and keep their bits`() throws {
    let (model, input) = try LaneTests.load("gqa", newTokens: 3)
    var programs = RandomPrograms(model, input, seed: 12)
    let requests = try (0..<6).map { _ in LaneRequest(try programs.any(), outputRows: programs.outputRows()) }
    let together = try model.sweep(input, requests, visitor: Scaling())
    #expect(model.work.packs <= 2, "the clean pass and one pack")
    model.memory = 1
    let apart = try model.sweep(input, requests, visitor: Scaling())
    #expect(model.work.packs >= 6)
    for (a, b) in zip(together, apart) {
      #expect(
        LaneTests.differences(a, b) == [] && a.generated == b.generated && a.results.receipts == b.results.receipts)
    }
  }

  @Test func `layers and decoding steps take no memory of their own`() async {
    await #expect(processExitsWith: .success) {  // by itself, since the counter is of the process
      func bytes(newTokens: Int) throws -> (taken: Int, model: VisionLanguageModel) {
        let (model, input) = try LaneTests.load("mha", newTokens: newTokens)
        let requests = try (0..<3).map { layer in
          var program = Program()
          program.add(Op(.scale(0.5), rows: [input.ids.count - 2 - layer]), at: HookPoint(.text, 0, .residMid))
          return LaneRequest(program, outputRows: [input.ids.count - 1])
        }
        _ = try model.sweep(input, requests)
        let before = FloatStorage.allocatedBytes
        _ = try model.sweep(input, requests)
        return (FloatStorage.allocatedBytes - before, model)
      }
      let (few, many) = (try bytes(newTokens: 3), try bytes(newTokens: 6))
      let c = few.model.configuration.text
      // Three lanes' embedded rows, rows that are read, their norm and their logits, and keys and values that stay.
      let step = 3 * 4 * (3 * c.width + 3 * c.vocabulary + 2 * c.layers * c.kvHeads * c.headWidth)
      // The clean pass that nobody asked for keeps longer keys and values in its store, and room for its own decoding.
      let clean = 4 * 4 * c.layers * c.kvHeads * c.headWidth + 4 * (c.layers + 1) * c.width
      #expect(many.taken - few.taken <= 3 * (step + clean), "\(many.taken - few.taken) bytes for three steps")
    }
  }

  @Test func `a sweep over layers costs less than two passes and a condition alone pays for no clean pass`() throws {
    let (model, input) = try LaneTests.load("mha")
    let last = input.ids.count - 1
    let image = input.segments.segments.filter { $0.kind == .image }.flatMap { Array($0.rows) }
    let requests = try (0..<model.hooks.textLayers).map { layer in
      var program = Program()
      program.edges[HookPoint(.text, layer, .attnScores)] = try EdgeMask(
        [EdgeRule(.drop, queries: [last], keys: image)], heads: model.configuration.text.heads,
        length: input.segments.length, causal: true, place: "")
      return LaneRequest(program, outputRows: [last])
    }
    let full = model.sweepPlan(input, [LaneRequest(Program(), outputRows: [last])])
    let sweep = model.sweepPlan(input, requests)
    #expect(full.rider == 0 && full.cleanCost == 0, "it is the clean pass")
    #expect(sweep.clean != nil && sweep.rider == nil && sweep.total < 2 * full.total)
    #expect(zip(sweep.costs, sweep.costs.dropFirst()).allSatisfy { $0 > $1 }, "later layers cost less")
    #expect(model.sweepPlan(input, [requests[0]]).clean == nil)
  }
}

/// Random conditions, several to a sweep, each held against its own full pass.
private struct Comparison {
  /// "pack.lane: what" of whatever is not equal.
  var different: [String] = []
  /// max|a-b| / max|b| over everything compared.
  var largest = 0.0
  /// Sweeps by how they were planned.
  var (borrowing, alone, riders) = (0, 0, 0)
  var (multiplied, full) = (0, 0)
  var texts: Int { seen.count }
  private var seen: Set<[Int]> = []

  init(_ name: String, seed: UInt64, packs: Int, newTokens: Int = 0, forced: [Int] = []) throws {
    let parity = try ParityCase(name, "clean")
    let model = try parity.model()
    let input = try model.input(
      ids: parity.goldens.integers("input_ids"), pixels: parity.goldens.floats("pixel_values"), forced: forced,
      newTokens: newTokens)
    var programs = RandomPrograms(model, input, seed: seed)
    for pack in 0..<packs {
      let requests = try (0..<(1 + pack % 4)).map { _ in
        LaneRequest(try programs.any(), outputRows: programs.outputRows())
      }
      note(model.sweepPlan(input, requests), input, model)
      let swept = try model.sweep(input, requests, visitor: Scaling())
      for (lane, request) in requests.enumerated() {
        let alone = try model.run(input, [request], visitor: Scaling())[0]
        compare("\(pack).\(lane)", swept[lane], alone)
        seen.insert(alone.generated)
      }
    }
  }

  private mutating func note(_ plan: SweepPlan, _ input: ModelInput, _ model: VisionLanguageModel) {
    if plan.clean == nil { alone += 1 } else { borrowing += 1 }
    if plan.rider != nil { riders += 1 }
    multiplied += plan.total
    full += plan.lanes.count * model.multiplyAdds(input)
  }

  private mutating func compare(_ name: String, _ swept: LaneOutput, _ alone: LaneOutput) {
    note("\(name): logits", swept.logits, alone.logits)
    if swept.generated != alone.generated || swept.steps != alone.steps { different.append("\(name): generated ids") }
    if swept.failure != alone.failure { different.append("\(name): failure") }
    let (a, b) = (swept.results, alone.results)
    if a.captures.map(\.point) != b.captures.map(\.point) || a.captures.map(\.rows) != b.captures.map(\.rows)
      || a.masses.map(\.point) != b.masses.map(\.point)
    {
      different.append("\(name): readings")
    }
    for (x, y) in zip(a.captures, b.captures) { note("\(name): \(x.point)", x.tensor, y.tensor) }
    for (x, y) in zip(a.masses, b.masses) { note("\(name): mass at \(x.point)", x.tensor, y.tensor) }
    if different.isEmpty && a.receipts != b.receipts { different.append("\(name): receipts") }
  }

  private mutating func note(_ name: String, _ a: Tensor, _ b: Tensor) {
    if bits(a) != bits(b) {
      different.append(name)
      largest = max(largest, difference(a, b))
    }
  }
}

/// Writes 0.75 times what it finds wherever it may write; fails lanes of these indices wherever it is called.
final class Scaling: HookVisitor {
  let failing: Set<Int>
  init(failing: Set<Int> = []) { self.failing = failing }

  func visit(_ batch: [Visit]) -> [LaneFailure] {
    for visit in batch where visit.writable {
      for i in 0..<visit.data.count where visit.data.base[i].isFinite { visit.data.base[i] *= 0.75 }
    }
    return batch.filter { failing.contains($0.lane) }.map {
      LaneFailure(lane: $0.lane, plugin: $0.plugin, point: $0.point, reason: "enough")
    }
  }
}

private let exact = ConditionTrait.enabled(
  if: Engine.provenance.isa.hasPrefix("avx512"), "rows keep their bits with AVX-512 only")
