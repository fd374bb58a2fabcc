import CShims
import Checkpoints
import Foundation
import Models
import Tensors
import Testing

/// Promise 6 for lanes: what else is in the pack, how many threads there are, and whether a lane borrows a clean pass or computes
/// everything itself, leaves every bit alone. Without AVX-512 the promise is `LaneTests.bound`.
@Suite(.serialized) struct LaneTests {
  /// The published bound on max|a-b| / max|b| between a lane that borrows and its own full pass where oneDNN's kernels are not
  /// row-invariant (AVX2, SSE4.1).
  static let bound = 1e-5

  @Test(arguments: ["mha", "gqa", "tied"])
  func `lanes with different rows that borrow one clean pass have the bits of their own full passes`(name: String)
    throws
  {
    let comparison = try BorrowedLanes(name, seed: 2, packs: 40)
    if Engine.provenance.isa.hasPrefix("avx512") {
      #expect(comparison.different == [], "\(name): the first of them differs by \(comparison.largest)")
    }
    #expect(comparison.largest <= LaneTests.bound)
    #expect(
      comparison.borrowed < comparison.full * 3 / 4, "\(comparison.borrowed) of \(comparison.full) rows were computed")
    #expect(comparison.lateLanes > 5 && comparison.shapes > 20)
  }

  @Test func `under AVX2 the same lanes stay within the published bound`() async {
    await #expect(processExitsWith: .success) {
      setenv("ONEDNN_MAX_CPU_ISA", "AVX2", 1)  // oneDNN reads it at its first use, which comes after this
      try #require(Engine.provenance.isa == "avx2", "the child ran on \(Engine.provenance.isa)")
      for name in ["mha", "gqa", "tied"] {
        let comparison = try BorrowedLanes(name, seed: 3, packs: 8)
        #expect(comparison.largest <= LaneTests.bound, "\(name): \(comparison.largest)")
        #expect(comparison.shapes > 5)
      }
    }
  }

  @Test(arguments: ["mha", "gqa", "tied"])
  func `a pack of different lanes gives each lane the bits of its own run`(name: String) throws {
    let (model, input) = try LaneTests.load(name, newTokens: 4)
    var programs = RandomPrograms(model, input, seed: 5)
    var requests = [LaneRequest(Program(), outputRows: [input.ids.count - 1])]
    for _ in 0..<5 {
      requests.append(
        LaneRequest(try LaneTests.captured(programs.next(), model, input), outputRows: [input.ids.count - 1]))
    }
    requests.append(LaneRequest(try Cut.vision(model), outputRows: [input.ids.count - 1]))
    let together = try model.run(input, requests)
    for (request, output) in zip(requests, together) {
      let alone = try model.run(input, [request])[0]
      #expect(LaneTests.differences(alone, output) == [])
      #expect(alone.generated == output.generated && alone.steps == 3 && output.steps == 3)
    }
    #expect(Set(together.map { bits($0.logits) }).count > 3)
  }

  @Test func `a lane that fails leaves the pack and the others keep their bits`() throws {
    let (model, input) = try LaneTests.load("gqa", newTokens: 4)
    let last = input.ids.count - 1
    var called = Program()
    called.add(Op(.call(access: 0, writes: true), rows: [3, last], plugin: 0), at: HookPoint(.text, 0, .residMid))
    var programs = RandomPrograms(model, input, seed: 6)
    let requests = try [Program(), called, programs.next(), called].map { program throws in
      LaneRequest(try LaneTests.captured(program, model, input), outputRows: [last])
    }
    let before = try model.run(input, requests, visitor: Failing([]))
    let after = try model.run(input, requests, visitor: Failing([1]))
    #expect(
      after[1].failure == LaneFailure(lane: 1, plugin: 0, point: HookPoint(.text, 0, .residMid), reason: "enough"))
    #expect(after[1].logits.count == 0 && after[1].generated.isEmpty && before[1].failure == nil)
    for lane in [0, 2, 3] {
      #expect(after[lane].failure == nil)
      #expect(LaneTests.differences(before[lane], after[lane]) == [])
      #expect(before[lane].generated == after[lane].generated && after[lane].generated.count == 4)
    }
  }

  @Test func `a lane that fails while it borrows gives the clean pass back as it was`() throws {
    let (model, input) = try LaneTests.load("mha")
    let clean = try model.cleanPass(input)
    let last = input.ids.count - 1
    var called = Program()
    called.add(Op(.call(access: 0, writes: true), rows: [2, 9], plugin: 0), at: HookPoint(.text, 1, .residPre))
    let requests = [called, Program()].map { LaneRequest($0, outputRows: [last]) }
    let failed = try model.run(requests, borrowing: clean, visitor: Failing([0]))
    #expect(failed[0].failure?.reason == "enough" && failed[0].logits.count == 0)
    let fresh = try model.run([requests[1]], borrowing: model.cleanPass(input))[0]
    #expect(bits(failed[1].logits) == bits(fresh.logits))
    let again = try model.run(requests, borrowing: clean, visitor: Failing([]))
    #expect(bits(again[1].logits) == bits(fresh.logits) && again[0].failure == nil)
  }

  @Test func `a condition that touches the image is refused by a pass that borrows`() throws {
    let (model, input) = try LaneTests.load("mha")
    let clean = try model.cleanPass(input)
    let request = LaneRequest(try Cut.vision(model), outputRows: [0])
    let error = #expect(throws: ModelError.self) { _ = try model.run([request], borrowing: clean) }
    #expect(error?.diagnosis.remedy == "run it as a full pass")
  }

  @Test(arguments: ["mha", "gqa"])
  func `one thread and two give the same bits`(name: String) throws {
    let threads = omp_get_max_threads()
    defer { omp_set_num_threads(threads) }  // of this thread only: the other tests have their own
    let runs = try [Int32(1), 2].map { count -> [LaneOutput] in
      omp_set_num_threads(count)
      #expect(engineThreads == Int(count))
      let (model, input) = try LaneTests.load(name, newTokens: 4)  // oneDNN compiles for the threads that it finds
      var programs = RandomPrograms(model, input, seed: 7)
      let requests = try (0..<4).map { _ in
        LaneRequest(try LaneTests.captured(programs.next(), model, input), outputRows: [input.ids.count - 1])
      }
      return try model.run(input, requests)
    }
    for (one, two) in zip(runs[0], runs[1]) {
      #expect(LaneTests.differences(one, two) == [])
      #expect(one.generated == two.generated)
    }
  }

  // MARK: helpers

  static func load(_ name: String, newTokens: Int = 0) throws -> (VisionLanguageModel, ModelInput) {
    let parity = try ParityCase(name, "clean")
    let model = try parity.model()
    return (model, try parity.input(model, newTokens: newTokens))
  }

  /// With every row of resid_post, pattern and logits kept.
  static func captured(_ program: Program, _ model: VisionLanguageModel, _ input: ModelInput) throws -> Program {
    var program = program
    let points = try ["text.*.resid_post", "text.*.pattern", "projector.out"].flatMap { try model.hooks.match($0) }
    program.add(capturesAt: points, input, classRows: model.hasClassRow)
    return program
  }

  /// The names of what is not bit-equal.
  static func differences(_ a: LaneOutput, _ b: LaneOutput) -> [String] {
    var names = bits(a.logits) == bits(b.logits) ? [] : ["logits"]
    for (x, y) in zip(a.results.captures, b.results.captures)
    where x.point != y.point || bits(x.tensor) != bits(y.tensor) {
      names.append("\(x.point)")
    }
    return a.results.captures.count == b.results.captures.count ? names : names + ["captures"]
  }

  /// Fails lanes of these indices wherever it is called.
  private final class Failing: HookVisitor {
    let lanes: Set<Int>
    init(_ lanes: Set<Int>) { self.lanes = lanes }

    func visit(_ batch: [Visit]) -> [LaneFailure] {
      batch.filter { lanes.contains($0.lane) }.map {
        LaneFailure(lane: $0.lane, plugin: $0.plugin, point: $0.point, reason: "enough")
      }
    }
  }
}

