import Foundation
import Models
import Tensors
import Testing

/// Edges as the rules say them, seen where they count: in the pattern of a real layer.
@Suite(.serialized) struct EdgeMaskTests {
  /// Which edges of a pattern [heads, T, T] hold weight, by head and query.
  private struct Seen {
    let pattern: Tensor
    let clean: Tensor
    let length: Int

    func keys(_ query: Row, head: Int = 0) -> [Row] {
      (0..<length).filter { pattern.base[(head * length + query) * length + $0] != 0 }
    }

    func sum(_ query: Row, head: Int = 0) -> Float {
      (0..<length).reduce(0) { $0 + pattern.base[(head * length + query) * length + $1] }
    }

    func weight(_ query: Row, _ key: Row, head: Int = 0) -> (now: Float, before: Float) {
      let place = (head * length + query) * length + key
      return (pattern.base[place], clean.base[place])
    }
  }

  /// The pattern of text layer 1 of `mha` (four heads, 37 rows) under `rules` there.
  private func run(_ rules: [EdgeRule]) throws -> (Seen, EdgeMask) {
    let (model, input) = try LaneTests.load("mha")
    let point = HookPoint(.text, 1, .pattern)
    let mask = try EdgeMask(rules, heads: 4, length: input.segments.length, causal: true, place: "text.1")
    var programs = [Program(), Program()]
    programs[1].edges[HookPoint(.text, 1, .attnScores)] = mask
    let outputs = try model.run(
      input,
      programs.map { program in
        var program = program
        program.add(capturesAt: [point], input)
        return LaneRequest(program, outputRows: [])
      })
    let patterns = outputs.map { $0.results.captures[0].tensor }
    return (Seen(pattern: patterns[1], clean: patterns[0], length: 37), mask)
  }

  @Test func `a dropped edge has no weight and the others share it`() throws {
    let (seen, mask) = try run([EdgeRule(.drop, queries: [20, 30], keys: [3, 4, 5, 25])])
    #expect(seen.keys(20) == (0...20).filter { ![3, 4, 5].contains($0) })
    #expect(seen.keys(30) == (0...30).filter { ![3, 4, 5, 25].contains($0) })
    #expect(seen.keys(21) == Array(0...21))
    #expect(abs(seen.sum(20) - 1) < 1e-5 && seen.weight(20, 0).now > seen.weight(20, 0).before)
    #expect(mask.counts[0]?.edges == (3 + 4) * 4 && mask.counts[0]?.rows == 2)
  }

  @Test func `keep_self spares the edge of a row to itself`() throws {
    let (seen, _) = try run([EdgeRule(.drop, queries: Array(10...20), keys: Array(10...20), keepSelf: true)])
    #expect(seen.keys(20) == Array(0...9) + [20] && seen.keys(10) == Array(0...10))
  }

  @Test func `of several keep_only rules the union survives`() throws {
    let (seen, mask) = try run([
      EdgeRule(.keepOnly, queries: [30], keys: [1, 2], plugin: 0),
      EdgeRule(.keepOnly, queries: [30, 31], keys: [2, 7], plugin: 1),
    ])
    #expect(seen.keys(30) == [1, 2, 7] && seen.keys(31) == [2, 7] && seen.keys(29).count == 30)
    #expect(abs(seen.sum(30) - 1) < 1e-5)
    #expect(mask.counts[0]?.edges == 29 * 4 && mask.counts[1]?.edges == (29 + 30) * 4)
  }

  @Test func `windows said as one keep_only rule per row keep each row's neighbours`() throws {
    let rules = (0..<37).map { EdgeRule(.keepOnly, queries: [$0], keys: Array(max(0, $0 - 3)...$0)) }
    let (seen, _) = try run(rules)
    for row in 0..<37 { #expect(seen.keys(row, head: row % 4) == Array(max(0, row - 3)...row)) }
  }

  @Test func `keep_only and drop together leave what both allow`() throws {
    let (seen, _) = try run([
      EdgeRule(.keepOnly, queries: [30], keys: [1, 2, 3], keepSelf: true), EdgeRule(.drop, queries: [30], keys: [2]),
    ])
    #expect(seen.keys(30) == [1, 3, 30])
  }

  @Test func `rules of different heads act on their heads alone`() throws {
    let (seen, mask) = try run([
      EdgeRule(.drop, heads: [0, 1], queries: [20], keys: [5], plugin: 0),
      EdgeRule(.drop, heads: [1, 3], queries: [20], keys: [6], plugin: 1),
    ])
    #expect(mask.classes.map(\.heads) == [[0], [1], [3]])
    #expect((0..<4).map { seen.keys(20, head: $0).contains(5) } == [false, false, true, true])
    #expect((0..<4).map { seen.keys(20, head: $0).contains(6) } == [true, false, true, false])
    #expect(mask.counts[0]?.edges == 2 && mask.counts[1]?.edges == 2)
  }

  @Test func `a positive bias draws attention to its keys and a negative one away`() throws {
    for (bias, grows) in [(Float(2), true), (-2, false)] {
      let (seen, _) = try run([EdgeRule(.bias(bias), queries: [30], keys: [4])])
      for head in 0..<4 {
        let weight = seen.weight(30, 4, head: head)
        #expect((weight.now > weight.before) == grows && weight.now > 0)
        // Softmax: the odds against another key change by e^bias.
        let other = seen.weight(30, 9, head: head)
        let odds = (weight.now / other.now) / (weight.before / other.before)
        #expect(abs(odds / exp(bias) - 1) < 1e-3)
      }
      #expect(
        seen.weight(30, 9).now != seen.weight(30, 9).before
          && seen.weight(29, 4) == (seen.weight(29, 4).before, seen.weight(29, 4).before))
    }
  }

  @Test func `a zeroed edge takes its weight away and the others keep theirs`() throws {
    let (seen, _) = try run([EdgeRule(.zero, queries: [30], keys: [0, 1, 2])])
    #expect(seen.keys(30) == Array(3...30) && seen.sum(30) < 0.9999)
    for key in 3...30 { #expect(seen.weight(30, key).now == seen.weight(30, key).before) }
  }

  @Test func `nothing sees the future, whatever a rule says`() throws {
    let (seen, mask) = try run([
      EdgeRule(.bias(50), queries: [10], keys: [11, 36]), EdgeRule(.keepOnly, queries: [5], keys: [3, 20]),
    ])
    #expect(seen.keys(10) == Array(0...10) && seen.keys(5) == [3])
    #expect(mask.counts[0]?.edges == 5 * 4)
  }

  @Test func `a row without keys is an error, itself or zero, by its rule`() throws {
    let all = Array(0..<37)
    let error = #expect(throws: ModelError.self) { _ = try run([EdgeRule(.drop, queries: [7], keys: all)]) }
    #expect(error?.diagnosis.what == "row 7 may attend to nothing" && error?.diagnosis.place == "text.1")
    let (itself, _) = try run([EdgeRule(.drop, queries: [7], keys: all, onEmpty: .attendSelf)])
    #expect(itself.keys(7) == [7] && itself.sum(7) == 1)
    let (zero, _) = try run([EdgeRule(.keepOnly, queries: [7], keys: [20], onEmpty: .zero)])
    #expect(zero.keys(7) == [] && zero.keys(8) == Array(0...8))
  }

  @Test func `a head that does not exist is refused`() {
    let error = #expect(throws: ModelError.self) { _ = try run([EdgeRule(.drop, heads: [4], queries: [7], keys: [1])]) }
    #expect(error?.diagnosis.what == "head 4 does not exist" && error?.diagnosis.remedy == "heads run from 0 to 3")
  }
}
