"""TransformerLens: its bridge around the same transformers model, with its hook points."""

from eager import Eager
from transformer_lens.model_bridge import TransformerBridge


class Bridge(Eager):
  def __init__(self, folder, dtype, inputs):
    super().__init__(folder, dtype, inputs)
    self.bridge = TransformerBridge.boot_transformers(str(folder), hf_model=self.model, device="cpu", dtype=dtype)

  def points(self, what, condition):
    """(hook point, function) of a condition."""

    def cut(scores, hook):
      return self.cut(scores, what)

    def patch(x, hook):
      x[:, condition[1]] = self.other[condition[0]][:, condition[1]]
      return x

    if what in ["head", "heads", "vision-heads"]:
      layer, head, rows = (*condition, -1) if what == "heads" else (condition, 0, slice(None))
      tower = "vision_encoder.encoder_layers" if what == "vision-heads" else "blocks"

      def silence(z, hook):
        z[:, rows, head] = 0
        return z

      return [(f"{tower}.{layer}.attn.hook_z", silence)]
    if what in ["knockout", "windows"]:
      return [(f"blocks.{n}.attn.hook_attn_scores", cut) for n in self.cut_layers(what, condition)]
    if what == "hooked":
      return [(lambda name: "hook_" in name, lambda x, hook: x.clone())]
    return [(f"blocks.{condition[0]}.hook_out", patch)] if what == "patches" else []

  def forward(self, inputs, points=()):
    pixels = {"pixel_values": inputs["pixel_values"]}
    return self.bridge.run_with_hooks(inputs["input_ids"], fwd_hooks=list(points), return_type="logits", **pixels)[0, -1]

  def residuals(self, inputs, layers, forward=None):
    names = [f"blocks.{n}.hook_out" for n in layers]
    _, cache = self.bridge.run_with_cache(
      inputs["input_ids"], names_filter=lambda name: name in names, pixel_values=inputs["pixel_values"]
    )
    return {n: cache[name] for n, name in zip(layers, names)}

  def condition(self, what, condition):
    if what in ["decoder", "generation"]:
      raise NotImplementedError("not tried")
    if what == "features":
      return self.feature(condition)
    inputs = self.question(condition) if what == "questions" else self.inputs
    return self.forward(inputs, self.points(what, condition))
