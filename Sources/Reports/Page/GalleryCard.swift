import Datasets
import Experiments
import Foundation

extension Gallery.Heading {
  /// `3` for `text.3.resid_post`, `projector` for `projector.out`: a card is narrow.
  init(_ point: String) {
    let words = point.split(separator: ".").map(String.init)
    full = point
    guard words.count == 3 else {
      short = words.first ?? point
      return
    }
    short = words[2] == "resid_post" ? words[1] : "\(words[1]).\(words[2])"
  }
}

extension Gallery.Card {
  /// So many words are shown of a part.
  private static let mostWords = 3

  /// A card without numbers; nil for a picture that is too heavy for a page.
  init?(_ item: ModelSummary.Item, why: String, picture: ExamplePicture) {
    guard let image = picture.dataURL else { return nil }
    (self.image, width, height) = (image, picture.width, picture.height)
    (word, owner, place, self.why) = (item.label, item.className ?? "the image", item.example, why)
    alternative = "The image \(item.example), with the patches of \(item.label) outlined"
    (overlays, outline, headings, rows) = ([], nil, [], [])
  }

  /// Outlines the part's patches and colours them by the ranks at the hook point of the contrast, condition by condition.
  mutating func draw(_ readings: [PartReading], design: TwoByTwo, point: String, boxes: PatchBoxes?) {
    // A part's rows of the projector say which patches are its own, whatever their order in the text tower.
    let own = Set(readings.at(Gallery.projector, design.clean)?.tokens ?? [])
    let patches = boxes?.patches(width: width, height: height).filter { own.contains($0.projectorRow) } ?? []
    guard !patches.isEmpty else { return }
    overlays = design.conditions.enumerated().map { index, condition in
      let ranks = readings.at(point, condition).map { Gallery.ranks($0, of: patches) } ?? []
      return Gallery.Overlay(
        index: index, shown: index == Gallery.shown,
        patches: zip(patches, ranks).map { Gallery.Patch($0.box, rank: $1) })
    }
    outline = patches.map(\.box.path).joined()
  }

  /// One row per hook point, one cell per condition.
  ///
  /// - Parameter own: the part's word.
  mutating func tabulate(
    _ readings: [PartReading], words: [PartWords], own: String?, design: TwoByTwo, points: [String]
  ) {
    headings = Gallery.cells
    rows = points.map { point in
      Gallery.Row(
        heading: Gallery.Heading(point),
        cells: design.conditions.map { condition in
          let read = words.first { $0.condition == condition && $0.point == point }?.inOrder ?? []
          return Gallery.Reading(
            rank: Gallery.Cell(rank: readings.at(point, condition)?.values.min()),
            words: read.prefix(Gallery.Card.mostWords).map { Gallery.Word(text: $0, isPart: $0 == own) })
        })
    }
  }
}

extension [PartReading] {
  fileprivate func at(_ point: String, _ condition: String) -> PartReading? {
    first { $0.condition == condition && $0.point == point }
  }
}

extension Gallery {
  fileprivate static let projector = "projector.out"

  /// The rank at each patch. The text tower's rows follow in the order of the patches; rows of the projector are told by their number.
  fileprivate static func ranks(_ reading: PartReading, of patches: [PatchBoxes.Patch]) -> [Double] {
    guard reading.point == projector else { return reading.values.count == patches.count ? reading.values : [] }
    let byRow = Dictionary(zip(reading.tokens, reading.values)) { first, _ in first }
    return patches.compactMap { byRow[$0.projectorRow] }
  }
}

extension PartWords {
  /// The words of all patches by the sum of 1 / place: those that stand first at most patches lead.
  var inOrder: [String] {
    var weights: [(word: String, weight: Double)] = []
    for (place, word) in patches.flatMap({ $0.enumerated() }) {
      let index = weights.firstIndex { $0.word == word } ?? weights.count
      if index == weights.count { weights.append((word, 0)) }
      weights[index].weight += 1 / Double(place + 1)
    }
    // Sorted stably, so that of equal ones the word of the earlier patch comes first.
    return weights.enumerated().sorted { ($1.element.weight, $0.offset) < ($0.element.weight, $1.offset) }.map(
      \.element.word)
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
