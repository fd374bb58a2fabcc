import Models
import PluginRuntime
import Tensors

/// Where a step's patches come from: what `from` says in a manifest.
package struct PatchOrigin: Sendable, Hashable {
  package var condition: String
  /// Another item; nil: the same.
  package var item: String?

  package init(condition: String, item: String? = nil) { (self.condition, self.item) = (condition, item) }
}

/// One activation of another run that a patch writes.
struct PatchSource {
  let attachment: Int
  let origin: PatchOrigin
  /// Where it is read; another layer than the one that is patched, where that was asked for.
  let point: HookPoint
  let tokens: TokenRequest
  let heads: [Int]?
  /// How many rows are patched.
  let count: Int
}

/// Activations of all prompt rows of one run.
struct Activations {
  let item: Item
  private var tensors: [HookPoint: Tensor] = [:]

  init(_ item: Item, _ output: LaneOutput) {
    self.item = item
    for capture in output.results.captures where capture.plugin == Program.reader {
      tensors[capture.point] = capture.tensor
    }
  }

  /// The rows and heads that a source names, axes as the site's.
  fileprivate func values(_ source: PatchSource, rows: [Row]) -> Tensor? {
    guard let all = tensors[source.point], rows.count == source.count else { return nil }
    switch source.point.site.axes {
    case .rowsWidth: return all.picking(rows, axis: 0)
    case .rowsHeads, .rowsKeyValueHeads:
      return all.picking(rows, axis: 0).picking(source.heads ?? Array(0..<all.shape[1]), axis: 1)
    case .headsRowsKeys:
      return all.picking(source.heads ?? Array(0..<all.shape[0]), axis: 0).picking(rows, axis: 1)
    }
  }
}

extension Tensor {
  /// The slices with these indices of one axis.
  fileprivate func picking(_ indices: [Int], axis: Int) -> Tensor {
    let inner = shape[(axis + 1)...].reduce(1, *)
    let outer = shape[..<axis].reduce(1, *)
    var shape = shape
    shape[axis] = indices.count
    let picked = Tensor(zeros: shape)
    for o in 0..<outer {
      for (n, index) in indices.enumerated() {
        (picked.base + (o * indices.count + n) * inner).update(
          from: base + (o * self.shape[axis] + index) * inner, count: inner)
      }
    }
    return picked
  }
}

extension Program {
  /// Gives every patch the values of its source.
  mutating func fill(_ values: [Tensor?]) {
    for (point, ops) in ops {
      self.ops[point] = ops.map { op in
        guard case .patch(let source, _) = op.action else { return op }
        var filled = op
        filled.action = .patch(source: source, values[source])
        return filled
      }
    }
  }
}

/// Conditions in an order in which whatever a patch reads has run before it.
package struct PatchOrder: Sendable {
  /// By condition: those that its patches read, on the same item.
  private let sources: [String: [String]]
  /// How many conditions must run one after the other before this one.
  private var depths: [String: Int] = [:]

  /// - Throws: the conditions of a circle, its first one again at the end, if patches go round in one; a name that no condition has.
  package init(_ conditions: [(name: String, origins: [PatchOrigin])]) throws(Problem) {
    let names = conditions.map(\.name)
    for (name, origins) in conditions {
      if let stranger = origins.first(where: { !names.contains($0.condition) }) {
        throw Problem(condition: name, text: "patches from '\(stranger.condition)', which is no condition")
      }
    }
    // A patch from another item needs that item under the source, and so on: there too no condition may need itself.
    let all = Dictionary(uniqueKeysWithValues: conditions.map { ($0.name, $0.origins.map(\.condition)) })
    for name in names { try PatchOrder.check(name, all, path: []) }
    sources = Dictionary(
      uniqueKeysWithValues: conditions.map { ($0.name, $0.origins.filter { $0.item == nil }.map(\.condition)) })
    for name in names { depths[name] = depth(name) }
  }

  package struct Problem: Error {
    package let condition: String
    package let text: String
  }

  private static func check(_ name: String, _ sources: [String: [String]], path: [String]) throws(Problem) {
    if let start = path.firstIndex(of: name) {
      let circle = (path[start...] + [name]).joined(separator: " <- ")
      throw Problem(condition: name, text: "its patches come from itself: \(circle)")
    }
    for source in sources[name] ?? [] { try check(source, sources, path: path + [name]) }
  }

  private func depth(_ name: String) -> Int { (sources[name] ?? []).map { depth($0) + 1 }.max() ?? 0 }

  /// `names` and all that they need, in waves: every wave reads earlier ones only.
  func waves(_ names: some Sequence<String>) -> [Set<String>] {
    var needed: Set<String> = []
    func add(_ name: String) {
      guard needed.insert(name).inserted else { return }
      for source in sources[name] ?? [] { add(source) }
    }
    for name in names { add(name) }
    let deepest = needed.map { depths[$0] ?? 0 }.max() ?? 0
    return (0...deepest).map { depth in needed.filter { depths[$0] == depth } }
  }
}

/// What the patches of one item's conditions read of other runs, as those come in.
struct SourceRuns {
  private let sources: [PatchSource]
  private var runs: [PatchOrigin: Activations] = [:]
  private var failures: [PatchOrigin: String] = [:]

  init(_ sources: [PatchSource]) { self.sources = sources }

  struct Missing: Error { let reason: String }

  /// Hook points that are read of a condition on the patched item itself, or of another run.
  func points(of condition: String) -> [HookPoint] { points(of: PatchOrigin(condition: condition)) }
  func points(of origin: PatchOrigin) -> [HookPoint] {
    Set(sources.filter { $0.origin == origin }.map(\.point)).sorted { "\($0)" < "\($1)" }
  }

  func has(_ origin: PatchOrigin) -> Bool { runs[origin] != nil || failures[origin] != nil }

  mutating func take(_ origin: PatchOrigin, _ item: Item, _ output: LaneOutput, failure: String? = nil) {
    guard sources.contains(where: { $0.origin == origin }) else { return }
    if let reason = failure ?? output.failure?.reason {
      failures[origin] = reason
    } else {
      runs[origin] = Activations(item, output)
    }
  }

  /// Throws `Missing` where a source has no values for its patch.
  func check(_ source: PatchSource) throws {
    let condition = source.origin.condition
    guard let run = runs[source.origin] else {
      throw Missing(
        reason: "condition '\(condition)', which is patched from, failed: \(failures[source.origin] ?? "not run")")
    }
    let rows = try run.rows(source)
    guard rows.count == source.count else {
      throw Missing(
        reason:
          "\(source.count) rows are patched, but '\(run.item.id)', which is patched from, has \(rows.count) of them")
    }
  }

  func values(_ source: PatchSource) -> Tensor? {
    guard let run = runs[source.origin], let rows = try? run.rows(source) else { return nil }
    return run.values(source, rows: rows)
  }
}

extension Activations {
  /// The rows of the source that a patch reads: generated ones are not kept.
  fileprivate func rows(_ source: PatchSource) throws(ModelError) -> [Row] {
    let prompt = source.point.tower == .text ? item.input.ids.count : Int.max
    return try item.rows(of: source.tokens, in: source.point.tower).filter { $0 < prompt }
  }
}
