import CKernels
import Foundation
import TestSupport
import Testing

/// The elementwise and row-wise kernels against their formulas in double precision.
@Suite struct KernelTests {
  /// Below, at and above the 16 lanes that a kernel takes at once.
  static let widths = [1, 2, 7, 15, 16, 17, 31, 33, 48, 97, 577]

  @Test(arguments: widths) func `softmax is the softmax of the valid entries, and zero behind them`(width: Int) {
    var numbers = SeededNumbers(UInt64(width))
    var row = (0..<width).map { _ in numbers.number() * 20 }
    if width > 2 { row[width / 2] = -.infinity }
    let want = Reference.softmax(row.map(Double.init)) + [0, 0, 0]
    var got = row + [5, .nan, -.infinity]
    ck_softmax(&got, Int64(width), Int64(width + 3))
    #expect(worst(got, want) <= 1e-6)
    #expect(got.suffix(3) == [0, 0, 0])
    #expect(zip(row, got).allSatisfy { $0 > -.infinity || $1.bitPattern == 0 })
  }

  @Test func `softmax survives extremes, and a row of minus infinity becomes zeros`() {
    var nothing = [Float](repeating: -.infinity, count: 19)
    ck_softmax(&nothing, 19, 19)
    #expect(nothing.allSatisfy { $0.bitPattern == 0 })
    var none: [Float] = [3, 4]
    ck_softmax(&none, 0, 2)
    #expect(none == [0, 0])
    var huge: [Float] = [3e38, -3e38, 3e38, -.infinity]
    ck_softmax(&huge, 4, 4)
    #expect(huge == [0.5, 0, 0.5, 0])
  }

  @Test(arguments: widths) func `RMSNorm and LayerNorm are their formulas`(width: Int) {
    var numbers = SeededNumbers(UInt64(100 + width))
    func random(_ shift: Float) -> [Float] { (0..<width).map { _ in numbers.number() * 3 + shift } }
    let (x, gain, bias) = (random(1), random(1), random(0))
    var got = [Float](repeating: 9, count: width + 1)
    ck_rms_norm(x, gain, 1e-5, &got, 1, Int64(width))
    #expect(worst(Array(got.dropLast()), Reference.rmsNorm(x, gain, eps: 1e-5)) <= 1e-6)
    #expect(got[width] == 9, "wrote behind the row")
    ck_layer_norm(x, gain, bias, 1e-3, &got, 1, Int64(width))
    #expect(worst(Array(got.dropLast()), Reference.layerNorm(x, gain, bias, eps: 1e-3)) <= 3e-6)
    #expect(got[width] == 9, "wrote behind the row")
  }

  @Test func `rotary embedding turns each head's halves by the angle of its row's position`() {
    let (heads, width, positions) = (3, 14, [4, 0, 9])
    var numbers = SeededNumbers(8)
    let x = (0..<(positions.count * heads * width)).map { _ in numbers.number() }
    let angles = (0..<(10 * width / 2)).map { _ in Double(numbers.number()) * 3 }
    let (cosine, sine) = (angles.map { Float(cos($0)) }, angles.map { Float(sin($0)) })
    var got = x
    ck_rope(x, cosine, sine, positions.map(Int32.init), &got, 3, Int64(heads), Int64(width))
    for row in 0..<3 {
      for i in 0..<(heads * width) {
        let (start, d) = (row * heads * width + i / width * width, i % width)
        let angle = angles[positions[row] * width / 2 + d % (width / 2)]
        let (low, high) = (Double(x[start + d % (width / 2)]), Double(x[start + width / 2 + d % (width / 2)]))
        let want = d < width / 2 ? low * cos(angle) - high * sin(angle) : high * cos(angle) + low * sin(angle)
        #expect(abs(Double(got[start + d]) - want) <= 5e-7)
      }
    }
  }

