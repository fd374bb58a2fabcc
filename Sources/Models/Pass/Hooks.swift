import CKernels
import Synchronization
import Tensors

/// One way to a plugin: gather the declared rows into a dense copy, call, check, scatter. Costs one set look-up per site where
/// nothing is attached.
extension TowerPass {
  mutating func hook(_ site: Site, _ layer: Int?, _ base: Floats) {
    let point = HookPoint(shape.tower, layer, site)
    guard active.contains(point) else { return }
    var site = HookedSite(point: point, base: base, shape: shape, step: step)
    site.run(&lanes, only: nil, visitor: visitor)
  }

  /// At scores and patterns: a block of one lane's rows, [heads, rows of the block, keys].
  mutating func hook(_ site: Site, _ layer: Int, _ base: Floats, lane: Int, block: AttentionBlock) {
    let point = HookPoint(shape.tower, layer, site)
    guard active.contains(point) else { return }
    var site = HookedSite(point: point, base: base, shape: shape, block: block, step: step)
    site.run(&lanes, only: lane, visitor: visitor)
  }
}

/// One activation in memory at one hook point, with the ops of all lanes there.
struct HookedSite {
  let point: HookPoint
  let base: Floats
  let shape: TowerShape
  /// Entries of one row, where that is not the width of the stream: the projector's and the logits' rows.
  var rowWidth: Int?
  /// The rows that are there, where a lane's rows come in blocks.
  var block: AttentionBlock?
  let step: Int

  /// Entries of one row of a site without heads.
  var width: Int { rowWidth ?? (point.site.isHidden ? shape.mlpWidth : shape.width) }

  /// The k-th ops of every lane together, so that imperative plugins get the lanes in one batch.
  mutating func run(_ lanes: inout [Lane], only: Int?, visitor: (any HookVisitor)?) {
    let live = only.map { [$0] } ?? Array(lanes.indices)
    let steps = live.map { lanes[$0].program[point].count }.max() ?? 0
    for index in 0..<steps {
      var visits: [Staged] = []
      for lane in live where lanes[lane].failure == nil {
        let ops = lanes[lane].program[point]
        guard index < ops.count else { continue }
        let selection = Selection(ops[index], lanes[lane], site: self)
        guard !selection.pieces.isEmpty else { continue }
        if case .call(let access, let writes) = ops[index].action {
          let visit = stage(selection, ops[index], lanes[lane], access: access, writes: writes)
          visits.append(Staged(lane: lane, visit: visit, selection: selection))
        } else {
          apply(ops[index], selection, to: &lanes[lane])
        }
      }
      finish(visits, &lanes, visitor: visitor)
    }
  }

  /// A visit on its way: the lane's place in the pack, and where the copy comes from.
  private struct Staged {
    let lane: Int
    let visit: Visit
    let selection: Selection
  }

  private func stage(_ selection: Selection, _ op: Op, _ lane: Lane, access: Int, writes: Bool) -> Visit {
    let copy = StagedCopy(count: selection.pieces.count * selection.width)
    selection.gather(into: copy.base)
    return Visit(
      point: point, step: step, lane: lane.id, plugin: op.plugin, access: access,
      rows: selection.rows.map { $0 + lane.firstRow }, firstKey: lane.firstRow, heads: op.heads,
      isLastBlock: selection.isLast, shape: selection.shape, data: copy, writable: writes)
  }

