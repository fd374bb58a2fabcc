import Synchronization

/// All activations in memory, where somebody keeps watch over them (`--audit`).
package enum MemoryWatch {
  private static let storages = Mutex<[UInt: Int]>([:])
  private static let started = Atomic(false)

  package static var isOn: Bool { started.load(ordering: .relaxed) }

  /// From now on every new `FloatStorage` is watched: start before a model is opened.
  package static func start() { started.store(true, ordering: .relaxed) }

  static func add(_ base: Floats, count: Int) {
    if isOn { storages.withLock { $0[UInt(bitPattern: base)] = count } }
  }

  static func remove(_ base: Floats) {
    if isOn { storages.withLock { _ = $0.removeValue(forKey: UInt(bitPattern: base)) } }
  }

  /// Digests of the memory as it is now.
  package struct Picture {
    private static let block = 4096
    private var digests: [UInt: [Int]] = [:]

    /// - Parameter allowed: where the storages begin that may change.
    package init(without allowed: [Floats]) {
      let left = Set(allowed.map { UInt(bitPattern: $0) })
      for (base, count) in MemoryWatch.storages.withLock({ $0 }) where !left.contains(base) {
        digests[base] = Self.digests(base, count)
      }
    }

    /// What has changed since then, in words; nil: nothing.
    package var change: String? {
      let live = MemoryWatch.storages.withLock { $0 }
      for (base, before) in digests.sorted(by: { $0.key < $1.key }) {
        guard let count = live[base] else { continue }
        if let block = zip(Self.digests(base, count), before).enumerated().first(where: { $1.0 != $1.1 })?.offset {
          let first = block * Self.block
          return "of \(count) floats of activations, some of \(first) to \(min(first + Self.block, count) - 1)"
        }
      }
      return nil
    }

    private static func digests(_ base: UInt, _ count: Int) -> [Int] {
      guard let start = UnsafePointer<Float>(bitPattern: base) else { return [] }
      return stride(from: 0, to: count, by: block).map { first in
        var hasher = Hasher()
        hasher.combine(bytes: UnsafeRawBufferPointer(start: start + first, count: 4 * min(block, count - first)))
        return hasher.finalize()
      }
    }
  }
}
