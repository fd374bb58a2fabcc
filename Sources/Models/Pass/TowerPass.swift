import CKernels
import Checkpoints
import Tensors

/// One pass of one tower over lanes and rows.
///
/// Linear layers take one dense pack of all lanes' rows; attention takes a lane's rows against its keys. A plain forward is one lane
/// with all its rows; a decoding step is every lane with one row.
struct TowerPass {
  let tower: Transformer
  let engine: Engine
  let visitor: (any HookVisitor)?
  /// 0 in the prefill, n at the n-th generated token.
  let step: Int
  var lanes: [Lane]
  /// Hook points at which some lane has something to do.
  let active: Set<HookPoint>
  let work: Workspace

  init(_ tower: Transformer, lanes: [Lane], visitor: (any HookVisitor)?, step: Int, engine: Engine) {
    self.tower = tower
    self.engine = engine
    self.visitor = visitor
    self.step = step
    self.lanes = lanes
    active = lanes.reduce(into: []) { $0.formUnion($1.program.ops.keys) }
    work = Workspace(tower.shape, lanes: lanes)
  }

  var shape: TowerShape { tower.shape }
  /// Rows in the pack.
  var count: Int { lanes.reduce(0) { $0 + $1.rows.count } }

  /// Runs all layers over the pack `x` [rows of all lanes, width]; returns the pack behind the last layer.
  mutating func run(_ x: Tensor) throws(ModelError) -> Tensor {
    var x = x
    for layer in tower.blocks.indices {
      x = admit(x, at: layer)
      if count == 0 { continue }  // a lane that borrows may enter later
      do { try block(layer, x) } catch { throw .tensor(error) }
    }
    return admit(x, at: tower.blocks.count)
  }

  /// Rows that a lane needs from this layer on enter the pack from the clean residual stream; failed lanes leave it.
  private mutating func admit(_ x: Tensor, at layer: Int) -> Tensor {
    let isLast = layer == tower.blocks.count
    let changes = lanes.contains { ($0.failure != nil && !$0.rows.isEmpty) || ($0.rowsByLayer != nil && !isLast) }
    guard changes else { return x }
    let width = shape.width
    let wanted = lanes.map { lane -> [Row] in
      if lane.failure != nil { return [] }
      return isLast ? lane.rows : lane.rowsByLayer?[layer] ?? lane.rows
    }
    let packed = Tensor(zeros: [wanted.reduce(0) { $0 + $1.count }, width])
    var next = 0
    for i in lanes.indices {
      let old = lanes[i]
      let places = Dictionary(uniqueKeysWithValues: old.rows.enumerated().map { ($1, old.first + $0) })
      for (n, row) in wanted[i].enumerated() {
        let source =
          if let place = places[row] { x.base + place * width } else { old.store.residPre![layer].base + row * width }
        (packed.base + (next + n) * width).update(from: source, count: width)
      }
      lanes[i].rows = wanted[i]
      lanes[i].first = next
      next += wanted[i].count
    }
    return packed
  }

  /// One pre-norm layer, in place on `x` [rows, width].
  private mutating func block(_ layer: Int, _ x: Tensor) throws(TensorError) {
    let block = tower.blocks[layer]
    let (n, width) = (count, shape.width)
    hook(.residPre, layer, x.base)
    keepResiduals(x, layer)
    block.norm1(x.base, rows: n, width: width, into: work.normed.base)
    try block.qProj(work.normed.base, rows: n, into: work.q.base)
    try block.kProj(work.normed.base, rows: n, into: work.k.base)
    try block.vProj(work.normed.base, rows: n, into: work.v.base)
    hook(.q, layer, work.q.base)
    hook(.k, layer, work.k.base)
    hook(.v, layer, work.v.base)
    rotate(layer)
    for lane in lanes.indices where !lanes[lane].rows.isEmpty { try attend(lane, layer) }
    hook(.z, layer, work.z.base)
    try block.oProj(work.z.base, rows: n, into: work.out.base)
    hook(.attnOut, layer, work.out.base)
    add(work.out.base, to: x.base, count: n * width)
    hook(.residMid, layer, x.base)
    block.norm2(x.base, rows: n, width: width, into: work.normed.base)
    try feedForward(block.mlp, layer, rows: n)
    hook(.mlpOut, layer, work.out.base)
    add(work.out.base, to: x.base, count: n * width)
    hook(.residPost, layer, x.base)
  }

