import CKernels
import Tensors

/// The one attention: multi-head and grouped-query, causal or full, for both towers.
///
/// Scores and patterns never exist for a whole layer at once where no one looks at them: each thread takes a key-value head and a few
/// rows, small enough for its cache, from queries to mixed values. Where a hook looks, they exist for a block of rows and all heads.
extension TowerPass {
  /// One lane's queries against its keys; fills the lane's rows of z.
  mutating func attend(_ lane: Int, _ layer: Int) throws(TensorError) {
    lendKeys(lanes[lane], layer)
    defer { returnKeys(lanes[lane], layer) }
    if lanes[lane].attending.rows.isEmpty { return }
    let isHooked = [Site.attnScores, .pattern].contains {
      !lanes[lane].program[HookPoint(shape.tower, layer, $0)].isEmpty
    }
    let heads = try blocks(lanes[lane], hooked: isHooked).map { block throws(TensorError) in
      try HeadAttention(self, lane, layer, block)
    }
    if isHooked { for head in heads { try attendHooked(head) } } else { try attendFused(heads) }
  }

  func blocks(_ lane: Lane, hooked: Bool) -> [AttentionBlock] {
    AttentionBlock.blocks(
      of: lane.attending.rows, capacity: lane.store.capacity, causal: shape.causal,
      heads: hooked ? shape.heads : shape.heads / shape.kvHeads,
      entries: (hooked ? tower.scoreBytes : TowerPass.cachedScoreBytes) / 4)
  }

  /// Scores that one thread holds at a time: half of a core's second-level cache.
  static var cachedScoreBytes: Int { 1 << 20 }

  /// Each thread takes blocks of heads from queries to mixed values.
  private func attendFused(_ blocks: [HeadAttention]) throws(TensorError) {
    try parallelTry(shape.kvHeads * blocks.count) { range throws(TensorError) in
      for index in range {
        let (kvHead, block) = (index / blocks.count, blocks[index % blocks.count])
        let scores = block.scratch.scores.base
        try block.score(kvHead, into: scores)
        block.softmax(kvHead, scores)
        try block.mix(kvHead, scores)
      }
    }
  }

  /// All heads' scores, then the hooks, all patterns, the hooks, and the mixing.
  private mutating func attendHooked(_ head: HeadAttention) throws(TensorError) {
    let scores = work.scores.base
    let stride = shape.heads / shape.kvHeads * head.block.places.count * head.block.keys
    func forEachHead(_ body: (Int, Floats) throws(TensorError) -> Void) throws(TensorError) {
      try parallelTry(shape.kvHeads) { range throws(TensorError) in
        for kvHead in range { try body(kvHead, scores + kvHead * stride) }
      }
    }
    try forEachHead { kvHead, scores throws(TensorError) in
      try head.score(kvHead, into: scores)
      head.hide(kvHead, scores, value: -.infinity)
    }
    hook(.attnScores, head.layer, scores, lane: head.lane, block: head.block)
    try forEachHead { kvHead, scores throws(TensorError) in head.softmax(kvHead, scores) }
    hook(.pattern, head.layer, scores, lane: head.lane, block: head.block)
    try forEachHead { kvHead, scores throws(TensorError) in
      head.hide(kvHead, scores, value: 0)
      try head.mix(kvHead, scores)
    }
  }
}

/// What a thread does for one key-value head and a block of a lane's rows. Query heads of one key-value head are neighbours, so one
/// product serves multi-head and grouped-query attention. Pointers are to [query heads of the key-value head, rows, keys].
struct HeadAttention {
  let lane: Int
  let layer: Int
  let block: AttentionBlock
  private let shape: TowerShape
  private let work: Workspace
  private let rows: ArraySlice<Row>
  /// Place of the block's first row in the pack.
  private let first: Int
  private let keys: Tensor
  private let values: Tensor
  /// Per query head.
  private let edges: [EdgeMask.HeadClass?]
  private let scoreProduct: ThreadProduct
  private let mixProduct: ThreadProduct

