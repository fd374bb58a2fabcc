import Checkpoints
import Datasets
import Diagnostics
import Models
import PluginHost
import PluginRuntime
import Tensors

/// An example decoded, tokenised and with its masks on the patch grid, ready for one model.
struct PreparedExample {
  let item: Item
  let answer: String

  init(
    _ example: Example, model: VisionLanguageModel, rule: MaskRule, newTokens: Int, forced: Bool,
    words: [WordCount] = []
  ) throws {
    let image = try RGBImage(contentsOf: example.imagePath)
    let answerIds = forced ? try model.ids(answer: example.answer, after: example.prompt) : []
    let input = try model.input(
      prompt: example.prompt, image: image, forced: answerIds, newTokens: newTokens)
    let tiles = model.images.tiles(width: image.width, height: image.height)
    var masks: [String: [(patch: Int, coverage: Float)]] = [:]
    var labels: [ItemFacts.Label] = []
    var touched: Set<Int> = []
    for part in example.parts {
      let name = "part/" + part.name.replacing(" ", with: "_")  // a selector's word has no spaces
      masks[name] = try PreparedExample.patches(part, tiles, model: model, rule: rule, touched: &touched)
      labels.append(try model.label(name, part.label))
    }
    let size = Float(model.configuration.vision.imageSize)
    let box = tiles[0].sourceBox(ofInput: PixelBox(left: 0, top: 0, right: size, bottom: size))
    item = Item(
      id: example.id, index: 0, input: input, masks: masks, labels: labels,
      box: SIMD4(box.left, box.top, box.right, box.bottom), meta: JSON.object(example.meta).compact,
      background: input.segments.layout.patches.filter { !touched.contains($0) }.sorted(), words: words)
    answer = example.answer
  }

  /// The patches that belong to a part, numbered through the tiles.
  private static func patches(
    _ part: Example.Part, _ tiles: [PixelGeometry], model: VisionLanguageModel, rule: MaskRule,
    touched: inout Set<Int>
  ) throws -> [(patch: Int, coverage: Float)] {
    let mask = try GrayImage(contentsOf: part.maskPath)
    let (vision, value) = (model.configuration.vision, part.value.map { UInt8(clamping: $0) })
    let coverage = try tiles.flatMap { geometry in
      try patchCoverage(
        mask: mask, value: value, geometry: geometry, patchSize: vision.patchSize, rows: vision.grid, cols: vision.grid)
    }
    touched.formUnion(coverage.indices.filter { coverage[$0] > 0 })
    let centres: [Float]? =
      if case .centre = rule {
        try tiles.flatMap { try patchCentres(mask: mask, value: value, geometry: $0, vision) }
      } else { nil }
    return coverage.enumerated().compactMap { patch, share in
      let belongs =
        switch rule {
        case .coverage(let least): Double(share) >= least
        case .any: share > 0
        case .centre: (centres?[patch] ?? 0) > 0
        }
      return belongs ? (patch, share) : nil
    }
  }

  /// Coverage of the one pixel in the middle of each patch: a grid of patches one pixel wide, taken at the centres.
  private static func patchCentres(
    mask: GrayImage, value: UInt8?, geometry: PixelGeometry, _ vision: VisionConfiguration
  ) throws -> [Float] {
    let size = vision.grid * vision.patchSize
    let pixels = try patchCoverage(mask: mask, value: value, geometry: geometry, patchSize: 1, rows: size, cols: size)
    return (0..<vision.patches).map { patch in
      let (y, x) = (patch / vision.grid * vision.patchSize, patch % vision.grid * vision.patchSize)
      return pixels[(y + vision.patchSize / 2) * size + x + vision.patchSize / 2]
    }
  }
}

extension VisionLanguageModel {
  /// A word to look for, with its ids and those of the forms that the vocabulary has.
  func label(_ field: String, _ word: String) throws(ModelError) -> ItemFacts.Label {
    let forms: [(ReadingRequest.Form, WordForm)] = [(.bare, .bare), (.capital, .capital), (.plural, .plural)]
    var label = ItemFacts.Label(field: field, text: word, ids: try ids(word: word).map(Int32.init))
    for (name, form) in forms {
      let ids = try ids(word: word, form: form)
      if !ids.isEmpty { label.forms[name] = ids.map(Int32.init) }
    }
    return label
  }
}
