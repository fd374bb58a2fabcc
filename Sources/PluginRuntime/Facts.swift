import PluginABI

/// What a plugin is told of the model: `ablate_model`.
package struct ModelFacts: Sendable, Equatable {
  package var family = ""
  /// SHA-256 over the checkpoint's files.
  package var digest = ""
  package var textLayers = 0
  package var textHeads = 0
  package var textKVHeads = 0
  package var textHeadWidth = 0
  package var textWidth = 0
  package var textMLPWidth = 0
  /// Those that the projector's input depends on.
  package var visionLayers = 0
  package var visionHeads = 0
  package var visionHeadWidth = 0
  package var visionWidth = 0
  package var patchRows = 0
  package var patchCols = 0
  package var imageSize = 0
  package var featureLayer = 0
  package var vocabulary = 0
  /// The first ids, those that the tokenizer has pieces for.
  package var knownVocabulary = 0

  package init() {}

  func foreign(_ memory: ForeignMemory) -> ablate_model {
    var model = ablate_model()
    model.struct_size = ABI.size(of: ablate_model.self)
    model.compute_dtype = 0x220
    model.family = memory.string(family)
    model.digest = memory.string(digest)
    model.text_layers = Int32(textLayers)
    model.text_heads = Int32(textHeads)
    model.text_kv_heads = Int32(textKVHeads)
    model.text_head_width = Int32(textHeadWidth)
    model.text_width = Int32(textWidth)
    model.text_mlp_width = Int32(textMLPWidth)
    model.vision_layers = Int32(visionLayers)
    model.vision_heads = Int32(visionHeads)
    model.vision_head_width = Int32(visionHeadWidth)
    model.vision_width = Int32(visionWidth)
    model.patch_rows = Int32(patchRows)
    model.patch_cols = Int32(patchCols)
    model.image_size = Int32(imageSize)
    model.feature_layer = Int32(featureLayer)
    model.vocabulary = Int32(vocabulary)
    model.known_vocabulary = Int32(knownVocabulary)
    return model
  }
}

/// What a plugin is told of an item under a condition: `ablate_item`.
package struct ItemFacts: Sendable, Equatable {
  package enum SegmentKind: UInt32, Sendable { case prefix, image, question, generated }

  package struct Segment: Sendable, Equatable {
    package var kind: SegmentKind
    package var first: Int
    package var count: Int
    package var image = 0
    package var tile = 0
    /// Of the patch grid; 0 where there is none.
    package var rows = 0
    package var cols = 0
    /// In source pixels: left, top, right, bottom.
    package var box = SIMD4<Float>()

    package init(_ kind: SegmentKind, first: Int, count: Int) {
      self.kind = kind
      self.first = first
      self.count = count
    }
  }

  package struct Label: Sendable, Equatable {
    package var field: String
    package var text: String
    package var ids: [Int32]
    /// Other spellings, where the vocabulary has them; `ids` is the spaced one.
    package var forms: [ReadingRequest.Form: [Int32]]

    package init(field: String, text: String, ids: [Int32], forms: [ReadingRequest.Form: [Int32]] = [:]) {
      (self.field, self.text, self.ids, self.forms) = (field, text, ids, forms)
    }
  }

  package struct Mask: Sendable, Equatable {
    package var name: String
    package var rows: [Int32]
    /// Of each row, 0...1.
    package var coverage: [Float]

    package init(name: String, rows: [Int32], coverage: [Float]) {
      self.name = name
      self.rows = rows
      self.coverage = coverage
    }
  }

  package var index = 0
  package var id = ""
  package var condition = ""
  package var tokens: [Int32] = []
  package var segments: [Segment] = []
  package var labels: [Label] = []
  package var masks: [Mask] = []
  /// A JSON object.
  package var meta = "{}"

  package init() {}

  func foreign(_ memory: ForeignMemory) -> ablate_item {
    var item = ablate_item()
    item.struct_size = ABI.size(of: ablate_item.self)
    item.index = UInt64(index)
    item.id = memory.string(id)
    item.condition = memory.string(condition)
    (item.tokens, item.n_tokens) = (memory.array(tokens), UInt64(tokens.count))
    (item.segments, item.n_segments) = (memory.structs(segments.map(\.foreign)), UInt64(segments.count))
    let foreignLabels = labels.map { label in
      ablate_label(
        struct_size: ABI.size(of: ablate_label.self), _pad: 0, field: memory.string(label.field),
        text: memory.string(label.text), ids: memory.array(label.ids), n_ids: UInt64(label.ids.count))
    }
    (item.labels, item.n_labels) = (memory.structs(foreignLabels), UInt64(labels.count))
    let foreignMasks = masks.map { mask in
      ablate_mask(
        struct_size: ABI.size(of: ablate_mask.self), _pad: 0, name: memory.string(mask.name),
        rows: memory.array(mask.rows), coverage: memory.array(mask.coverage), n: UInt64(mask.rows.count))
    }
    (item.masks, item.n_masks) = (memory.structs(foreignMasks), UInt64(masks.count))
    item.meta_json = memory.string(meta)
    return item
  }
}

extension ItemFacts.Segment {
  fileprivate var foreign: ablate_segment {
    ablate_segment(
      struct_size: ABI.size(of: ablate_segment.self), kind: kind.rawValue, first: Int32(first), count: Int32(count),
      image: Int32(image), tile: Int32(tile), rows: Int32(rows), cols: Int32(cols), left: box.x, top: box.y,
      right: box.z, bottom: box.w)
  }
}
