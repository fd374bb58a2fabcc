import Datasets
import Experiments
import Foundation

/// Images with a part's patches outlined, and the rank of the part's word at each patch under each condition.
struct Gallery {
  var model: String
  var conditions: [Condition]
  var legend: [Cell]
  var cards: [Card]

  struct Condition {
    var index: Int
    var name: String
    var selected: Bool
  }

  struct Heading {
    var short: String
    var full: String
  }

  struct Cell {
    var text: String
    var colour: String
    var ink: String

    /// A rank on its colour.
    init(rank: Double?) {
      guard let rank else {
        (text, colour, ink) = ("", "transparent", "inherit")
        return
      }
      text = rank == rank.rounded() ? fixed(rank, 0) : fixed(rank, 1)
      colour = Colour.rank(rank)
      ink = Colour.ink(on: colour)
    }
  }

  struct Card {
    var image: String
    var width: Int
    var height: Int
    var alternative: String
    var word: String
    var owner: String
    var place: String
    var why: String
    var overlays: [Overlay]
    var outline: String?
    var headings: [String]
    var rows: [Row]
  }

  /// One condition's ranks at the primary hook point.
  struct Overlay {
    var index: Int
    var shown: Bool
    var patches: [Patch]
  }

  struct Patch {
    var x: String
    var y: String
    var width: String
    var height: String
    var colour: String
    var rank: String
  }

  /// One hook point.
  struct Row {
    var heading: Heading
    var cells: [Reading]
  }

  /// Under one condition: the best rank of the part's word, and the words that are read first, where the probe was asked for them.
  struct Reading {
    var rank: Cell
    var words: [Word]
  }

  struct Word {
    var text: String
    /// The word of the part.
    var isPart: Bool
  }
}

extension Gallery {
  /// How many parts are shown of each kind.
  private static let each = 2
  /// The four cells of the two-by-two, and the one that is shown first.
  static let cells = ["both intact", "vision cut", "decoder cut", "both cut"]
  static let shown = 1
  /// A card has room for so many hook points.
  private static let mostPoints = 9

  /// Of the parts with the largest, the middle and the smallest compensation some each, one per image: a rule, so that
  /// nobody chose them.
  ///
  /// - Parameters:
  ///   - boxes: without them nothing is outlined.
  ///   - examples: of the dataset, by their ids.
  init?(_ model: ModelSummary, readings: RunReadings, boxes: PatchBoxes?, examples: [String: Example]) throws {
    guard let contrast = model.contrasts.first else { return nil }
    let design = contrast.design
    self.model = model.model
    conditions = zip(Gallery.cells, design.conditions).enumerated().map { index, names in
      Condition(index: index, name: "\(names.0) (\(names.1))", selected: index == Gallery.shown)
    }
    legend = [1, 2, 4, 8, 16, 32, 64].map { Cell(rank: $0) }
    let ranks = Measure(probe: model.measure.probe, metric: .rank)
    var byItem: [String: [PartReading]] = [:]
    for reading in readings.readings(model.model, ranks) {
      byItem[reading.example + "\u{0}" + reading.label, default: []].append(reading)
    }
    cards = try Gallery.chosen(model.items).compactMap { item, why in
      guard let example = examples[item.example], let picture = ExamplePicture(path: example.imagePath),
        let ranks = byItem[item.example + "\u{0}" + item.label]
      else { return nil }
      var card = Card(item, why: why, picture: picture)
      card?.draw(ranks, design: design, point: contrast.point, boxes: boxes)
      card?.tabulate(
        ranks, words: try readings.words(model.model, item, model.measure),
        own: example.parts.first { $0.name.replacing(" ", with: "_") == item.label }?.label, design: design,
        points: Gallery.spread(model.points))
      return card
    }
    if cards.isEmpty { return nil }
  }

  /// Evenly over the model, the first and the last among them.
  private static func spread(_ points: [String]) -> [String] {
    guard points.count > mostPoints else { return points }
    return (0..<mostPoints).map { points[$0 * (points.count - 1) / (mostPoints - 1)] }
  }

  private static func chosen(_ items: [ModelSummary.Item]) -> [(ModelSummary.Item, String)] {
    let sorted = items.sorted { ($0.compensation, $0.example, $0.label) > ($1.compensation, $1.example, $1.label) }
    var seen: Set<String> = []
    func take(_ candidates: some Sequence<ModelSummary.Item>, _ why: String) -> [(ModelSummary.Item, String)] {
      var taken: [(ModelSummary.Item, String)] = []
      for item in candidates where taken.count < each && seen.insert(item.example).inserted {
        taken.append((item, why))
      }
      return taken.map { ($0.0, "\(why), C = \(fixed($0.0.compensation))") }
    }
    let middle = sorted.count / 2
    return take(sorted, "largest C") + take(sorted.dropFirst(middle), "median C")
      + take(sorted.reversed(), "smallest C")
  }
}
