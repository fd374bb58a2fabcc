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
    var headings: [Heading]
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

  struct Row {
    var name: String
    var cells: [Cell]
  }
}

extension Gallery {
  /// How many parts are shown of each kind.
  private static let each = 2
  /// The four cells of the two-by-two, and the one that is shown first.
  fileprivate static let cells = ["both intact", "vision cut", "decoder cut", "both cut"]
  fileprivate static let shown = 1
  /// A card has room for so many hook points.
  private static let mostPoints = 9

  /// Of the parts with the largest, the middle and the smallest compensation some each, one per image: a rule, so that
  /// nobody chose them.
  ///
  /// - Parameters:
  ///   - boxes: without them nothing is outlined.
  ///   - paths: of the pictures, by example.
  init?(_ model: ModelSummary, readings: RunReadings, boxes: PatchBoxes?, paths: [String: String]) {
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
    cards = Gallery.chosen(model.items).compactMap { item, why in
      guard let picture = paths[item.example].flatMap({ ExamplePicture(path: $0) }),
        let readings = byItem[item.example + "\u{0}" + item.label]
      else { return nil }
      return Card(
        item, why: why, picture: picture, readings: readings, design: design, point: contrast.point,
        points: Gallery.spread(model.points), boxes: boxes)
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

extension Gallery {
  /// `3` for `text.3.resid_post`, `projector` for `projector.out`: a card is narrow.
  fileprivate static func short(_ point: String) -> String {
    let words = point.split(separator: ".").map(String.init)
    guard words.count == 3 else { return words.first ?? point }
    return words[2] == "resid_post" ? words[1] : "\(words[1]).\(words[2])"
  }
}

extension Gallery.Card {
  init?(
    _ item: ModelSummary.Item, why: String, picture: ExamplePicture, readings: [PartReading], design: TwoByTwo,
    point: String, points: [String], boxes: PatchBoxes?
  ) {
    guard let image = picture.dataURL else { return nil }
    (self.image, width, height) = (image, picture.width, picture.height)
    (word, owner, place, self.why) = (item.label, item.className ?? "the image", item.example, why)
    alternative = "The image \(item.example), with the patches of \(item.label) outlined"
    func reading(_ condition: String, _ point: String) -> PartReading? {
      readings.first { $0.condition == condition && $0.point == point }
    }
    headings = points.map { Gallery.Heading(short: Gallery.short($0), full: $0) }
    rows = zip(Gallery.cells, design.conditions).map { name, condition in
      Gallery.Row(
        name: name,
        cells: points.map { Gallery.Cell(rank: reading(condition, $0).flatMap { $0.values.min() }) })
    }
    // Rows of the projector are numbered as the patches are; the text tower's follow in the same order.
    let patches = reading(design.clean, "projector.out")?.tokens ?? []
    let all = boxes?.boxes(width: picture.width, height: picture.height) ?? []
    let placed = patches.compactMap { all.indices.contains($0) ? all[$0] : nil }
    guard !placed.isEmpty, placed.count == patches.count else {
      (overlays, outline) = ([], nil)
      return
    }
    overlays = design.conditions.enumerated().map { index, condition in
      let ranks = reading(condition, point)?.values ?? []
      return Gallery.Overlay(
        index: index, shown: index == Gallery.shown, patches: zip(placed, ranks).map { Gallery.Patch($0, rank: $1) })
    }
    outline = placed.map(\.path).joined()
  }
}

extension Gallery.Patch {
  fileprivate init(_ box: PatchBoxes.Box, rank: Double) {
    func n(_ value: Double) -> String { fixed(value, 1) }
    (x, y, width, height) = (n(box.left), n(box.top), n(box.right - box.left), n(box.bottom - box.top))
    colour = Colour.rank(rank)
    self.rank = Gallery.Cell(rank: rank).text
  }
}

extension PatchBoxes.Box {
  fileprivate var path: String {
    func n(_ value: Double) -> String { fixed(value, 1) }
    return "M\(n(left)) \(n(top))H\(n(right))V\(n(bottom))H\(n(left))Z"
  }
}
