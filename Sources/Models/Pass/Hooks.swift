import CKernels
import Tensors

/// One way to a plugin: gather the declared rows into a dense copy, call, check, scatter. Costs one set look-up per site where
/// nothing is attached.
extension TowerPass {
  mutating func hook(_ site: Site, _ layer: Int?, _ base: Floats, only: Int? = nil) {
    let point = HookPoint(shape.tower, layer, site)
    guard active.contains(point) else { return }
    var site = HookedSite(point: point, base: base, shape: shape, step: step)
    site.run(&lanes, only: only, visitor: visitor)
  }
}

/// One activation in memory at one hook point, with the ops of all lanes there.
struct HookedSite {
  let point: HookPoint
  let base: Floats
  let shape: TowerShape
  /// Entries of one row, where that is not the width of the stream: the projector's and the logits' rows.
  var rowWidth: Int?
  let step: Int

  /// The k-th ops of every lane together, so that imperative plugins get the lanes in one batch.
  mutating func run(_ lanes: inout [Lane], only: Int?, visitor: (any HookVisitor)?) {
    let live = (only.map { [$0] } ?? Array(lanes.indices)).filter { !lanes[$0].rows.isEmpty }
    let steps = live.map { lanes[$0].program[point].count }.max() ?? 0
    for index in 0..<steps {
      var visits: [(Visit, Selection)] = []
      for lane in live where lanes[lane].failure == nil {
        let ops = lanes[lane].program[point]
        guard index < ops.count else { continue }
        let selection = Selection(ops[index], lanes[lane], site: self)
        guard !selection.offsets.isEmpty else { continue }
        if case .call(let access, let writes) = ops[index].action {
          visits.append((stage(selection, ops[index], lane: lane, access: access, writes: writes), selection))
        } else {
          apply(ops[index], selection, to: &lanes[lane])
        }
      }
      finish(visits, &lanes, visitor: visitor)
    }
  }

  private func stage(_ selection: Selection, _ op: Op, lane: Int, access: Int, writes: Bool) -> Visit {
    let copy = StagedCopy(count: selection.offsets.count * selection.width)
    selection.gather(base, into: copy.base)
    return Visit(
      point: point, step: step, lane: lane, plugin: op.plugin, access: access, rows: selection.rows, heads: op.heads,
      shape: selection.shape, data: copy, writable: writes)
  }

  /// Calls, then checks each copy: canaries, read-only, finite; and takes it over where the plugin may write.
  private func finish(_ visits: [(Visit, Selection)], _ lanes: inout [Lane], visitor: (any HookVisitor)?) {
    guard !visits.isEmpty, let visitor else { return }
    for failure in visitor.visit(visits.map(\.0)) where lanes[failure.lane].failure == nil {
      lanes[failure.lane].failure = failure
    }
    for (visit, selection) in visits where lanes[visit.lane].failure == nil {
      let difference = compare(visit, selection)
      if let reason = visit.complaint(difference) {
        lanes[visit.lane].failure = LaneFailure(lane: visit.lane, plugin: visit.plugin, point: point, reason: reason)
        continue
      }
      if difference.changed > 0 { selection.scatter(visit.data.base, into: base) }
      lanes[visit.lane].results.record(visit.plugin, point) {
        $0.visits += 1
        $0.rows += visit.rows.count
        $0.changed += Int(difference.changed)
        $0.largest = max($0.largest, difference.largest)
      }
    }
  }

  private func compare(_ visit: Visit, _ selection: Selection) -> ck_difference {
    var difference = ck_difference()
    var copied = visit.data.base
    for piece in selection.pieces {
      ck_compare(base + piece.lowerBound, copied, Int64(piece.count), &difference)
      copied += piece.count
    }
    return difference
  }

  /// Edits and readings as data.
  private func apply(_ op: Op, _ selection: Selection, to lane: inout Lane) {
    switch op.action {
    case .call: break
    case .capture(let reading):
      let tensor = Tensor(zeros: selection.shape)
      selection.gather(base, into: tensor.base)
      lane.results.captures.append(
        .init(reading: reading, plugin: op.plugin, point: point, rows: selection.rows, tensor: tensor))
      lane.results.record(op.plugin, point) {
        $0.visits += 1; $0.rows += selection.rows.count
      }
    case .mass(let reading, let keys):
      lane.results.masses.append(
        .init(
          reading: reading, plugin: op.plugin, point: point, rows: selection.rows, tensor: mass(selection, keys: keys)))
      lane.results.record(op.plugin, point) {
        $0.visits += 1; $0.rows += selection.rows.count
      }
    case .scale, .set, .add: edit(op, selection, &lane)
    }
  }

