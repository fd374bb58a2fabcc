"""transformers with forward hooks, a pass for each condition: what every other peer starts from."""

import contextlib

import torch
from transformers import LlavaForConditionalGeneration

QUESTIONS, IMAGES, TOKENS = 20, 4, 16
#: as in Sources/ablate/BenchWorkload.swift
WORKLOADS = [
  "clean", "decoder", "head", "knockout", "windows", "heads", "patches", "generation", "questions", "vision-heads",
  "features",
]  # fmt: skip
#: each of them one pass
SINGLE = ["clean", "decoder", "head", "generation", "hooked"]


def identity(module, arguments, output):
  """A hook that takes every activation and gives it back, as an identity plugin does."""
  return tuple(x.clone() if torch.is_tensor(x) else x for x in output) if isinstance(output, tuple) else (
    output.clone() if torch.is_tensor(output) else output
  )


class Eager:
  attention = "eager"
  #: whether the conditions of a workload cost less together than one by one
  shares = False

  def __init__(self, folder, dtype, inputs):
    self.model = LlavaForConditionalGeneration.from_pretrained(folder, dtype=dtype, attn_implementation=self.attention)
    self.model.eval()
    self.inputs = inputs
    config = self.model.config
    self.text = config.text_config
    self.image = (inputs["input_ids"][0] == config.image_token_index).nonzero()[:, 0]
    self.decoder = self.model.model.language_model
    self.vision = self.model.model.vision_tower
    self.vision = getattr(self.vision, "vision_model", self.vision).encoder
    #: layers that the projector's features depend on
    self.vision_layers = config.vision_config.num_hidden_layers + 1 + config.vision_feature_layer
    self.embedded = None

  @property
  def asked(self):
    """Rows behind the image."""
    return range(int(self.image[-1]) + 1, self.inputs["input_ids"].shape[1])

  def conditions(self, what):
    layers, heads = self.text.num_hidden_layers, self.text.num_attention_heads
    if what == "heads":
      return [(layer, head) for layer in range(layers) for head in range(heads)]
    if what == "patches":
      return [(layer, row) for layer in range(layers) for row in self.asked]
    if what == "vision-heads":
      return sorted({n * self.vision_layers // 4 for n in range(4)})
    if what in SINGLE:
      return [layers // 2]
    return list(range({"questions": QUESTIONS, "features": IMAGES}.get(what, layers)))

  def window(self, layer):
    reach = self.text.num_hidden_layers // 16
    return range(max(0, layer - reach), min(self.text.num_hidden_layers, layer + reach + 1))

  def cut(self, mask, what):
    """The mask [..., queries, keys] without the edges of the condition."""
    mask, low = mask.clone(), torch.finfo(mask.dtype).min
    if what == "knockout":
      mask[..., -1, self.image] = low
    else:
      block = torch.full((len(self.image), len(self.image)), low, dtype=mask.dtype).fill_diagonal_(0)
      mask[..., self.image[:, None], self.image] += block
    return mask

  def silence(self, z, head, heads, rows=slice(None)):
    """z [1, rows, heads * width] without what the head has to say."""
    z, width = z.clone(), z.shape[-1] // heads
    z[:, rows, head * width : (head + 1) * width] = 0
    return z

  def silencer(self, what, condition):
    """The module whose input is z, and the z that a condition makes of it."""
    if what == "vision-heads":
      heads = self.model.config.vision_config.num_attention_heads
      return self.vision.layers[condition].self_attn.out_proj, lambda z: self.silence(z, 0, heads)
    layer, head, rows = (*condition, -1) if what == "heads" else (condition, 0, slice(None))
    heads = self.text.num_attention_heads
    return self.decoder.layers[layer].self_attn.o_proj, lambda z: self.silence(z, head, heads, rows)

  def cut_layers(self, what, condition):
    return [condition] if what == "knockout" else self.window(condition)

  def hooks(self, what, condition):
    """What a researcher attaches for a condition."""

    def cut(module, arguments, keywords):
      return arguments, {**keywords, "attention_mask": self.cut(keywords["attention_mask"], what)}

    def patch(module, arguments, output):
      output = output.clone()
      output[:, condition[1]] = self.other[condition[0]][:, condition[1]]
      return output

    layers = self.decoder.layers
    if what == "hooked":  # every module of every layer, and what holds them
      modules = [m for n, m in self.model.named_modules() if ".layers." in n or "projector" in n]
      return [m.register_forward_hook(identity) for m in modules]
    if what in ["head", "heads", "generation", "vision-heads"]:
      module, silence = self.silencer(what, condition)
      return [module.register_forward_pre_hook(lambda module, arguments: (silence(arguments[0]),))]
    if what in ["knockout", "windows"]:
      cut_layers = self.cut_layers(what, condition)
      return [layers[n].self_attn.register_forward_pre_hook(cut, with_kwargs=True) for n in cut_layers]
    return [layers[condition[0]].register_forward_hook(patch)] if what == "patches" else []

  @contextlib.contextmanager
  def attached(self, hooks):
    try:
      yield
    finally:
      for hook in hooks:
        hook.remove()

  def question(self, number):
    ids = self.inputs["input_ids"].clone()
    ids[:, self.asked] = 5 + (ids[:, self.asked] + number) % 50
    return {**self.inputs, "input_ids": ids}

  def logits(self, inputs, **more):
    return self.model(**inputs, logits_to_keep=1, **{"use_cache": False, **more}).logits[0, -1]

  def residuals(self, inputs, layers, forward=None):
    """The residual stream behind these layers."""
    kept = {}
    hooks = [
      self.decoder.layers[n].register_forward_hook(lambda m, a, output, n=n: kept.__setitem__(n, output)) for n in layers
    ]
    with self.attached(hooks):
      (forward or self.logits)(inputs)
    return kept

  def feature(self, number):
    """The last image row behind the middle layer; of them all, only this one is looked at."""
    image = {**self.inputs, "pixel_values": self.inputs["pixel_values"] * (1 - number / 8)}
    middle = self.text.num_hidden_layers // 2
    return self.residuals(image, [middle])[middle][0, self.image][-1]

  def embed(self):
    """The prompt's rows with the image's features in their places, for a decoder alone."""
    if self.embedded is None:
      kept = []
      hook = self.decoder.register_forward_pre_hook(
        lambda m, a, named: kept.append(named["inputs_embeds"]), with_kwargs=True
      )
      with self.attached([hook]):
        self.logits(self.inputs)
      self.embedded = kept[0]
    return {"inputs_embeds": self.embedded, "attention_mask": torch.ones(self.embedded.shape[:2], dtype=torch.long)}

  def prepare(self, what):
    """What is not timed."""
    if what == "decoder":
      self.embed()

  def share(self, what):
    """What the conditions of a workload have in common and every tool computes once."""
    if what == "patches":
      self.other = self.residuals(self.question(1), range(self.text.num_hidden_layers))

  def condition(self, what, condition):
    """The last row's logits."""
    if what == "features":
      return self.feature(condition)
    with self.attached(self.hooks(what, condition)):
      if what == "generation":
        self.generated = self.model.generate(**self.inputs, max_new_tokens=TOKENS, do_sample=False)
        return None
      inputs = {"questions": lambda: self.question(condition), "decoder": self.embed}.get(what, lambda: self.inputs)()
      return self.logits(inputs)

  def first(self, what):
    """The logits of a workload's first condition, for the gate."""
    self.share(what)
    if what == "generation":
      what = "head"
    return self.condition(what, self.conditions(what)[0])
