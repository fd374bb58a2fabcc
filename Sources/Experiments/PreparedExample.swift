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
  /// Parts without patches and labels that are not one token.
  private(set) var leftOut: [LeftOut] = []

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
      let (coverage, problem) = try PreparedExample.coverage(part, tiles, model.configuration.vision)
      let patches = coverage?.patches(by: rule) ?? []
      masks[name] = patches
      touched.formUnion(coverage?.shares.indices.filter { (coverage?.shares[$0] ?? 0) > 0 } ?? [])
      labels.append(try model.label(name, part.label))
      let problems: [String?] = [
        problem ?? (patches.isEmpty ? "no patch belongs to it by the mask rule" : nil),
        labels.last?.ids.count == 1 ? nil : "its label is not one token",
      ]
      leftOut += problems.compactMap { $0 }.map { LeftOut(example: example.id, part: part.name, reason: $0) }
    }
    if let name = example.className { labels.append(try model.label("class", name)) }
    let size = Float(model.configuration.vision.imageSize)
    let box = tiles[0].sourceBox(ofInput: PixelBox(left: 0, top: 0, right: size, bottom: size))
    item = Item(
      id: example.id, index: 0, input: input, masks: masks, labels: labels,
      box: SIMD4(box.left, box.top, box.right, box.bottom), meta: JSON.object(example.meta).compact,
      background: input.segments.layout.patches.filter { !touched.contains($0) }.sorted(), words: words)
    answer = example.answer
  }

  /// The part on the patch grid, or why it is not there.
  private static func coverage(
    _ part: Example.Part, _ tiles: [PixelGeometry], _ vision: VisionConfiguration
  ) throws -> (coverage: PartCoverage?, problem: String?) {
    let mask = try GrayImage(contentsOf: part.maskPath)
    guard mask.width == tiles[0].sourceWidth, mask.height == tiles[0].sourceHeight else {
      return (nil, "its mask has another size than the image")
    }
    let coverage = try PartCoverage(
      mask: mask, value: part.value, tiles: tiles, patchSize: vision.patchSize, grid: vision.grid)
    return (coverage, coverage.isOutside ? "no pixel of it is in the model's input" : nil)
  }
}

/// Something of an example that a model cannot be asked about, and why: it is listed, never dropped in silence.
struct LeftOut: Sendable, Hashable {
  var example: String
  var part: String
  var reason: String

  var json: JSON {
    .object([("example", .string(example)), ("part", .string(part)), ("reason", .string(reason))])
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
