/// What each row of the text tower is. Published in captures and given to plugins.
package struct SegmentMap: Sendable, Equatable {
  package enum Kind: String, Sendable {
    case prefix, image, question, generated
  }

  package struct Segment: Sendable, Equatable {
    package let kind: Kind
    package let first: Int
    package let count: Int
    /// Index of the image, 0 for the first; nil outside images.
    package var image: Int?
    package var rows: Range<Int> { first..<(first + count) }
  }

  package let segments: [Segment]
  /// Of each image.
  package let layout: ImageLayout

  /// Patch grid of each image in the text tower.
  package var grid: PatchGrid { layout.grid }

  /// Rows of the prompt.
  package var promptLength: Int {
    segments.filter { $0.kind != .generated }.reduce(0) { $0 + $1.count }
  }
  package var length: Int { segments.reduce(0) { $0 + $1.count } }

  /// From the token ids of a prompt in which each image has as many placeholder ids as its layout has tokens.
  package init(ids: [Int], imageToken: Int, layout: ImageLayout, newTokens: Int) throws(ModelError) {
    let perImage = layout.tokens.count
    var segments: [Segment] = []
    var start = 0
    var images = 0
    while start < ids.count {
      let isImage = ids[start] == imageToken
      var end = start
      while end < ids.count, (ids[end] == imageToken) == isImage { end += 1 }
      if isImage {
        guard (end - start) % perImage == 0 else {
          throw .input(
            place: "prompt", problem: "\(end - start) image tokens, but an image has \(perImage)",
            remedy: "put <image> once per image into the prompt")
        }
        for first in stride(from: start, to: end, by: perImage) {
          segments.append(Segment(kind: .image, first: first, count: perImage, image: images))
          images += 1
        }
      } else {
        segments.append(Segment(kind: images == 0 ? .prefix : .question, first: start, count: end - start))
      }
      start = end
    }
    if newTokens > 0 { segments.append(Segment(kind: .generated, first: ids.count, count: newTokens)) }
    (self.segments, self.layout) = (segments, layout)
  }

  package var imageCount: Int { segments.count { $0.kind == .image } }
}
