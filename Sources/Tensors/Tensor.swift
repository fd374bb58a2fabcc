import CKernels
import Foundation
import Synchronization

package typealias Floats = UnsafeMutablePointer<Float>
package typealias ConstFloats = UnsafePointer<Float>

/// Dense f32 memory, 64-byte aligned, owned. `Tensor` gives it a shape.
///
/// Not synchronised: written by the engine thread only, shared read-only once filled.
package final class FloatStorage: @unchecked Sendable {
  package let base: Floats
  package let count: Int

  /// Bytes that were taken for storages since the process began; tests see from it that layers take none.
  package static var allocatedBytes: Int { allocated.load(ordering: .relaxed) }
  private static let allocated = Atomic(0)

  /// Bytes from which on memory is asked of the system in huge pages: a packed weight of a large model would otherwise be millions of small
  /// ones, each of them a fault when it is first written and a walk of the page table when it is read.
  private static let large = 8 << 20
  /// Bytes of the mapping, where memory was asked of the system.
  private let mapped: Int?

  /// `count` zeros.
  package init(zeros count: Int) {
    let bytes = max(count, 1) * MemoryLayout<Float>.stride
    self.count = count
    FloatStorage.allocated.add(bytes, ordering: .relaxed)
    if bytes >= FloatStorage.large, let fresh = HugePages.map(bytes) {
      (base, mapped) = (fresh.assumingMemoryBound(to: Float.self), bytes)
    } else {
      let raw = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 64)
      raw.initializeMemory(as: UInt8.self, repeating: 0, count: bytes)
      (base, mapped) = (raw.assumingMemoryBound(to: Float.self), nil)
    }
    MemoryWatch.add(base, count: count)
  }

  deinit {
    MemoryWatch.remove(base)
    if let mapped { HugePages.unmap(base, mapped) } else { UnsafeMutableRawPointer(base).deallocate() }
  }
}

/// Zeroed memory of the system's own that starts on a huge page; the system decides whether it can give huge pages.
private enum HugePages {
  private static let size = 2 << 20

  static func map(_ bytes: Int) -> UnsafeMutableRawPointer? {
    let span = rounded(bytes)
    guard let start = mmap(nil, span + size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
      start != MAP_FAILED
    else { return nil }
    let lead = rounded(Int(bitPattern: start)) - Int(bitPattern: start)
    if lead > 0 { munmap(start, lead) }
    if lead < size { munmap(start + lead + span, size - lead) }
    _ = madvise(start + lead, span, MADV_HUGEPAGE)
    return start + lead
  }

  static func unmap(_ start: UnsafeMutableRawPointer, _ bytes: Int) { munmap(start, rounded(bytes)) }

  private static func rounded(_ bytes: Int) -> Int { (bytes + size - 1) / size * size }
}

/// A dense f32 tensor with value-like use: shape beside shared storage. Copying shares the storage.
package struct Tensor: Sendable {
  package let shape: [Int]
  package let storage: FloatStorage

  package var base: Floats { storage.base }
  package var count: Int { shape.reduce(1, *) }

  package init(zeros shape: [Int]) {
    self.shape = shape
    storage = FloatStorage(zeros: shape.reduce(1, *))
  }

  package init(_ values: [Float], shape: [Int]) {
    self.init(zeros: shape)
    base.update(from: values, count: min(values.count, count))
  }

  package var values: [Float] { Array(UnsafeBufferPointer(start: base, count: count)) }

  /// The same values in memory of its own.
  package func copy() -> Tensor {
    let copy = Tensor(zeros: shape)
    copy.base.update(from: base, count: count)
    return copy
  }

  /// This tensor and behind it, along `axis`, another; the other axes must be equal.
  package func joined(_ other: Tensor, axis: Int) -> Tensor {
    var shape = shape
    shape[axis] += other.shape[axis]
    let whole = Tensor(zeros: shape)
    let (own, more) = (self.shape[axis...].reduce(1, *), other.shape[axis...].reduce(1, *))
    for outer in 0..<shape[..<axis].reduce(1, *) {
      let target = whole.base + outer * (own + more)
      target.update(from: base + outer * own, count: own)
      (target + own).update(from: other.base + outer * more, count: more)
    }
    return whole
  }

  /// The slices at `places` along `axis`, in their order.
  package func selecting(_ places: [Int], axis: Int) -> Tensor {
    var shape = shape
    shape[axis] = places.count
    let some = Tensor(zeros: shape)
    let (slice, all) = (shape[(axis + 1)...].reduce(1, *), self.shape[axis...].reduce(1, *))
    for outer in 0..<shape[..<axis].reduce(1, *) {
      for (n, place) in places.enumerated() {
        (some.base + (outer * places.count + n) * slice).update(from: base + outer * all + place * slice, count: slice)
      }
    }
    return some
  }

  package func hasSameBits(as other: Tensor) -> Bool {
    shape == other.shape
      && (base == other.base || memcmp(base, other.base, count * MemoryLayout<Float>.stride) == 0)
  }

  /// The same memory, or the beginning of it, in another shape.
  package func reshaped(_ shape: [Int]) -> Tensor { Tensor(shape: shape, storage: storage) }

  private init(shape: [Int], storage: FloatStorage) {
    self.shape = shape
    self.storage = storage
  }
}
