import CTIFF

/// A TIFF of 32-bit labels, one channel, as Panoptic Parts stores them.
struct TIFFLabels {
  let width: Int
  let height: Int
  /// [height, width]
  let labels: [Int32]

  init(contentsOf path: String) throws {
    func refuse(_ what: String) -> DatasetError {
      .malformed(place: path, what: what, remedy: "labels are TIFFs of one 32-bit integer a pixel, in strips")
    }
    guard let tiff = TIFFLabels.open(path) else { throw refuse("not a TIFF that can be read") }
    defer { TIFFClose(tiff) }
    func number(_ tag: Int32) -> Int {
      var value: UInt16 = 0
      return ctiff_u16(tiff, UInt32(tag), &value) == 1 ? Int(value) : 0
    }
    var (width, height): (UInt32, UInt32) = (0, 0)
    guard ctiff_u32(tiff, UInt32(TIFFTAG_IMAGEWIDTH), &width) == 1,
      ctiff_u32(tiff, UInt32(TIFFTAG_IMAGELENGTH), &height) == 1, (1...65_535).contains(width),
      (1...65_535).contains(height), Int(width) * Int(height) <= TIFFLabels.maxPixels
    else { throw refuse("no usable width and height") }
    let (bits, samples) = (number(TIFFTAG_BITSPERSAMPLE), number(TIFFTAG_SAMPLESPERPIXEL))
    let format = number(TIFFTAG_SAMPLEFORMAT)
    guard bits == 32, samples == 1, format == SAMPLEFORMAT_INT || format == SAMPLEFORMAT_UINT else {
      throw refuse("\(samples) channels of \(bits) bits, sample format \(format)")
    }
    guard TIFFIsTiled(tiff) == 0, Int(TIFFScanlineSize(tiff)) == Int(width) * 4 else { throw refuse("a tiled TIFF") }
    var labels = [Int32](repeating: 0, count: Int(width) * Int(height))
    let isWhole = labels.withUnsafeMutableBytes { bytes in
      (0..<height).allSatisfy { row in
        TIFFReadScanline(tiff, bytes.baseAddress.map { $0 + Int(row) * Int(width) * 4 }, row, 0) == 1
      }
    }
    guard isWhole else { throw refuse("corrupt TIFF: not all rows can be read") }
    (self.width, self.height, self.labels) = (Int(width), Int(height), labels)
  }

  /// As many as pictures may have.
  private static let maxPixels = 178_956_970

  /// libtiff would print to stderr; what went wrong is told by the caller.
  private static func open(_ path: String) -> OpaquePointer? {
    guard let options = TIFFOpenOptionsAlloc() else { return nil }
    defer { TIFFOpenOptionsFree(options) }
    TIFFOpenOptionsSetMaxSingleMemAlloc(options, tmsize_t(maxPixels * 4))
    TIFFOpenOptionsSetErrorHandlerExtR(options, { _, _, _, _, _ in 1 }, nil)
    TIFFOpenOptionsSetWarningHandlerExtR(options, { _, _, _, _, _ in 1 }, nil)
    return TIFFOpenExt(path, "r", options)
  }
}