  init(_ pass: TowerPass, _ lane: Int, _ layer: Int, _ block: AttentionBlock) throws(TensorError) {
    let own = pass.lanes[lane]
    (self.lane, self.layer, self.block, shape, work) = (lane, layer, block, pass.shape, pass.work)
    (rows, first) = (own.attending.rows[block.places], own.attending.first + block.places.lowerBound)
    (keys, values) = (own.store.keys[layer], own.store.values[layer])
    let mask = own.program.edges[HookPoint(pass.shape.tower, layer, .attnScores)]
    edges = (0..<pass.shape.heads).map { head in mask?.classes.first { $0.heads.contains(head) } }
    let m = pass.shape.heads / pass.shape.kvHeads * block.places.count
    let dh = pass.shape.headWidth
    scoreProduct = try pass.engine.threadProduct(m: m, n: block.keys, k: dh, transposed: true)
    mixProduct = try pass.engine.threadProduct(m: m, n: dh, k: block.keys, transposed: false)
  }

  /// The calling thread's memory.
  var scratch: HeadScratch { work.heads[engineThread] }

  /// Queries times keys, scaled and biased.
  func score(_ kvHead: Int, into scores: Floats) throws(TensorError) {
    let (queries, dh) = (scratch.queries.base, shape.headWidth)
    forEachQuery(kvHead) { head, n, _ in
      let source = work.q.base + ((first + n) * shape.heads + head) * dh
      (queries + place(head, n) * dh).update(from: source, count: dh)
    }
    try scoreProduct(queries, keys.base + kvHead * keys.shape[1] * dh, into: scores)
    let scale = 1 / Float(dh).squareRoot()
    forEachQuery(kvHead) { head, n, row in
      let entries = scores + place(head, n) * block.keys
      ck_scale(entries, scale, Int64(visible(row)))
      edges[head]?.bias(entries, query: row)
    }
  }

  /// Scores to pattern, in place.
  func softmax(_ kvHead: Int, _ scores: Floats) {
    forEachQuery(kvHead) { head, n, row in
      let entries = scores + place(head, n) * block.keys
      edges[head]?.drop(entries, query: row, value: -.infinity)
      ck_softmax(entries, Int64(visible(row)), Int64(block.keys))
      edges[head]?.zero(entries, query: row)
    }
  }

  /// Writes `value` at dropped edges and in a row's future: what a plugin is to see there, and again after it wrote, since a blocked edge
  /// stays blocked.
  func hide(_ kvHead: Int, _ entries: Floats, value: Float) {
    forEachQuery(kvHead) { head, n, row in
      let (entries, visible) = (entries + place(head, n) * block.keys, visible(row))
      if value == 0 { edges[head]?.zero(entries, query: row) }
      edges[head]?.drop(entries, query: row, value: value)
      (entries + visible).update(repeating: value, count: block.keys - visible)
    }
  }

  /// Pattern times values, into the rows' z.
  func mix(_ kvHead: Int, _ pattern: Floats) throws(TensorError) {
    let (mixed, dh) = (scratch.mixed.base, shape.headWidth)
    try mixProduct(pattern, values.base + kvHead * values.shape[1] * dh, into: mixed)
    forEachQuery(kvHead) { head, n, _ in
      let target = work.z.base + ((first + n) * shape.heads + head) * dh
      target.update(from: mixed + place(head, n) * dh, count: dh)
    }
  }

  private func visible(_ row: Row) -> Int { shape.causal ? row + 1 : block.keys }

  /// Index of a query head's n-th row among the rows of its key-value head.
  private func place(_ head: Int, _ n: Int) -> Int { head % (shape.heads / shape.kvHeads) * rows.count + n }

  /// `body(query head, place in the block, row)`.
  private func forEachQuery(_ kvHead: Int, _ body: (Int, Int, Row) -> Void) {
    let group = shape.heads / shape.kvHeads
    for head in (kvHead * group)..<((kvHead + 1) * group) {
      for n in 0..<rows.count { body(head, n, rows[rows.startIndex + n]) }
    }
  }
}

extension EdgeMask.HeadClass {
  /// Adds to one query's scores what rules add.
  func bias(_ scores: Floats, query: Row) {
    for (keys, value) in biased[query] ?? [] { for key in keys { scores[key] += value } }
  }

  /// Writes `value` at the edges that rules drop.
  func drop(_ entries: Floats, query: Row, value: Float) { fill(entries, dropped[query], value) }

  /// Zeroes the pattern's entries that rules zero after the softmax.
  func zero(_ pattern: Floats, query: Row) { fill(pattern, zeroed[query], 0) }

  private func fill(_ entries: Floats, _ ranges: [Range<Row>]?, _ value: Float) {
    for keys in ranges ?? [] { (entries + keys.lowerBound).update(repeating: value, count: keys.count) }
  }
}