func bits(_ tensor: Tensor) -> [UInt32] { tensor.values.map(\.bitPattern) }

/// Random conditions of one example, three to a pack, that borrow one clean pass: each is held against its own full pass, at every
/// row and layer that it computed, at the rows that it left out (which must be the clean pass's), and in its logits.
private struct BorrowedLanes {
  /// "pack.lane: hook point" of whatever is not bit-equal.
  var different: [String] = []
  /// max|a-b| / max|b| over everything compared.
  var largest = 0.0
  var (borrowed, full) = (0, 0)
  /// Lanes without rows in layer 0.
  var lateLanes = 0
  /// Different lists of rows per layer.
  var shapes: Int { seen.count }
  private var seen: Set<[[Row]]> = []

  init(_ name: String, seed: UInt64, packs: Int) throws {
    let (model, input) = try LaneTests.load(name)
    let clean = try model.cleanPass(input)
    let untouched = try model.run(input, [everywhere(LaneRequest(Program(), outputRows: []), model, input)])[0]
    var programs = RandomPrograms(model, input, seed: seed)
    for pack in 0..<packs {
      let requests = try (0..<3).map { _ in LaneRequest(try programs.next(), outputRows: programs.outputRows()) }
      let watched = requests.map { watch($0, clean, model) }
      let outputs = try model.run(watched, borrowing: clean)
      for (lane, output) in outputs.enumerated() {
        let alone = try model.run(input, [everywhere(requests[lane], model, input)])[0]
        compare("\(pack).\(lane)", output, alone, requests[lane].rowsByLayer(clean, layers: model.hooks.textLayers))
        compareLeftOut("\(pack).\(lane)", output, alone, untouched)
      }
    }
  }

