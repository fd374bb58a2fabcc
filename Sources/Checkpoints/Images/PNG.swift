import CSpng

/// A PNG's samples as they are stored, one byte each.
struct PNGRaster {
  let width: Int
  let height: Int
  /// 1, 2, 4, 8 or 16. Of 16-bit samples the high byte is kept, as Pillow does for all but grey.
  let bitDepth: Int
  let colourType: ColourType
  /// [height, width, channels]; below 8 bits not scaled; palette indices for `.palette`.
  let samples: [UInt8]
  /// RGB and alpha of each entry.
  var palette: [spng_plte_entry] = []
  /// The colour that is transparent, for grey (first value) and RGB.
  var transparent: (UInt16, UInt16, UInt16)?

  enum ColourType: UInt8 {
    case grey = 0
    case rgb = 2
    case palette = 3
    case greyAlpha = 4
    case rgba = 6

    var channels: Int {
      switch self {
      case .grey, .palette: 1
      case .greyAlpha: 2
      case .rgb: 3
      case .rgba: 4
      }
    }
  }

  init(bytes: [UInt8], path: String) throws(CheckpointError) {
    // libspng keeps a pointer to the file: it must outlive the context.
    let file = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: bytes.count)
    _ = file.initialize(from: bytes)
    defer { file.deallocate() }
    guard let context = spng_ctx_new(0) else {
      throw .malformed(path: path, problem: "libspng could not start")
    }
    defer { spng_ctx_free(context) }
    // Text and profile chunks may inflate: 64 MiB bound what a bomb can take.
    spng_set_chunk_limits(context, 1 << 26, 1 << 26)
    var header = spng_ihdr()
    try Self.check(spng_set_png_buffer(context, file.baseAddress, file.count), path: path)
    try Self.check(spng_get_ihdr(context, &header), path: path)
    guard let colourType = ColourType(rawValue: header.color_type) else {
      throw .malformed(path: path, problem: "corrupt PNG: colour type \(header.color_type)")
    }
    width = Int(header.width)
    height = Int(header.height)
    bitDepth = Int(header.bit_depth)
    self.colourType = colourType
    try ImageFile.checkSize(width: width, height: height, path: path)
    var length = 0
    try Self.check(spng_decoded_image_size(context, Int32(SPNG_FMT_RAW.rawValue), &length), path: path)
    var stored = [UInt8](repeating: 0, count: length)
    try Self.check(spng_decode_image(context, &stored, length, Int32(SPNG_FMT_RAW.rawValue), 0), path: path)
    samples = Self.unpack(stored, perRow: width * colourType.channels, rows: height, bitDepth: bitDepth)
    readTransparency(context)
  }

  /// `stored` as one byte a sample: rows below 8 bits are packed from the high bits down and padded to a byte.
  private static func unpack(_ stored: [UInt8], perRow: Int, rows: Int, bitDepth: Int) -> [UInt8] {
    if bitDepth == 8 { return stored }
    let stride = (perRow * bitDepth + 7) / 8
    let mask = UInt8(truncatingIfNeeded: (1 << min(bitDepth, 8)) - 1)
    return [UInt8](unsafeUninitializedCapacity: perRow * rows) { samples, count in
      for row in 0..<rows {
        for index in 0..<perRow {
          let bit = index * bitDepth
          let byte = stored[row * stride + bit / 8]
          samples[row * perRow + index] = bitDepth == 16 ? byte : byte >> UInt8(8 - bitDepth - bit % 8) & mask
        }
      }
      count = perRow * rows
    }
  }

  private mutating func readTransparency(_ context: OpaquePointer) {
    var colours = spng_plte()
    var transparency = spng_trns()
    let hasTransparency = spng_get_trns(context, &transparency) == 0
    if spng_get_plte(context, &colours) == 0 {
      palette = withUnsafeBytes(of: &colours.entries) { entries in
        Array(entries.bindMemory(to: spng_plte_entry.self).prefix(Int(colours.n_entries)))
      }
      let alpha = withUnsafeBytes(of: &transparency.type3_alpha) { Array($0) }
      for index in palette.indices {
        palette[index].alpha = hasTransparency && index < transparency.n_type3_entries ? alpha[index] : 255
      }
    }
    guard hasTransparency else { return }
    if colourType == .grey { transparent = (transparency.gray, 0, 0) }
    if colourType == .rgb { transparent = (transparency.red, transparency.green, transparency.blue) }
  }

  private static func check(_ status: Int32, path: String) throws(CheckpointError) {
    guard status != 0 else { return }
    throw .malformed(
      path: path, problem: "corrupt PNG: \(String(cString: spng_strerror(status)))",
      remedy: "fetch the file again, or re-encode it if it looks right")
  }
}

