// Parameters as a checkpoint holds them, from its configuration alone: also those that no pass reads (CLIP's last layers and
// `post_layernorm`).

extension ModelConfiguration {
  /// Parameters of the whole checkpoint.
  package var parameterCount: Int {
    let norm = projectorNormEps == nil ? 0 : 2 * projectorInputs
    let biases = projectorBias ? 2 * text.width : 0
    let projector = norm + (projectorInputs + text.width) * text.width + biases
    return vision.parameterCount + projector + text.parameterCount + (architecture == .llavaNext ? text.width : 0)
  }
}

extension VisionConfiguration {
  package var parameterCount: Int {
    let norm = 2 * width
    let embeddings = width + width * 3 * patchSize * patchSize + (1 + patches) * width
    let layer = 4 * (width + 1) * width + (width + 1) * mlpWidth + (mlpWidth + 1) * width + 2 * norm
    return embeddings + 2 * norm + layers * layer
  }
}

extension TextConfiguration {
  package var parameterCount: Int {
    let attention = 2 * width * heads * headWidth + 2 * width * kvHeads * headWidth
    let layer = attention + 3 * width * mlpWidth + 2 * width
    return (tiedEmbeddings ? 1 : 2) * vocabulary * width + layers * layer + width
  }
}