  /// Keeps resid_post of just the rows that are computed anyway, so that looking changes nothing.
  private mutating func watch(_ request: LaneRequest, _ clean: CleanPass, _ model: VisionLanguageModel) -> LaneRequest {
    let rows = request.rowsByLayer(clean, layers: model.hooks.textLayers)
    var program = request.program
    for (layer, rows) in rows.enumerated() {
      program.add(
        Op(.capture(reading: layer), rows: rows, plugin: Program.reader), at: HookPoint(.text, layer, .residPost))
    }
    seen.insert(rows)
    borrowed += rows.reduce(0) { $0 + $1.count }
    full += rows.count * clean.length
    if rows[0].isEmpty { lateLanes += 1 }
    return LaneRequest(program, outputRows: request.outputRows)
  }

  private func everywhere(_ request: LaneRequest, _ model: VisionLanguageModel, _ input: ModelInput) -> LaneRequest {
    var program = request.program
    for layer in 0..<model.hooks.textLayers {
      program.add(
        Op(.capture(reading: layer), rows: Array(input.ids.indices), plugin: Program.reader),
        at: HookPoint(.text, layer, .residPost))
    }
    return LaneRequest(program, outputRows: request.outputRows)
  }

  private mutating func compare(_ name: String, _ output: LaneOutput, _ alone: LaneOutput, _ rows: [[Row]]) {
    note("\(name): logits", output.logits, alone.logits)
    for (layer, rows) in rows.enumerated() where !rows.isEmpty {
      guard let kept = output.results.captures.first(where: { $0.reading == layer }), kept.rows == rows,
        let whole = alone.results.captures.first(where: { $0.reading == layer })
      else {
        different.append("\(name): nothing of layer \(layer)")
        continue
      }
      note("\(name): \(kept.point)", kept.tensor, whole.tensor.rows(rows))
    }
  }

  /// Rows that were not computed have the clean pass's bits in the full pass too.
  private mutating func compareLeftOut(
    _ name: String, _ output: LaneOutput, _ alone: LaneOutput, _ clean: LaneOutput
  ) {
    for (whole, untouched) in zip(alone.results.captures, clean.results.captures) {
      let computed = Set(output.results.captures.first { $0.reading == whole.reading }?.rows ?? [])
      let rows = whole.rows.filter { !computed.contains($0) }
      note("\(name): left out at \(whole.point)", untouched.tensor.rows(rows), whole.tensor.rows(rows))
    }
  }

  private mutating func note(_ name: String, _ a: Tensor, _ b: Tensor) {
    if bits(a) != bits(b) {
      different.append(name)
      largest = max(largest, difference(a, b))
    }
  }
}

extension Tensor {
  /// The rows of this index of a [rows, width] tensor.
  fileprivate func rows(_ rows: [Row]) -> Tensor {
    let width = shape[1]
    let picked = Tensor(zeros: [rows.count, width])
    for (n, row) in rows.enumerated() { (picked.base + n * width).update(from: base + row * width, count: width) }
    return picked
  }
}
