import Testing

import Statistics

/// |a - b| relative to the larger of |b| and 1e-300.
private func relative(_ a: Double, _ b: Double) -> Double { a == b ? 0 : abs(a - b) / max(abs(b), 1e-300) }

@Suite struct StatisticsTests {
  @Test func `t quantiles equal scipy's`() {
    for (probability, degrees, expected) in tQuantiles {
      let value = StudentT.quantile(probability, degrees: degrees)
      #expect(relative(value, expected) < 1e-10, "quantile(\(probability), \(degrees)) = \(value), not \(expected)")
    }
  }

  @Test func `t probabilities equal scipy's`() {
    for (t, degrees, expected) in tProbabilities {
      let value = StudentT.cdf(t, degrees: degrees)
      #expect(relative(value, expected) < 1e-11, "cdf(\(t), \(degrees)) = \(value), not \(expected)")
    }
  }

  @Test func `the clustered interval equals statsmodels'`() throws {
    let estimate = try clusteredMean(clusteredValues, clusters: clusterOfValue.map(String.init))
    #expect(relative(estimate.mean, clusteredReference.mean) < 1e-12)
    #expect(relative(estimate.standardError, clusteredReference.error) < 1e-12)
    #expect(relative(estimate.low, clusteredReference.low) < 1e-9)
    #expect(relative(estimate.high, clusteredReference.high) < 1e-9)
    #expect(estimate.clusters == 7 && estimate.count == 18)
  }

  @Test func `quantiles of a sample equal numpy's`() {
    let sorted = clusteredValues.sorted()
    for (probability, expected) in sampleQuantiles {
      #expect(abs(quantile(sorted, probability) - expected) < 1e-12)
    }
  }

  @Test func `the generator gives the known answers of Random123`() {
    let ones = UInt32.max
    #expect(
      Philox.block(counter: SIMD4(), key: SIMD2()) == SIMD4(0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8))
    #expect(
      Philox.block(counter: SIMD4(repeating: ones), key: SIMD2(repeating: ones))
        == SIMD4(0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd))
    #expect(
      Philox.block(
        counter: SIMD4(0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344), key: SIMD2(0xa409_3822, 0x299f_31d0))
        == SIMD4(0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1))
  }

  @Test func `medians of odd, even and empty samples`() {
    #expect(median([3, 1, 2]) == 2)
    #expect(median([4, 1, 2, 3]) == 2.5)
    #expect(median([]).isNaN)
  }

  @Test func `an interval of one image is refused, and so is one with a value that is no number`() {
    #expect(throws: StatisticsError.tooFewClusters(1)) { try clusteredMean([1, 2], clusters: ["a", "a"]) }
    #expect(throws: StatisticsError.notANumber) { try clusteredMean([1, .nan], clusters: ["a", "b"]) }
    #expect(throws: StatisticsError.tooFewClusters(0)) { try clusteredMean([], clusters: []) }
  }

  @Test func `a bootstrap of the mean has about the width of the t interval and the same seed gives the same ends`()
    throws
  {
    var random = Philox(seed: 3, stream: 1)
    let values = (0..<120).map { _ in Double.random(in: 0..<1, using: &random) }
    let estimate = try clusteredMean(values, clusters: values.indices.map { "\($0 / 3)" })
    let clusters = (0..<40).map { [3 * $0, 3 * $0 + 1, 3 * $0 + 2] }
    func interval() -> ClosedRange<Double>? {
      clusterBootstrap(clusters: clusters, seed: 11) { rows in mean(rows.map { values[$0] }) }
    }
    let ends = try #require(interval())
    #expect(ends == interval())
    let ratio = (ends.upperBound - ends.lowerBound) / (estimate.high - estimate.low)
    #expect((0.85...1.05).contains(ratio), "\(ratio)")
  }
}
