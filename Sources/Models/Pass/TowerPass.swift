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
  /// Hidden states that `run` was asked to keep, by depth.
  private(set) var kept: [Int: HiddenState] = [:]
  /// Multiply-adds of the matrix products so far.
  private(set) var multiplyAdds = 0

  /// - Parameter work: has room for these lanes.
  init(
    _ tower: Transformer, lanes: [Lane], visitor: (any HookVisitor)?, step: Int, engine: Engine, work: Workspace
  ) {
    self.tower = tower
    self.engine = engine
    self.visitor = visitor
    self.step = step
    self.lanes = lanes
    active = lanes.reduce(into: []) { $0.formUnion($1.program.ops.keys) }
    self.work = work
  }

  var shape: TowerShape { tower.shape }
  /// Rows in the pack, by stage of the layer.
  func count(_ stage: Stage) -> Int { lanes.last.map { $0[stage].first + $0[stage].rows.count } ?? 0 }

  /// Runs all layers over the pack `x` [rows of all lanes, width]; returns the pack behind the last layer: each lane's planned rows,
  /// in the workspace's memory.
  ///
  /// - Parameter depths: hidden states to keep, 0 for the input of layer 0.
  mutating func run(_ x: Tensor, keeping depths: Set<Int> = []) throws(ModelError) -> Tensor {
    var x = x
    for layer in tower.blocks.indices {
      keep(x, depths, layer)
      x = admit(x, at: layer)
      do { try block(layer, x) } catch { throw .tensor(error) }
    }
    keep(x, depths, tower.blocks.count)
    return admit(x, at: tower.blocks.count)
  }

  /// Before rows that only a reader of this depth needs leave the pack.
  private mutating func keep(_ x: Tensor, _ depths: Set<Int>, _ layer: Int) {
    guard depths.contains(layer) else { return }
    kept[layer] = HiddenState(depth: layer, x: x.copy(), spans: lanes.map(\.leaving))
  }

  /// The rows of this layer, from the rows behind the last one and, where a borrower needs more, from the clean residual stream. Lanes
  /// that have failed leave the pack.
  private mutating func admit(_ x: Tensor, at layer: Int) -> Tensor {
    let before = lanes.map(\.leaving)
    for i in lanes.indices {
      if lanes[i].failure != nil, lanes[i].role != .clean {
        lanes[i].rows = []
      } else if let plan = lanes[i].plan {
        if layer < plan.layers.count { lanes[i].enter(plan.layers[layer]) } else { lanes[i].rows = plan.read }
      }
    }
    placeRows(&lanes)
    guard zip(before, lanes).contains(where: { $0.rows != $1.keyed.rows }) else { return x }
    let packed = work.stream(besides: x, rows: count(.keyed), width: shape.width)
    for (lane, old) in zip(lanes, before) { admit(lane, from: x, old, at: layer, into: packed) }
    return packed
  }

  private func admit(_ lane: Lane, from x: Tensor, _ old: Span, at layer: Int, into packed: Tensor) {
    let width = shape.width
    var place = 0
    for (n, row) in lane.keyed.rows.enumerated() {
      while place < old.rows.count, old.rows[place] < row { place += 1 }
      let isPacked = place < old.rows.count && old.rows[place] == row
      guard
        let source = isPacked
          ? x.base + (old.first + place) * width : lane.store.residuals.map({ $0[layer].base + row * width })
      else { continue }
      (packed.base + (lane.keyed.first + n) * width).update(from: source, count: width)
    }
  }

  /// One pre-norm layer, in place on `x`: [keyed rows, width] on entry, [leaving rows, width] when it is done.
  private mutating func block(_ layer: Int, _ x: Tensor) throws(TensorError) {
    let block = tower.blocks[layer]
    let width = shape.width
    hook(.residPre, layer, x.base)
    keepResiduals(x, depth: layer)
    let keyed = count(.keyed)
    block.norm1(x.base, rows: keyed, width: width, into: work.normed.base)
    try block.kProj(work.normed.base, rows: keyed, into: work.k.base)
    try block.vProj(work.normed.base, rows: keyed, into: work.v.base)
    narrow(work.normed.base, from: .keyed, to: .attending)
    narrow(x.base, from: .keyed, to: .attending)
    let attending = count(.attending)
    try block.qProj(work.normed.base, rows: attending, into: work.q.base)
    hook(.q, layer, work.q.base)
    hook(.k, layer, work.k.base)
    hook(.v, layer, work.v.base)
    rotate(layer)
    for lane in lanes.indices where !lanes[lane].keyed.rows.isEmpty { try attend(lane, layer) }
    hook(.z, layer, work.z.base)
    try block.oProj(work.z.base, rows: attending, into: work.out.base)
    hook(.attnOut, layer, work.out.base)
    add(work.out.base, to: x.base, count: attending * width)
    hook(.residMid, layer, x.base)
    narrow(x.base, from: .attending, to: .leaving)
    let leaving = count(.leaving)
    multiplyAdds += shape.multiplyAdds(
      keyed: keyed, attending: attending, leaving: leaving, capacity: lanes.map(\.store.capacity).max() ?? 0)
    block.norm2(x.base, rows: leaving, width: width, into: work.normed.base)
    try feedForward(block.mlp, layer, rows: leaving)
    hook(.mlpOut, layer, work.out.base)
    add(work.out.base, to: x.base, count: leaving * width)
    hook(.residPost, layer, x.base)
    if layer == tower.blocks.count - 1 { keepResiduals(x, depth: layer + 1) }
  }

  /// Leaves those rows of a pack [rows, width] that go on to the next stage, in place.
  private func narrow(_ pack: Floats, from stage: Stage, to next: Stage) {
    let width = shape.width
    for lane in lanes where lane[stage].rows.count != lane[next].rows.count || lane[stage].first != lane[next].first {
      let (all, some) = (lane[stage], lane[next])
      var place = 0
      for (n, row) in some.rows.enumerated() {
        while all.rows[place] != row { place += 1 }
        (pack + (some.first + n) * width).update(from: pack + (all.first + place) * width, count: width)
      }
    }
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
    for (heads, x, stage) in [(shape.heads, work.q, Stage.attending), (shape.kvHeads, work.k, Stage.keyed)] {
      let positions = lanes.flatMap { $0[stage].rows.map { Int32($0) } }
      let width = heads * shape.headWidth
      parallelFor(positions.count, grain: 8) { [shape] range in
        let offset = range.lowerBound * width
        positions.withUnsafeBufferPointer { positions in
          ck_rope(
            x.base + offset, rope.cosine.base, rope.sine.base, positions.baseAddress! + range.lowerBound,
            x.base + offset, Int64(range.count), Int64(heads), Int64(shape.headWidth))
        }
      }
    }
    hook(.rotQ, layer, work.q.base)
    hook(.rotK, layer, work.k.base)
  }

  private func add(_ y: Floats, to x: Floats, count: Int) {
    parallelFor(count, grain: 16384) { ck_add(x + $0.lowerBound, y + $0.lowerBound, Int64($0.count)) }
  }

  /// Copies the residual stream of recording lanes where their store wants it.
  private func keepResiduals(_ x: Tensor, depth: Int) {
    let width = shape.width
    for lane in lanes where lane.role != .borrower {
      guard let kept = lane.store.residuals?[depth] else { continue }
      let span = depth == tower.blocks.count ? lane.leaving : lane.keyed
      for (n, row) in span.rows.enumerated() {
        (kept.base + row * width).update(from: x.base + (span.first + n) * width, count: width)
      }
    }
  }
}