  /// Calls, then checks each copy: canaries, read-only, finite; and takes it over where the plugin may write.
  private func finish(_ visits: [Staged], _ lanes: inout [Lane], visitor: (any HookVisitor)?) {
    guard !visits.isEmpty, let visitor else { return }
    for failure in visitor.visit(visits.map(\.visit)) {
      for staged in visits where staged.visit.lane == failure.lane && lanes[staged.lane].failure == nil {
        lanes[staged.lane].failure = failure
      }
    }
    for staged in visits where lanes[staged.lane].failure == nil {
      let (visit, selection) = (staged.visit, staged.selection)
      let difference = compare(visit, selection)
      if let reason = visit.complaint(difference) {
        lanes[staged.lane].failure = LaneFailure(lane: visit.lane, plugin: visit.plugin, point: point, reason: reason)
        continue
      }
      if difference.changed > 0 { selection.scatter(visit.data.base) }
      lanes[staged.lane].results.record(visit.plugin, point) {
        $0.visits += selection.isLast ? 1 : 0
        $0.rows += visit.rows.count
        $0.changed += Int(difference.changed)
        $0.largest = max($0.largest, difference.largest)
      }
    }
  }

  private func compare(_ visit: Visit, _ selection: Selection) -> ck_difference {
    let difference = Mutex(ck_difference())
    selection.forEachShare { runs, place in
      var share = ck_difference()
      var copied = visit.data.base + place
      for run in runs {
        ck_compare(run.baseAddress, copied, Int64(run.count), &share)
        copied += run.count
      }
      difference.withLock { $0.add(share) }
    }
    return difference.withLock { $0 }
  }

  /// Edits and readings as data.
  private func apply(_ op: Op, _ selection: Selection, to lane: inout Lane) {
    switch op.action {
    case .call: break
    case .capture(let reading):
      if selection.isFirst {
        lane.results.captures.append(
          .init(
            reading: reading, plugin: op.plugin, point: point, rows: selection.allRows,
            clean: lane.clean(selection.allRows, at: point), tensor: Tensor(zeros: selection.wholeShape)))
      }
      guard
        let capture = lane.results.captures.last(where: {
          $0.plugin == op.plugin && $0.reading == reading && $0.point == point
        })
      else { break }
      selection.gather(intoWhole: capture.tensor.base, beyond: point.site == .attnScores ? -.infinity : 0)
      noteReading(op, selection, &lane)
    case .mass(let reading, let keys):
      if selection.isFirst {
        lane.results.masses.append(
          .init(
            reading: reading, plugin: op.plugin, point: point, rows: selection.allRows,
            tensor: Tensor(zeros: Array(selection.wholeShape.prefix(2)))))
      }
      guard
        let mass = lane.results.masses.last(where: {
          $0.plugin == op.plugin && $0.reading == reading && $0.point == point
        })
      else { break }
      sum(selection, keys: keys, into: mass.tensor.base)
      noteReading(op, selection, &lane)
    case .scale, .set, .add, .patch: edit(op, selection, &lane)
    }
  }

  private func noteReading(_ op: Op, _ selection: Selection, _ lane: inout Lane) {
    lane.results.record(op.plugin, point) {
      $0.visits += selection.isLast ? 1 : 0
      $0.rows += selection.rows.count
    }
  }

  private func edit(_ op: Op, _ selection: Selection, _ lane: inout Lane) {
    var difference = ck_difference()
    let copy = FloatStorage(zeros: selection.width)
    for (n, piece) in selection.pieces.enumerated() {
      let count = selection.visible(n)
      copy.base.update(from: piece, count: count)
      if case .patch(_, let values?) = op.action {
        values.copyPatch(op, selection, piece: n, axes: point.site.axes, to: copy.base)
      } else {
        selection.write(op.action, to: copy.base, count: count, chunk: n)
      }
      ck_compare(piece, copy.base, Int64(count), &difference)
      piece.update(from: copy.base, count: count)
    }
    lane.results.record(op.plugin, point) {
      $0.visits += selection.isLast ? 1 : 0
      $0.rows += selection.rows.count
      $0.changed += Int(difference.changed)
      $0.largest = max($0.largest, difference.largest)
    }
  }

  /// Sums of a pattern over `keys`, into [heads, rows of all blocks].
  private func sum(_ selection: Selection, keys: [Row], into sums: Floats) {
    for (n, piece) in selection.pieces.enumerated() {
      sums[selection.placeInWhole(n)] = keys.reduce(into: Float(0)) { sum, key in
        if key < selection.width { sum += piece[key] }
      }
    }
  }
}

