import Checkpoints
import Models
import Tensors
import Testing

/// LLaVA-NeXT's images: where each tile's rows stand in the three towers.
@Suite struct `Layouts of tiles` {
  /// Tiles of 2 x 2 patches, two beside each other, of whose merged 2 x 4 grid columns 1 and 2 are kept: base 0-3, then rows of two
  /// patches and a newline.
  private static let layout = ImageLayout(
    tileGrid: PatchGrid(rows: 2, cols: 2), canvasTiles: PatchGrid(rows: 1, cols: 2), kept: (0..<2, 1..<3))

  @Test func `tokens are the base, then the merged grid with a newline behind each row`() {
    let layout = Self.layout
    #expect(layout.tiles == 3 && layout.grid == PatchGrid(rows: 2, cols: 2))
    #expect(layout.patches == [5, 8, 7, 10])  // tile 1's right column, tile 2's left one
    #expect(layout.tokens == [0, 1, 2, 3, 5, 8, nil, 7, 10, nil])
    #expect(layout.patchTokens == [4, 5, 7, 8] && layout.newlineTokens == [6, 9] && layout.baseTokens == 0..<4)
    #expect((layout.visionRows, layout.projectorRows) == (15, 12))
    #expect([0, 3, 4, 11].map(layout.visionRow) == [1, 4, 6, 14])
  }

  /// prefix 0-1, image 2-11, question 12-13; the mask has patches of the base, of both tiles and of the padding.
  private func rows(_ selector: String, _ tower: Tower) throws -> [Int] {
    let layout = Self.layout
    let ids = [1, 7] + Array(repeating: 99, count: 10) + [5, 6]
    let map = try SegmentMap(ids: ids, imageToken: 99, layout: layout, newTokens: 0)
    let masks = ["part": [1, 4, 5, 10]]
    let rows: TowerRows =
      switch tower {
      case .vision: .vision(layout, masks: masks)
      case .projector: .projector(map, masks: masks)
      case .text: .text(map, masks: masks)
      }
    return try TokenSelector(selector).resolve(rows)
  }

  @Test(arguments: [
    ("image", Array(2..<12)), ("base", Array(2..<6)), ("newline", [8, 11]), ("patches", [6, 7, 9, 10]),
    ("image[0,1]", [7]), ("image[1,:]", [9, 10]), ("patches[:,-1]", [7, 10]), ("mask:part", [6, 10]),
    ("image - base - newline - patches", []), ("question", [12, 13]), ("last", [13]),
  ]) func `rows of the text tower are those of the merged grid`(selector: String, want: [Int]) throws {
    #expect(try rows(selector, .text) == want)
  }

  @Test(arguments: [
    ("cls", [0, 5, 10]), ("base", [1, 2, 3, 4]), ("image[1,0]", [3, 8, 13]), ("mask:part", [2, 6, 7, 13]),
    ("patches - base", [6, 7, 8, 9, 11, 12, 13, 14]), ("all", Array(0..<15)),
  ]) func `rows of the vision tower are found tile by tile`(selector: String, want: [Int]) throws {
    #expect(try rows(selector, .vision) == want)
  }

  @Test func `rows of the projector have no CLS`() throws {
    #expect(try rows("image[0,0]", .projector) == [0, 4, 8] && rows("mask:part", .projector) == [1, 4, 5, 10])
    #expect(throws: ModelError.self) { _ = try rows("newline", .projector) }
    #expect(throws: ModelError.self) { _ = try rows("cls", .projector) }
  }

  @Test(arguments: ["next_llama", "next_mistral"])
  func `a picture and a prompt give transformers' ids, and its pixels to the bit`(name: String) throws {
    let parity = try ParityCase(name, "clean")
    let model = try parity.model()
    let prompt = try #require(parity.goldens.metadata["prompt"])
    let input = try model.input(prompt: prompt, image: RGBImage(contentsOf: parity.folder + "/image.png"))
    #expect(try input.ids == parity.goldens.integers("input_ids"))
    #expect(try bits(input.pixels) == bits(parity.goldens.floats("pixel_values")))
    #expect(try input.pixels.shape == parity.goldens.floats("pixel_values").shape)
  }

  @Test(arguments: ["next_llama", "next_mistral"])
  func `on any other canvas a picture has another number of tokens`(name: String) throws {
    let model = try ParityCase(name, "clean").model()
    let image = try RGBImage(contentsOf: ParityCase(name, "clean").folder + "/image.png")
    let (config, tile) = (model.configuration, model.grid)
    let best = config.gridPinpoints.best(width: image.width, height: image.height)
    func tokens(_ canvas: GridPinpoint) -> Int {
      ImageLayout(
        tileGrid: tile, tileSize: config.vision.imageSize, on: canvas, width: image.width, height: image.height
      ).tokens.count
    }
    for canvas in config.gridPinpoints where canvas != best { #expect(tokens(canvas) != tokens(best), "\(canvas)") }
  }

  @Test func `without the picture's size tiles are refused`() throws {
    let parity = try ParityCase("next_llama", "clean")
    let model = try parity.model()
    let error = #expect(throws: ModelError.self) {
      _ = try model.input(ids: parity.goldens.integers("input_ids"), pixels: parity.goldens.floats("pixel_values"))
    }
    #expect(error?.diagnosis.place == "image_sizes")
  }

  @Test func `a cut in one tile leaves the bits of the others alone`() throws {
    let parity = try ParityCase("next_llama", "clean")
    let model = try parity.model()
    let input = try parity.input(model)
    let n = input.segments.layout.tileRows
    let point = HookPoint(.vision, 0, .attnScores)
    var cut = Program()
    cut.edges[point] = try EdgeMask(
      [EdgeRule(.drop, queries: [2 * n + 1], keys: Array(0..<5 * n), keepSelf: true)],
      heads: model.configuration.vision.heads, length: n, causal: false, place: "vision")
    #expect(cut.edges[point]?.counts[0]?.edges == 3 * (n - 1))  // the other rows of its own tile, in each head
    let reads = [HookPoint(.vision, 0, .z), HookPoint(.vision, 0, .pattern)]
    cut.add(capturesAt: reads, input)
    let clean = Program(capturing: reads, input)
    let out = try model.run(input, [LaneRequest(clean, outputRows: []), LaneRequest(cut, outputRows: [])])
    let (a, b) = (out[0].results.captures, out[1].results.captures)
    #expect(a.map(\.rows) == [Array(0..<5 * n), Array(0..<5 * n)] && a.map(\.point) == b.map(\.point))
    let width = model.configuration.vision.width
    let z = try #require(a.firstIndex { $0.point.site == .z })
    let changed = (0..<5 * n).filter { row in
      (0..<width).contains { a[z].tensor.base[row * width + $0] != b[z].tensor.base[row * width + $0] }
    }
    #expect(changed == [2 * n + 1])
    #expect(a[1 - z].tensor.shape == [model.configuration.vision.heads, 5 * n, n])
  }
}
