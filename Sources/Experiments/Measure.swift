import Foundation

/// How a probe's rows become one number per part of an image: a metric at every patch of the part, then one number of them.
package struct Measure: Sendable, Equatable {
  /// The probe's or reading's name in the manifest.
  package var probe: String
  package var metric: Metric
  package var aggregation: Aggregation

  package init(probe: String, metric: Metric = .log2Rank, aggregation: Aggregation = .best) {
    (self.probe, self.metric, self.aggregation) = (probe, metric, aggregation)
  }

  /// Of one part: `raw` holds the stored values of its patches. NaN of nothing.
  package func value(of raw: [Double]) -> Double { aggregation.value(of: raw.map(metric.value), metric) }
}

/// What is made of a stored number.
package enum Metric: Sendable, Hashable {
  /// The rank of the part's word, from 1.
  case rank
  /// log2 of the rank: 0 is first, one more doubles the rank.
  case log2Rank
  /// 1 / rank; its mean is the mean reciprocal rank (MRR).
  case reciprocalRank
  /// 1 where the rank is at most K, else 0.
  case hit(Int)
  /// exp of the stored `logprob`.
  case probability
  /// Any other stored metric as it is.
  case stored(String)

  /// - Parameter name: as manifests spell it: `rank`, `log2_rank`, `reciprocal_rank`, `hit@5`, `probability`, or the name
  ///   of a stored metric.
  package init(_ name: String) {
    switch name {
    case "rank": self = .rank
    case "log2_rank": self = .log2Rank
    case "reciprocal_rank": self = .reciprocalRank
    case "probability": self = .probability
    default:
      let rank = name.hasPrefix("hit@") ? Int(name.dropFirst(4)) : nil
      self = rank.flatMap { $0 > 0 ? .hit($0) : nil } ?? .stored(name)
    }
  }

  /// What a lens is summarised by.
  package static let ofLens: [Metric] = [
    .rank, .log2Rank, .reciprocalRank, .hit(1), .hit(5), .hit(10), .probability,
  ]

  package var name: String {
    switch self {
    case .rank: "rank"
    case .log2Rank: "log2_rank"
    case .reciprocalRank: "reciprocal_rank"
    case .hit(let rank): "hit@\(rank)"
    case .probability: "probability"
    case .stored(let name): name
    }
  }

  /// In sentences.
  package var unit: String {
    switch self {
    case .rank: "ranks"
    case .log2Rank: "bits of rank"
    case .reciprocalRank: "of reciprocal rank"
    case .hit(let rank): "of hit@\(rank)"
    case .probability: "of probability"
    case .stored(let name): "of \(name)"
    }
  }

  /// The `metric` of the rows from which it is computed.
  package var column: String {
    switch self {
    case .rank, .log2Rank, .reciprocalRank, .hit: "rank"
    case .probability: "logprob"
    case .stored(let name): name
    }
  }

  package func value(_ raw: Double) -> Double {
    switch self {
    case .rank, .stored: raw
    case .log2Rank: log2(raw)
    case .reciprocalRank: 1 / raw
    case .hit(let rank): raw <= Double(rank) ? 1 : 0
    case .probability: exp(raw)
    }
  }

  /// Is a smaller value the better reading? nil where that depends on what was stored.
  package var smallerIsBetter: Bool? {
    switch self {
    case .rank, .log2Rank: true
    case .reciprocalRank, .hit, .probability: false
    case .stored: nil
    }
  }

  /// The value turned so that more of it is worse: what a contrast of losses is made of.
  package func cost(_ value: Double) -> Double { smallerIsBetter == false ? -value : value }
}

/// One number from the patches of a part.
package enum Aggregation: String, Sendable, CaseIterable {
  /// The best patch. It gets better with more patches by chance alone: compare with a control of equal size.
  case best
  case mean
  case median

  package func value(of values: [Double], _ metric: Metric) -> Double {
    guard !values.isEmpty else { return .nan }
    switch self {
    case .best: return (metric.smallerIsBetter == false ? values.max() : values.min()) ?? .nan
    case .mean: return values.reduce(0, +) / Double(values.count)
    case .median:
      let sorted = values.sorted()
      return (sorted[(sorted.count - 1) / 2] + sorted[sorted.count / 2]) / 2
    }
  }

  /// In headings: `best over the part's patches`.
  package var words: String { "\(rawValue) over the part's patches" }
}