/// The residual stream at one depth, as a layer left it: a plugin that writes at `resid_pre` of the next layer does not change it.
struct HiddenState {
  let depth: Int
  /// [rows of the pack then, width]
  let x: Tensor
  /// Rows in `x`, by lane.
  let spans: [Span]

  /// A row of the lane at this place in the pack: computed, or the clean pass's.
  func row(_ row: Row, of lane: Int, in store: PassStore) -> ConstFloats? {
    let width = x.shape[1]
    if let place = spans[lane].rows.firstIndex(of: row) {
      return ConstFloats(x.base + (spans[lane].first + place) * width)
    }
    return store.residuals.map { ConstFloats($0[depth].base + row * width) }
  }
}

/// What passes need of a workspace.
struct WorkExtent {
  /// Of the largest pack, of the largest lane, and of the largest lane whose scores a hook looks at.
  private(set) var rows: Int
  private(set) var laneRows: Int
  private(set) var lookedRows: Int
  /// Keys.
  private(set) var capacity: Int

  init(_ lanes: [Lane], tower: Tower) {
    func most(_ lane: Lane) -> Int {
      max(lane.rows.count, lane.plan?.layers.map(\.keyed.count).max() ?? 0, lane.plan?.read.count ?? 0)
    }
    rows = lanes.reduce(0) { $0 + most($1) }
    laneRows = lanes.map(most).max() ?? 0
    let looked = lanes.filter { $0.program.ops.keys.contains { $0.tower == tower && $0.site.axes == .headsRowsKeys } }
    lookedRows = looked.map(most).max() ?? 0
    capacity = lanes.map(\.store.capacity).max() ?? 0
  }

