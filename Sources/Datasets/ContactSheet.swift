import Checkpoints
import Foundation

/// Pictures of a dataset with their parts drawn over them and named below, as one SVG; for a model also with the patches that it has of each
/// part.
package struct ContactSheet {
  /// Pixels of a picture's longer side.
  private static let edge = 224
  private static let columns = 4
  private static let gap = 16
  private static let line = 17
  /// Told apart by most colour-blind people (Okabe and Ito), then again.
  private static let colours: [(UInt8, UInt8, UInt8)] = [
    (230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167),
  ]

  private let model: ModelView?
  private let rule: MaskRule
  private var body: [String] = []
  private var top = ContactSheet.gap
  /// Of the row that is being filled.
  private var column = 0
  private var rowHeight = 0

  /// - Parameters:
  ///   - model: whose patches are outlined, with the edge of its input dashed.
  ///   - rule: which patches belong to a part.
  /// - Throws: for pictures or masks that cannot be read, or masks of another size.
  package init(
    _ examples: some Sequence<Example>, model: ModelView? = nil, rule: MaskRule = .coverage(0.5)
  ) throws {
    (self.model, self.rule) = (model, rule)
    for example in examples { try add(example) }
  }

  private mutating func add(_ example: Example) throws {
    let picture = try RGBImage(contentsOf: example.imagePath)
    let small = try drawn(example, on: picture.fitted(ContactSheet.edge), of: picture)
    let png = Data(try encodePNG(width: small.width, height: small.height, channels: 3, samples: small.pixels))
    let left = ContactSheet.gap + column * (ContactSheet.edge + ContactSheet.gap)
    body.append(
      text(example.id + (example.className.map { ": \($0)" } ?? ""), x: left, y: top + 12, weight: "bold")
        + "<image x=\"\(left)\" y=\"\(top + ContactSheet.line)\" width=\"\(small.width)\" height=\"\(small.height)\" "
        + "href=\"data:image/png;base64,\(png.base64EncodedString())\"/>"
        + (try patches(of: example, on: picture, at: (left, top + ContactSheet.line), width: small.width)))
    for (index, part) in example.parts.enumerated() {
      let y = top + ContactSheet.line + small.height + (index + 1) * ContactSheet.line
      let (red, green, blue) = ContactSheet.colours[index % ContactSheet.colours.count]
      body.append(
        "<rect x=\"\(left)\" y=\"\(y - 10)\" width=\"10\" height=\"10\" fill=\"rgb(\(red),\(green),\(blue))\"/>"
          + text(part.name, x: left + 16, y: y))
    }
    rowHeight = max(rowHeight, small.height + (example.parts.count + 2) * ContactSheet.line)
    column += 1
    if column == ContactSheet.columns { endRow() }
  }

  private mutating func endRow() {
    top += rowHeight + ContactSheet.gap
    (column, rowHeight) = (0, 0)
  }

  /// The parts' colours over the picture: half over their pixels, whole at their edges.
  private func drawn(_ example: Example, on small: RGBImage, of picture: RGBImage) throws -> RGBImage {
    var pixels = small.pixels
    for (index, part) in example.parts.enumerated() {
      let mask = try GrayImage(contentsOf: part.maskPath)
      guard mask.width == picture.width, mask.height == picture.height else {
        throw CheckpointError.malformed(
          path: mask.path, problem: "the mask is \(mask.width) x \(mask.height) pixels",
          remedy: "its image is \(picture.width) x \(picture.height)")
      }
      func isInside(_ x: Int, _ y: Int) -> Bool {
        guard (0..<small.width).contains(x), (0..<small.height).contains(y) else { return false }
        let value = mask.pixels[y * mask.height / small.height * mask.width + x * mask.width / small.width]
        return part.value.map { Int(value) == $0 } ?? (value != 0)
      }
      let colour = ContactSheet.colours[index % ContactSheet.colours.count]
      for y in 0..<small.height {
        for x in 0..<small.width where isInside(x, y) {
          let isEdge = !(isInside(x - 1, y) && isInside(x + 1, y) && isInside(x, y - 1) && isInside(x, y + 1))
          for (channel, level) in [colour.0, colour.1, colour.2].enumerated() {
            let place = (y * small.width + x) * 3 + channel
            pixels[place] = isEdge ? level : UInt8((Int(pixels[place]) + Int(level)) / 2)
          }
        }
      }
    }
    return RGBImage(width: small.width, height: small.height, pixels: pixels)
  }

  /// Of LLaVA-NeXT's tiles those behind the base, which covers the whole picture more coarsely.
  private func patches(
    of example: Example, on picture: RGBImage, at corner: (x: Int, y: Int), width: Int
  ) throws -> String {
    guard let model else { return "" }
    let tiles = model.images.tiles(width: picture.width, height: picture.height)
    let boxes = model.images.patchBoxes(width: picture.width, height: picture.height, model.vision)
    let shown = tiles.count > 1 ? model.vision.patches..<boxes.count : boxes.indices
    // Patches in the padding have no extent in the picture.
    let seen = shown.filter { boxes[$0].left < boxes[$0].right && boxes[$0].top < boxes[$0].bottom }
    let scale = Float(width) / Float(picture.width)
    var lines = ["<g transform=\"translate(\(corner.x) \(corner.y)) scale(\(scale))\" fill=\"none\">"]
    let input = PixelBox(
      left: seen.map { boxes[$0].left }.min() ?? 0, top: seen.map { boxes[$0].top }.min() ?? 0,
      right: seen.map { boxes[$0].right }.max() ?? 0, bottom: seen.map { boxes[$0].bottom }.max() ?? 0)
    lines.append("<path d=\"\(input.path)\" class=\"input\"/>")
    for (index, part) in example.parts.enumerated() {
      let coverage = try PartCoverage(
        mask: GrayImage(contentsOf: part.maskPath), value: part.value, tiles: tiles, patchSize: model.vision.patchSize,
        grid: model.vision.grid)
      let own = coverage.patches(by: rule).map(\.patch).filter(shown.contains)
      let (red, green, blue) = ContactSheet.colours[index % ContactSheet.colours.count]
      lines.append(
        "<path d=\"\(own.map { boxes[$0].path }.joined())\" class=\"patch\" stroke=\"rgb(\(red),\(green),\(blue))\"/>")
    }
    return (lines + ["</g>"]).joined(separator: "\n")
  }

  private func text(_ words: String, x: Int, y: Int, weight: String = "normal") -> String {
    "<text x=\"\(x)\" y=\"\(y)\" font-weight=\"\(weight)\">\(escaped(words))</text>"
  }

  private func escaped(_ words: String) -> String { words.replacing("&", with: "&amp;").replacing("<", with: "&lt;") }

  private var title: String {
    let parts = "Pictures of a dataset with their parts"
    return model.map { parts + escaped(", and the patches that \($0.name) has of them") } ?? parts
  }

  package var svg: String {
    let width = ContactSheet.gap + ContactSheet.columns * (ContactSheet.edge + ContactSheet.gap)
    let height = top + rowHeight
    return """
      <svg xmlns="http://www.w3.org/2000/svg" width="\(width)" height="\(height)" font-family="sans-serif" font-size="12">
      <title>\(title)</title>
      <style>
      path { vector-effect: non-scaling-stroke; }
      .patch { stroke-width: 1.5; filter: drop-shadow(0 0 1px #000); }
      .input { stroke: #fff; stroke-dasharray: 4 3; filter: drop-shadow(0 0 1px #000); }
      </style>
      <rect width="100%" height="100%" fill="#fff"/>
      \(body.joined(separator: "\n"))
      </svg>

      """
  }
}

extension PixelBox {
  /// As data of an SVG path.
  fileprivate var path: String { "M\(left) \(top)H\(right)V\(bottom)H\(left)Z" }
}
