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

  /// `count` zeros.
  package init(zeros count: Int) {
    let bytes = max(count, 1) * MemoryLayout<Float>.stride
    let raw = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 64)
    raw.initializeMemory(as: UInt8.self, repeating: 0, count: bytes)
    base = raw.assumingMemoryBound(to: Float.self)
    self.count = count
    FloatStorage.allocated.add(bytes, ordering: .relaxed)
  }

  deinit { UnsafeMutableRawPointer(base).deallocate() }
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
