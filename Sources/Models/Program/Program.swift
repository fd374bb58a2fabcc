import Tensors

/// An absolute row (token position) of a tower; also its RoPE position.
package typealias Row = Int

/// A set of edges from query rows to key rows, for some layers and heads of one tower.
package struct EdgeRule: Sendable {
  package enum Action: Sendable, Equatable {
    /// Minus infinity before the softmax.
    case drop
    /// Of these queries' edges only those to `keys` survive; several rules of one query: their union.
    case keepOnly
    /// Added to the scores.
    case bias(Float)
    /// Pattern entries become 0 after the softmax, without renormalising.
    case zero
  }
  /// What becomes of a query that may attend to nothing.
  package enum OnEmpty: Sendable {
    case error, attendSelf, zero
  }

  package var action: Action
  /// nil: every head.
  package var heads: [Int]?
  package var queries: [Row]
  package var keys: [Row]
  package var keepSelf: Bool
  package var onEmpty: OnEmpty
  /// Index of the plugin in its condition, for receipts.
  package var plugin: Int

  package init(
    _ action: Action, heads: [Int]? = nil, queries: [Row], keys: [Row], keepSelf: Bool = false,
    onEmpty: OnEmpty = .error, plugin: Int = 0
  ) {
    self.action = action
    self.heads = heads
    self.queries = queries
    self.keys = keys
    self.keepSelf = keepSelf
    self.onEmpty = onEmpty
    self.plugin = plugin
  }
}

/// What happens to one activation at one hook point, in the order of the condition.
package struct Op: Sendable {
  package enum Action: Sendable {
    case scale(Float)
    /// Every selected row (and head) becomes `vector`: its width, or one value.
    case set([Float])
    /// Adds `vector`.
    case add([Float])
    /// The rows (and heads) become those of another run; laid out as the site's axes say. nil until the source has run.
    case patch(source: Int, Tensor?)
    /// An imperative plugin sees the rows, and writes them if it may. `access` indexes the plan's accesses.
    case call(access: Int, writes: Bool)
    /// The rows are kept, as reading number `reading` of the lane.
    case capture(reading: Int)
    /// Attention mass from the rows to `keys`, per head; at `pattern` only.
    case mass(reading: Int, keys: [Row])
  }

  package var action: Action
  /// Sorted.
  package var rows: [Row]
  /// nil: every head (or the site has none).
  package var heads: [Int]?
  package var plugin: Int

  package init(_ action: Action, rows: [Row], heads: [Int]? = nil, plugin: Int = 0) {
    self.action = action
    self.rows = rows
    self.heads = heads
    self.plugin = plugin
  }
}

/// A condition resolved for one example: plain data, made before anything runs. `clean` is the empty one.
package struct Program: Sendable {
  package var ops: [HookPoint: [Op]] = [:]
  /// By hook point `tower.layer.attn_scores`.
  package var edges: [HookPoint: EdgeMask] = [:]

  package init() {}

  package mutating func add(_ op: Op, at point: HookPoint) { ops[point, default: []].append(op) }

  package subscript(point: HookPoint) -> [Op] { ops[point] ?? [] }

  /// Whether anything happens before the text tower.
  package var touchesImage: Bool {
    ops.keys.contains { $0.tower != .text } || edges.keys.contains { $0.tower == .vision }
  }

  /// Whether a plugin's code is called anywhere.
  package var calls: Bool {
    ops.values.contains { $0.contains { if case .call = $0.action { true } else { false } } }
  }
}
