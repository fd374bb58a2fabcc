import ArgumentParser
import Diagnostics
import Experiments
import Reports

/// Names A and B and how they are read; shared by `compare` and `power`.
struct ComparisonOptions: ParsableArguments {
  @Argument(help: ArgumentHelp("A run folder.", valueName: "run"))
  var folder: String

  @Argument(help: "A probe, condition or model of the run; repeated under seeds without the seed.")
  var a: String

  @Argument(help: "Another one of the same kind.")
  var b: String

  @Option(help: "rank, log2_rank, reciprocal_rank, hit@K, probability, or any stored metric.")
  var metric: String

  @Option(help: "best, mean or median over a part's patches.")
  var aggregation: String?

  @Option(help: "What A and B are, where their names do not say: probe, condition or model.")
  var by: String?

  @Option(help: "Of conditions and models: the probe or reading whose metric it is.")
  var probe: String?

  @Option(help: "Of probes and models: the condition; the first of the manifest when left out.")
  var condition: String?

  @Option(help: "A hook point; all that both have when left out.")
  var point: String?

  func compared() throws -> [ComparisonSummary] {
    try ComparisonSummary.all(
      in: folder,
      named: { manifest in
        try Comparison(
          name: "\(a) - \(b)", a, b, in: manifest, by: by, metric: metric, aggregation: aggregation, probe: probe,
          condition: condition, point: point)
      })
  }
}

struct CompareCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "compare",
    abstract: "Compare two probes, conditions or models of a run on the same items.",
    discussion: """
      Items are paired by image and part; images, or the clusters that the dataset names, are the independent units. Prints the \
      difference with a cluster-robust t interval and a BCa bootstrap interval, a sign-flip test, effect size and the smallest \
      difference that could have been found. At several hook points intervals and p values hold for all of them together. Of what is \
      repeated under seeds give the name without the seed: seeds are a second random factor then.
      """)

  @OptionGroup var options: ComparisonOptions

  @Flag(help: "Write JSON (schema ablate.compare/1).")
  var json = false

  func run() throws {
    let found = try options.compared()
    print(json ? ComparisonSummary.json(found).pretty : ComparisonSummary.text(found), terminator: "")
  }
}

struct PowerCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "power",
    abstract: "Say how many images (or clusters) a comparison needs, from the spread between them in a run.")

  @OptionGroup var options: ComparisonOptions

  @Option(help: "The smallest true difference that is worth finding, in the metric's unit.")
  var effect: Double

  @Option(help: "The chance to find it.")
  var power = 0.8

  func validate() throws {
    guard effect.isFinite, effect != 0 else { throw ValidationError("--effect is a number other than 0") }
    guard power > 0, power < 1 else { throw ValidationError("--power is above 0 and below 1") }
  }

  func run() throws {
    for comparison in try options.compared() {
      for line in comparison.power(effect: effect, power: power) { print(line) }
    }
  }
}
