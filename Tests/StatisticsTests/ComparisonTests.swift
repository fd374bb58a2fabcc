import Foundation
import Testing

import Statistics

@Suite struct ComparisonTests {
  private let items = pairedClusters.map(String.init)
  private let alone = independentDifferences.indices.map(String.init)

  @Test func `normal quantiles equal scipy's, and the distribution function is their inverse`() {
    for (probability, expected) in normalQuantiles {
      let z = Normal.quantile(probability)
      #expect(abs(z - expected) < 1e-12, "quantile(\(probability)) = \(z), not \(expected)")
      #expect(abs(Normal.cdf(z) - probability) < 1e-14)
    }
  }

  @Test func `the sign-flip test counts the ways that scipy counts`() throws {
    let test = try SignFlip(pairedDifferences, clusters: items)
    #expect(test.isExact && test.flips == 256)
    #expect(abs(test.p - signFlipReference) < 1e-12, "\(test.p)")
  }

  @Test func `a sign-flip test of all ties has p 1, and one of equal differences the smallest p there is`() throws {
    let clusters = (0..<6).map(String.init)
    #expect(try SignFlip([0, 0, 0, 0, 0, 0], clusters: clusters).p == 1)
    #expect(try SignFlip([0.1, 0.1, 0.1, 0.1, 0.1, 0.1], clusters: clusters).p == 1 / 32)
  }

  @Test func `drawn flips agree with counted ones, are never 0, and the seed decides them`() throws {
    // 20 images of which 11 say nothing: too many to count, and the same p as the 9 alone.
    let values = pairedDifferences + [Double](repeating: 0, count: 11)
    let clusters = items + (100..<111).map(String.init)
    let drawn = try SignFlip(values, clusters: clusters, seed: 5)
    #expect(!drawn.isExact && abs(drawn.p - signFlipReference) < 0.02)
    #expect(try SignFlip(values, clusters: clusters, seed: 5) == drawn)
    let sure = try SignFlip([Double](repeating: 1, count: 40), clusters: (0..<40).map(String.init))
    #expect(sure.p == 1.0 / 10_001)
  }

