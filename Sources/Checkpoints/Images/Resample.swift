import Foundation

/// Pillow's antialiased filters (src/libImaging/Resample.c), by the numbers that `resample` has in a processor's JSON.
enum ResampleFilter: Int, Sendable {
  case lanczos = 1
  case bilinear = 2
  case bicubic = 3

  /// Half the filter's width in source pixels at scale 1.
  var support: Double {
    switch self {
    case .lanczos: 3
    case .bilinear: 1
    case .bicubic: 2
    }
  }

  func weight(_ distance: Double) -> Double {
    let x = abs(distance)
    switch self {
    case .bilinear:
      return x < 1 ? 1 - x : 0
    case .bicubic:
      let a = -0.5
      if x < 1 { return ((a + 2) * x - (a + 3)) * x * x + 1 }
      return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0
    case .lanczos:
      // Half open, as in Pillow; at the closed end the product is a rounding error away from zero.
      return distance >= -3 && distance < 3 ? sinc(distance) * sinc(distance / 3) : 0
    }
  }

  private func sinc(_ x: Double) -> Double { x == 0 ? 1 : sin(x * .pi) / (x * .pi) }
}

/// The source pixels of each target pixel along one axis, with weights in 22-bit fixed point.
private struct Taps {
  static let fractionBits: Int32 = 22

  /// The source pixels that any tap reads.
  let reach: Range<Int>
  /// Of each target pixel, the first source pixel, counted from the start of `reach`.
  let first: [Int]
  let weights: [[Int32]]

  /// Taps of the target pixels in `window`, of an axis that goes from `source` to `target` pixels; nil where the
  /// size stays, for Pillow then makes no pass.
  init?(from source: Int, to target: Int, window: Range<Int>, filter: ResampleFilter) {
    if source == target { return nil }
    let scale = Double(source) / Double(target)
    // Shrinking widens the filter (this is the antialiasing); growing leaves it as it is.
    let filterScale = max(scale, 1)
    let support = filter.support * filterScale
    var ranges: [Range<Int>] = []
    var weights: [[Int32]] = []
    for index in window {
      let centre = (Double(index) + 0.5) * scale
      let range = max(0, Int(centre - support + 0.5))..<min(source, Int(centre + support + 0.5))
      let raw = range.map { filter.weight((Double($0) - centre + 0.5) * (1 / filterScale)) }
      let sum = raw.reduce(0, +)
      ranges.append(range)
      weights.append(raw.map { Self.fixed(sum == 0 ? $0 : $0 / sum) })
    }
    let start = ranges.map(\.lowerBound).min() ?? 0
    reach = start..<(ranges.map(\.upperBound).max() ?? start)
    first = ranges.map { $0.lowerBound - start }
    self.weights = weights
  }

  private static func fixed(_ weight: Double) -> Int32 {
    Int32(weight * Double(1 << fractionBits) + (weight < 0 ? -0.5 : 0.5))
  }
}

/// The part `columns` x `rows` of `image` resized to `width` x `height`: Pillow 13's result bit for bit (two passes
/// with 8 bits between them), computing only what the part needs.
func resized(
  _ image: RGBImage, width: Int, height: Int, columns: Range<Int>, rows: Range<Int>, filter: ResampleFilter
) -> RGBImage {
  let across = Taps(from: image.width, to: width, window: columns, filter: filter)
  let down = Taps(from: image.height, to: height, window: rows, filter: filter)
  // New in Pillow 13, and visible in the bits, for what is between the passes is rounded: a height that shrinks by
  // more than twice as many pixels as the width goes first.
  let shrinksBy = image.height - height
  let verticalFirst = shrinksBy > 0 && shrinksBy > 2 * (image.width - width)
  var part = cropped(image, columns: across?.reach ?? columns, rows: down?.reach ?? rows)
  if let down, verticalFirst { part = verticalPass(part, down) }
  if let across { part = horizontalPass(part, across) }
  if let down, !verticalFirst { part = verticalPass(part, down) }
  return part
}

private func cropped(_ image: RGBImage, columns: Range<Int>, rows: Range<Int>) -> RGBImage {
  if columns.count == image.width && rows.count == image.height { return image }
  var pixels: [UInt8] = []
  pixels.reserveCapacity(columns.count * rows.count * 3)
  for row in rows {
    let start = row * image.width
    pixels.append(contentsOf: image.pixels[(start + columns.lowerBound) * 3..<(start + columns.upperBound) * 3])
  }
  return RGBImage(width: columns.count, height: rows.count, pixels: pixels)
}

private func horizontalPass(_ image: RGBImage, _ taps: Taps) -> RGBImage {
  let width = taps.first.count
  let pixels = [UInt8](unsafeUninitializedCapacity: image.height * width * 3) { output, count in
    image.pixels.withUnsafeBufferPointer { pixels in
      for row in 0..<image.height {
        for column in 0..<width {
          var source = (row * image.width + taps.first[column]) * 3
          var red = rounding
          var green = rounding
          var blue = rounding
          for weight in taps.weights[column] {
            red &+= Int32(pixels[source]) &* weight
            green &+= Int32(pixels[source + 1]) &* weight
            blue &+= Int32(pixels[source + 2]) &* weight
            source += 3
          }
          let target = (row * width + column) * 3
          output[target] = clipped(red)
          output[target + 1] = clipped(green)
          output[target + 2] = clipped(blue)
        }
      }
    }
    count = image.height * width * 3
  }
  return RGBImage(width: width, height: image.height, pixels: pixels)
}

/// Row by row, summing whole rows: this loop is the one that the compiler vectorises.
private func verticalPass(_ image: RGBImage, _ taps: Taps) -> RGBImage {
  let height = taps.first.count
  let rowBytes = image.width * 3
  var sums = [Int32](repeating: 0, count: rowBytes)
  let pixels = [UInt8](unsafeUninitializedCapacity: height * rowBytes) { output, count in
    sums.withUnsafeMutableBufferPointer { sums in
      image.pixels.withUnsafeBufferPointer { pixels in
        for row in 0..<height {
          sums.update(repeating: rounding)
          for (tap, weight) in taps.weights[row].enumerated() {
            let start = (taps.first[row] + tap) * rowBytes
            for index in 0..<rowBytes { sums[index] &+= Int32(pixels[start + index]) &* weight }
          }
          for index in 0..<rowBytes { output[row * rowBytes + index] = clipped(sums[index]) }
        }
      }
    }
    count = height * rowBytes
  }
  return RGBImage(width: image.width, height: height, pixels: pixels)
}

private let rounding: Int32 = 1 << (Taps.fractionBits - 1)

@inline(__always)
private func clipped(_ sum: Int32) -> UInt8 {
  UInt8(truncatingIfNeeded: max(0, min(255, sum >> Taps.fractionBits)))
}
