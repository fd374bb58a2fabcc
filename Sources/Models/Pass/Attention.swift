import CKernels
import Tensors

/// The one attention: multi-head and grouped-query, causal or full, for both towers.
extension TowerPass {
  /// One lane's queries against its keys; fills the lane's rows of z.
  mutating func attend(_ lane: Int, _ layer: Int) throws(TensorError) {
    lendKeys(lanes[lane], layer)
    defer { returnKeys(lanes[lane], layer) }
    let (store, rows, first) = (lanes[lane].store, lanes[lane].attending.rows, lanes[lane].attending.first)
    if rows.isEmpty { return }
    let (heads, dh) = (shape.heads, shape.headWidth)
    let group = heads / shape.kvHeads
    let (m, capacity) = (rows.count, store.capacity)
    let queries = work.headMajor.base
    transpose(work.q.base + first * heads * dh, rows: m, intoHeadMajor: queries)
    // Query heads of one key-value head are neighbours, so one product serves multi-head and grouped-query attention.
    try engine.multiply(
      queries, store.keys[layer].base, transposed: true, batch: shape.kvHeads, m: group * m, n: capacity, k: dh,
      into: work.scores.base)
    scoreRows(lane, layer)
    try engine.multiply(
      work.scores.base, store.values[layer].base, transposed: false, batch: shape.kvHeads, m: group * m, n: dh,
      k: capacity, into: queries)
    transpose(headMajor: queries, rows: m, into: work.z.base + first * heads * dh)
  }

  /// Scores to pattern, in place on [heads, rows, capacity]: scale, edges, hooks, softmax.
  private mutating func scoreRows(_ lane: Int, _ layer: Int) {
    let scoresPoint = HookPoint(shape.tower, layer, .attnScores)
    let patternPoint = HookPoint(shape.tower, layer, .pattern)
    let mask = lanes[lane].program.edges[scoresPoint]
    let capacity = lanes[lane].store.capacity
    let scale = 1 / Float(shape.headWidth).squareRoot()
    let hooked = !lanes[lane].program[scoresPoint].isEmpty
    forEachRow(lane) { row, visible, capacity, _ in
      ck_scale(row, scale, Int64(visible))
      if hooked { (row + visible).update(repeating: -.infinity, count: capacity - visible) }
    }
    if let mask { mask.apply(to: work.scores.base, lane: lanes[lane], biases: true) }
    if hooked {
      hook(.attnScores, layer, work.scores.base, only: lane)
      if let mask { mask.apply(to: work.scores.base, lane: lanes[lane], biases: false) }
    }
    forEachRow(lane) { row, visible, capacity, _ in ck_softmax(row, Int64(visible), Int64(capacity)) }
    mask?.zeroPattern(work.scores.base, lane: lanes[lane], dropped: false)
    guard active.contains(patternPoint), !lanes[lane].program[patternPoint].isEmpty else { return }
    hook(.pattern, layer, work.scores.base, only: lane)
    // Whatever a plugin wrote: a blocked edge stays blocked, and nothing sees the future.
    mask?.zeroPattern(work.scores.base, lane: lanes[lane], dropped: true)
    forEachRow(lane) { row, visible, _, _ in (row + visible).update(repeating: 0, count: capacity - visible) }
  }

  /// `body(row of scores, keys that it can see, capacity, row index)` for every head and row of a lane, in parallel.
  private func forEachRow(_ lane: Int, _ body: (Floats, Int, Int, Int) -> Void) {
    let (rows, capacity) = (lanes[lane].attending.rows, lanes[lane].store.capacity)
    let base = work.scores.base
    parallelFor(shape.heads * rows.count, grain: 8) { [shape] range in
      for index in range {
        let row = rows[index % rows.count]
        body(base + index * capacity, shape.causal ? row + 1 : capacity, capacity, row)
      }
    }
  }

  // MARK: layouts

  /// [rows, heads, dh] -> [heads, rows, dh]
  private func transpose(_ x: ConstFloats, rows: Int, intoHeadMajor y: Floats) {
    let (heads, dh) = (shape.heads, shape.headWidth)
    parallelFor(heads, grain: 1) { range in
      for head in range {
        for row in 0..<rows {
          (y + (head * rows + row) * dh).update(from: x + (row * heads + head) * dh, count: dh)
        }
      }
    }
  }

  /// [heads, rows, dh] -> [rows, heads, dh]
  private func transpose(headMajor x: ConstFloats, rows: Int, into y: Floats) {
    let (heads, dh) = (shape.heads, shape.headWidth)
    parallelFor(heads, grain: 1) { range in
      for head in range {
        for row in 0..<rows {
          (y + (row * heads + head) * dh).update(from: x + (head * rows + row) * dh, count: dh)
        }
      }
    }
  }
}

extension EdgeMask {
  /// Writes biases and minus infinity into a lane's scores [heads, rows, capacity].
  func apply(to scores: Floats, lane: Lane, biases: Bool) {
    forEachRow(scores, lane) { edges, query, row in
      if biases {
        for (keys, value) in edges.biased[query] ?? [] { for key in keys { row[key] += value } }
      }
      for keys in edges.dropped[query] ?? [] {
        (row + keys.lowerBound).update(repeating: -.infinity, count: keys.count)
      }
    }
  }

  /// Zeroes entries of the pattern after the softmax: those that rules zero, and the dropped ones after a plugin wrote.
  func zeroPattern(_ pattern: Floats, lane: Lane, dropped: Bool) {
    forEachRow(pattern, lane) { edges, query, row in
      for keys in (edges.zeroed[query] ?? []) + (dropped ? edges.dropped[query] ?? [] : []) {
        (row + keys.lowerBound).update(repeating: 0, count: keys.count)
      }
    }
  }

  private func forEachRow(_ base: Floats, _ lane: Lane, _ body: (HeadClass, Row, Floats) -> Void) {
    let (rows, capacity) = (lane.attending.rows, lane.store.capacity)
    for edges in classes {
      for head in edges.heads {
        for (n, row) in rows.enumerated() { body(edges, row, base + (head * rows.count + n) * capacity) }
      }
    }
  }
}
