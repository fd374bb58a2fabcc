/// Pieces of a vocabulary by id and ids by piece, keyed by UTF-8 bytes. All bytes lie in one buffer: an array per piece
/// would cost 128,000 allocations for a current vocabulary.
struct PieceTable: Sendable {
  private var storage: [UInt8] = []
  /// Of each id: where its bytes start and how many there are; -1 for an id without a piece.
  private var starts: [Int32] = []
  private var lengths: [Int32] = []
  /// Open addressing with linear probing; -1 is free. The size is a power of two, at most 2/3 full.
  private var slots: [Int32] = [Int32](repeating: -1, count: 64)
  private(set) var count = 0

  /// 1 + the largest id.
  var idLimit: Int { starts.count }

  func piece(_ id: Int) -> [UInt8]? {
    guard id >= 0, id < starts.count, starts[id] >= 0 else { return nil }
    return Array(storage[Int(starts[id])..<Int(starts[id] + lengths[id])])
  }

  func id(of bytes: some Collection<UInt8>) -> Int? {
    let found = bytes.withContiguousStorageIfAvailable { id(of: $0) }
    return found ?? Array(bytes).withUnsafeBufferPointer { id(of: $0) }
  }

  func id(of bytes: UnsafeBufferPointer<UInt8>) -> Int? {
    let slot = slots[slot(of: bytes)]
    return slot < 0 ? nil : Int(slot)
  }

  /// False, and nothing done, if the piece or the id is there already.
  mutating func insert(_ bytes: [UInt8], id: Int) -> Bool {
    if count * 3 >= slots.count * 2 { grow() }
    if id < starts.count, starts[id] >= 0 { return false }
    let slot = bytes.withUnsafeBufferPointer { self.slot(of: $0) }
    guard slots[slot] < 0, storage.count + bytes.count < Int32.max else { return false }
    while starts.count <= id {
      starts.append(-1)
      lengths.append(0)
    }
    starts[id] = Int32(storage.count)
    lengths[id] = Int32(bytes.count)
    storage.append(contentsOf: bytes)
    slots[slot] = Int32(id)
    count += 1
    return true
  }

  /// The slot that holds `bytes`, or the free one where they would go.
  private func slot(of bytes: UnsafeBufferPointer<UInt8>) -> Int {
    let mask = slots.count - 1
    var index = Self.hash(bytes) & mask
    while slots[index] >= 0, !equal(Int(slots[index]), bytes) { index = (index + 1) & mask }
    return index
  }

  private func equal(_ id: Int, _ bytes: UnsafeBufferPointer<UInt8>) -> Bool {
    guard Int(lengths[id]) == bytes.count else { return false }
    let start = Int(starts[id])
    for i in 0..<bytes.count where storage[start + i] != bytes[i] { return false }
    return true
  }

  private mutating func grow() {
    slots = [Int32](repeating: -1, count: slots.count * 2)
    for id in 0..<starts.count where starts[id] >= 0 {
      let range = Int(starts[id])..<Int(starts[id] + lengths[id])
      let slot = storage.withUnsafeBufferPointer { self.slot(of: UnsafeBufferPointer(rebasing: $0[range])) }
      slots[slot] = Int32(id)
    }
  }

  /// FNV-1a with a final mix, since the low bits choose the slot.
  private static func hash(_ bytes: UnsafeBufferPointer<UInt8>) -> Int {
    var h: UInt64 = 0xcbf2_9ce4_8422_2325
    for byte in bytes { h = (h ^ UInt64(byte)) &* 0x100_0000_01b3 }
    return Int(truncatingIfNeeded: h ^ (h >> 29) ^ (h >> 47))
  }
}
