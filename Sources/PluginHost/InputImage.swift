import Models
import Tensors

/// What a condition puts in the place of an item's image. Prompt, masks and labels stay.
package enum InputImage: String, Sendable, CaseIterable {
  /// Every pixel is the mean colour of the checkpoint's preprocessing: zeros.
  case blank
  /// The patches of the vision tower's grid in an order drawn for the item.
  case shuffled

  /// - Returns: the item with the other image, and how many pixel values changed.
  func apply(to item: Item, patchSize: Int, seed: UInt64) -> (item: Item, changed: Int) {
    let old = item.input.pixels
    let new: Tensor
    switch self {
    case .blank: new = Tensor(zeros: old.shape)
    case .shuffled:
      var draw = Draw(seed: seed, "shuffled", item.id)
      new = old.shufflingPatches(size: patchSize, &draw)
    }
    let changed = (0..<old.count).count { old.base[$0].bitPattern != new.base[$0].bitPattern }
    return (item.replacing(input: item.input.replacing(pixels: new)), changed)
  }
}

extension Tensor {
  /// [..., channels, height, width] with the patches of each picture in a drawn order; rows and columns beyond the grid stay.
  fileprivate func shufflingPatches(size: Int, _ draw: inout Draw) -> Tensor {
    let (height, width) = (shape[shape.count - 2], shape[shape.count - 1])
    let (rows, cols) = (height / size, width / size)
    let planes = count / (height * width)
    let perPicture = shape.count > 2 ? shape[shape.count - 3] : 1
    let copy = Tensor(values, shape: shape)
    for picture in 0..<(planes / perPicture) {
      let order = draw.pick(rows * cols, of: Array(0..<rows * cols)) ?? []
      for plane in picture * perPicture..<(picture + 1) * perPicture {
        for (target, source) in order.enumerated() {
          for y in 0..<size {
            let from = ((plane * height) + source / cols * size + y) * width + source % cols * size
            let to = ((plane * height) + target / cols * size + y) * width + target % cols * size
            (copy.base + to).update(from: base + from, count: size)
          }
        }
      }
    }
    return copy
  }
}
