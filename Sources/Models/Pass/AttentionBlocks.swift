import Tensors

/// How a lane's attention is cut into pieces that fit a stated memory. The cut never shows in a bit: a row's products depend on the row
/// alone, not on which rows lie in a piece with it.
package struct AttentionBlock {
  /// Keys that a row of a causal tower is multiplied with: up to the end of its band of this many rows. What lies behind is its future
  /// and is not computed. A product over keys rounds as its length makes it, so that the length must not depend on the block.
  package static let band = 1024

  /// Places in the lane's list of rows.
  package let places: Range<Int>
  /// Keys of these rows' products.
  package let keys: Int

  /// - Parameters:
  ///   - rows: the lane's rows, sorted.
  ///   - capacity: rows that the sequence can have.
  ///   - entries: scores that a block may hold for each of `heads` heads together; at least one row is in a block.
  package static func blocks(
    of rows: [Row], capacity: Int, causal: Bool, heads: Int, entries: Int
  ) -> [AttentionBlock] {
    var blocks: [AttentionBlock] = []
    var start = 0
    while start < rows.count {
      let end = causal ? (rows[start] / band + 1) * band : capacity
      let keys = min(end, capacity)
      let inBand = start + rows[start...].prefix { $0 < end }.count
      let most = max(1, entries / (heads * keys))
      let pieces = (inBand - start + most - 1) / most
      for piece in 0..<pieces {  // of nearly equal size, so that few shapes of products are compiled
        let count = inBand - start
        blocks.append(
          AttentionBlock(places: (start + count * piece / pieces)..<(start + count * (piece + 1) / pieces), keys: keys))
      }
      start = inBand
    }
    return blocks
  }
}

/// Memory that one thread attends in: a key-value head's queries, their scores and what they mix.
struct HeadScratch {
  let queries: FloatStorage
  let scores: FloatStorage
  let mixed: FloatStorage
}
