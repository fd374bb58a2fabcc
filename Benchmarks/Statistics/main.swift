// How often each test of Statistics claims a difference where there is none, how often its interval holds the truth, and how
// often it finds a difference that is there, on clustered data; beside the paired t test that takes items for independent. Then the same
// with random seeds as a second factor.
//
//     swift run -c release statistics-benchmark

import Foundation
import Statistics

/// A number of the standard normal distribution.
func normal(_ random: inout Philox) -> Double {
  let (u, v) = (Double.random(in: 0x1p-53..<1, using: &random), Double.random(in: 0..<1, using: &random))
  return (-2 * log(u)).squareRoot() * cos(2 * .pi * v)
}

/// Paired differences of `images` images with 1 to 9 items each (5 on average); half of the variance is the image's.
func table(images: Int, effect: Double, skewed: Bool, _ random: inout Philox) -> (values: [Double], clusters: [String])
{
  func noise() -> Double {
    let z = normal(&random)
    return skewed ? (z * z - 1) / 2.0.squareRoot() : z
  }
  var (values, clusters): ([Double], [String]) = ([], [])
  for image in 0..<images {
    let shared = noise()
    for _ in 0..<(1 + image * 4 % 9) {
      values.append(effect + 0.5.squareRoot() * (shared + noise()))
      clusters.append("\(image)")
    }
  }
  return (values, clusters)
}

struct Tally {
  var claims = 0
  var covered = 0
}

let runs = 2000
let methods = ["naive paired t", "cluster t", "sign flip", "BCa bootstrap"]

func simulate(images: Int, effect: Double, skewed: Bool) throws -> [Tally] {
  var tallies = [Tally](repeating: Tally(), count: methods.count)
  for run in 0..<runs {
    var random = Philox(seed: 20_261_126, stream: UInt64(run))
    let (values, clusters) = table(images: images, effect: effect, skewed: skewed, &random)
    let naive = try clusteredMean(values, clusters: values.indices.map(String.init))
    let robust = try clusteredMean(values, clusters: clusters)
    let flip = try SignFlip(values, clusters: clusters, flips: 999, seed: UInt64(run))
    let bootstrap = clusterBCa(values, clusters: clusters, resamples: 999, seed: UInt64(run))
    for (index, estimate) in [naive, robust].enumerated() {
      tallies[index].claims += estimate.excludesZero ? 1 : 0
      tallies[index].covered += (estimate.low...estimate.high).contains(effect) ? 1 : 0
    }
    tallies[2].claims += flip.p < 0.05 ? 1 : 0
    if let bootstrap {
      tallies[3].claims += bootstrap.contains(0) ? 0 : 1
      tallies[3].covered += bootstrap.contains(effect) ? 1 : 0
    }
  }
  return tallies
}

func share(_ count: Int) -> String { String(format: "%5.1f %%", 100 * Double(count) / Double(runs)) }

print(
  "\(runs) tables each; nominal 5 % and 95 %. Monte Carlo error of a rate near 5 %: 0.5 points (one standard deviation)."
)
for skewed in [false, true] {
  for images in [10, 30, 60] {
    let null = try simulate(images: images, effect: 0, skewed: skewed)
    let real = try simulate(images: images, effect: 0.4, skewed: skewed)
    print("\n\(images) images, about \(images * 5) items, \(skewed ? "chi-square" : "normal")")
    print("  method           false positives  coverage  power at 0.4")
    for (index, method) in methods.enumerated() {
      let coverage = index == 2 ? "      -" : share(null[index].covered)
      print(
        "  \(method.padding(toLength: 16, withPad: " ", startingAt: 0)) \(share(null[index].claims))          "
          + "\(coverage)   \(share(real[index].claims))")
    }
  }
}

/// The same with every item read under `seeds` random seeds; a tenth of the variance is the seed's, a tenth its interaction with images.
func table(images: Int, seeds: Int, effect: Double, _ random: inout Philox) -> (columns: [[Double]], clusters: [String])
{
  let clusters = (0..<images).flatMap { image in [String](repeating: "\(image)", count: 1 + image * 4 % 9) }
  func noise(_ count: Int, _ share: Double) -> [Double] {
    (0..<count).map { _ in share.squareRoot() * normal(&random) }
  }
  let (shared, items) = (noise(images, 0.4), noise(clusters.count, 0.2))
  let columns = noise(seeds, 0.1).map { seed in
    let (both, rest) = (noise(images, 0.1), noise(clusters.count, 0.2))
    return clusters.indices.map { item in
      let image = Int(clusters[item]) ?? 0
      return effect + seed + shared[image] + both[image] + items[item] + rest[item]
    }
  }
  return (columns, clusters)
}

/// The two-way cluster-robust t of Cameron, Gelbach and Miller (2011): the variances by image and by seed, less that of their cells.
func twoWay(_ columns: [[Double]], _ clusters: [String]) throws -> Bool {
  let values = Array(columns.joined())
  func variance(_ names: [String]) throws -> Double {
    let error = try clusteredMean(values, clusters: names).standardError
    return error * error
  }
  let bySeed = columns.indices.flatMap { seed in clusters.map { _ in "\(seed)" } }
  let byImage = columns.flatMap { _ in clusters }
  let cells = zip(bySeed, byImage).map { "\($0) \($1)" }
  let whole = try variance(byImage) + variance(bySeed) - variance(cells)
  let degrees = Double(min(columns.count, Set(clusters).count) - 1)
  return abs(mean(values)) > StudentT.quantile(0.975, degrees: degrees) * max(whole, 0).squareRoot()
}

/// Of each method, how often it claims a difference: seeds as more items, two-way cluster-robust, crossed mean squares; and how often the
/// last one's interval holds the truth.
func simulate(images: Int, seeds: Int, effect: Double) throws -> [Int] {
  var counts = [0, 0, 0, 0]
  for run in 0..<runs {
    var random = Philox(seed: 20_261_127, stream: UInt64(run))
    let (columns, clusters) = table(images: images, seeds: seeds, effect: effect, &random)
    let oneWay = try clusteredMean(Array(columns.joined()), clusters: columns.flatMap { _ in clusters })
    let crossed = try CrossedMean(columns, clusters: clusters).estimate
    counts[0] += oneWay.excludesZero ? 1 : 0
    counts[1] += try twoWay(columns, clusters) ? 1 : 0
    counts[2] += crossed.excludesZero ? 1 : 0
    counts[3] += (crossed.low...crossed.high).contains(effect) ? 1 : 0
  }
  return counts
}

print("\nimages x seeds, normal noise; claims of a null and at 0.8\n")
print("  images  seeds  seeds as items  two-way cluster t  crossed  coverage  power: crossed")
for (images, seeds) in [(30, 2), (30, 3), (30, 5), (30, 10), (60, 3), (60, 5)] {
  let null = try simulate(images: images, seeds: seeds, effect: 0)
  let real = try simulate(images: images, seeds: seeds, effect: 0.8)
  print(
    String(format: "  %6d  %5d  ", images, seeds) + null.map(share).joined(separator: "        ") + "   "
      + share(real[2]))
}

let clock = ContinuousClock()
var random = Philox(seed: 1, stream: 0)
let clusters = (0..<300).map { "\($0 / 5)" }
let grid = (0..<900).map { _ in (0..<300).map { _ in normal(&random) } }
let time = try clock.measure { _ = try MaxStatistic(grid, clusters: clusters, flips: 10_000) }
print("\nmax-statistic over a 30 x 30 grid, 60 images, 10,000 flips (intervals and p values): \(time)")
