import Diagnostics
import PluginRuntime

/// Draws from a named stream of the run's seed: the same wherever and in whatever order it is made.
package struct Draw {
  private let key: SIMD2<UInt32>
  private var position: UInt64 = 0

  package init(seed: UInt64, _ name: String...) {
    let digest = SHA256.hex(name.joined(separator: "\u{0}"))
    key = Philox.key(seed: seed, lane: UInt64(digest.prefix(16), radix: 16) ?? 0)
  }

  /// Uniform in 0..<count, to within 2^-32.
  package mutating func below(_ count: Int) -> Int {
    var word: UInt32 = 0
    withUnsafeMutablePointer(to: &word) {
      Philox.fill(UnsafeMutableBufferPointer(start: $0, count: 1), key: key, stream: 0, first: position)
    }
    position += 1
    return Int((UInt64(word) * UInt64(count)) >> 32)
  }

  /// `count` different elements, in the order in which they were drawn; nil where there are not so many.
  package mutating func pick<T>(_ count: Int, of elements: [T]) -> [T]? {
    guard count <= elements.count else { return nil }
    var rest = elements
    for i in 0..<count { rest.swapAt(i, i + below(rest.count - i)) }
    return Array(rest.prefix(count))
  }

  package mutating func one<T>(of elements: [T]) -> T? { pick(1, of: elements)?.first }
}