// MARK: - Colour

extension PNGRaster {
  /// The picture in RGB as transformers' PIL path makes it: the alpha of Pillow's `convert("RGBA")`, on white.
  func rgb(path: String) throws(CheckpointError) -> RGBImage {
    if colourType == .grey && bitDepth == 16 {
      throw .unsupported(
        path: path, key: "bit depth", problem: "16-bit grey PNG, which Pillow would clip at 255, nearly all to white",
        remedy: "convert it to 8 bits")
    }
    if colourType == .palette, let index = samples.max(), Int(index) >= palette.count {
      throw .malformed(
        path: path, problem: "corrupt PNG: palette index \(index) of \(palette.count) colours",
        remedy: "re-encode the image")
    }
    if colourType == .rgb && transparent == nil { return RGBImage(width: width, height: height, pixels: samples) }
    let count = width * height
    let pixels = [UInt8](unsafeUninitializedCapacity: count * 3) { pixels, written in
      samples.withUnsafeBufferPointer { samples in
        for index in 0..<count {
          let (red, green, blue, alpha) = colour(at: index, of: samples)
          pixels[3 * index] = onWhite(red, alpha)
          pixels[3 * index + 1] = onWhite(green, alpha)
          pixels[3 * index + 2] = onWhite(blue, alpha)
        }
      }
      written = count * 3
    }
    return RGBImage(width: width, height: height, pixels: pixels)
  }

  private func colour(at index: Int, of samples: UnsafeBufferPointer<UInt8>) -> (UInt8, UInt8, UInt8, UInt8) {
    let first = index * colourType.channels
    switch colourType {
    case .grey:
      let grey = samples[first] &* greyScale
      return (grey, grey, grey, transparent.map { grey == key($0.0) ? 0 : 255 } ?? 255)
    case .greyAlpha:
      return (samples[first], samples[first], samples[first], samples[first + 1])
    case .palette:
      let entry = palette[Int(samples[first])]
      return (entry.red, entry.green, entry.blue, entry.alpha)
    case .rgb:
      let (red, green, blue) = (samples[first], samples[first + 1], samples[first + 2])
      guard let transparent else { return (red, green, blue, 255) }
      let isKey = red == key(transparent.0) && green == key(transparent.1) && blue == key(transparent.2)
      return (red, green, blue, isKey ? 0 : 255)
    case .rgba:
      return (samples[first], samples[first + 1], samples[first + 2], samples[first + 3])
    }
  }

  /// What makes a grey sample of 1, 2 or 4 bits span 0...255.
  private var greyScale: UInt8 { [1: 255, 2: 85, 4: 17][bitDepth] ?? 1 }

  /// Pillow compares the low byte of the tRNS value with the 8-bit sample whatever the depth, except at 1 bit. (The
  /// standard means the sample as stored: the two agree at 8 bits.)
  private func key(_ value: UInt16) -> UInt8 {
    bitDepth == 1 ? (value == 0 ? 0 : 255) : UInt8(truncatingIfNeeded: value)
  }
}
