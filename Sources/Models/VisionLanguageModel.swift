import Checkpoints
import Tensors

/// A Hugging Face checkpoint folder of one of the architectures, ready to run: a pure function (image, prompt) -> logits with hook
/// points in it.
///
/// Belongs to one thread, the engine thread.
package final class VisionLanguageModel {
  package let name: String
  package let folder: String
  package let configuration: ModelConfiguration
  package let hooks: HookTable
  package let tokenizer: Tokenizer
  package let images: ImageProcessor
  /// SHA-256 over the weight files and config.json.
  package let digest: String
  package let parameterCount: Int
  package let elementTypes: Set<ElementType>
  package let engine: Engine
  /// What was computed since the model was opened, for provenance.
  package internal(set) var work = Work()
  /// What linear layers compute in.
  package let dtype: ComputeType
  /// Where the packed weights live.
  package let residency: Residency
  /// Bytes that the conditions of one example may take at a time; nil: half of what is available then.
  package var memory: Int?
  var keptImage: CleanImage?
  var keptPass: CleanPass?
  var workspaces: [Tower: Workspace] = [:]
  private(set) var vision: VisionEncoder
  let projector: Projector
  private(set) var text: TextDecoder
  /// What LLaVA-NeXT puts behind each row of patches, [text width].
  let imageNewline: Tensor?
  /// The input embeddings as a lens scores words by them; made when one asks.
  var wordEmbeddings: VocabularyMatrix?
  /// The unembedding transposed, for the gradient of a lens; made when one learns.
  var backwards: Linear?

  /// Opens `folder`; the name is for people. Throws what is missing, malformed or unsupported, by file and key.
  package convenience init(folder: String, name: String, dtype: ComputeType = .f32) throws(ModelError) {
    let configuration: ModelConfiguration
    do { configuration = try ModelConfiguration(folder: folder) } catch { throw .checkpoint(error) }
    try self.init(folder: folder, name: name, configuration: configuration, dtype: dtype)
  }

  /// With a configuration that differs from the folder's: how the parity tests seed faults.
  package init(
    folder: String, name: String, configuration: ModelConfiguration, dtype: ComputeType = .f32,
    weights placement: WeightPlacement? = nil
  ) throws(ModelError) {
    (self.name, self.folder, self.configuration, self.dtype) = (name, folder, configuration, dtype)
    hooks = HookTable(configuration)
    let files: WeightFiles
    do {
      tokenizer = try Tokenizer(contentsOf: folder + "/tokenizer.json")
      images = try ImageProcessor(folder: folder)
      files = try WeightFiles(folder: folder)
    } catch { throw .checkpoint(error) }
    digest = files.digest
    parameterCount = files.parameterCount
    elementTypes = files.elementTypes
    engine = try lifting { () throws(TensorError) in try Engine() }
    let wanted = if let placement { placement } else { try WeightPlacement.fromEnvironment() }
    residency = wanted.residency(bytes: dtype.bytes * files.parameterCount)
    let weights = WeightLoader(files: files, engine: engine, type: dtype, residency: residency)
    vision = try VisionEncoder(configuration, weights)
    projector = try Projector(configuration, weights)
    text = try TextDecoder(configuration.text, positions: configuration.text.positions, weights)
    imageNewline =
      configuration.architecture == .llavaNext
      ? try weights.tensor("image_newline", [configuration.text.width]) : nil
    try checkProcessor()
    if residency == .resident { files.release() }
  }

  /// How much of a layer's scores or patterns may exist at once where a plugin or a reading looks at them. Rows beyond it come in further
  /// blocks; no bit depends on it.
  package var scoreBytes: Int {
    get { text.transformer.scoreBytes }
    set { (text.transformer.scoreBytes, vision.transformer.scoreBytes) = (newValue, newValue) }
  }

  /// The image processor makes what the vision tower takes.
  private func checkProcessor() throws(ModelError) {
    let size = configuration.vision.imageSize
    guard images.width == size, images.height == size, images.pinpoints == configuration.gridPinpoints else {
      throw .input(
        place: "\(folder): image processor",
        problem: "it makes \(images.width) x \(images.height) pixels\(images.pinpoints.isEmpty ? "" : " in tiles"), "
          + "but config.json says \(size) x \(size)\(configuration.gridPinpoints.isEmpty ? "" : " in tiles")"
          + (images.pinpoints == configuration.gridPinpoints ? "" : ", and other image_grid_pinpoints"),
        remedy: "config.json and preprocessor_config.json do not belong together: download the checkpoint again")
    }
  }

  /// Patches of one tile.
  package var grid: PatchGrid { PatchGrid(rows: configuration.vision.grid, cols: configuration.vision.grid) }
  package var hasClassRow: Bool { configuration.visionFeatureSelect == .full }
}

/// Multiply-adds of the matrix products in the layers of both towers.
package struct Work: Sendable, Equatable {
  package var computed = 0
  /// What the same would have taken with every row of every condition.
  package var full = 0
  /// The most packs that one example's conditions were split into.
  package var packs = 0
}

