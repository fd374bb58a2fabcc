import Tensors

/// Keys and values that a borrowing lane has of its own, per layer: the rows that it computed in the prefill, then one more per decoding
/// step. They lie beside the clean pass's and are swapped into it while the lane attends, so that the clean ones are shared and never
/// copied, and the products have the operands of the lane's own full pass.
final class OwnKeys {
  struct Layer {
    /// Sorted.
    var rows: [Row] = []
    /// [rows, kv_heads, head_width] each.
    var keys: FloatStorage
    var values: FloatStorage
  }
  private(set) var layers: [Layer]
  private let rowWidth: Int
  /// Rows of the prefill behind this one are decoded anew.
  private let last: Row

  /// - Parameters:
  ///   - rows: per layer, how many rows there can be, those of decoding included.
  ///   - last: the prompt's last row.
  init(_ shape: TowerShape, rows: [Int], last: Row) {
    self.last = last
    rowWidth = shape.kvHeads * shape.headWidth
    layers = rows.map { [rowWidth] count in
      Layer(keys: FloatStorage(zeros: count * rowWidth), values: FloatStorage(zeros: count * rowWidth))
    }
  }

  /// Keeps the rows of a span of the packs `keys` and `values` [rows, kv_heads, head_width].
  func keep(_ span: Span, _ layer: Int, prefill: Bool, keys: FloatStorage, values: FloatStorage) {
    for (n, row) in span.rows.enumerated() where !prefill || row <= last {
      let (source, target) = ((span.first + n) * rowWidth, layers[layer].rows.count * rowWidth)
      (layers[layer].keys.base + target).update(from: keys.base + source, count: rowWidth)
      (layers[layer].values.base + target).update(from: values.base + source, count: rowWidth)
      layers[layer].rows.append(row)
    }
  }
}

extension TowerPass {
  /// Makes the store hold the lane's keys and values. A recording lane writes them there; a borrower exchanges its rows with the clean
  /// ones, which lie in its own memory meanwhile.
  func lendKeys(_ lane: Lane, _ layer: Int) {
    let (keys, values) = (lane.store.keys[layer], lane.store.values[layer])
    switch lane.role {
    case .own, .clean:
      write(work.k, lane.keyed, into: keys)
      write(work.v, lane.keyed, into: values)
    case .borrower:
      lane.own?.keep(lane.keyed, layer, prefill: step == 0, keys: work.k, values: work.v)
      exchange(lane, layer, keys, values)
    }
  }

  /// Gives the clean pass its rows back.
  func returnKeys(_ lane: Lane, _ layer: Int) {
    guard case .borrower = lane.role else { return }
    exchange(lane, layer, lane.store.keys[layer], lane.store.values[layer])
  }

  /// A second exchange undoes the first.
  private func exchange(_ lane: Lane, _ layer: Int, _ keys: Tensor, _ values: Tensor) {
    if step > 0, let own = lane.own?.layers[layer] {
      // Decoding: everything since the prefill, this step's row included.
      let span = Span(rows: own.rows)
      swapRows(own.keys, span, with: keys)
      swapRows(own.values, span, with: values)
    } else {
      swapRows(work.k, lane.keyed, with: keys)
      swapRows(work.v, lane.keyed, with: values)
    }
  }

  private func write(_ pack: FloatStorage, _ span: Span, into store: Tensor) {
    forEachHeadRow(pack, span, store) { row, kept, width in kept.update(from: row, count: width) }
  }

  private func swapRows(_ pack: FloatStorage, _ span: Span, with store: Tensor) {
    forEachHeadRow(pack, span, store) { row, kept, width in
      for i in 0..<width { (row[i], kept[i]) = (kept[i], row[i]) }
    }
  }

  /// `body(head's part of a row in the pack, its place in the store, head width)`.
  private func forEachHeadRow(
    _ pack: FloatStorage, _ span: Span, _ store: Tensor, _ body: (Floats, Floats, Int) -> Void
  ) {
    let (heads, capacity, width) = (shape.kvHeads, store.shape[1], shape.headWidth)
    parallelFor(span.rows.count, grain: 16) { range in
      for n in range {
        for head in 0..<heads {
          body(
            pack.base + ((span.first + n) * heads + head) * width,
            store.base + (head * capacity + span.rows[n]) * width, width)
        }
      }
    }
  }
}
