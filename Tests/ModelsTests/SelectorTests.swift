import Checkpoints
import Models
import Testing

/// The words for rows and layers, held against a published segment map.
@Suite struct SelectorTests {
  /// prefix 0-1, an image of 2 x 3 patches at 2-7, question 8-10, room for two generated tokens.
  private static func map(cls: Bool = false, images: Int = 1) throws -> SegmentMap {
    let image = Array(repeating: 99, count: 6 + (cls ? 1 : 0))
    let ids = [1, 7] + (0..<images).flatMap { _ in image } + [5, 6, 8]
    return try SegmentMap(ids: ids, imageToken: 99, layout: layout(cls: cls), newTokens: 2)
  }

  private static func layout(cls: Bool = false) -> ImageLayout {
    ImageLayout(grid: PatchGrid(rows: 2, cols: 3), hasClassRow: cls)
  }

  private static let masks = ["part/tail": [0, 4], "part/leg": [5], "object": [1]]

  private func rows(_ selector: String, _ rows: TowerRows) throws -> [Int] { try TokenSelector(selector).resolve(rows) }

  @Test func `the segment map says what each row is`() throws {
    let map = try Self.map()
    #expect(map.segments.map(\.kind) == [.prefix, .image, .question, .generated])
    #expect(map.segments.map(\.rows) == [0..<2, 2..<8, 8..<11, 11..<13])
    #expect(map.length == 13 && map.promptLength == 11 && map.imageCount == 1)
    let two = try Self.map(images: 2)
    #expect(two.segments.compactMap(\.image) == [0, 1] && two.segments[2].rows == 8..<14)
    let error = #expect(throws: ModelError.self) {
      try SegmentMap(ids: [1, 99, 99, 2], imageToken: 99, layout: Self.layout(), newTokens: 0)
    }
    #expect(error?.diagnosis.what == "2 image tokens, but an image has 6")
  }

  @Test(arguments: [
    ("all", Array(0..<13)), ("prefix", [0, 1]), ("image", Array(2..<8)), ("patches", Array(2..<8)),
    ("question", [8, 9, 10]), ("last", [10]), ("generated", [11, 12]), ("[0,3,-1]", [0, 3, 12]), ("[2:4]", [2, 3]),
    ("[:2]", [0, 1]), ("[-2:]", [11, 12]), ("[4:4]", []), ("image[1,0:2]", [5, 6]), ("image[-1,-1]", [7]),
    ("patches[:,1]", [3, 6]), ("image[:,:]", Array(2..<8)), ("prefix + last", [0, 1, 10]),
    ("image - image[0,:]", [5, 6, 7]), ("all - prefix - image & [0:9]", [8]),
    ("all - (prefix + image)", [8, 9, 10, 11, 12]),
    ("(prefix+last)&[0:5]", [0, 1]), ("mask:part", [2, 6, 7]), ("mask:part/tail", [2, 6]), ("mask:object", [3]),
    ("mask:par", []), ("mask:wing", []), ("image - mask:part", [3, 4, 5]), ("[3] & [4]", []),
  ]) func `rows of the text tower`(selector: String, want: [Int]) throws {
    #expect(try rows(selector, .text(Self.map(), masks: Self.masks)) == want)
  }

  @Test func `CLS is a row of the vision tower, and of the others where the projector takes it`() throws {
    let vision = TowerRows.vision(Self.layout(), masks: Self.masks)
    #expect(try rows("cls", vision) == [0] && rows("patches", vision) == Array(1...6))
    #expect(try rows("image", vision) == Array(1...6) && rows("all", vision) == Array(0...6))
    #expect(try rows("mask:part", vision) == [1, 5, 6] && rows("image[0,2]", vision) == [3])
    let text = TowerRows.text(try Self.map(cls: true), masks: Self.masks)
    #expect(
      try rows("cls", text) == [2] && rows("image", text) == Array(2..<9) && rows("patches", text) == Array(3..<9))
    #expect(try rows("image[0,0]", text) == [3] && rows("mask:object", text) == [4] && rows("last", text) == [11])
    let projector = TowerRows.projector(try Self.map(cls: true), masks: Self.masks)
    #expect(try rows("cls", projector) == [0] && rows("patches", projector) == Array(1...6))
    #expect(try rows("all", .projector(Self.map(), masks: [:])) == Array(0..<6))
  }

  @Test func `with two images a grid names the patches of both`() throws {
    let text = TowerRows.text(try Self.map(images: 2), masks: Self.masks)
    #expect(try rows("image[0,1:3]", text) == [3, 4, 9, 10])
    #expect(try rows("mask:object", text) == [3])  // a mask belongs to the first image
  }

  @Test(arguments: [
    ("", "a name is missing"), ("imag", "no rows are called 'imag'"), ("prefix +", "a name is missing"),
    ("(prefix", "expected ')' before 'the end'"), ("prefix last", "'last' is left over"),
    ("[1", "expected ']' before 'the end'"), ("[]", "an index is missing before ']'"),
    ("image[1]", "expected ',' before ']'"), ("image[1,2", "expected ']' before 'the end'"),
    ("prefix[0,1]", "'[0,1]' is left over"),
    ("[1.5]", "expected ']' before '.5]'"), ("mask:", "no rows are called 'mask:'"),
    ("[99999999999999999999]", "an index is missing before '99999999999999999999]'"),
  ]) func `a selector that does not parse is refused with the place`(selector: String, problem: String) {
    let error = #expect(throws: ModelError.self) { _ = try TokenSelector(selector) }
    #expect(error?.diagnosis.what == problem)
    #expect(error?.diagnosis.place == "selector '\(selector)'")
  }

  @Test(arguments: [
    ("[13]", "beyond the text tower's rows: there are 13"), ("[-14]", "beyond the text tower's rows: there are 13"),
    ("[5:2]", "beyond the text tower's rows: there are 13"), ("[5:14]", "beyond the text tower's rows: there are 13"),
    ("image[2,0]", "beyond the patch grid's rows: there are 2"),
    ("image[0,0:4]", "beyond the patch grid's columns: there are 3"),
    ("cls", "the text tower of this model has no CLS row"),
    ("base", "the text tower of this model has no 'base' rows"),
    ("newline", "the text tower of this model has no 'newline' rows"),
  ]) func `rows that do not exist are refused`(selector: String, problem: String) throws {
    let text = TowerRows.text(try Self.map(), masks: [:])
    let error = #expect(throws: ModelError.self) { _ = try rows(selector, text) }
    #expect(error?.diagnosis.what == problem)
  }

  @Test(arguments: ["prefix", "question", "last", "generated"])
  func `words of the prompt are refused in the vision tower`(word: String) {
    let error = #expect(throws: ModelError.self) { _ = try rows(word, .vision(Self.layout(), masks: [:])) }
    #expect(error?.diagnosis.what == "the vision tower has no '\(word)' rows")
  }

  // MARK: layers and hook points of `mha`: three text layers, two of three vision layers in use

  private func table() throws -> HookTable { HookTable(try ModelConfiguration(folder: "\(ParityCase.root)/mha")) }

  @Test(arguments: [
    ("all", [0, 1, 2]), ("0", [0]), ("-1", [2]), ("0-1", [0, 1]), ("-2--1", [1, 2]), ("0,-1", [0, 2]),
    ("0 - 2, 1", [0, 1, 2]),
  ])
  func `layers count from both ends`(text: String, want: [Int]) throws {
    #expect(try LayerSelector(text).resolve(table(), tower: .text) == want)
  }

  /// The published code: range(max(0, l - k // 2), min(L, l - (-k // 2))).
  @Test func `a window of layers is the one that knockout studies sweep, clipped at the ends`() throws {
    let table = try table()
    func floorHalf(_ k: Int) -> Int { Int((Double(k) / 2).rounded(.down)) }
    for centre in 0..<3 {
      for k in 1...9 {
        let published = Array(max(0, centre - floorHalf(k))..<min(3, centre - floorHalf(-k)))
        #expect(try LayerSelector("\(centre)~\(k)").resolve(table, tower: .text) == published)
      }
    }
    #expect(try LayerSelector("-1~3").resolve(table, tower: .text) == [1, 2])
    #expect(try LayerSelector("0~1,-1").resolve(table, tower: .text) == [0, 2])
    for bad in ["3~1", "-4~9"] {
      let error = #expect(throws: ModelError.self) { _ = try LayerSelector(bad).resolve(table, tower: .text) }
      #expect(error?.diagnosis.what == "text has layers 0 to 2")
    }
  }

  @Test(arguments: ["3", "0-3", "-4", "2-1"]) func `layers that do not exist are refused`(text: String) throws {
    let table = try table()
    let error = #expect(throws: ModelError.self) { _ = try LayerSelector(text).resolve(table, tower: .text) }
    #expect(error?.diagnosis.what == "text has layers 0 to 2")
  }

  @Test(arguments: ["", "x", "1-", "1,", "a-b", "1:2", "1~", "~3", "1~0", "1~-2", "0-2~3"])
  func `text that names no layer is refused`(text: String) {
    #expect(throws: ModelError.self) { _ = try LayerSelector(text) }
  }

  @Test func `minus one of the vision tower is the last layer that counts`() throws {
    let table = try table()
    #expect(try LayerSelector("-1").resolve(table, tower: .vision) == [1])
    #expect(try LayerSelector("all").resolve(table, tower: .vision) == [0, 1])
    #expect(throws: ModelError.self) { _ = try LayerSelector("1-2").resolve(table, tower: .vision) }
  }

  @Test func `patterns match hook points, and only those that exist`() throws {
    let table = try table()
    #expect(table.all.count == (1 + 2 * 13) + 3 + (3 + 3 * 15))
    #expect(Set(table.all).count == table.all.count)
    #expect(
      try table.match("text.*.resid_post").map(\.description) == [
        "text.0.resid_post", "text.1.resid_post", "text.2.resid_post",
      ])
    #expect(
      try table.match("text.1-2.rot_k").count == 2
        && table.match("vision.-1.pattern") == [HookPoint(.vision, 1, .pattern)])
    #expect(try table.match("logits") == table.match("text.logits") && table.match("projector.out")[0].layer == nil)
    for point in table.all { #expect(try table.match("\(point)") == [point]) }
    for (bad, remedy) in [
      ("text.*.resid_pots", "did you mean 'resid_post'?"), ("txt.0.z", "did you mean 'text'?"),
      ("vision.0.rot_q", "there: "),
      ("text.z", "there: "), ("text", "for example text.*.resid_post"), ("text.0.z.1", "for example text.*.resid_post"),
    ] {
      let error = #expect(throws: ModelError.self) { _ = try table.match(bad) }
      #expect(error?.diagnosis.remedy.hasPrefix(remedy) == true, "\(bad): \(String(describing: error))")
    }
  }
}
