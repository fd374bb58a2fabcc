import Tensors

extension Tensor {
  /// Copies what a patch has for one piece of a selection: self holds all rows (and heads) of the op, the pack perhaps only some rows.
  func copyPatch(_ op: Op, _ selection: Selection, piece: Int, axes: Axes, to target: Floats) {
    let heads = axes == .rowsWidth ? 1 : selection.shape[axes == .headsRowsKeys ? 0 : 1]
    let (place, head) =
      axes == .headsRowsKeys
      ? (piece % selection.rows.count, piece / selection.rows.count) : (piece / heads, piece % heads)
    let index = op.rows.partitioningIndex { $0 >= selection.rows[place] }
    let number = axes == .headsRowsKeys ? head * op.rows.count + index : index * heads + head
    // In a pattern the source's rows may be longer: what they have more lies in the future.
    let stride = shape[shape.count - 1]
    target.update(from: base + number * stride, count: min(selection.width, stride))
  }
}

extension [Row] {
  /// Of a sorted list the first index for which `belongs` holds.
  fileprivate func partitioningIndex(_ belongs: (Row) -> Bool) -> Int {
    var (low, high) = (0, count)
    while low < high {
      let middle = (low + high) / 2
      if belongs(self[middle]) { high = middle } else { low = middle + 1 }
    }
    return low
  }
}
