import Foundation
import Models
import Tensors
import TestSupport
import Testing

/// The logit lens against ranks counted by hand in whole rows of logits.
@Suite(.serialized) struct LensTests {
  @Test(arguments: ["mha", "gqa", "tied"])
  func `ranks, logits and log-probabilities are those of the model's own logits`(name: String) throws {
    let (model, input) = try LaneTests.load(name)
    let last = model.hooks.textLayers - 1
    let program = Program(
      capturing: [HookPoint(.text, last, .residPost)], input)
    let output = try model.run(input, [LaneRequest(program, outputRows: Array(input.ids.indices))])[0]
    let hidden = try #require(output.results.captures.first).tensor
    let vocabulary = output.logits.shape[1]
    let targets = [0, 5, vocabulary / 2, vocabulary - 1]
    for range in [0..<vocabulary, 0..<(vocabulary / 2 + 1)] {
      let inside = targets.filter(range.contains)
      let readings = try model.lens(hidden, targets: inside, top: 4, LensOptions(vocabulary: range))
      for (row, reading) in readings.enumerated() {
        let logits = Array(output.logits.values[(row * vocabulary)..<((row + 1) * vocabulary)])
        let sorted = range.sorted { (logits[$1], $0) < (logits[$0], $1) }
        #expect(reading.top.map(\.id) == Array(sorted.prefix(4)))
        #expect(reading.top.allSatisfy { Float($0.logit).bitPattern == logits[$0.id].bitPattern })
        for (target, answer) in zip(inside, reading.answers) {
          #expect(Float(answer.logit).bitPattern == logits[target].bitPattern)
          #expect(answer.rank == 1 + Double(logits[range].count { $0 > logits[target] }))
          let sum = logits[range].reduce(0.0) { $0 + Foundation.exp(Double($1)) }
          #expect(abs(answer.logProbability - (Double(logits[target]) - Foundation.log(sum))) < 1e-5)
        }
      }
    }
  }

  @Test func `many rows give what each gives alone, however they are taken together`() throws {
    let (model, _) = try LaneTests.load("gqa")
    let width = model.configuration.text.width
    var numbers = SeededNumbers(5)
    let rows = 1030  // more than pass through the vocabulary together
    let hidden = Tensor((0..<rows * width).map { _ in numbers.number() }, shape: [rows, width])
    let all = try model.lens(hidden, targets: [7, 3], LensOptions())
    #expect(all.count == rows)
    for row in [0, 1, 511, 1023, 1024, 1029] {
      let one = Tensor(zeros: [1, width])
      one.base.update(from: hidden.base + row * width, count: width)
      let alone = try model.lens(one, targets: [7, 3], LensOptions())[0]
      for (a, b) in zip(alone.answers, all[row].answers) {
        if Engine.provenance.isa.hasPrefix("avx512") { #expect(a == b) }
        #expect(abs(a.logit - b.logit) <= SweepTests.bound * 10)
      }
    }
  }

  @Test func `equal logits share their mean rank, or the best one`() throws {
    let (model, _) = try LaneTests.load("mha")
    let nothing = Tensor(zeros: [1, model.configuration.text.width])  // every logit is 0
    let count = Double(model.configuration.text.vocabulary)
    #expect(try model.lens(nothing, targets: [4], LensOptions(ties: .mean))[0].answers[0].rank == (1 + count) / 2)
    #expect(try model.lens(nothing, targets: [4], LensOptions(ties: .best))[0].answers[0].rank == 1)
    // Without a target to rank there are still first words; of equal ones the lower id.
    let top = try model.lens(nothing, targets: [], top: 3, LensOptions(vocabulary: 5..<9))[0]
    #expect(top.answers.isEmpty && top.top.map(\.id) == [5, 6, 7])
    #expect(top.top.allSatisfy { abs($0.logProbability + Foundation.log(4)) < 1e-6 })
  }
}
