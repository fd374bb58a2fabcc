/// Philox4x32-10, the counter-based generator of Salmon, Moraes, Dror and Shaw, "Parallel Random Numbers: As Easy as
/// 1, 2, 3", SC 2011: a block of four words is a pure function of counter and key, so that the order of calls does not
/// matter.
package enum Philox {
  package static func block(counter: SIMD4<UInt32>, key: SIMD2<UInt32>) -> SIMD4<UInt32> {
    var (c, k) = (counter, key)
    for _ in 0..<10 {
      let a = UInt64(0xD251_1F53) * UInt64(c[0])
      let b = UInt64(0xCD9E_8D57) * UInt64(c[2])
      c = SIMD4(high(b) ^ c[1] ^ k[0], low(b), high(a) ^ c[3] ^ k[1], low(a))
      k &+= SIMD2(0x9E37_79B9, 0xBB67_AE85)
    }
    return c
  }

  /// The key of a lane's streams, from the run's seed and a number that names the lane's trial.
  package static func key(seed: UInt64, lane: UInt64) -> SIMD2<UInt32> {
    let mixed = block(counter: SIMD4(low(lane), high(lane), 0, 0), key: SIMD2(low(seed), high(seed)))
    return SIMD2(mixed[0], mixed[1])
  }

  /// Words `first` and on of a stream: block number and stream make the counter.
  package static func fill(
    _ words: UnsafeMutableBufferPointer<UInt32>, key: SIMD2<UInt32>, stream: UInt64, first: UInt64
  ) {
    var current = SIMD4<UInt32>()
    var held: UInt64?
    for i in words.indices {
      let position = first &+ UInt64(i)
      if held != position / 4 {
        held = position / 4
        current = block(counter: SIMD4(low(position / 4), high(position / 4), low(stream), high(stream)), key: key)
      }
      words[i] = current[Int(position % 4)]
    }
  }

  private static func low(_ word: UInt64) -> UInt32 { UInt32(truncatingIfNeeded: word) }
  private static func high(_ word: UInt64) -> UInt32 { UInt32(truncatingIfNeeded: word >> 32) }
}
