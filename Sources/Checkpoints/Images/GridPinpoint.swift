/// A canvas that LLaVA-NeXT lays a picture on and cuts into tiles: an entry of `image_grid_pinpoints`.
package struct GridPinpoint: Sendable, Equatable {
  package let height: Int
  package let width: Int

  package init(height: Int, width: Int) { (self.height, self.width) = (height, width) }

  /// The size of a picture that fills the canvas in one direction and keeps its aspect (`get_patch_output_size` of transformers'
  /// image_processing_utils.py).
  func fitted(width sourceWidth: Int, height sourceHeight: Int) -> (width: Int, height: Int) {
    let across = Double(width) / Double(sourceWidth)
    let down = Double(height) / Double(sourceHeight)
    return across < down
      ? (width, min(Int((Double(sourceHeight) * across).rounded(.up)), height))
      : (min(Int((Double(sourceWidth) * down).rounded(.up)), width), height)
  }

  /// Rows and columns of a grid of `rows` x `cols` patches over the canvas that are kept of a picture, the same number cut on both
  /// sides (`unpad_image` of modeling_llava_next.py). The padding is counted in patches and rounded down, so that some of it may stay.
  package func unpadded(
    rows: Int, cols: Int, width sourceWidth: Int, height sourceHeight: Int
  ) -> (rows: Range<Int>, cols: Range<Int>) {
    let isWide = Double(sourceWidth) / Double(sourceHeight) > Double(cols) / Double(rows)
    let scale = isWide ? Double(cols) / Double(sourceWidth) : Double(rows) / Double(sourceHeight)
    // A product that is a whole number but for rounding counts as that number: Python's `int(round(x, 7))`.
    let length = Int(((Double(isWide ? sourceHeight : sourceWidth) * scale) * 1e7).rounded() / 1e7)
    let padding = ((isWide ? rows : cols) - length) / 2
    return isWide ? (padding..<(rows - padding), 0..<cols) : (0..<rows, padding..<(cols - padding))
  }
}

extension [GridPinpoint] {
  /// The canvas on which most of a picture's pixels remain, the smallest among equals (`select_best_resolution` of transformers'
  /// image_processing_utils.py). The list must not be empty.
  package func best(width: Int, height: Int) -> GridPinpoint {
    var (best, most, least) = (self[0], -1, 0)
    for canvas in self {
      let scale = Swift.min(Double(canvas.width) / Double(width), Double(canvas.height) / Double(height))
      let kept = Swift.min(Int(Double(width) * scale) * Int(Double(height) * scale), width * height)
      let wasted = canvas.width * canvas.height - kept
      if kept > most || (kept == most && wasted < least) { (best, most, least) = (canvas, kept, wasted) }
    }
    return best
  }
}