  private mutating func feedForward(_ mlp: FeedForward, _ layer: Int, rows: Int) throws(TensorError) {
    let hidden = work.hidden.base
    let count = rows * shape.mlpWidth
    switch mlp {
    case .plain(let fc1, let fc2, let activation):
      try fc1(work.normed.base, rows: rows, into: hidden)
      hook(.mlpPre, layer, hidden)
      apply(activation, hidden, count: count)
      hook(.mlpPost, layer, hidden)
      try fc2(hidden, rows: rows, into: work.out.base)
    case .gated(let gate, let up, let down):
      try gate(work.normed.base, rows: rows, into: hidden)
      try up(work.normed.base, rows: rows, into: work.up.base)
      hook(.mlpPre, layer, hidden)
      parallelFor(count, grain: 4096) { [work] range in
        ck_silu_multiply(hidden + range.lowerBound, work.up.base + range.lowerBound, Int64(range.count))
      }
      hook(.mlpPost, layer, hidden)
      try down(hidden, rows: rows, into: work.out.base)
    }
  }

  /// Rotary embedding of queries and keys; without rope they stay where they are.
  private mutating func rotate(_ layer: Int) {
    guard let rope = tower.rope else { return }
    let positions = lanes.flatMap { $0.rows.map { Int32($0) } }
    for (heads, x) in [(shape.heads, work.q), (shape.kvHeads, work.k)] {
      let width = heads * shape.headWidth
      parallelFor(positions.count, grain: 8) { [shape, work] range in
        let offset = range.lowerBound * width
        positions.withUnsafeBufferPointer { positions in
          ck_rope(
            x.base + offset, rope.cosine.base, rope.sine.base, positions.baseAddress! + range.lowerBound,
            work.rotated.base + offset, Int64(range.count), Int64(heads), Int64(shape.headWidth))
        }
      }
      x.base.update(from: work.rotated.base, count: positions.count * width)
    }
    hook(.rotQ, layer, work.q.base)
    hook(.rotK, layer, work.k.base)
  }

  private func add(_ y: Floats, to x: Floats, count: Int) {
    parallelFor(count, grain: 16384) { ck_add(x + $0.lowerBound, y + $0.lowerBound, Int64($0.count)) }
  }

  private func keepResiduals(_ x: Tensor, _ layer: Int) {
    let width = shape.width
    for lane in lanes where lane.records {
      guard let kept = lane.store.residPre?[layer] else { continue }
      for (n, row) in lane.rows.enumerated() {
        (kept.base + row * width).update(from: x.base + (lane.first + n) * width, count: width)
      }
    }
  }
}

/// Buffers of one pass, sized for the largest pack and the largest lane that it will hold.
final class Workspace {
  let normed: FloatStorage
  let q: FloatStorage
  let k: FloatStorage
  let v: FloatStorage
  let rotated: FloatStorage
  let z: FloatStorage
  let out: FloatStorage
  let hidden: FloatStorage
  let up: FloatStorage
  /// One lane's queries and mixed values, head-major: [heads, rows, head_width].
  let headMajor: FloatStorage
  /// One lane's scores, then its pattern: [heads, rows, capacity].
  let scores: FloatStorage
  /// Clean rows that a borrowing lane has swapped out, for keys and for values.
  let savedKeys: FloatStorage
  let savedValues: FloatStorage

  init(_ shape: TowerShape, lanes: [Lane]) {
    func most(_ lane: Lane) -> Int { max(lane.rows.count, lane.rowsByLayer?.map(\.count).max() ?? 0) }
    let rows = lanes.reduce(0) { $0 + most($1) }
    let largest = lanes.map(most).max() ?? 0
    let capacity = lanes.map(\.store.capacity).max() ?? 0
    let borrowed = lanes.filter { !$0.records }.map(most).max() ?? 0
    let (queries, keys) = (shape.heads * shape.headWidth, shape.kvHeads * shape.headWidth)
    normed = FloatStorage(zeros: rows * shape.width)
    q = FloatStorage(zeros: rows * queries)
    k = FloatStorage(zeros: rows * keys)
    v = FloatStorage(zeros: rows * keys)
    rotated = FloatStorage(zeros: rows * queries)
    z = FloatStorage(zeros: rows * queries)
    out = FloatStorage(zeros: rows * shape.width)
    hidden = FloatStorage(zeros: rows * shape.mlpWidth)
    up = FloatStorage(zeros: rows * shape.mlpWidth)
    headMajor = FloatStorage(zeros: largest * queries)
    scores = FloatStorage(zeros: shape.heads * largest * capacity)
    savedKeys = FloatStorage(zeros: borrowed * keys)
    savedValues = FloatStorage(zeros: borrowed * keys)
  }
}
