/// A mask: one byte a pixel as the file stores it. Palette images give their indices, grey images their samples
/// (of 1, 2, 4 or 8 bits, not scaled); nothing is converted, because a label is not a colour.
package struct GrayImage: Sendable {
  package let width: Int
  package let height: Int
  /// [height, width]
  package let pixels: [UInt8]
  /// Where it came from, for messages.
  package let path: String

  package init(contentsOf path: String) throws(CheckpointError) {
    try self.init(bytes: ImageFile.read(path), path: path)
  }

  /// Decodes a one-channel PNG. Anything else (JPEG, whose compression blurs labels; colour; 16 bits) is refused.
  package init(bytes: [UInt8], path: String) throws(CheckpointError) {
    let remedy = "save the mask as a grey or palette PNG of at most 8 bits"
    guard ImageFile.format(of: bytes) == .png else {
      throw .unsupported(path: path, key: "format", problem: "a mask that is not a PNG", remedy: remedy)
    }
    let raster = try PNGRaster(bytes: bytes, path: path)
    guard raster.colourType == .grey || raster.colourType == .palette else {
      throw .unsupported(path: path, key: "colour type", problem: "a mask in colour or with alpha", remedy: remedy)
    }
    guard raster.bitDepth <= 8 else {
      throw .unsupported(path: path, key: "bit depth", problem: "a mask of 16 bits", remedy: remedy)
    }
    width = raster.width
    height = raster.height
    pixels = raster.samples
    self.path = path
  }

  /// A mask that is in memory already. `pixels.count` must be `width * height`.
  package init(width: Int, height: Int, pixels: [UInt8], path: String = "mask") {
    precondition(width > 0 && height > 0 && pixels.count == width * height, "a mask needs its pixels")
    self.width = width
    self.height = height
    self.pixels = pixels
    self.path = path
  }
}