  private func edit(_ op: Op, _ selection: Selection, _ lane: inout Lane) {
    var difference = ck_difference()
    let copy = FloatStorage(zeros: selection.width)
    for (n, offset) in selection.offsets.enumerated() {
      copy.base.update(from: base + offset, count: selection.width)
      selection.write(op.action, to: copy.base, chunk: n)
      ck_compare(base + offset, copy.base, Int64(selection.width), &difference)
      (base + offset).update(from: copy.base, count: selection.width)
    }
    lane.results.record(op.plugin, point) {
      $0.visits += 1
      $0.rows += selection.rows.count
      $0.changed += Int(difference.changed)
      $0.largest = max($0.largest, difference.largest)
    }
  }

  /// [heads, rows] sums of a pattern over `keys`.
  private func mass(_ selection: Selection, keys: [Row]) -> Tensor {
    let tensor = Tensor(zeros: Array(selection.shape.prefix(2)))
    for (n, offset) in selection.offsets.enumerated() {
      tensor.base[n] = keys.reduce(into: Float(0)) { sum, key in if key < selection.width { sum += base[offset + key] }
      }
    }
    return tensor
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
  /// Absolute rows that are both selected and in the pack.
  let rows: [Row]
  /// Where each piece of `width` entries starts.
  let offsets: [Int]
  let width: Int
  let shape: [Int]

  init(_ op: Op, _ lane: Lane, site: HookedSite) {
    let places = op.rows.isEmpty ? [] : Selection.places(of: op.rows, in: lane.rows)
    let dimensions = site.shape
    rows = places.map { lane.rows[$0] }
    switch site.point.site.axes {
    case .rowsWidth:
      let width = site.rowWidth ?? (site.point.site.isHidden ? dimensions.mlpWidth : dimensions.width)
      self.width = width
      offsets = places.map { (lane.first + $0) * width }
      shape = [rows.count, width]
    case .rowsHeads, .rowsKeyValueHeads:
      let all = site.point.site.axes == .rowsHeads ? dimensions.heads : dimensions.kvHeads
      let (heads, dh) = (op.heads ?? Array(0..<all), dimensions.headWidth)
      width = dh
      offsets = places.flatMap { place in heads.map { ((lane.first + place) * all + $0) * dh } }
      shape = [rows.count, heads.count, dh]
    case .headsRowsKeys:
      let heads = op.heads ?? Array(0..<dimensions.heads)
      let capacity = lane.store.capacity
      width = dimensions.causal ? (rows.last ?? -1) + 1 : capacity  // the same whatever other rows are in the pack
      offsets = heads.flatMap { head in places.map { (head * lane.rows.count + $0) * capacity } }
      shape = [heads.count, rows.count, width]
    }
  }

  /// The pieces with neighbours joined, so that a whole activation is one.
  var pieces: [Range<Int>] {
    var joined: [Range<Int>] = []
    for offset in offsets {
      if let last = joined.last, last.upperBound == offset {
        joined[joined.count - 1] = last.lowerBound..<(offset + width)
      } else {
        joined.append(offset..<(offset + width))
      }
    }
    return joined
  }

  func gather(_ activation: ConstFloats, into copy: Floats) {
    var target = copy
    for piece in pieces {
      target.update(from: activation + piece.lowerBound, count: piece.count)
      target += piece.count
    }
  }

  func scatter(_ copy: ConstFloats, into activation: Floats) {
    var source = copy
    for piece in pieces {
      (activation + piece.lowerBound).update(from: source, count: piece.count)
      source += piece.count
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

  /// Applies scale, set or add to the copy of piece number `chunk`.
  func write(_ action: Op.Action, to piece: Floats, chunk: Int) {
    func entry(_ vector: [Float], _ i: Int) -> Float {
      if vector.count == 1 { return vector[0] }
      if vector.count == width { return vector[i] }
      return vector[(chunk * width + i) % vector.count]  // one row of all selected heads
    }
    switch action {
    case .scale(let factor): ck_scale(piece, factor, Int64(width))
    case .set(let vector): for i in 0..<width { piece[i] = entry(vector, i) }
    case .add(let vector): for i in 0..<width { piece[i] += entry(vector, i) }
    case .call, .capture, .mass: break
    }
  }
}

extension Site {
  /// Rows as wide as the feed-forward part.
  var isHidden: Bool { self == .mlpPre || self == .mlpPost }
}
