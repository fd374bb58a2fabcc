/// Philox4x32-10, the counter-based generator of Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as
/// 1, 2, 3" (SC 2011). A number is a function of key and counter, so that nothing depends on who drew before.
package struct Philox: RandomNumberGenerator {
  private let key: SIMD2<UInt32>
  private var counter: SIMD4<UInt32>
  private var block = SIMD4<UInt32>()
  private var unused = 0

  /// - Parameters:
  ///   - seed: the experiment's seed.
  ///   - stream: which of the seed's independent sequences, for instance the number of the resample.
  package init(seed: UInt64, stream: UInt64) {
    key = SIMD2(UInt32(truncatingIfNeeded: seed), UInt32(truncatingIfNeeded: seed >> 32))
    counter = SIMD4(0, 0, UInt32(truncatingIfNeeded: stream), UInt32(truncatingIfNeeded: stream >> 32))
  }

  package mutating func next() -> UInt64 {
    if unused == 0 {
      block = Philox.block(counter: counter, key: key)
      counter[0] &+= 1
      if counter[0] == 0 { counter[1] &+= 1 }
      unused = 2
    }
    unused -= 1
    let at = unused == 1 ? 0 : 2
    return UInt64(block[at]) | UInt64(block[at + 1]) << 32
  }

  /// Ten rounds over one counter.
  package static func block(counter: SIMD4<UInt32>, key: SIMD2<UInt32>) -> SIMD4<UInt32> {
    var (x, k) = (counter, key)
    for round in 0..<10 {
      if round > 0 { k &+= SIMD2(0x9E37_79B9, 0xBB67_AE85) }
      let a = UInt64(0xD251_1F53) * UInt64(x[0])
      let b = UInt64(0xCD9E_8D57) * UInt64(x[2])
      x = SIMD4(
        UInt32(b >> 32) ^ x[1] ^ k[0], UInt32(truncatingIfNeeded: b), UInt32(a >> 32) ^ x[3] ^ k[1],
        UInt32(truncatingIfNeeded: a))
    }
    return x
  }
}
