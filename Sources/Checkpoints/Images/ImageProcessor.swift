/// What a CLIP image processor does to a picture: resize, centre crop, rescale, normalise; LLaVA-NeXT's does it for several tiles. The
/// results are those of transformers 5.23's `CLIPImageProcessorPil` (and of `LlavaImageProcessorPil` without padding) and of
/// `LlavaNextImageProcessorPil` to the bit.
package struct ImageProcessor: Sendable {
  /// The implementation that is followed, for provenance: transformers has a torchvision one, whose bits differ.
  package static let backend = "pil"

  enum Size: Sendable, Equatable {
    case shortestEdge(Int)
    case exact(width: Int, height: Int)
    /// As large as the picture is (`do_resize` false).
    case unchanged
  }

  let size: Size
  let filter: ResampleFilter
  /// Width of `pixel_values`.
  package let width: Int
  /// Height of `pixel_values`.
  package let height: Int
  /// LLaVA-NeXT's canvases; empty where a picture is one tile.
  package let pinpoints: [GridPinpoint]
  /// What each 8-bit value of each channel becomes, [3, 256]. An 8-bit picture has no other values, so that the
  /// whole arithmetic of rescaling and normalising is here.
  private let values: [Float]

  /// Reads `processor_config.json` and `preprocessor_config.json` of a checkpoint folder.
  package init(folder: String) throws(CheckpointError) {
    try self.init(ImageProcessorSettings(folder: folder))
  }

  init(_ settings: ImageProcessorSettings) {
    size = settings.size
    filter = settings.filter
    width = settings.width
    height = settings.height
    pinpoints = settings.pinpoints
    values = (0..<3).flatMap { channel in
      (0..<256).map { byte in
        // The order of roundings is numpy's: the product in Float64, then Float32 throughout.
        let rescaled = settings.rescaleFactor.map { Float(Double(byte) * $0) } ?? Float(byte)
        guard let normalise = settings.normalise else { return rescaled }
        return (rescaled - Float(normalise.mean[channel])) / Float(normalise.std[channel])
      }
    }
  }

  /// Where the pixels of each tile come from, for a picture of this size, in the order of the vision tower: the whole picture, then
  /// the tiles of its canvas row by row.
  package func tiles(width sourceWidth: Int, height sourceHeight: Int) -> [PixelGeometry] {
    let whole = geometry(width: sourceWidth, height: sourceHeight)
    guard !pinpoints.isEmpty else { return [whole] }
    let canvas = pinpoints.best(width: sourceWidth, height: sourceHeight)
    let fitted = canvas.fitted(width: sourceWidth, height: sourceHeight)
    let (left, top) = ((canvas.width - fitted.width) / 2, (canvas.height - fitted.height) / 2)
    let tiles = stride(from: 0, to: canvas.height, by: height).flatMap { y in
      stride(from: 0, to: canvas.width, by: width).map { x in
        PixelGeometry(
          sourceWidth: sourceWidth, sourceHeight: sourceHeight, resizedWidth: fitted.width,
          resizedHeight: fitted.height, inputWidth: width, inputHeight: height, offsetX: x - left, offsetY: y - top)
      }
    }
    return [whole] + tiles
  }

  /// Where the pixels of the input come from, for a picture of this size; of several tiles those of the first, the whole picture.
  package func geometry(width sourceWidth: Int, height sourceHeight: Int) -> PixelGeometry {
    var resizedWidth = sourceWidth
    var resizedHeight = sourceHeight
    switch size {
    case .unchanged: break
    case .exact(let width, let height): (resizedWidth, resizedHeight) = (width, height)
    case .shortestEdge(let edge):
      // `int(size * long / short)`: one division in Float64, then truncated.
      resizedWidth = sourceWidth <= sourceHeight ? edge : Int(Double(edge * sourceWidth) / Double(sourceHeight))
      resizedHeight = sourceWidth <= sourceHeight ? Int(Double(edge * sourceHeight) / Double(sourceWidth)) : edge
    }
    return PixelGeometry(
      sourceWidth: sourceWidth, sourceHeight: sourceHeight, resizedWidth: resizedWidth,
      resizedHeight: resizedHeight, inputWidth: width, inputHeight: height)
  }

  /// Where the patches of a vision tower lie in a picture of this size, in its pixels: numbered through the tiles, row-major.
  package func patchBoxes(width: Int, height: Int, _ vision: VisionConfiguration) -> [PixelBox] {
    let size = Float(vision.patchSize)
    return tiles(width: width, height: height).flatMap { tile in
      (0..<vision.patches).map { patch in
        let (x, y) = (Float(patch % vision.grid) * size, Float(patch / vision.grid) * size)
        return tile.sourceBox(ofInput: PixelBox(left: x, top: y, right: x + size, bottom: y + size))
      }
    }
  }

  /// The model's input, [tiles, 3, height, width].
  package func pixels(of image: RGBImage) -> [Float] {
    tiles(width: image.width, height: image.height).flatMap { pixels(of: image, $0) }
  }

  /// One tile, [3, height, width].
  private func pixels(of image: RGBImage, _ geometry: PixelGeometry) -> [Float] {
    let (left, top) = (geometry.offsetX, geometry.offsetY)
    let columns = (left..<left + width).clamped(to: 0..<geometry.resizedWidth)
    let rows = (top..<top + height).clamped(to: 0..<geometry.resizedHeight)
    // A tile may lie in the padding altogether.
    let part =
      columns.isEmpty || rows.isEmpty
      ? []
      : resized(
        image, width: geometry.resizedWidth, height: geometry.resizedHeight, columns: columns, rows: rows,
        filter: filter
      ).pixels
    let plane = width * height
    return [Float](unsafeUninitializedCapacity: 3 * plane) { output, count in
      for channel in 0..<3 {
        // Padding is black before it is rescaled and normalised.
        output[channel * plane..<(channel + 1) * plane].update(repeating: values[channel * 256])
        for (row, y) in rows.enumerated() where !part.isEmpty {
          let start = channel * plane + (y - top) * width + columns.lowerBound - left
          for column in 0..<columns.count {
            output[start + column] =
              values[channel * 256 + Int(part[(row * columns.count + column) * 3 + channel])]
          }
        }
      }
      count = 3 * plane
    }
  }
}
