import Checkpoints
import Models

/// The segment map as captures and `generate --json` publish it: rows by kind (`last`, the last prompt row, lies in `question`), and
/// for the image its grid and the box of each patch.
///
/// - Parameter boxes: left, top, right, bottom of each patch, row-major, in pixels of the source image; nil where it is not known.
func segments(_ map: SegmentMap, boxes: [[Float]]?) -> [[String: Any]] {
  let last: [String: Any] = ["kind": "last", "first": map.promptLength - 1, "count": 1]
  return map.segments.map { segment in
    var fields: [String: Any] = ["kind": segment.kind.rawValue, "first": segment.first, "count": segment.count]
    if segment.kind == .image {
      fields["grid"] = [map.grid.rows, map.grid.cols]
      fields["class_row"] = map.hasClassRow
      if let boxes { fields["patch_boxes"] = boxes }
    }
    return fields
  } + [last]
}

extension ExampleOptions {
  /// The box of each patch in the source image; nil for `--inputs`, whose pixels have no source.
  func patchBoxes(_ model: VisionLanguageModel) throws -> [[Float]]? {
    guard inputs == nil, let image else { return nil }
    let source = try RGBImage(contentsOf: image)
    let geometry = model.images.geometry(width: source.width, height: source.height)
    let (grid, size) = (model.grid, Float(model.configuration.vision.patchSize))
    return (0..<grid.rows * grid.cols).map { patch in
      let (x, y) = (Float(patch % grid.cols) * size, Float(patch / grid.cols) * size)
      let box = geometry.sourceBox(ofInput: PixelBox(left: x, top: y, right: x + size, bottom: y + size))
      return [box.left, box.top, box.right, box.bottom]
    }
  }
}
