import Tensors

/// The text tower of one prompt without any intervention, kept for the next prompt about the same image.
struct CleanPass {
  let input: ModelInput
  let store: PassStore
  /// Rows that it has behind the last layer.
  let behindLast: RowSet
}

extension VisionLanguageModel {
  /// What the kept pass has of this prompt's: the beginning that both share. A row never depends on what follows.
  func keptRows(_ input: ModelInput) -> KeptRows {
    guard let keptPass, keptPass.input.pixels.hasSameBits(as: input.pixels) else { return KeptRows() }
    let (before, now) = (keptPass.input, input)
    let prefix = zip(before.ids + before.forced.dropLast(), now.ids + now.forced.dropLast()).prefix { $0 == $1 }.count
    return KeptRows(prefix: prefix, behindLast: keptPass.behindLast.through(prefix - 1))
  }
}

extension PassStore {
  /// Copies what the first rows have in every layer.
  func copy(rows count: Int, to other: PassStore) {
    for (from, to) in zip(keys + values, other.keys + other.values) {
      let (heads, width) = (from.shape[0], from.shape[2])
      for head in 0..<heads {
        (to.base + head * other.capacity * width).update(
          from: from.base + head * capacity * width, count: count * width)
      }
    }
    for (from, to) in zip(residuals ?? [], other.residuals ?? []) {
      to.base.update(from: from.base, count: count * from.shape[1])
    }
  }
}
