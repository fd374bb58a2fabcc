/// A mean over items that several seeds have read, with images (or clusters) and seeds as crossed random factors: the interval is for other
/// images *and* other seeds. A test that takes the seeds' rows for more items knows only other images, and claims far too often.
///
/// The variance of the mean is that between clusters, plus that between seeds, less their interaction, which both hold: the mean squares
/// of the two-way table (Cornfield and Tukey 1956), with cluster sums in the place of cells so that clusters may have different numbers of
/// items. It is never less than either factor alone gives. Degrees of freedom by Satterthwaite (1946). Of one seed it is `clusteredMean`.
/// Refused: the two-way cluster-robust variance of Cameron, Gelbach and Miller (2011), which takes away the total in the place of the
/// interaction and claims too little with few seeds; `Benchmarks/Statistics` has both.
package struct CrossedMean: Sendable, Equatable {
  package var estimate: Estimate
  package var seeds: Int
  /// Squared standard error of the mean, from each source.
  package var betweenClusters: Double
  package var betweenSeeds: Double
  package var interaction: Double

  /// - Parameter columns: one per seed, each with one value per item, in one order of items.
  package init(_ columns: [[Double]], clusters: [String], level: Double = 0.95) throws(StatisticsError) {
    guard columns.joined().allSatisfy(\.isFinite) else { throw StatisticsError.notANumber }
    let groups = Clusters(clusters)
    guard groups.count >= 2 else { throw StatisticsError.tooFewClusters(groups.count) }
    self.seeds = columns.count
    let (seeds, count, items) = (Double(columns.count), Double(groups.count), Double(clusters.count))
    let sizes = groups.members.map { Double($0.count) }
    // Sums over each cluster's items and means over all items, seed by seed.
    let sums = columns.map { groups.sums($0) }
    let means = sums.map { $0.reduce(0, +) / items }
    let center = mean(means)
    let clusterMeans = groups.members.indices.map { cluster in mean(sums.map { $0[cluster] }) }
    let residuals = zip(clusterMeans, sizes).map { $0 - $1 * center }
    betweenClusters = count / (count - 1) * squares(residuals) / (items * items)
    betweenSeeds = columns.count < 2 ? 0 : squares(means.map { $0 - center }) / (seeds * (seeds - 1))
    let rest = zip(sums, means).flatMap { sums, mean in
      sums.indices.map { sums[$0] - sizes[$0] * mean - residuals[$0] }
    }
    interaction =
      columns.count < 2 ? 0 : count / ((count - 1) * (seeds - 1) * seeds) * squares(rest) / (items * items)
    let variance = max(betweenClusters, betweenSeeds, betweenClusters + betweenSeeds - interaction)
    let degrees = satterthwaite(
      variance,
      [
        (betweenClusters, count - 1), (betweenSeeds, seeds - 1), (interaction, (count - 1) * (seeds - 1)),
      ])
    let reach = StudentT.quantile(0.5 + level / 2, degrees: degrees) * variance.squareRoot()
    estimate = Estimate(
      mean: center, standardError: variance.squareRoot(), low: center - reach, high: center + reach,
      count: clusters.count, clusters: groups.count, degrees: degrees)
  }
}

/// Degrees of freedom of a variance that is made of independent estimates; at least 1.
func satterthwaite(_ variance: Double, _ parts: [(variance: Double, degrees: Double)]) -> Double {
  let known = parts.filter { $0.variance > 0 && $0.degrees > 0 }
  let spread = known.reduce(0) { $0 + $1.variance * $1.variance / $1.degrees }
  return spread > 0 ? max(1, variance * variance / spread) : max(1, parts.map(\.degrees).max() ?? 1)
}

private func squares(_ values: [Double]) -> Double { values.reduce(0) { $0 + $1 * $1 } }