  @Test(arguments: Curve.allCases) func `activations are their formulas from -90 to 90`(curve: Curve) {
    var numbers = SeededNumbers(9)
    let x = [0, -0.0, 1e-30, 40, -40, 90, -90, -88, 88.5] + (0..<1000).map { _ in numbers.number() * 8 }
    for count in [x.count, 1, 15, 17] {
      var got = Array(x.prefix(count))
      curve.run(&got)
      for (x, got) in zip(x, got) {
        #expect(abs(Double(got) - curve.formula(Double(x))) <= 1e-6 * max(1, abs(Double(x))), "\(curve) at \(x)")
      }
    }
  }

  @Test(arguments: widths) func `the gated product is silu of the gate times up`(width: Int) {
    var numbers = SeededNumbers(UInt64(200 + width))
    let (gate, up) = ((0..<width).map { _ in numbers.number() * 9 }, (0..<width).map { _ in numbers.number() })
    var got = gate
    ck_silu_multiply(&got, up, Int64(width))
    #expect(worst(got, zip(gate, up).map { Curve.silu.formula(Double($0)) * Double($1) }) <= 1e-6)
  }

  @Test func `add and scale round once`() {
    var numbers = SeededNumbers(10)
    let (x, y) = ((0..<77).map { _ in numbers.number() }, (0..<77).map { _ in numbers.number() })
    var (sum, product) = (x, x)
    ck_add(&sum, y, 77)
    ck_scale(&product, 0.3, 77)
    #expect(sum == zip(x, y).map { $0 + $1 } && product == x.map { $0 * 0.3 })
  }

  @Test func `all 65,536 half-precision numbers widen exactly`() {
    let all = (0...UInt16.max).map { $0 }
    var (half, brain) = ([Float](repeating: 0, count: all.count), [Float](repeating: 0, count: all.count))
    ck_widen_f16(all, &half, Int64(all.count))
    ck_widen_bf16(all, &brain, Int64(all.count))
    var wrong: [UInt16] = []
    for bits in all {
      let want = Float(Float16(bitPattern: bits))
      let got = half[Int(bits)]
      if want.isNaN ? !got.isNaN : want.bitPattern != got.bitPattern { wrong.append(bits) }
      if brain[Int(bits)].bitPattern != UInt32(bits) << 16 { wrong.append(bits) }
    }
    #expect(wrong == [])
  }

  @Test func `a difference counts changed bits, the largest step and what is not finite`() {
    let before: [Float] = [1, 0, -.infinity, 2, -.infinity, 5, 7]
    var sum = ck_difference()
    ck_compare(before, before, 7, &sum)
    #expect(sum.changed == 0 && sum.not_finite == 0 && sum.largest == 0)
    let after: [Float] = [1.5, -0.0, -.infinity, .nan, 3, .infinity, 4]
    ck_compare(before, after, 7, &sum)
    #expect(sum.changed == 6 && sum.not_finite == 2 && sum.largest == .infinity)
    var small = ck_difference()
    ck_compare(before, [1, 0, -.infinity, 2, -.infinity, 5, 4], 7, &small)
    #expect(small.changed == 1 && small.not_finite == 0 && small.largest == 3)
  }

  @Test func `rank and log-sum-exp over blocks are those over the whole vocabulary`() {
    var numbers = SeededNumbers(11)
    let logits = (0..<1003).map { _ in (numbers.number() * 40).rounded() / 2 }
    let target = logits[500]
    var (above, ties): (Int64, Int64) = (0, 0)
    var (maximum, sum) = (-Float.infinity, 0.0)
    for block in [0..<1, 1..<18, 18..<18, 18..<700, 700..<1003] {
      let part = Array(logits[block])
      if part.isEmpty { continue }
      ck_rank_block(part, Int64(part.count), target, &above, &ties)
      ck_log_sum_exp_block(part, Int64(part.count), &maximum, &sum)
    }
    #expect(above == logits.count { $0 > target } && ties == logits.count { $0 == target } && ties > 1)
    #expect(maximum == logits.max())
    let want = log(logits.reduce(0) { $0 + exp(Double($1)) })
    #expect(abs(Double(maximum) + log(sum) - want) <= 1e-6)
  }

