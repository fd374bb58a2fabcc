import PluginABI
import PluginRuntime

/// The model and the item that plugins are tried on: made up, small, the same each time.
enum Specimen {
  static let layers = ["text": 4, "vision": 3]
  static let heads = 4
  static let keyValueHeads = 2
  static let headWidth = 8
  static let width = 32
  static let mlpWidth = 48
  static let vocabulary = 100
  /// prefix 0-2, image 3-18 (4 x 4 patches), question 19-23; in the vision tower CLS and the patches.
  static let sequence = ["text": 24, "vision": 17, "projector": 16]

  /// What every selector names, but `last`: some rows of the image, with gaps.
  static func rows(of tower: String) -> [Int32] { [3, 4, 5, 8, 9, 15] }

  static func model(_ arena: StructArena) -> UnsafeMutablePointer<ablate_model> {
    var model = ablate_model()
    model.compute_dtype = 0x220
    model.family = arena.string("llava")
    model.digest = arena.string(String(repeating: "5a", count: 32))
    (model.text_layers, model.text_heads, model.text_kv_heads) = (4, Int32(heads), Int32(keyValueHeads))
    (model.text_head_width, model.text_width, model.text_mlp_width) = (Int32(headWidth), Int32(width), Int32(mlpWidth))
    (model.vision_layers, model.vision_heads, model.vision_head_width) = (3, Int32(heads), Int32(headWidth))
    (model.vision_width, model.patch_rows, model.patch_cols) = (Int32(width), 4, 4)
    (model.image_size, model.feature_layer) = (56, -2)
    (model.vocabulary, model.known_vocabulary) = (Int32(vocabulary), 96)
    return arena.put(one: model)
  }

  static func item(_ arena: StructArena) -> UnsafeMutablePointer<ablate_item> {
    var item = ablate_item()
    (item.id, item.condition) = (arena.string("specimen"), arena.string("clean"))
    (item.tokens, item.n_tokens) = (arena.array((0..<24).map { Int32($0 * 3 % 96) }).map { UnsafePointer($0) }, 24)
    (item.segments, item.n_segments) = (arena.put(segments).map { UnsafePointer($0) }, 3)
    var label = ablate_label()
    (label.field, label.text) = (arena.string("part/tail"), arena.string("tail"))
    (label.ids, label.n_ids) = (arena.array([Int32(42)]).map { UnsafePointer($0) }, 1)
    (item.labels, item.n_labels) = (UnsafePointer(arena.put(one: label)), 1)
    var mask = ablate_mask()
    mask.name = arena.string("part/tail")
    mask.rows = arena.array([Int32(4), 5, 8, 9]).map { UnsafePointer($0) }
    mask.coverage = arena.array([Float(1), 0.75, 0.5, 0.25]).map { UnsafePointer($0) }
    mask.n = 4
    (item.masks, item.n_masks) = (UnsafePointer(arena.put(one: mask)), 1)
    item.meta_json = arena.string("{}")
    return arena.put(one: item)
  }

  private static var segments: [ablate_segment] {
    let parts: [(UInt32, Int32, Int32)] = [
      (ABLATE_SEGMENT_PREFIX, 0, 3), (ABLATE_SEGMENT_IMAGE, 3, 16), (ABLATE_SEGMENT_QUESTION, 19, 5),
    ]
    return parts.map { kind, first, count in
      var segment = ablate_segment()
      (segment.kind, segment.first, segment.count) = (kind, first, count)
      if kind == ABLATE_SEGMENT_IMAGE { (segment.rows, segment.cols, segment.right, segment.bottom) = (4, 4, 56, 56) }
      return segment
    }
  }

  /// The same for a worker.
  static var modelFacts: ModelFacts {
    var facts = ModelFacts()
    (facts.family, facts.digest) = ("llava", String(repeating: "5a", count: 32))
    (facts.textLayers, facts.textHeads, facts.textKVHeads) = (4, heads, keyValueHeads)
    (facts.textHeadWidth, facts.textWidth, facts.textMLPWidth) = (headWidth, width, mlpWidth)
    (facts.visionLayers, facts.visionHeads, facts.visionHeadWidth) = (3, heads, headWidth)
    (facts.visionWidth, facts.patchRows, facts.patchCols) = (width, 4, 4)
    (facts.imageSize, facts.featureLayer) = (56, -2)
    (facts.vocabulary, facts.knownVocabulary) = (vocabulary, 96)
    return facts
  }

  static var itemFacts: ItemFacts {
    var facts = ItemFacts()
    (facts.id, facts.condition) = ("specimen", "clean")
    facts.tokens = (0..<24).map { Int32($0 * 3 % 96) }
    var image = ItemFacts.Segment(.image, first: 3, count: 16)
    (image.rows, image.cols, image.box) = (4, 4, SIMD4(0, 0, 56, 56))
    facts.segments = [
      ItemFacts.Segment(.prefix, first: 0, count: 3), image, ItemFacts.Segment(.question, first: 19, count: 5),
    ]
    facts.labels = [ItemFacts.Label(field: "part/tail", text: "tail", ids: [42])]
    facts.masks = [ItemFacts.Mask(name: "part/tail", rows: [4, 5, 8, 9], coverage: [1, 0.75, 0.5, 0.25])]
    return facts
  }

  /// The shape of a site's view; nil: there is no such site.
  static func shape(tower: String, site: String, rows: Int, heads: Int) -> [Int]? {
    switch site {
    case "attn_scores", "pattern": [heads, rows, sequence[tower] ?? 0]
    case "q", "k", "v", "rot_q", "rot_k", "z": [rows, heads, headWidth]
    case "mlp_pre", "mlp_post": [rows, mlpWidth]
    case "logits": [rows, vocabulary]
    case "embed", "resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out", "final_norm", "in", "mid", "out":
      [rows, width]
    default: nil
    }
  }

  /// How many heads a site has.
  static func heads(tower: String, site: String) -> Int {
    tower == "text" && ["k", "v", "rot_k"].contains(site) ? keyValueHeads : heads
  }
}
