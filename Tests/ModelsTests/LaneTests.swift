import CShims
import Checkpoints
import Foundation
import Models
import Tensors
import Testing

/// Promise 6 for lanes: what else is in the pack and how many threads there are leaves every bit alone.
@Suite(.serialized) struct LaneTests {
  @Test(arguments: ["mha", "gqa", "tied"])
  func `a pack of different lanes gives each lane the bits of its own run`(name: String) throws {
    let (model, input) = try LaneTests.load(name, newTokens: 4)
    var programs = RandomPrograms(model, input, seed: 5)
    var requests = [LaneRequest(Program(), outputRows: [input.ids.count - 1])]
    for _ in 0..<5 {
      requests.append(
        LaneRequest(try LaneTests.captured(programs.next(), model, input), outputRows: [input.ids.count - 1]))
    }
    requests.append(LaneRequest(try Cut.vision(model, input.segments.layout), outputRows: [input.ids.count - 1]))
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
    program.add(capturesAt: points, input)
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
