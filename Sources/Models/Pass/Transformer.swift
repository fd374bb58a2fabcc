import Foundation
import CKernels
import Checkpoints
import Tensors

/// The dimensions of one tower.
package struct TowerShape: Sendable {
  package let tower: Tower
  package let layers: Int
  package let width: Int
  package let heads: Int
  package let kvHeads: Int
  package let headWidth: Int
  package let mlpWidth: Int
  /// A query sees only keys up to itself (text); otherwise all (vision).
  package let causal: Bool
}

/// Normalisation of rows: RMSNorm (Llama) or LayerNorm (CLIP).
enum Norm {
  case rms(gain: Tensor, eps: Float)
  case layer(gain: Tensor, bias: Tensor, eps: Float)

  /// x [rows, width] -> y [rows, width]
  func callAsFunction(_ x: ConstFloats, rows: Int, width: Int, into y: Floats) {
    parallelFor(rows, grain: 8) { range in
      let offset = range.lowerBound * width
      let (count, width) = (Int64(range.count), Int64(width))
      switch self {
      case .rms(let gain, let eps): ck_rms_norm(x + offset, gain.base, eps, y + offset, count, width)
      case .layer(let gain, let bias, let eps):
        ck_layer_norm(x + offset, gain.base, bias.base, eps, y + offset, count, width)
      }
    }
  }
}

/// The feed-forward part of a layer.
enum FeedForward {
  /// CLIP: fc2(activation(fc1 x)).
  case plain(fc1: Linear, fc2: Linear, Activation)
  /// Llama: down(silu(gate x) * up x).
  case gated(gate: Linear, up: Linear, down: Linear)
}

/// The weights of one pre-norm layer, spelled as the checkpoint spells them.
struct Block {
  let norm1: Norm
  let qProj: Linear
  let kProj: Linear
  let vProj: Linear
  let oProj: Linear
  let norm2: Norm
  let mlp: FeedForward
}

/// Rotary position tables, [positions, head_width / 2], as Llama computes them in f32.
struct Rope {
  let cosine: Tensor
  let sine: Tensor

  init(theta: Double, headWidth: Int, positions: Int) {
    let half = headWidth / 2
    cosine = Tensor(zeros: [positions, half])
    sine = Tensor(zeros: [positions, half])
    for i in 0..<half {
      let frequency = 1 / Float(pow(theta, Double(2 * i) / Double(headWidth)))
      for position in 0..<positions {
        let angle = Float(position) * frequency
        cosine.base[position * half + i] = cosf(angle)
        sine.base[position * half + i] = sinf(angle)
      }
    }
  }
}

/// A stack of layers: both towers are one of these, and there is one attention.
struct Transformer {
  let shape: TowerShape
  let blocks: [Block]
  /// nil for CLIP, whose positions are learned.
  let rope: Rope?
  /// How much of a layer's scores may exist at once where a hook looks at them; more rows come in several blocks.
  var scoreBytes = 512 << 20
}

/// Applies `activation` in place.
func apply(_ activation: Activation, _ x: Floats, count: Int) {
  parallelFor(count, grain: 4096) { range in
    let (base, n) = (x + range.lowerBound, Int64(range.count))
    switch activation {
    case .quickGelu: ck_gelu_quick(base, n)
    case .gelu: ck_gelu_erf(base, n)
    case .geluTanh, .geluNew: ck_gelu_tanh(base, n)
    case .silu: ck_silu(base, n)
    }
  }
}
