import Models
import Tensors
import Testing

/// Long sequences come in blocks of rows within a stated memory, and no bit shows it.
@Suite(.serialized) struct AttentionBlockTests {
  @Test(arguments: ["mha", "gqa", "tied"])
  func `the memory for scores changes no bit and no receipt`(name: String) throws {
    let (model, input) = try LaneTests.load(name, newTokens: 2)
    var programs = RandomPrograms(model, input, seed: 11)
    let requests = try (0..<3).map { _ in
      var program = try LaneTests.captured(programs.next(), model, input)
      for point in try model.hooks.match("text.*.attn_scores") + model.hooks.match("vision.*.pattern") {
        program.add(capturesAt: [point], input)
      }
      program.add(Op(.mass(reading: 90, keys: [1, 5, 20]), rows: [4, 20, 30]), at: HookPoint(.text, 1, .pattern))
      return LaneRequest(program, outputRows: [input.ids.count - 1])
    }
    let whole = try model.run(input, requests)
    for rows in [1, 3, 10] {
      model.scoreBytes = rows * model.configuration.text.heads * input.segments.length * 4
      for (a, b) in zip(whole, try model.run(input, requests)) {
        #expect(LaneTests.differences(a, b) == [], "\(rows) rows a block")
        #expect(a.results.receipts == b.results.receipts && a.generated == b.generated)
        #expect(a.results.masses.map { bits($0.tensor) } == b.results.masses.map { bits($0.tensor) })
        #expect(a.results.captures.map(\.rows) == b.results.captures.map(\.rows))
      }
    }
  }

  @Test func `a plugin sees the rows of a lane in order, block by block, the last one marked`() throws {
    let (model, input) = try LaneTests.load("gqa")
    var program = Program()
    let rows = Array(input.ids.indices)
    program.add(Op(.call(access: 0, writes: true), rows: rows), at: HookPoint(.text, 0, .pattern))
    let request = LaneRequest(program, outputRows: [rows.count - 1])
    let (whole, blocks) = (Halving(), Halving())
    let expected = try model.run(input, [request], visitor: whole)[0]
    model.scoreBytes = 8 * model.configuration.text.heads * input.segments.length * 4
    let output = try model.run(input, [request], visitor: blocks)[0]
    #expect(whole.seen.count == 1 && whole.seen[0].last)
    #expect(blocks.seen.count > 3 && blocks.seen.flatMap(\.rows) == rows)
    #expect(blocks.seen.map(\.last) == blocks.seen.indices.map { $0 == blocks.seen.count - 1 })
    #expect(bits(output.logits) == bits(expected.logits))
    #expect(output.results.receipts == expected.results.receipts)
    #expect(output.results.receipts[0]?.values.first?.visits == 1)
  }

  @Test func `blocks hold every row once, within the limit, and end at bands`() {
    let rows = Array(0..<2928).filter { $0 % 7 != 3 }
    for entries in [1, 100_000, 5_000_000, .max / 2] {
      let blocks = AttentionBlock.blocks(of: rows, capacity: 2930, causal: true, heads: 32, entries: entries)
      #expect(blocks.flatMap { Array($0.places) } == Array(rows.indices))
      for block in blocks {
        let band = rows[block.places.lowerBound] / AttentionBlock.band
        #expect(rows[block.places.upperBound - 1] / AttentionBlock.band == band)
        #expect(block.keys == min(2930, (band + 1) * AttentionBlock.band))
        #expect(block.places.count == 1 || 32 * block.places.count * block.keys <= entries)
      }
    }
    #expect(AttentionBlock.blocks(of: [], capacity: 9, causal: true, heads: 1, entries: 9).isEmpty)
  }

  @Test func `beyond a thousand rows too a lane that borrows has the bits of its own full pass`() throws {
    let parity = try ParityCase("gqa", "clean")
    let model = try parity.model { $0.text.maxPositions = 2048 }
    let short = try parity.input(model)
    let words = short.ids.filter { $0 != model.configuration.imageTokenIndex }
    let input = try model.input(ids: short.ids + (0..<1100).map { words[$0 * 7 % words.count] }, pixels: short.pixels)
    let last = input.ids.count - 1
    var program = Program()
    program.add(Op(.scale(2), rows: [900, last]), at: HookPoint(.text, 0, .z))
    let request = LaneRequest(program, outputRows: [last])
    let borrowed = try model.sweep(input, [LaneRequest(Program(), outputRows: [last]), request])[1]
    let full = try model.run(input, [request])[0]
    if Engine.provenance.isa.hasPrefix("avx512") {
      #expect(bits(borrowed.logits) == bits(full.logits))
    }
    #expect(difference(borrowed.logits, full.logits) <= SweepTests.bound)
  }

  /// Halves every pattern that it sees, so that an order or an offset that is wrong shows.
  private final class Halving: HookVisitor {
    var seen: [(rows: [Row], last: Bool)] = []

    func visit(_ batch: [Visit]) -> [LaneFailure] {
      for visit in batch {
        seen.append((visit.rows, visit.isLastBlock))
        for i in 0..<visit.data.count { visit.data.base[i] *= 0.5 }
      }
      return []
    }
  }
}
