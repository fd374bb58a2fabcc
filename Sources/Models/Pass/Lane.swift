import Tensors

/// Keys, values and (where kept) the residual stream of one pass over one tower.
///
/// A recording lane fills its own; lanes of other conditions may borrow it: their rows are swapped in, used, and swapped out.
package final class PassStore {
  /// Rows that the sequence can have, generated ones included; rows not yet computed hold zeros.
  package let capacity: Int
  /// Per layer, head-major: [kv_heads, capacity, head_width]; keys after RoPE.
  let keys: [Tensor]
  let values: [Tensor]
  /// Per layer: residual stream at resid_pre, [capacity, width]; nil unless kept.
  let residPre: [Tensor]?

  init(_ shape: TowerShape, layers: Int, capacity: Int, keepsResiduals: Bool) {
    self.capacity = capacity
    let heads = [shape.kvHeads, capacity, shape.headWidth]
    keys = (0..<layers).map { _ in Tensor(zeros: heads) }
    values = (0..<layers).map { _ in Tensor(zeros: heads) }
    residPre = keepsResiduals ? (0..<layers).map { _ in Tensor(zeros: [capacity, shape.width]) } : nil
  }
}

/// One example under one condition, in flight through one tower.
package struct Lane {
  package let program: Program
  let store: PassStore
  /// true: the lane's keys and values stay in `store`; false: `store` belongs to a clean pass and is left as it was.
  let records: Bool
  /// Rows to compute per layer; nil: `rows` at every layer. Only a lane that borrows a clean pass may let rows enter late.
  let rowsByLayer: [[Row]]?

  /// Rows in the pack now; `first` is the place of the first of them.
  package var rows: [Row]
  var first = 0
  package var failure: LaneFailure?
  package var results = LaneResults()

  init(_ program: Program, store: PassStore, records: Bool, rows: [Row], rowsByLayer: [[Row]]? = nil) {
    self.program = program
    self.store = store
    self.records = records
    self.rows = rows
    self.rowsByLayer = rowsByLayer
  }
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
