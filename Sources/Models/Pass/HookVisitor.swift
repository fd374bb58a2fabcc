import Synchronization
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

/// Memory that a plugin may touch, between two canaries. It is kept for the next copy: fresh pages would cost more than the copying.
package final class StagedCopy {
  private static let kept = Mutex<[FloatStorage]>([])
  /// Floats that are kept at most: 64 MB.
  private static let most = 1 << 24
  package static let margin = 16
  private static let canary: UInt32 = 0x7FC0_DEAD  // a NaN, so that reading it shows as well
  private let storage: FloatStorage
  package let count: Int
  package var base: Floats { storage.base + StagedCopy.margin }

  /// What lies between the canaries is not set.
  init(count: Int) {
    self.count = count
    storage = StagedCopy.storage(count + 2 * StagedCopy.margin)
    for i in 0..<StagedCopy.margin {
      for edge in [i, StagedCopy.margin + count + i] { storage.base[edge] = Float(bitPattern: StagedCopy.canary) }
    }
  }

  deinit {
    StagedCopy.kept.withLock { [storage] kept in
      if kept.reduce(storage.count, { $0 + $1.count }) <= StagedCopy.most { kept.append(storage) }
    }
  }

  /// The smallest that is kept and large enough, or a new one.
  private static func storage(_ count: Int) -> FloatStorage {
    kept.withLock { kept in
      let fitting = kept.indices.filter { kept[$0].count >= count }
      return fitting.min { kept[$0].count < kept[$1].count }.map { kept.remove(at: $0) }
    } ?? FloatStorage(zeros: count)
  }

  /// Where its memory begins, the first canary.
  package var memory: Floats { storage.base }

  /// Whether nothing was written outside the copy.
  package var isIntact: Bool {
    (0..<StagedCopy.margin).allSatisfy { i in
      storage.base[i].bitPattern == StagedCopy.canary
        && storage.base[StagedCopy.margin + count + i].bitPattern == StagedCopy.canary
    }
  }
}
