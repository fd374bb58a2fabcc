import Checkpoints
import Tensors

/// LLaVA's two-layer projector from the vision features to the text width (modeling_llava.py); ViP-LLaVA norms the features first
/// (modeling_vipllava.py).
struct Projector {
  private let norm: Norm?
  private let linear1: Linear
  private let linear2: Linear
  private let activation: Activation
  let inputs: Int
  let outputs: Int

  init(_ c: ModelConfiguration, _ weights: WeightLoader) throws(ModelError) {
    (inputs, outputs, activation) = (c.projectorInputs, c.text.width, c.projectorActivation)
    norm = try c.projectorNormEps.map { eps throws(ModelError) in
      try weights.layerNorm("multi_modal_projector.projector_layernorm", c.projectorInputs, eps: eps)
    }
    linear1 = try weights.linear(
      "multi_modal_projector.linear_1", outputs: c.text.width, inputs: c.projectorInputs, bias: c.projectorBias)
    linear2 = try weights.linear(
      "multi_modal_projector.linear_2", outputs: c.text.width, inputs: c.text.width, bias: c.projectorBias)
  }

  /// x [rows, inputs] of all lanes -> [rows, text width]; the sites `in` (before the norm), `mid` (behind the activation) and `out` are
  /// hooked.
  func run(
    _ x: Tensor, rows: Int, _ lanes: inout [Lane], visitor: (any HookVisitor)?
  ) throws(TensorError) -> Tensor {
    func hook(_ site: Site, _ tensor: Tensor, width: Int) {
      let shape = TowerShape(
        tower: .projector, layers: 0, width: width, heads: 0, kvHeads: 0, headWidth: 0, mlpWidth: 0, causal: false)
      let place = HookedSite(
        point: HookPoint(.projector, nil, site), base: tensor.base, shape: shape, rowWidth: width, step: 0)
      var site = place
      site.run(&lanes, only: nil, visitor: visitor)
    }
    hook(.in, x, width: inputs)
    norm?(x.base, rows: rows, width: inputs, into: x.base)
    let middle = Tensor(zeros: [rows, outputs])
    try linear1(x.base, rows: rows, into: middle.base)
    apply(activation, middle.base, count: rows * outputs)
    hook(.mid, middle, width: outputs)
    let out = Tensor(zeros: [rows, outputs])
    try linear2(middle.base, rows: rows, into: out.base)
    hook(.out, out, width: outputs)
    return out
  }
}
