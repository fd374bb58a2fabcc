import Checkpoints
import Datasets
import Foundation
import TestSupport
import Testing

@Suite struct `A mask follows its image to the patches` {
  /// Where a picture of this size goes under these settings of an image processor.
  private func geometry(_ settings: String, _ width: Int, _ height: Int) throws -> PixelGeometry {
    let folder = try TemporaryFolder()
    try folder.write(settings, to: "preprocessor_config.json")
    return try ImageProcessor(folder: folder.path).geometry(width: width, height: height)
  }

  /// A mask from rows of `.` and `#`.
  private func mask(_ rows: String...) -> GrayImage {
    GrayImage(width: rows[0].count, height: rows.count, pixels: rows.joined().map { $0 == "#" ? 7 : 0 })
  }

  private func patches(
    _ mask: GrayImage, _ settings: String, _ rule: MaskRule, size: Int = 2, grid: Int = 2
  ) throws -> [Int] {
    let geometry = try geometry(settings, mask.width, mask.height)
    return try PartCoverage(mask: mask, value: 7, tiles: [geometry], patchSize: size, grid: grid)
      .patches(by: rule).map(\.patch)
  }

  private let asItIs = #"{"do_resize": false, "crop_size": 4}"#

  @Test func `the rules differ where a patch is covered in part`() throws {
    let mask = mask(
      "#.##",
      "...#",
      "....",
      ".###")
    // Of 4 pixels each: 1, 3, 1 and 2; in the middle (below and right of the centre): no, yes, yes, yes.
    #expect(try patches(mask, asItIs, .any) == [0, 1, 2, 3])
    #expect(try patches(mask, asItIs, .coverage(0.5)) == [1, 3])
    #expect(try patches(mask, asItIs, .coverage(0.75)) == [1])
    #expect(try patches(mask, asItIs, .coverage(0.751)) == [])
    #expect(try patches(mask, asItIs, .centre) == [1, 2, 3])
  }

  @Test func `what the crop cuts away is outside`() throws {
    // 7 x 5 to 4 x 4: columns 1...4 (3 / 2 rounded down from the left) and rows 0...3.
    let left = mask(
      "#......", "#......", "#......", "#......", "#######")
    let coverage = try PartCoverage(
      mask: left, value: 7, tiles: [geometry(asItIs, 7, 5)], patchSize: 2, grid: 2)
    #expect(coverage.isOutside && coverage.patches(by: .any).isEmpty)
    let inside = mask(
      ".#.....", ".......", ".......", "....#..", ".......")
    #expect(try patches(inside, asItIs, .any) == [0, 3])
  }

  @Test func `padding around a smaller picture belongs to no part`() throws {
    // 2 x 3 in 4 x 4: padding of 1 left and right, 1 above (-1 / 2 rounded down).
    let mask = mask("##", "##", "##")
    let coverage = try PartCoverage(
      mask: mask, value: nil, tiles: [geometry(asItIs, 2, 3)], patchSize: 2, grid: 2)
    #expect(coverage.shares == [0.25, 0.25, 0.5, 0.5])
    #expect(try patches(mask, asItIs, .centre) == [0, 2])
  }

  @Test func `a squashed picture squashes its mask`() throws {
    // 8 x 2 to 4 x 4: every second column, every row twice.
    let squash = #"{"size": {"height": 4, "width": 4}, "do_center_crop": false}"#
    let mask = mask("........", ".#.##...")
    // Input columns see source columns 1, 3, 5, 7; input rows 2 and 3 see source row 1.
    #expect(try patches(mask, squash, .any) == [2])
    let coverage = try PartCoverage(
      mask: mask, value: 7, tiles: [geometry(squash, 8, 2)], patchSize: 2, grid: 2)
    #expect(coverage.shares == [0, 0, 1, 0])
  }

  @Test func `the shortest edge is scaled and the longer one cropped`() throws {
    // 6 x 3 to 4 x 2 scaled by 2 / 3 for an input of 2 x 2: input columns are 1 and 2 of 4, source columns 2 and 3.
    let settings = #"{"size": 2, "crop_size": 2}"#
    let mask = mask("..#...", "......", "...#..")
    // Source rows under the two input rows: 0 and 2.
    #expect(try patches(mask, settings, .any, size: 1) == [0, 3])
  }

  @Test func `patches of odd size have their middle pixel as centre`() throws {
    let settings = #"{"do_resize": false, "crop_size": 3}"#
    #expect(try patches(mask("...", ".#.", "..."), settings, .centre, size: 3, grid: 1) == [0])
    #expect(try patches(mask("###", "#.#", "###"), settings, .centre, size: 3, grid: 1) == [])
  }
}
