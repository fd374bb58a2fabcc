import Checkpoints
import Diagnostics
import Foundation
import Testing

/// What transformers made of pictures of many sizes; `Tools/parity/next_layouts.py`.
private struct NextLayouts: Decodable {
  /// Width, height; canvas height, width; resized height, width; kept rows, cols; tokens.
  let layouts: [[Int]]
  let pixels: [Pixels]

  struct Pixels: Decodable {
    let width: Int
    let height: Int
    let tiles: Int
    let sha256: String

    init(from decoder: any Decoder) throws {
      var list = try decoder.unkeyedContainer()
      width = try list.decode(Int.self)
      height = try list.decode(Int.self)
      tiles = try list.decode(Int.self)
      sha256 = try list.decode(String.self)
    }
  }

  static func load() throws -> NextLayouts {
    let path = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Fixtures/next_layouts.json")
    return try JSONDecoder().decode(NextLayouts.self, from: Data(contentsOf: path))
  }
}

private func pinpoints(_ sizes: [(Int, Int)]) -> [GridPinpoint] {
  sizes.map { GridPinpoint(height: $0.0, width: $0.1) }
}

/// LLaVA-NeXT's processor with tiles of 12 pixels.
private func processor(
  size: Int = 12, pinpoints: String = "[[12, 24], [24, 12], [24, 24], [36, 12], [12, 36]]", resize: Bool = true
) throws -> ImageProcessor {
  let folder = FileManager.default.temporaryDirectory.appending(path: "ablate-\(UUID().uuidString)").path
  try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
  defer { try? FileManager.default.removeItem(atPath: folder) }
  let json = """
    {"image_processor_type": "LlavaNextImageProcessor", "size": {"shortest_edge": \(size)}, "crop_size": 12, "do_pad": true,
     "do_resize": \(resize), "image_grid_pinpoints": \(pinpoints)}
    """
  try json.write(toFile: folder + "/preprocessor_config.json", atomically: true, encoding: .utf8)
  return try ImageProcessor(folder: folder)
}

@Suite struct `Tiles of LLaVA-NeXT` {
  @Test func `canvas, size and kept grid are those of transformers for 160 sizes`() throws {
    let canvases = pinpoints([(336, 672), (672, 336), (672, 672), (1008, 336), (336, 1008)])
    for row in try NextLayouts.load().layouts {
      let (width, height) = (row[0], row[1])
      let canvas = canvases.best(width: width, height: height)
      #expect([canvas.height, canvas.width] == Array(row[2...3]), "\(row)")
      let kept = canvas.unpadded(rows: canvas.height / 14, cols: canvas.width / 14, width: width, height: height)
      #expect([kept.rows.count, kept.cols.count] == Array(row[6...7]), "\(row)")
      #expect(24 * 24 + kept.rows.count * (kept.cols.count + 1) == row[8], "\(row)")
    }
  }

  @Test func `pixel values are those of the PIL processor to the bit`() throws {
    let processor = try processor()
    for golden in try NextLayouts.load().pixels {
      let (width, height) = (golden.width, golden.height)
      let bytes = (0..<width * height * 3).map { i in
        let (x, y, c) = (i / 3 % width, i / 3 / width, i % 3)
        return UInt8(truncatingIfNeeded: (31 * x + 17 * y + 7 * c) ^ (x * y))
      }
      let values = processor.pixels(of: RGBImage(width: width, height: height, pixels: bytes))
      #expect(values.count == golden.tiles * 3 * 12 * 12)
      #expect(SHA256.hex(values.withUnsafeBytes { Array($0) }) == golden.sha256, "\(width) x \(height)")
    }
  }

  @Test func `a wide picture is squashed into tile 0 and centred on its canvas in the others`() throws {
    // 40 x 30 on 24 x 24: resized to 24 x 18, three rows of padding above and below.
    let tiles = try processor().tiles(width: 40, height: 30)
    #expect(tiles.count == 5 && (tiles[0].resizedWidth, tiles[0].resizedHeight) == (12, 12))
    #expect(tiles.dropFirst().allSatisfy { ($0.resizedWidth, $0.resizedHeight) == (24, 18) })
    #expect(tiles.dropFirst().map(\.offsetX) == [0, 12, 0, 12] && tiles.dropFirst().map(\.offsetY) == [-3, -3, 9, 9])
    // A patch of 4 pixels: in the base 40/12 by 30/12 source pixels each, in the tiles 40/24 by 30/18.
    let patch = PixelBox(left: 4, top: 4, right: 8, bottom: 8)
    #expect(tiles[0].sourceBox(ofInput: patch) == PixelBox(left: 40.0 / 3, top: 10, right: 80.0 / 3, bottom: 20))
    let inTile = tiles[4].sourceBox(ofInput: patch)
    #expect(abs(inTile.left - 80.0 / 3) < 1e-4 && abs(inTile.right - 100.0 / 3) < 1e-4)
    #expect(abs(inTile.top - 65.0 / 3) < 1e-4 && abs(inTile.bottom - 85.0 / 3) < 1e-4)
  }

  @Test func `a mask follows the picture through squash, resize, padding and tiles`() throws {
    // The left half of 48 x 48, on a 24 x 24 canvas without padding: columns of patches of 4 pixels.
    let left = (0..<48 * 48).map { UInt8($0 % 48 < 24 ? 1 : 0) }
    let mask = GrayImage(width: 48, height: 48, pixels: left)
    let tiles = try processor().tiles(width: 48, height: 48)
    func coverage(_ tile: Int, _ mask: GrayImage) throws -> [Float] {
      try patchCoverage(mask: mask, value: nil, geometry: tiles[tile], patchSize: 4, rows: 3, cols: 3)
    }
    #expect(try coverage(0, mask) == [1, 0.5, 0, 1, 0.5, 0, 1, 0.5, 0])  // the base's middle column is half in
    #expect(try coverage(1, mask) == [Float](repeating: 1, count: 9))
    #expect(try coverage(2, mask) == [Float](repeating: 0, count: 9))
    #expect(try coverage(3, mask) == [Float](repeating: 1, count: 9))
    // 24 x 6 lies on the canvas of 24 x 12 between two times three rows of padding, which are outside every mask.
    let flat = try processor().tiles(width: 24, height: 6)
    let all = GrayImage(width: 24, height: 6, pixels: [UInt8](repeating: 1, count: 24 * 6))
    let half = try patchCoverage(mask: all, value: nil, geometry: flat[1], patchSize: 4, rows: 3, cols: 3)
    #expect(flat.count == 3 && half == [0.25, 0.25, 0.25, 1, 1, 1, 0.25, 0.25, 0.25])
  }

  @Test func `tiles that do not fit are refused by key`() {
    func refused(_ key: String, _ make: () throws -> ImageProcessor) {
      let error = #expect(throws: CheckpointError.self) { _ = try make() }
      #expect(error?.diagnosis.place.hasSuffix(": \(key)") == true, "\(String(describing: error))")
    }
    refused("size") { try processor(size: 14) }
    refused("size") { try processor(resize: false) }
    for pinpoints in ["[[12, 20]]", "[]", "[[12]]", "[12, 24]"] {
      refused("image_grid_pinpoints") { try processor(pinpoints: pinpoints) }
    }
  }
}
