import Tensors

/// Keys, values and (where kept) the residual stream of one pass over one tower.
///
/// A recording lane fills its own; lanes of other conditions may borrow it: their rows are swapped in, used, and swapped out.
package final class PassStore {
  /// Rows that the sequence can have, generated ones included; rows not yet computed hold zeros.
  package let capacity: Int
  /// Rows of the pass that fills it.
  let rows: Int
  /// Per layer, head-major: [kv_heads, capacity, head_width]; keys after RoPE.
  let keys: [Tensor]
  let values: [Tensor]
  /// Residual stream at resid_pre of each layer, and behind the last: [capacity, width]; nil unless kept.
  let residuals: [Tensor]?

  /// - Parameter keepsLayers: whether keys and values are read behind their layer; if not, the layers have the same memory.
  init(_ shape: TowerShape, rows: Int, capacity: Int, keepsResiduals: Bool = false, keepsLayers: Bool = true) {
    (self.rows, self.capacity) = (rows, capacity)
    let heads = [shape.kvHeads, capacity, shape.headWidth]
    func stores() -> [Tensor] {
      let first = Tensor(zeros: heads)
      return (0..<shape.layers).map { $0 == 0 || !keepsLayers ? first : Tensor(zeros: heads) }
    }
    (keys, values) = (stores(), stores())
    residuals = keepsResiduals ? (0...shape.layers).map { _ in Tensor(zeros: [capacity, shape.width]) } : nil
  }

  /// The residual stream at a hook point, [capacity, width], where it is kept.
  func residual(at point: HookPoint) -> Tensor? {
    guard point.isKept, let residuals else { return nil }
    let depth = (point.layer ?? 0) + (point.site == .residPost ? 1 : 0)
    return residuals[depth]
  }
}

/// Rows of a lane that are in a pack, in order, and the place of the first of them.
package struct Span: Sendable {
  package var rows: [Row] = []
  package var first = 0
}

/// One example under one condition, in flight through one tower.
package struct Lane {
  /// What a lane has to do with its store.
  enum Role {
    /// Fills it, for itself.
    case own
    /// Fills it for others: the pass goes on without hooks if a plugin fails, so that they get it whole.
    case clean
    /// Borrows it, and leaves it as it was.
    case borrower
  }

  /// Place among the requests of the pass; visits and failures name it. The tiles of an image are lanes of one request.
  package let id: Int
  /// What row 0 is called outside the pass: the rows of a tile stand behind those of the tiles before it.
  let firstRow: Row
  package let program: Program
  let store: PassStore
  private(set) var role: Role
  /// The rows of each layer in the prefill; nil: those given, in every layer.
  private(set) var plan: TowerPlan?
  /// Keys and values of a borrower that outlive the prefill: decoding attends to them.
  let own: OwnKeys?

  /// Rows in the pack, by stage of the layer.
  private(set) var keyed = Span()
  private(set) var attending = Span()
  private(set) var leaving = Span()
  package var failure: LaneFailure?
  package var results = LaneResults()

  init(
    _ program: Program, id: Int, firstRow: Row = 0, store: PassStore, role: Role = .own, rows: [Row],
    plan: TowerPlan? = nil, own: OwnKeys? = nil
  ) {
    self.firstRow = firstRow
    (self.program, self.id, self.store, self.role, self.plan, self.own) = (program, id, store, role, plan, own)
    self.rows = rows
  }

  subscript(stage: Stage) -> Span {
    switch stage {
    case .keyed: keyed
    case .attending: attending
    case .leaving: leaving
    }
  }

  /// Rows behind a layer, or outside the layers. Setting them sets them for every stage.
  package var rows: [Row] {
    get { leaving.rows }
    set { (keyed.rows, attending.rows, leaving.rows) = (newValue, newValue, newValue) }
  }
  var first: Int { leaving.first }

  /// Of `rows` at a hook point, those that cannot differ from a pass without any intervention.
  func clean(_ rows: [Row], at point: HookPoint) -> RowSet {
    if point.tower != .text { return program.changesImage ? [] : RowSet(rows) }
    switch role {
    case .clean: return RowSet(rows)
    case .own: return []
    case .borrower:
      guard let plan, let differing = point.layer.map({ plan.differing[$0 + 1] }) ?? plan.differing.first else {
        return []
      }
      return RowSet(rows).subtracting(differing)
    }
  }

  /// Takes the rows of a layer from the plan.
  mutating func enter(_ layer: LayerRows) {
    (keyed.rows, attending.rows, leaving.rows) = (layer.keyed, layer.attending, layer.leaving)
  }

  /// With what the lane left in the tower before, if it was there.
  func taking(over passed: Lane?) -> Lane {
    guard let passed else { return self }
    var lane = self
    (lane.failure, lane.results) = (passed.failure, passed.results)
    if passed.failure != nil && role != .clean { lane.rows = [] }
    return lane
  }

  /// From now on the lane brings a row at a time. A clean pass has filled its store then, and borrows it like the others.
  mutating func decodes() {
    plan = nil
    if role == .clean { role = .borrower }
  }

  mutating func place(behind other: Lane?) {
    keyed.first = other.map { $0.keyed.first + $0.keyed.rows.count } ?? 0
    attending.first = other.map { $0.attending.first + $0.attending.rows.count } ?? 0
    leaving.first = other.map { $0.leaving.first + $0.leaving.rows.count } ?? 0
  }
}

/// Puts the lanes' rows one after the other into a pack.
func placeRows(_ lanes: inout [Lane]) {
  for i in lanes.indices { lanes[i].place(behind: i > 0 ? lanes[i - 1] : nil) }
}

/// Why a lane left the pack.
package struct LaneFailure: Error, Sendable, Equatable {
  package let lane: Int
  /// Index of the plugin in the lane's condition.
  package let plugin: Int
  package let point: HookPoint?
  package let reason: String

  package init(lane: Int, plugin: Int, point: HookPoint?, reason: String) {
    self.lane = lane
    self.plugin = plugin
    self.point = point
    self.reason = reason
  }
}

/// What a plugin did at one hook point of a lane.
package struct OpReceipt: Sendable, Equatable {
  package var visits = 0
  package var rows = 0
  package var changed = 0
  package var largest: Float = 0
}

/// What a lane leaves behind, beside its logits.
package struct LaneResults: Sendable {
  /// Per plugin of the condition, per hook point.
  package var receipts: [Int: [HookPoint: OpReceipt]] = [:]
  /// Activations that readings asked for.
  package var captures: [Capture] = []
  package var masses: [Mass] = []

  package struct Capture: Sendable {
    package let reading: Int
    package let plugin: Int
    package let point: HookPoint
    package let rows: [Row]
    /// Of `rows`, those that are as without any intervention: in every lane of the example the same.
    package let clean: RowSet
    /// Axes as the site's.
    package let tensor: Tensor
  }

  package struct Mass: Sendable {
    package let reading: Int
    package let plugin: Int
    package let point: HookPoint
    package let rows: [Row]
    /// [heads, rows]
    package let tensor: Tensor
  }

  mutating func record(_ plugin: Int, _ point: HookPoint, _ update: (inout OpReceipt) -> Void) {
    update(&receipts[plugin, default: [:]][point, default: OpReceipt()])
  }
}
