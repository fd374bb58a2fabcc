import Foundation
import Testing

import Statistics

@Suite struct CompensationTests {
  /// 60 images of 1 to 4 parts, with ranks that `cells` makes of a part's own level. Multiples of 1/8 are exact in
  /// floating point.
  private func table(
    _ cells: (_ level: Double, _ image: Int, _ part: Int) -> (Double, Double, Double, Double)
  ) -> [FourCells] {
    (0..<60).flatMap { image in
      (0...(image % 4)).map { part in
        let (clean, visionCut, textCut, bothCut) = cells(Double((image * 7 + part * 3) % 16) / 8, image, part)
        return FourCells(
          cluster: "image \(image)", clean: clean, visionCut: visionCut, textCut: textCut, bothCut: bothCut)
      }
    }
  }

  @Test func `two cuts that merely add up give a compensation of exactly 0, where a naive ratio claims recovery`()
    throws
  {
    // The vision cut costs 1 to 2 bits, the text cut 2: with both, their sum.
    let rows = table { level, image, part in
      let vision = 1 + Double((image + part) % 9) / 8
      return (level, level + vision, level + 2, level + 2 + vision)
    }
    let result = try Compensation(rows)
    #expect(result.compensation.mean == 0 && result.compensation.low == 0 && result.compensation.high == 0)
    #expect(result.recovery?.value == 0)
    #expect(result.verdict == .notDistinguishable)
    // The share of the damage that is gone when the decoder works, (both cut - vision cut) / (both cut - clean).
    let naive = mean(rows.map { $0.bothCut - $0.visionCut }) / mean(rows.map { $0.bothCut - $0.clean })
    #expect(naive > 0.5)
  }

  @Test func `a decoder that makes everything good has recovery 1`() throws {
    let rows = table { level, image, part in (level, level, level + 0.5, level + 2.5 + Double((image + part) % 5) / 8) }
    let result = try Compensation(rows, margin: 0.125)
    #expect(result.verdict == .aboveZero && result.compensates)
    #expect(result.lossOn.mean == 0)
    #expect(result.recovery == Compensation.Recovery(value: 1, low: 1, high: 1))
    #expect(result.compensation.mean == result.lossOff.mean)
  }

  @Test func `a decoder that leaves more of the loss than the margin makes good a part, and is not said to compensate`()
    throws
  {
    let rows = table { level, image, part in
      (level, level + 1 + Double((image + part) % 3) / 8, level, level + 2 + Double(image % 5) / 8)
    }
    let result = try Compensation(rows, margin: 1)
    #expect(result.verdict == .aboveZero && result.lossWithin?.holds == false && !result.compensates)
    #expect(try Compensation(rows, margin: 2).compensates)
    #expect(try !Compensation(rows).compensates, "no margin, no claim")
  }

  @Test func `a decoder that makes the loss larger is said to do so`() throws {
    let rows = table { level, _, part in (level, level + 3 + Double(part % 3) / 8, level, level + 1) }
    #expect(try Compensation(rows).verdict == .belowZero)
  }

  @Test func `no recovery is given where the vision cut costs nothing that can be told from zero`() throws {
    let rows = table { level, image, _ in (level, level, level, level + (image / 4 % 2 == 0 ? 0.25 : -0.25)) }
    let result = try Compensation(rows)
    #expect(result.recovery == nil)
  }

  @Test func `the interval of the recovery agrees with a bootstrap by image, and holds 0 just when that of C does`()
    throws
  {
    for (effect, expected) in [(1.0, Compensation.Verdict.aboveZero), (0.05, .notDistinguishable)] {
      var random = Philox(seed: 8, stream: 0)
      let rows = noise(&random).map { row in
        FourCells(
          cluster: row.cluster, clean: row.clean / 4, visionCut: row.visionCut / 4 + 2 - effect,
          textCut: row.textCut / 4,
          bothCut: row.bothCut / 4 + 2)
      }
      let result = try Compensation(rows)
      #expect(result.verdict == expected)
      let recovery = try #require(result.recovery)
      #expect((recovery.low > 0) == (result.compensation.low > 0))
      let members = Dictionary(grouping: rows.indices) { rows[$0].cluster }.sorted { $0.key < $1.key }.map(\.value)
      let interval = clusterBootstrap(clusters: members, seed: 2) { sample in
        let loss = mean(sample.map { rows[$0].bothCut - rows[$0].textCut })
        return 1 - mean(sample.map { rows[$0].visionCut - rows[$0].clean }) / loss
      }
      let ends = try #require(interval)
      let width = recovery.high - recovery.low
      #expect(abs(ends.lowerBound - recovery.low) < 0.12 * width && abs(ends.upperBound - recovery.high) < 0.12 * width)
    }
  }

  @Test func `pure noise is called compensation at the nominal rate, clusters and all`() throws {
    let runs = 2000
    var claims = 0
    var compensations = 0
    var naiveClaims = 0
    for run in 0..<runs {
      var random = Philox(seed: 20_251_124, stream: UInt64(run))
      let rows = noise(&random)
      let result = try Compensation(rows, margin: 2)
      if result.verdict != .notDistinguishable { claims += 1 }
      if result.compensates { compensations += 1 }
      let contrasts = rows.map { ($0.bothCut - $0.textCut) - ($0.visionCut - $0.clean) }
      let each = try clusteredMean(contrasts, clusters: contrasts.indices.map(String.init))
      if each.excludesZero { naiveClaims += 1 }
    }
    // 5 % of 2000 is 100 with a standard deviation of 9.7; 4 of them either way.
    #expect((61...139).contains(claims), "\(claims) claims in \(runs)")
    // "Compensates" needs the upper side alone: 2.5 % of 2000 is 50 with a standard deviation of 7.
    #expect(compensations <= 78, "\(compensations) claims of compensation in \(runs)")
    // Parts of one image are dependent: an interval that forgets it claims far too often.
    #expect(naiveClaims > 250, "\(naiveClaims) naive claims in \(runs)")
  }

  /// 40 images with 2 to 5 parts: all four cells of an image share noise, and nothing depends on the cuts.
  private func noise(_ random: inout Philox) -> [FourCells] {
    func normal() -> Double {
      let (u, v) = (Double.random(in: 0x1p-53..<1, using: &random), Double.random(in: 0..<1, using: &random))
      return (-2 * log(u)).squareRoot() * cos(2 * .pi * v)
    }
    return (0..<40).flatMap { image in
      let shared = (normal(), normal(), normal(), normal())
      return (0..<(2 + image % 4)).map { _ in
        FourCells(
          cluster: "\(image)", clean: shared.0 + normal() / 2, visionCut: shared.1 + normal() / 2,
          textCut: shared.2 + normal() / 2, bothCut: shared.3 + normal() / 2)
      }
    }
  }
}
