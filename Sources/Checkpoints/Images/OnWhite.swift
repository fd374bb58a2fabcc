/// One channel over opaque white, in the arithmetic of Pillow's AlphaComposite.c.
func onWhite(_ value: UInt8, _ alpha: UInt8) -> UInt8 {
  if alpha == 255 { return value }
  if alpha == 0 { return 255 }
  // 7 fractional bits; the result's alpha is 255, so that the source weighs alpha / 255.
  let weight = UInt32(alpha) * 128
  let sum = UInt32(value) * weight + 255 * (255 * 128 - weight) + (128 << 7)
  return UInt8(truncatingIfNeeded: ((sum >> 8) + sum) >> 15)
}

/// RGB of pixels with alpha, [count, 4], over opaque white.
func onWhite(rgba: [UInt8]) -> [UInt8] {
  let count = rgba.count / 4
  return [UInt8](unsafeUninitializedCapacity: count * 3) { pixels, written in
    for index in 0..<count {
      for channel in 0..<3 { pixels[3 * index + channel] = onWhite(rgba[4 * index + channel], rgba[4 * index + 3]) }
    }
    written = count * 3
  }
}
