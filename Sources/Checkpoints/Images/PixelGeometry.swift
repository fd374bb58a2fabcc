/// A rectangle in pixels, edges not centres: the pixel in column 3 spans 3...4.
package struct PixelBox: Sendable, Equatable {
  package var left: Float
  package var top: Float
  package var right: Float
  package var bottom: Float

  package init(left: Float, top: Float, right: Float, bottom: Float) {
    self.left = left
    self.top = top
    self.right = right
    self.bottom = bottom
  }
}

/// Where the pixels of a model's input come from: the source is resized, then a window of it is the input.
package struct PixelGeometry: Sendable, Equatable {
  package let sourceWidth: Int
  package let sourceHeight: Int
  package let resizedWidth: Int
  package let resizedHeight: Int
  package let inputWidth: Int
  package let inputHeight: Int
  /// Column of the resized image at which the input begins; negative where zeros pad it.
  package let offsetX: Int
  /// Row of the resized image at which the input begins; negative where zeros pad it.
  package let offsetY: Int

  /// - Parameters offsetX, offsetY: nil: the window is centred.
  init(
    sourceWidth: Int, sourceHeight: Int, resizedWidth: Int, resizedHeight: Int, inputWidth: Int, inputHeight: Int,
    offsetX: Int? = nil, offsetY: Int? = nil
  ) {
    (self.sourceWidth, self.sourceHeight) = (sourceWidth, sourceHeight)
    (self.resizedWidth, self.resizedHeight) = (resizedWidth, resizedHeight)
    (self.inputWidth, self.inputHeight) = (inputWidth, inputHeight)
    self.offsetX = offsetX ?? Self.centred(inputWidth, in: resizedWidth)
    self.offsetY = offsetY ?? Self.centred(inputHeight, in: resizedHeight)
  }

  /// Half the difference rounded down, also below zero: `center_crop` of transformers' image_transforms.py.
  private static func centred(_ window: Int, in length: Int) -> Int { (length - window) >> 1 }

  /// The box of the source, in its pixels and clipped to it, that becomes `box` of the input.
  package func sourceBox(ofInput box: PixelBox) -> PixelBox {
    func map(_ value: Float, _ offset: Int, _ source: Int, _ resized: Int) -> Float {
      Float(min(max((Double(value) + Double(offset)) * Double(source) / Double(resized), 0), Double(source)))
    }
    return PixelBox(
      left: map(box.left, offsetX, sourceWidth, resizedWidth),
      top: map(box.top, offsetY, sourceHeight, resizedHeight),
      right: map(box.right, offsetX, sourceWidth, resizedWidth),
      bottom: map(box.bottom, offsetY, sourceHeight, resizedHeight))
  }

  /// The source column under the centre of each of the first `count` input columns, -1 in the padding.
  func nearestColumns(_ count: Int) -> [Int] {
    Self.nearest(count, of: inputWidth, offset: offsetX, source: sourceWidth, resized: resizedWidth)
  }

  /// The source row under the centre of each of the first `count` input rows, -1 in the padding.
  func nearestRows(_ count: Int) -> [Int] {
    Self.nearest(count, of: inputHeight, offset: offsetY, source: sourceHeight, resized: resizedHeight)
  }

  private static func nearest(_ count: Int, of input: Int, offset: Int, source: Int, resized: Int) -> [Int] {
    (0..<count).map { index in
      let place = index + offset
      return index < input && place >= 0 && place < resized ? (2 * place + 1) * source / (2 * resized) : -1
    }
  }
}

/// How much of each patch a mask covers: the fraction of the patch's input pixels whose nearest source pixel has
/// `value` in the mask (nil: any value but 0); padding is outside every mask.
///
/// - Returns: [rows * cols], row-major as the patches are.
/// - Throws: when the mask is not as large as the image that `geometry` was made for.
package func patchCoverage(
  mask: GrayImage, value: UInt8?, geometry: PixelGeometry, patchSize: Int, rows: Int, cols: Int
) throws(CheckpointError) -> [Float] {
  guard mask.width == geometry.sourceWidth, mask.height == geometry.sourceHeight else {
    throw .malformed(
      path: mask.path,
      problem: "the mask is \(mask.width) x \(mask.height) pixels,"
        + " its image \(geometry.sourceWidth) x \(geometry.sourceHeight)",
      remedy: "give the mask of this image, in the image's own size")
  }
  let sourceRows = geometry.nearestRows(rows * patchSize)
  let sourceColumns = geometry.nearestColumns(cols * patchSize)
  var counts = [Int](repeating: 0, count: rows * cols)
  for (y, sourceRow) in sourceRows.enumerated() where sourceRow >= 0 {
    for (x, sourceColumn) in sourceColumns.enumerated() where sourceColumn >= 0 {
      let label = mask.pixels[sourceRow * mask.width + sourceColumn]
      if value.map({ $0 == label }) ?? (label != 0) { counts[y / patchSize * cols + x / patchSize] += 1 }
    }
  }
  return counts.map { Float($0) / Float(patchSize * patchSize) }
}