extension ck_difference {
  fileprivate mutating func add(_ other: ck_difference) {
    changed += other.changed
    not_finite += other.not_finite
    largest = max(largest, other.largest)
  }
}

extension Visit {
  /// What is wrong with the copy that came back, if anything.
  fileprivate func complaint(_ difference: ck_difference) -> String? {
    if !data.isIntact { return "wrote outside the slice that it declared" }
    if !writable && difference.changed > 0 { return "wrote to a slice that it declared as read-only" }
    if difference.not_finite > 0 { return "wrote \(difference.not_finite) values that are not finite" }
    return nil
  }
}

/// The contiguous pieces of an activation that an op selects, in the order of the site's axes.
struct Selection {
  /// Absolute rows that are both selected and in the pack; for a reading of a kept activation also those of the clean pass. Where a
  /// lane's rows come in blocks, those of the block.
  let rows: [Row]
  /// The rows of all blocks, and the index of the first of `rows` among them.
  let allRows: [Row]
  private let before: Int
  /// Where each piece of `width` entries starts.
  let pieces: [Floats]
  let width: Int
  let shape: [Int]
  private let keysEndAtRow: Bool

  init(_ op: Op, _ lane: Lane, site: HookedSite) {
    keysEndAtRow = site.point.site.axes == .headsRowsKeys && site.shape.causal
    let span = lane[site.point.site.stage]
    if lane.role != .own, site.step == 0, !op.writes, let kept = lane.store.residual(at: site.point) {
      rows = op.rows.filter { $0 < lane.store.rows }
      (allRows, before) = (rows, 0)
      width = site.width
      shape = [rows.count, width]
      pieces = Selection.pieces(rows, span, site: site, clean: kept)
      return
    }
    let allPlaces = op.rows.isEmpty ? [] : Selection.places(of: op.rows, in: span.rows)
    let places = site.block.map { block in allPlaces.filter { block.places.contains($0) } } ?? allPlaces
    let dimensions = site.shape
    rows = places.map { span.rows[$0] }
    allRows = allPlaces.map { span.rows[$0] }
    before = places.first.flatMap { allPlaces.firstIndex(of: $0) } ?? 0
    switch site.point.site.axes {
    case .rowsWidth:
      let width = site.width
      self.width = width
      pieces = places.map { site.base + (span.first + $0) * width }
      shape = [rows.count, width]
    case .rowsHeads, .rowsKeyValueHeads:
      let all = site.point.site.axes == .rowsHeads ? dimensions.heads : dimensions.kvHeads
      let (heads, dh) = (op.heads ?? Array(0..<all), dimensions.headWidth)
      width = dh
      pieces = places.flatMap { place in heads.map { site.base + ((span.first + place) * all + $0) * dh } }
      shape = [rows.count, heads.count, dh]
    case .headsRowsKeys:
      let heads = op.heads ?? Array(0..<dimensions.heads)
      let block = site.block ?? AttentionBlock(places: span.rows.indices, keys: lane.store.capacity)
      width = dimensions.causal ? (rows.last ?? -1) + 1 : block.keys  // the same whatever other rows are in the pack
      pieces = heads.flatMap { head in
        places.map { site.base + (head * block.places.count + $0 - block.places.lowerBound) * block.keys }
      }
      shape = [heads.count, rows.count, width]
    }
  }

  /// Rows of the residual stream for a lane that borrows: those that are not in the pack do not differ from the clean pass.
  private static func pieces(_ rows: [Row], _ span: Span, site: HookedSite, clean: Tensor) -> [Floats] {
    let width = site.width
    var next = 0
    return rows.map { row in
      while next < span.rows.count, span.rows[next] < row { next += 1 }
      let isPacked = next < span.rows.count && span.rows[next] == row
      return isPacked ? site.base + (span.first + next) * width : clean.base + row * width
    }
  }