  func covers(_ other: WorkExtent) -> Bool {
    rows >= other.rows && laneRows >= other.laneRows && lookedRows >= other.lookedRows && capacity >= other.capacity
  }

  func joined(_ other: WorkExtent) -> WorkExtent {
    var both = self
    both.rows = max(rows, other.rows)
    both.laneRows = max(laneRows, other.laneRows)
    both.lookedRows = max(lookedRows, other.lookedRows)
    both.capacity = max(capacity, other.capacity)
    return both
  }
}

/// Buffers of passes over one tower, kept from pass to pass: layers and decoding steps take no memory of their own.
final class Workspace {
  let extent: WorkExtent
  /// The residual stream, by turns: [rows, width].
  private let streams: [Tensor]
  let normed: FloatStorage
  let q: FloatStorage
  let k: FloatStorage
  let v: FloatStorage
  let z: FloatStorage
  let out: FloatStorage
  let hidden: FloatStorage
  let up: FloatStorage
  /// Per thread of the team.
  let heads: [HeadScratch]
  /// One block of a hooked lane's scores, then its pattern: [heads, rows, keys].
  let scores: FloatStorage

  init(_ tower: Transformer, _ extent: WorkExtent) {
    self.extent = extent
    let shape = tower.shape
    let (rows, largest, capacity) = (extent.rows, extent.laneRows, extent.capacity)
    streams = (0..<2).map { _ in Tensor(zeros: [rows, shape.width]) }
    let (queries, keys) = (shape.heads * shape.headWidth, shape.kvHeads * shape.headWidth)
    normed = FloatStorage(zeros: rows * shape.width)
    q = FloatStorage(zeros: rows * queries)
    k = FloatStorage(zeros: rows * keys)
    v = FloatStorage(zeros: rows * keys)
    z = FloatStorage(zeros: rows * queries)
    out = FloatStorage(zeros: rows * shape.width)
    hidden = FloatStorage(zeros: rows * shape.mlpWidth)
    up = FloatStorage(zeros: rows * shape.mlpWidth)
    let group = shape.heads / shape.kvHeads
    heads = (0..<engineThreads).map { _ in
      HeadScratch(
        queries: FloatStorage(zeros: group * largest * shape.headWidth),
        scores: FloatStorage(zeros: scoreCount(TowerPass.cachedScoreBytes, heads: group, rows: largest, capacity)),
        mixed: FloatStorage(zeros: group * largest * shape.headWidth))
    }
    scores = FloatStorage(
      zeros: scoreCount(tower.scoreBytes, heads: shape.heads, rows: extent.lookedRows, capacity))
  }

  /// The stream that `x` does not lie in.
  func stream(besides x: Tensor, rows: Int, width: Int) -> Tensor {
    (x.storage === streams[0].storage ? streams[1] : streams[0]).reshaped([rows, width])
  }
}

extension TowerShape {
  /// Bytes that a row of a pack takes in a workspace.
  var bytesPerRow: Int {
    4 * (4 * width + 3 * heads * headWidth + 2 * kvHeads * headWidth + 2 * mlpWidth)
  }
}

extension VisionLanguageModel {
  /// The tower's workspace, larger than before if these lanes need it.
  func workspace(_ tower: Transformer, _ lanes: [Lane]) -> Workspace {
    let needed = WorkExtent(lanes, tower: tower.shape.tower)
    let kept = workspaces[tower.shape.tower]
    if let kept, kept.extent.covers(needed) { return kept }
    let work = Workspace(tower, kept.map { $0.extent.joined(needed) } ?? needed)
    workspaces[tower.shape.tower] = work
    return work
  }
}

/// Entries of a block of scores: what the limit allows, at least a row, at most all rows.
private func scoreCount(_ bytes: Int, heads: Int, rows: Int, _ capacity: Int) -> Int {
  min(max(bytes / 4, heads * capacity), heads * rows * capacity)
}
