import Checkpoints

/// Pixels of a picture, as runs of row-major indices: sorted, disjoint, none empty.
package struct Region: Sendable, Equatable {
  package private(set) var runs: [Range<Int>] = []

  package init() {}

  /// Where `isInside` holds, of `count` pixels.
  package init(count: Int, where isInside: (Int) -> Bool) {
    for index in 0..<count where isInside(index) { append(index..<index + 1) }
  }

  /// Pixels.
  package var area: Int { runs.reduce(0) { $0 + $1.count } }

  /// Adds pixels behind all others; a run that touches the last one grows it.
  package mutating func append(_ run: Range<Int>) {
    if let last = runs.last, last.upperBound == run.lowerBound {
      runs[runs.count - 1] = last.lowerBound..<run.upperBound
    } else {
      runs.append(run)
    }
  }

  /// The pixels of both.
  package func union(_ other: Region) -> Region {
    var result = Region()
    for run in (runs + other.runs).sorted(by: { $0.lowerBound < $1.lowerBound }) {
      let end = result.runs.last?.upperBound ?? 0
      if run.upperBound > end { result.append(max(run.lowerBound, end)..<run.upperBound) }
    }
    return result
  }
}

/// Parts packed into as few grey pictures as their overlaps allow: each part has a picture and a value (1...255) in it.
struct MaskLayers {
  let width: Int
  let height: Int
  private(set) var layers: [Layer] = []

  struct Layer {
    var pixels: [UInt8]
    /// How many values are used.
    var parts = 0
  }

  init(width: Int, height: Int) { (self.width, self.height) = (width, height) }

  /// Draws `region` into the first layer where it covers nothing drawn before.
  mutating func place(_ region: Region) -> (layer: Int, value: Int) {
    let free = layers.firstIndex { layer in
      layer.parts < 255 && region.runs.allSatisfy { run in layer.pixels[run].allSatisfy { $0 == 0 } }
    }
    let index = free ?? layers.count
    if free == nil { layers.append(Layer(pixels: [UInt8](repeating: 0, count: width * height))) }
    layers[index].parts += 1
    let value = UInt8(layers[index].parts)
    for run in region.runs {
      for pixel in run { layers[index].pixels[pixel] = value }
    }
    return (index, Int(value))
  }
}