/// One example, as the model takes it.
package struct ModelInput: Sendable {
  /// The prompt's ids, the image token repeated once per image row.
  package let ids: [Int]
  /// [3, size, size] as the checkpoint's image processor makes them; of LLaVA-NeXT [tiles, 3, size, size].
  package let pixels: Tensor
  /// Ids that follow the prompt in the prefill, so that their log-probabilities are read in the same pass; causality hides them from
  /// the prompt. May be empty.
  package let forced: [Int]
  /// How many tokens may be generated.
  package let newTokens: Int
  package let segments: SegmentMap

  /// Rows of the prefill: the prompt, then the forced ids but the last, which predicts nothing that is asked for.
  package var prefill: Int { ids.count + max(0, forced.count - 1) }
  /// Rows that decoding brings at most; the last token that is chosen is not run.
  package var decoded: Range<Row> { ids.count..<(ids.count + max(0, newTokens - 1)) }

  /// The same prompt with another picture, of the same shape.
  package func replacing(pixels: Tensor) -> ModelInput {
    ModelInput(ids: ids, pixels: pixels, forced: forced, newTokens: newTokens, segments: segments)
  }
}

extension VisionLanguageModel {
  /// Checks ids and pixels and maps the segments.
  ///
  /// - Parameter layout: of the image; nil: that of a model whose images are one tile.
  package func input(
    ids: [Int], pixels: Tensor, layout: ImageLayout? = nil, forced: [Int] = [], newTokens: Int = 0
  ) throws(ModelError) -> ModelInput {
    let size = configuration.vision.imageSize
    let layout = layout ?? ImageLayout(grid: grid, hasClassRow: hasClassRow)
    let (tiles, isTiled) = (layout.tiles, !configuration.gridPinpoints.isEmpty)
    guard isTiled == (tiles > 1) else {
      throw .input(
        place: "image_sizes", problem: "this model's tiles depend on the image's size, and none is given",
        remedy: "give image_sizes, [height, width] in pixels, beside pixel_values")
    }
    // Another order of axes has as many values and is another picture.
    guard Array(pixels.shape.suffix(3)) == [3, size, size], pixels.count == tiles * 3 * size * size else {
      let wanted = isTiled ? "[\(tiles), 3, \(size), \(size)] for this image's size" : "[3, \(size), \(size)]"
      throw .input(
        place: "pixel_values", problem: "shape \(pixels.shape), but this model takes \(wanted)",
        remedy: "use the checkpoint's own preprocessing")
    }
    if let bad = (ids + forced).first(where: {
      $0 != configuration.imageTokenIndex && !(0..<configuration.text.vocabulary).contains($0)
    }) {
      throw .input(
        place: "input_ids", problem: "id \(bad) is outside the vocabulary of \(configuration.text.vocabulary)",
        remedy: "tokenise with the checkpoint's own tokenizer.json")
    }
    guard (0...configuration.text.positions).contains(newTokens) else {
      throw .input(
        place: "prompt",
        problem: "\(newTokens) new tokens, but the model has \(configuration.text.positions) positions",
        remedy: "ask for fewer")
    }
    let segments = try SegmentMap(
      ids: ids, imageToken: configuration.imageTokenIndex, layout: layout, newTokens: max(newTokens, forced.count))
    guard segments.imageCount == 1 else {
      throw .input(
        place: "prompt", problem: "\(segments.imageCount) images, but this version takes exactly one",
        remedy: "put <image> once into the prompt")
    }
    guard segments.length <= configuration.text.positions else {
      throw .input(
        place: "prompt",
        problem:
          "\(segments.length) tokens with those to come, but the model has \(configuration.text.positions) positions",
        remedy: "shorten the prompt, or ask for fewer new tokens")
    }
    if let window = configuration.text.slidingWindow, segments.length > window {
      throw .input(
        place: "prompt",
        problem:
          "\(segments.length) tokens with those to come, but text_config.sliding_window is \(window), and rows that "
          + "slide out of it are not computed",
        remedy: "shorten the prompt, or ask for fewer new tokens")
    }
    return ModelInput(ids: ids, pixels: pixels, forced: forced, newTokens: newTokens, segments: segments)
  }

  /// Tokenises a prompt in which `<image>` stands once, and repeats the image token as often as the image's layout has tokens.
  package func ids(prompt: String, _ layout: ImageLayout) throws(ModelError) -> [Int] {
    let image = configuration.imageTokenIndex
    let ids: [Int]
    do { ids = try tokenizer.encode(prompt) } catch { throw .checkpoint(error) }
    guard ids.count(where: { $0 == image }) == 1 else {
      throw .input(
        place: "prompt '\(prompt.prefix(60))'",
        problem: "the prompt must contain the image token exactly once, it has it \(ids.count { $0 == image }) times",
        remedy: "write <image> where the image belongs, for example 'USER: <image> What is this? ASSISTANT:'")
    }
    return ids.flatMap { $0 == image ? Array(repeating: image, count: layout.tokens.count) : [$0] }
  }

  /// A picture and a prompt as the model takes them.
  package func input(
    prompt: String, image: RGBImage, forced: [Int] = [], newTokens: Int = 0
  ) throws(ModelError) -> ModelInput {
    let (size, layout) = (
      configuration.vision.imageSize, configuration.layout(width: image.width, height: image.height)
    )
    let pixels = Tensor(images.pixels(of: image), shape: (layout.tiles > 1 ? [layout.tiles] : []) + [3, size, size])
    return try input(
      ids: ids(prompt: prompt, layout), pixels: pixels, layout: layout, forced: forced, newTokens: newTokens)
  }
}
