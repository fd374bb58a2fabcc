import Tensors

/// One imperative plugin's view of one activation of one lane: a dense f32 copy with canaries around it.
package struct Visit {
  package let point: HookPoint
  /// 0 in the prefill, n at the n-th generated token.
  package let step: Int
  package let lane: Int
  /// Index of the plugin in the lane's condition, and of the access in its plan.
  package let plugin: Int
  package let access: Int
  /// Absolute rows, in the order of the view.
  package let rows: [Row]
  /// What the first key of a view [heads, rows, keys] is called.
  package let firstKey: Row
  package let heads: [Int]?
  /// Whether no more rows of this lane come here: rows of long sequences come in several visits, in order.
  package let isLastBlock: Bool
  /// As the site's axes say.
  package let shape: [Int]
  package let data: StagedCopy
  package let writable: Bool
}

/// The one seam between Models and PluginHost. In-process, staged and worker executors all implement it; nothing else of the pass
/// knows of plugins. A lane that fails leaves the pack; the others keep their bits.
package protocol HookVisitor: AnyObject {
  /// All lanes that declared this hook point as their next op there, in one batch.
  func visit(_ batch: [Visit]) -> [LaneFailure]
}

/// Memory that a plugin may touch, between two canaries.
package final class StagedCopy {
  package static let margin = 16
  private static let canary: UInt32 = 0x7FC0_DEAD  // a NaN, so that reading it shows as well
  private let storage: FloatStorage
  package let count: Int
  package var base: Floats { storage.base + StagedCopy.margin }

  init(count: Int) {
    self.count = count
    storage = FloatStorage(zeros: count + 2 * StagedCopy.margin)
    for i in 0..<StagedCopy.margin {
      for edge in [i, StagedCopy.margin + count + i] { storage.base[edge] = Float(bitPattern: StagedCopy.canary) }
    }
  }

  /// Whether nothing was written outside the copy.
  package var isIntact: Bool {
    (0..<StagedCopy.margin).allSatisfy { i in
      storage.base[i].bitPattern == StagedCopy.canary
        && storage.base[StagedCopy.margin + count + i].bitPattern == StagedCopy.canary
    }
  }
}