  @Test(arguments: [1, 15, 17, 48, 97]) func `a row gives the same bits alone and among others`(width: Int) {
    var numbers = SeededNumbers(UInt64(300 + width))
    let rows = 5
    let x = (0..<(rows * width)).map { _ in numbers.number() * 4 }
    let (gain, bias) = ((0..<width).map { _ in numbers.number() }, (0..<width).map { _ in numbers.number() })
    var (rms, layer) = (x, x)
    ck_rms_norm(x, gain, 1e-6, &rms, Int64(rows), Int64(width))
    ck_layer_norm(x, gain, bias, 1e-6, &layer, Int64(rows), Int64(width))
    for row in 0..<rows {
      let own = Array(x[(row * width)..<((row + 1) * width)])
      var (oneRMS, oneLayer) = (own, own)
      ck_rms_norm(own, gain, 1e-6, &oneRMS, 1, Int64(width))
      ck_layer_norm(own, gain, bias, 1e-6, &oneLayer, 1, Int64(width))
      #expect(oneRMS.map(\.bitPattern) == rms[(row * width)..<((row + 1) * width)].map(\.bitPattern))
      #expect(oneLayer.map(\.bitPattern) == layer[(row * width)..<((row + 1) * width)].map(\.bitPattern))
    }
    for curve in Curve.allCases {
      var (all, one) = (x, Array(x[width..<(2 * width)]))
      curve.run(&all)
      curve.run(&one)
      #expect(one.map(\.bitPattern) == all[width..<(2 * width)].map(\.bitPattern), "\(curve)")
    }
  }

  /// max|a-b| over max|b|.
  private func worst(_ got: [Float], _ want: [Double]) -> Double {
    let scale = want.map(abs).max() ?? 0
    guard got.count == want.count, got.allSatisfy(\.isFinite) else { return .infinity }
    return (zip(got, want).map { abs(Double($0) - $1) }.max() ?? 0) / max(scale, 1e-30)
  }
}

private enum Reference {
  static func softmax(_ x: [Double]) -> [Double] {
    let top = x.max() ?? 0
    let powers = x.map { exp($0 - top) }
    return powers.map { $0 / powers.reduce(0, +) }
  }

  static func rmsNorm(_ x: [Float], _ gain: [Float], eps: Double) -> [Double] {
    let mean = x.reduce(0) { $0 + Double($1) * Double($1) } / Double(x.count)
    return zip(x, gain).map { Double($0) * Double($1) / (mean + eps).squareRoot() }
  }

  static func layerNorm(_ x: [Float], _ gain: [Float], _ bias: [Float], eps: Double) -> [Double] {
    let mean = x.reduce(0) { $0 + Double($1) } / Double(x.count)
    let variance = x.reduce(0) { $0 + (Double($1) - mean) * (Double($1) - mean) } / Double(x.count)
    return x.indices.map {
      (Double(x[$0]) - mean) / (variance + eps).squareRoot() * Double(gain[$0]) + Double(bias[$0])
    }
  }
}

/// The activations, each with its formula.
enum Curve: CaseIterable, Sendable {
  case silu, quickGelu, geluErf, geluTanh

  func run(_ x: inout [Float]) {
    let count = Int64(x.count)
    switch self {
    case .silu: ck_silu(&x, count)
    case .quickGelu: ck_gelu_quick(&x, count)
    case .geluErf: ck_gelu_erf(&x, count)
    case .geluTanh: ck_gelu_tanh(&x, count)
    }
  }

  func formula(_ x: Double) -> Double {
    switch self {
    case .silu: x / (1 + exp(-x))
    case .quickGelu: x / (1 + exp(-1.702 * x))
    case .geluErf: x / 2 * (1 + erf(x / 2.0.squareRoot()))
    case .geluTanh: x / 2 * (1 + tanh((2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x)))
    }
  }
}
