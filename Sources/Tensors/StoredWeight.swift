import CKernels

/// A weight as a checkpoint stores it: dense, row-major, in memory that `owner` keeps, usually a file's pages.
package struct StoredWeight: @unchecked Sendable {
  package enum Format: Sendable {
    case f32, f16, bf16

    package var bytes: Int { self == .f32 ? 4 : 2 }
  }

  package let format: Format
  package let count: Int
  private let base: UnsafeRawPointer
  private let owner: AnyObject

  /// - Parameter base: `count` entries; valid, and not written to, as long as `owner` lives.
  package init(_ base: UnsafeRawPointer, format: Format, count: Int, owner: AnyObject) {
    (self.base, self.format, self.count, self.owner) = (base, format, count, owner)
  }

  /// The entries of `range`.
  package func part(_ range: Range<Int>) -> StoredWeight {
    StoredWeight(base + range.lowerBound * format.bytes, format: format, count: range.count, owner: owner)
  }

  /// Entries widened to f32, which is exact.
  package func widen(_ range: Range<Int>, into target: Floats) {
    let start = base + range.lowerBound * format.bytes
    let count = Int64(range.count)
    switch format {
    case .f32: UnsafeMutableRawPointer(target).copyMemory(from: start, byteCount: range.count * 4)
    case .f16: ck_widen_f16(start.assumingMemoryBound(to: UInt16.self), target, count)
    case .bf16: ck_widen_bf16(start.assumingMemoryBound(to: UInt16.self), target, count)
    }
  }
}

extension Tensor {
  /// The tensor as a weight that need not be widened.
  package var stored: StoredWeight { StoredWeight(base, format: .f32, count: count, owner: storage) }
}