  var isFirst: Bool { before == 0 }
  var isLast: Bool { before + rows.count == allRows.count }

  /// The shape of all blocks together.
  var wholeShape: [Int] {
    rows.count == allRows.count ? shape : [shape[0], allRows.count, max(width, (allRows.last ?? -1) + 1)]
  }

  /// Where piece number `n` stands among the pieces of all blocks.
  func placeInWhole(_ n: Int) -> Int { n / rows.count * allRows.count + before + n % rows.count }

  /// Copies the pieces to their places in an activation of `wholeShape`; `beyond` is what stands behind a block's keys.
  func gather(intoWhole whole: Floats, beyond: Float) {
    guard rows.count < allRows.count else { return gather(into: whole) }
    let stride = wholeShape[2]
    for (n, piece) in pieces.enumerated() {
      let target = whole + placeInWhole(n) * stride
      target.update(from: piece, count: width)
      (target + width).update(repeating: beyond, count: stride - width)
    }
  }

  /// `body(runs, place)` on all threads: a share of the pieces, neighbours joined so that a whole activation is one, and the place of the
  /// share's first entry in a dense copy.
  func forEachShare(_ body: ([UnsafeMutableBufferPointer<Float>], Int) -> Void) {
    parallelFor(pieces.count, grain: max(1, 32768 / max(width, 1))) { body(runs(pieces[$0]), $0.lowerBound * width) }
  }

  private func runs(_ pieces: ArraySlice<Floats>) -> [UnsafeMutableBufferPointer<Float>] {
    pieces.reduce(into: []) { runs, piece in
      if let last = runs.last, let start = last.baseAddress, start + last.count == piece {
        runs[runs.count - 1] = UnsafeMutableBufferPointer(start: start, count: last.count + width)
      } else {
        runs.append(UnsafeMutableBufferPointer(start: piece, count: width))
      }
    }
  }

  func gather(into copy: Floats) {
    forEachShare { runs, place in
      var target = copy + place
      for run in runs {
        _ = UnsafeMutableBufferPointer(start: target, count: run.count).update(fromContentsOf: run)
        target += run.count
      }
    }
  }

  func scatter(_ copy: ConstFloats) {
    forEachShare { runs, place in
      var source = copy + place
      for run in runs {
        _ = run.update(fromContentsOf: UnsafeBufferPointer(start: source, count: run.count))
        source += run.count
      }
    }
  }

  /// Indices into `present` of the rows of `wanted` that it has; both sorted.
  private static func places(of wanted: [Row], in present: [Row]) -> [Int] {
    var places: [Int] = []
    var next = 0
    for row in wanted {
      while next < present.count, present[next] < row { next += 1 }
      if next < present.count, present[next] == row { places.append(next) }
    }
    return places
  }

  /// Entries of piece number `n` that an edit may change: of a causal tower's scores and patterns those up to the row itself.
  func visible(_ n: Int) -> Int { keysEndAtRow ? min(width, rows[n % rows.count] + 1) : width }

  /// Applies scale, set or add to the first `count` entries of a copy of piece number `chunk`.
  func write(_ action: Op.Action, to piece: Floats, count: Int, chunk: Int) {
    func entry(_ vector: [Float], _ i: Int) -> Float {
      if vector.count == 1 { return vector[0] }
      if vector.count == width { return vector[i] }
      return vector[(chunk * width + i) % vector.count]  // one row of all selected heads
    }
    switch action {
    case .scale(let factor): ck_scale(piece, factor, Int64(count))
    case .set(let vector): for i in 0..<count { piece[i] = entry(vector, i) }
    case .add(let vector): for i in 0..<count { piece[i] += entry(vector, i) }
    case .patch, .call, .capture, .mass: break
    }
  }
}

extension Site {
  /// Rows as wide as the feed-forward part.
  var isHidden: Bool { self == .mlpPre || self == .mlpPost }
}
