/// What a CLIP image processor does to a picture: resize, centre crop, rescale, normalise. The results are those of
/// transformers 5.23's `CLIPImageProcessorPil` (and of `LlavaImageProcessorPil` without padding) to the bit.
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
    values = (0..<3).flatMap { channel in
      (0..<256).map { byte in
        // The order of roundings is numpy's: the product in Float64, then Float32 throughout.
        let rescaled = settings.rescaleFactor.map { Float(Double(byte) * $0) } ?? Float(byte)
        guard let normalise = settings.normalise else { return rescaled }
        return (rescaled - Float(normalise.mean[channel])) / Float(normalise.std[channel])
      }
    }
  }

  /// Where the pixels of the input come from, for a picture of this size.
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

  /// The model's input, [3, height, width].
  package func pixels(of image: RGBImage) -> [Float] {
    let geometry = geometry(width: image.width, height: image.height)
    let (left, top) = (geometry.offsetX, geometry.offsetY)
    let columns = max(0, left)..<min(geometry.resizedWidth, left + width)
    let rows = max(0, top)..<min(geometry.resizedHeight, top + height)
    let part = resized(
      image, width: geometry.resizedWidth, height: geometry.resizedHeight, columns: columns, rows: rows,
      filter: filter)
    let plane = width * height
    return [Float](unsafeUninitializedCapacity: 3 * plane) { output, count in
      for channel in 0..<3 {
        // Padding is black before it is rescaled and normalised.
        output[channel * plane..<(channel + 1) * plane].update(repeating: values[channel * 256])
        for (row, y) in rows.enumerated() {
          let start = channel * plane + (y - top) * width + columns.lowerBound - left
          for column in 0..<columns.count {
            output[start + column] =
              values[channel * 256 + Int(part.pixels[(row * columns.count + column) * 3 + channel])]
          }
        }
      }
      count = 3 * plane
    }
  }
}
