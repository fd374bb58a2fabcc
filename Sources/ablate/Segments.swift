import Checkpoints
import Models

/// The segment map as captures and `generate --json` publish it: rows by kind (`last`, the last prompt row, lies in `question`), and
/// for the image its grid, the row of each patch, and where LLaVA-NeXT put its base tile and newlines.
///
/// - Parameter boxes: left, top, right, bottom of each patch by its number (through the tiles, row-major), in pixels of the source
///   image; nil where it is not known.
func segments(_ map: SegmentMap, boxes: [[Float]]?) -> [[String: Any]] {
  let last: [String: Any] = ["kind": "last", "first": map.promptLength - 1, "count": 1]
  return map.segments.map { segment in
    var fields: [String: Any] = ["kind": segment.kind.rawValue, "first": segment.first, "count": segment.count]
    if segment.kind == .image {
      fields["grid"] = [map.grid.rows, map.grid.cols]
      fields["class_row"] = map.layout.hasClassRow
      fields["patch_rows"] = map.layout.patchTokens.map { segment.first + $0 }
      if let boxes { fields["patch_boxes"] = map.layout.patches.map { boxes[$0] } }
      if let base = map.layout.baseTokens {
        fields["tiles"] = map.layout.tiles
        fields["base"] = [
          "first": segment.first + base.lowerBound, "count": base.count,
          "grid": [map.layout.tileGrid.rows, map.layout.tileGrid.cols],
        ]
        fields["newline_rows"] = map.layout.newlineTokens.map { segment.first + $0 }
        if let boxes { fields["base_boxes"] = Array(boxes.prefix(base.count)) }
      }
    }
    return fields
  } + [last]
}

extension ExampleOptions {
  /// The box of each patch in the source image, tile after tile; nil for `--inputs`, whose pixels have no source.
  func patchBoxes(_ model: VisionLanguageModel) throws -> [[Float]]? {
    guard inputs == nil, let image else { return nil }
    let source = try RGBImage(contentsOf: image)
    return model.images.patchBoxes(width: source.width, height: source.height, model.configuration.vision).map {
      [$0.left, $0.top, $0.right, $0.bottom]
    }
  }
}
