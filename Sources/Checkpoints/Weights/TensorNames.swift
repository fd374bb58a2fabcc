/// The one place where checkpoint names are translated.
///
/// Ablate knows tensors by the names of the hub's LLaVA-1.5 files (before transformers 5): `language_model.model.*`,
/// `language_model.lm_head.weight`, `multi_modal_projector.*`, `vision_tower.vision_model.*`, `image_newline`. Since transformers 5 the
/// same tensors are written as `model.language_model.*` or `language_model.model.*`, `lm_head.weight`,
/// `model.multi_modal_projector.*`, `model.image_newline` and `model.vision_tower.*` without `vision_model`.
enum TensorNames {
  static func canonical(_ name: String) -> String {
    var rest = Substring(name)
    if rest.hasPrefix("model.") { rest = rest.dropFirst("model.".count) }
    if rest.hasPrefix("lm_head.") { return "language_model." + rest }
    if let tail = rest.tail(after: "language_model."), !tail.hasPrefix("model."), !tail.hasPrefix("lm_head.") {
      return "language_model.model." + tail
    }
    if let tail = rest.tail(after: "vision_tower."), !tail.hasPrefix("vision_model.") {
      return "vision_tower.vision_model." + tail
    }
    return String(rest)
  }

  /// Buffers that old files carry and that hold no parameters.
  static func isBuffer(_ name: String) -> Bool {
    name.hasSuffix(".position_ids") || name.hasSuffix(".rotary_emb.inv_freq")
  }
}

extension Substring {
  fileprivate func tail(after prefix: String) -> Substring? {
    hasPrefix(prefix) ? dropFirst(prefix.count) : nil
  }
}
