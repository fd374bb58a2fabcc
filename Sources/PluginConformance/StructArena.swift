import PluginABI

/// Structs of the header as a host of this minor writes them, or as one of a later minor would: `growth` bytes longer, filled with
/// what no reader may look at.
final class StructArena {
  let growth: Int
  private var blocks: [UnsafeMutableRawPointer] = []

  init(growth: Int) { self.growth = growth }

  deinit { for block in blocks { block.deallocate() } }

  /// Structs that begin with `struct_size`, one behind the other in steps of it.
  func put<T>(_ values: [T]) -> UnsafeMutablePointer<T>? {
    guard !values.isEmpty else { return nil }
    let stride = MemoryLayout<T>.size + growth
    let block = allocate(stride * values.count)
    for (i, value) in values.enumerated() {
      let place = block + i * stride
      place.initializeMemory(as: UInt8.self, repeating: 0xCC, count: stride)
      withUnsafeBytes(of: value) {
        place.copyMemory(from: $0.baseAddress ?? UnsafeRawPointer(place), byteCount: MemoryLayout<T>.size)
      }
      place.storeBytes(of: UInt32(stride), as: UInt32.self)
    }
    return block.assumingMemoryBound(to: T.self)
  }

  func put<T>(one value: T) -> UnsafeMutablePointer<T> {
    put([value]) ?? allocate(MemoryLayout<T>.size).assumingMemoryBound(to: T.self)
  }

  /// Values without a `struct_size`: numbers, pointers, tensors.
  func array<T>(_ values: [T]) -> UnsafeMutablePointer<T>? {
    guard !values.isEmpty else { return nil }
    let block = allocate(values.count * MemoryLayout<T>.stride).bindMemory(to: T.self, capacity: values.count)
    block.initialize(from: values, count: values.count)
    return block
  }

  func string(_ text: String) -> UnsafePointer<CChar>? {
    array(Array(text.utf8CString)).map { UnsafePointer($0) }
  }

  private func allocate(_ bytes: Int) -> UnsafeMutableRawPointer {
    let block = UnsafeMutableRawPointer.allocate(byteCount: max(bytes, 8), alignment: 64)
    blocks.append(block)
    return block
  }
}