  @Test func `the BCa interval equals scipy's within the spread of its resamples, where the plain one does not`() throws
  {
    let interval = try #require(
      clusterBCa(independentDifferences, clusters: alone, resamples: 40_000, seed: 3))
    let width = bcaReference.1 - bcaReference.0
    #expect(abs(interval.lowerBound - bcaReference.0) < 0.02 * width, "\(interval)")
    #expect(abs(interval.upperBound - bcaReference.1) < 0.02 * width, "\(interval)")
    let members = independentDifferences.indices.map { [$0] }
    let plain = try #require(
      clusterBootstrap(clusters: members, resamples: 40_000, seed: 3) { rows in
        mean(rows.map { independentDifferences[$0] })
      })
    #expect(bcaReference.1 - plain.upperBound > 0.04 * width, "skewed values: \(plain)")
  }

  @Test func `two one-sided tests equal statsmodels'`() throws {
    let estimate = try clusteredMean(independentDifferences, clusters: alone)
    #expect(abs(estimate.p - tTestReference) < 1e-12)
    for (margin, p) in tostReference {
      let test = Equivalence(estimate, margin: margin)
      #expect(abs(test.p - p) < 1e-12 && test.holds == (p < 0.05), "\(margin): \(test)")
    }
  }

  @Test func `without spread equivalence is a matter of the mean alone`() throws {
    let estimate = try clusteredMean([0.25, 0.25, 0.25], clusters: ["a", "b", "c"])
    #expect(Equivalence(estimate, margin: 0.5).holds && !Equivalence(estimate, margin: 0.25).holds)
  }

  @Test func `McNemar's exact test equals statsmodels'`() {
    for (a, b, p) in mcnemarReference {
      #expect(abs(McNemar(onlyA: a, onlyB: b).p - p) < 1e-10, "\(a), \(b)")
    }
  }

  @Test func `Holm's adjusted p values equal statsmodels'`() {
    let adjusted = holm(holmReference.0)
    for (ours, theirs) in zip(adjusted, holmReference.1) { #expect(abs(ours - theirs) < 1e-12) }
    #expect(holm([]).isEmpty)
  }

  @Test func `the number of clusters is that of statsmodels to one, and the effect it can detect is its inverse`() {
    for (effect, chance, clusters) in powerReference {
      let power = Power(spread: 1, power: chance)
      let needed = power.clusters(for: effect) ?? 0
      #expect(abs(Double(needed) - clusters.rounded(.up)) <= 1, "\(effect), \(chance): \(needed)")
      #expect(power.detectable(clusters: needed) <= effect && power.detectable(clusters: needed - 1) > effect)
    }
    #expect(Power(spread: 1).clusters(for: 0) == nil)
  }

  @Test
  func `p values over a grid are those of all flips in numpy, and the intervals are wider than of one cell alone`()
    throws
  {
    let grid = try MaxStatistic(gridColumns, clusters: items, flips: 20_000, seed: 1)
    for (cell, p) in zip(grid.cells, maxStatisticReference) {
      #expect(abs(cell.p - p) < 0.015, "\(cell.p), not \(p)")
    }
    for (cell, column) in zip(grid.cells, gridColumns) {
      let alone = try clusteredMean(column, clusters: items)
      #expect(cell.estimate.mean == alone.mean && cell.estimate.high > alone.high)
    }
    let one = try MaxStatistic([gridColumns[1]], clusters: items, flips: 20_000)
    #expect(abs(one.criticalValue - StudentT.quantile(0.975, degrees: 8)) < 0.3, "\(one.criticalValue)")
  }

  @Test func `over a grid without effects a false cell is found at the nominal rate, where single intervals find many`()
    throws
  {
    let runs = 400
    var (found, naive) = (0, 0)
    for run in 0..<runs {
      var random = Philox(seed: 77, stream: UInt64(run))
      let clusters = (0..<60).map { "\($0 / 2)" }
      let shared = (0..<30).map { _ in (0..<20).map { _ in normal(&random) } }
      let columns = (0..<20).map { cell in (0..<60).map { shared[$0 / 2][cell] + normal(&random) } }
      let grid = try MaxStatistic(columns, clusters: clusters, flips: 400, seed: UInt64(run))
      if grid.cells.contains(where: \.estimate.excludesZero) { found += 1 }
      if try columns.contains(where: { try clusteredMean($0, clusters: clusters).excludesZero }) { naive += 1 }
    }
    // 5 % of 400 is 20 with a standard deviation of 4.4; 3.5 of them either way.
    #expect((5...35).contains(found), "\(found) of \(runs)")
    #expect(naive > 180, "\(naive) of \(runs)")
  }

  @Test func `a paired difference gives every number, and says when there is too little to say`() throws {
    let a = independentDifferences.map { $0 + 3 }
    let b = [Double](repeating: 2, count: a.count)
    let found = try PairedDifference(a, b, clusters: alone)
    #expect(found.verdict == .aHigher && found.caveats.isEmpty && found.mcnemar == nil)
    #expect(
      abs(found.difference.mean - mean(a) + 2) < 1e-12 && found.bootstrap?.contains(found.difference.mean) == true)
    let same = try PairedDifference([1, 0, 1], [1, 0, 1], clusters: ["a", "b", "c"])
    #expect(same.verdict == .notDistinguishable && same.effectSize == nil && same.bootstrap == nil && same.p == 1)
    #expect(same.caveats == [.equalEverywhere, .fewClusters(3, smallestP: 0.25)])
    // Five images cannot speak at 5 %, however clear they are: the smallest p of the sign-flip test is 1/16.
    let few = try PairedDifference([5, 6, 7, 8, 9], [0, 0, 0, 0, 0], clusters: ["a", "b", "c", "d", "e"])
    #expect(few.difference.excludesZero && few.verdict == .notDistinguishable)
    #expect(throws: StatisticsError.tooFewClusters(1)) { try PairedDifference([1], [0], clusters: ["a"]) }
    #expect(throws: StatisticsError.notANumber) { try PairedDifference([1, .nan], [0, 0], clusters: ["a", "b"]) }
  }

  @Test func `McNemar's test is given for right and wrong answers, one per image, and not for several`() throws {
    let a: [Double] = [1, 1, 1, 1, 0, 0, 1, 1], b: [Double] = [1, 0, 0, 0, 0, 1, 0, 0]
    let found = try PairedDifference(a, b, clusters: (0..<8).map(String.init))
    #expect(found.mcnemar == McNemar(onlyA: 5, onlyB: 1))
    #expect(try PairedDifference(a, b, clusters: (0..<8).map { "\($0 / 2)" }).mcnemar == nil)
  }

  @Test func `crossed with seeds a mean has the standard error of statsmodels' mean squares and of its mixed model`()
    throws
  {
    let images = (0..<8).map(String.init)
    let found = try CrossedMean(crossedColumns, clusters: images).estimate
    let (mean, error, degrees, low, high) = crossedReference
    for (ours, theirs) in [
      (found.mean, mean), (found.standardError, error), (found.degrees, degrees), (found.low, low), (found.high, high),
    ] { #expect(abs(ours - theirs) < 1e-12, "\(ours), not \(theirs)") }
    // A mixed model finds its maximum by search.
    #expect(abs(found.standardError - crossedMixedError) < 1e-4)
  }

  @Test func `of one seed, or of seeds that do nothing, a crossed mean is the clustered one`() throws {
    let values = pairedDifferences, clusters = pairedClusters.map(String.init)
    let plain = try clusteredMean(values, clusters: clusters)
    for columns in [[values], [values, values, values]] {
      let found = try CrossedMean(columns, clusters: clusters).estimate
      #expect(abs(found.standardError - plain.standardError) < 1e-12 && abs(found.low - plain.low) < 1e-9)
      #expect(abs(found.degrees - plain.degrees) < 1e-9 && found.count == plain.count)
    }
    let equal = try PairedDifference([values, values, values], [values.map { _ in 0 }], clusters: clusters)
    #expect(equal.caveats.contains(.equalSeeds) && equal.bootstrap == nil)
    #expect(throws: StatisticsError.tooFewClusters(1)) { try CrossedMean([[1], [2]], clusters: ["a"]) }
    #expect(throws: StatisticsError.notANumber) { try CrossedMean([[1, .nan], [2, 1]], clusters: ["a", "b"]) }
  }

  @Test func `seeds that differ are claimed at the nominal rate, where seeds taken for items are claimed often`() throws
  {
    let (runs, images, seeds) = (400, 30, 4)
    var (crossed, oneWay) = (0, 0)
    for run in 0..<runs {
      var random = Philox(seed: 79, stream: UInt64(run))
      let bySeed = (0..<seeds).map { _ in 0.5 * normal(&random) }
      let byImage = (0..<images).map { _ in normal(&random) }
      let columns = bySeed.map { seed in (0..<(2 * images)).map { seed + byImage[$0 / 2] + normal(&random) } }
      let clusters = (0..<(2 * images)).map { "\($0 / 2)" }
      if try CrossedMean(columns, clusters: clusters).estimate.excludesZero { crossed += 1 }
      let all = try clusteredMean(Array(columns.joined()), clusters: columns.flatMap { _ in clusters })
      if all.excludesZero { oneWay += 1 }
    }
    #expect((5...38).contains(crossed), "\(crossed) of \(runs)")
    #expect(oneWay > 60, "\(oneWay) of \(runs)")
  }

  @Test func `more images cannot make good what differs between seeds`() throws {
    let crossed = try CrossedMean(crossedColumns, clusters: (0..<8).map(String.init))
    let power = Power(crossed)
    let reach = power.detectable(clusters: 8)
    let t =
      StudentT.quantile(0.975, degrees: crossed.estimate.degrees)
      + StudentT.quantile(0.8, degrees: crossed.estimate.degrees)
    #expect(abs(reach - t * crossed.estimate.standardError) < 0.03 * reach)
    #expect(power.clusters(for: 0.1) == nil && power.clusters(for: 2 * reach) ?? 99 <= 8)
  }

  private func normal(_ random: inout Philox) -> Double {
    let (u, v) = (Double.random(in: 0x1p-53..<1, using: &random), Double.random(in: 0..<1, using: &random))
    return (-2 * log(u)).squareRoot() * cos(2 * .pi * v)
  }
}
