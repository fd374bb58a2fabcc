"""One peer of the benchmarks: loads a checkpoint, says "ready", then does one workload for each line of standard input and prints its
milliseconds and of how many of its conditions. `python peer.py KIND CHECKPOINT INPUTS DTYPE LOGITS SAMPLE`; before that, the first
condition of each workload is run once, and the last row's logits go to LOGITS. A sweep runs SAMPLE of its conditions, evenly spread (a
pass each: the time of all is in proportion), unless the peer shares work between them."""

import contextlib
import sys
import time

import torch
from safetensors.torch import load_file, save_file
from transformers import AttentionInterface, AttentionMaskInterface, DynamicCache, LlavaForConditionalGeneration
from transformers.masking_utils import eager_mask
from transformers.models.llama.modeling_llama import repeat_kv

QUESTIONS = 20
SWEEPS = ["knockout", "windows", "heads", "questions"]


def identity(module, arguments, output):
  """A hook that takes every activation and gives it back, as an identity plugin does."""
  return tuple(x.clone() if torch.is_tensor(x) else x for x in output) if isinstance(output, tuple) else (
    output.clone() if torch.is_tensor(output) else output
  )


class Eager:
  """transformers with forward hooks, a pass for each condition."""

  attention = "eager"
  shares = False

  def __init__(self, folder, dtype, inputs):
    self.model = LlavaForConditionalGeneration.from_pretrained(folder, dtype=dtype, attn_implementation=self.attention)
    self.model.eval()
    self.inputs = inputs
    config = self.model.config
    self.text = config.text_config
    self.image = (inputs["input_ids"][0] == config.image_token_index).nonzero()[:, 0]
    self.decoder = self.model.model.language_model

  def conditions(self, what):
    layers, heads = self.text.num_hidden_layers, self.text.num_attention_heads
    if what == "heads":
      return [(layer, head) for layer in range(layers) for head in range(heads)]
    return list(range(QUESTIONS if what == "questions" else layers))

  def window(self, layer):
    reach = self.text.num_hidden_layers // 16
    return range(max(0, layer - reach), min(self.text.num_hidden_layers, layer + reach + 1))

  def cut(self, mask, what):
    """The mask [..., queries, keys] without the edges of the sweep."""
    mask, low = mask.clone(), torch.finfo(mask.dtype).min
    if what == "knockout":
      mask[..., -1, self.image] = low
    else:
      block = torch.full((len(self.image), len(self.image)), low, dtype=mask.dtype).fill_diagonal_(0)
      mask[..., self.image[:, None], self.image] += block
    return mask

  def silence(self, z, head):
    """z [1, rows, heads * width] without what the head has to say at the last row."""
    z, width = z.clone(), z.shape[-1] // self.text.num_attention_heads
    z[:, -1, head * width : (head + 1) * width] = 0
    return z

  def hooks(self, what, condition):
    """What a researcher attaches for a condition of a sweep."""

    def cut(module, arguments, keywords):
      return arguments, {**keywords, "attention_mask": self.cut(keywords["attention_mask"], what)}

    def silence(module, arguments):
      return (self.silence(arguments[0], condition[1]),)

    layers = self.decoder.layers
    if what == "hooked":  # every module of every layer, and what holds them
      modules = [m for n, m in self.model.named_modules() if ".layers." in n or "projector" in n]
      return [m.register_forward_hook(identity) for m in modules]
    if what == "heads":
      return [layers[condition[0]].self_attn.o_proj.register_forward_pre_hook(silence)]
    if what == "clean" or what == "questions":
      return []
    cut_layers = [condition] if what == "knockout" else self.window(condition)
    return [layers[n].self_attn.register_forward_pre_hook(cut, with_kwargs=True) for n in cut_layers]

  @contextlib.contextmanager
  def attached(self, what, condition):
    hooks = self.hooks(what, condition)
    try:
      yield
    finally:
      for hook in hooks:
        hook.remove()

  def question(self, number):
    ids = self.inputs["input_ids"].clone()
    asked = self.image[-1] + 1
    ids[:, asked:] = 5 + (ids[:, asked:] + number) % 50
    return {**self.inputs, "input_ids": ids}

  def logits(self, inputs, **more):
    return self.model(**inputs, logits_to_keep=1, **{"use_cache": False, **more}).logits[0, -1]

  def condition(self, what, condition):
    """The last row's logits."""
    with self.attached(what, condition):
      return self.logits(self.question(condition) if what == "questions" else self.inputs)

  def turn(self, what, sample):
    """Runs a workload; returns how many of its conditions ran, and how many there are."""
    conditions = self.conditions(what) if what in SWEEPS else [None]
    some = conditions if self.shares else conditions[:: max(1, len(conditions) // sample)][:sample]
    for condition in some:
      self.condition(what, condition)
    return len(some), len(conditions)


class AttentionFunction(Eager):
  """The twenty lines that a researcher writes on transformers' own attention interface: eager attention with scores in reach."""

  attention = "written_out"
  edits = {}

  def hooks(self, what, condition):
    if what in ["clean", "hooked", "questions"]:
      return super().hooks(what, condition)
    self.edits.clear()
    if what == "heads":
      self.edits[condition[0]] = (lambda mask: mask, lambda z: self.silence(z.flatten(2), condition[1]).view(z.shape))
    else:
      for layer in [condition] if what == "knockout" else self.window(condition):
        self.edits[layer] = (lambda mask: self.cut(mask, what), lambda z: z)
    return []

  def condition(self, what, condition):
    try:
      return super().condition(what, condition)
    finally:
      self.edits.clear()


def written_out(module, query, key, value, attention_mask, scaling, dropout=0.0, **kwargs):
  groups = getattr(module, "num_key_value_groups", None)
  edit = None if groups is None else AttentionFunction.edits.get(module.layer_idx)  # the vision tower has no groups
  key, value = repeat_kv(key, groups or 1), repeat_kv(value, groups or 1)
  scores = query @ key.transpose(2, 3) * scaling
  if attention_mask is not None:
    mask = attention_mask[..., : key.shape[-2]]
    scores = scores + (edit[0](mask) if edit else mask)
  pattern = scores.softmax(dim=-1, dtype=torch.float32).to(query.dtype)
  z = (pattern @ value).transpose(1, 2).contiguous()
  return edit[1](z) if edit else z, pattern


class ByHand(Eager):
  """The honest lower bound: for each sweep a loop that keeps by hand what its conditions have in common."""

  shares = True

  def turn(self, what, sample):
    conditions = self.conditions(what) if what in SWEEPS else [None]
    self.all(what, conditions)
    return len(conditions), len(conditions)

  def condition(self, what, condition):
    return self.all(what, [condition])[0]

  def all(self, what, conditions):
    if what in ["clean", "hooked"]:
      return [super().condition(what, None)]
    return self.windows(conditions) if what == "windows" else self.cached(what, conditions)

  def cached(self, what, conditions):
    """Rows in front of the last (the question) once; then only these, with the keys and values of the others."""
    ids = self.inputs["input_ids"]
    kept = ids.shape[1] - 1 if what != "questions" else int(self.image[-1]) + 1
    cache = DynamicCache(config=self.text)
    self.logits({**self.inputs, "input_ids": ids[:, :kept]}, use_cache=True, past_key_values=cache)
    logits = []
    for condition in conditions:
      asked = self.question(condition) if what == "questions" else self.inputs
      with self.attached(what, condition):
        logits.append(self.logits({"input_ids": asked["input_ids"][:, kept:]}, use_cache=True, past_key_values=cache))
      cache.crop(kept)
    return logits

  def windows(self, conditions):
    """The clean residual stream at each layer; then each condition from the first layer of its window on."""
    streams, keywords = [], {}

    def keep(module, arguments, named):
      streams.append(arguments[0])
      keywords.update(named)

    hooks = [layer.register_forward_pre_hook(keep, with_kwargs=True) for layer in self.decoder.layers]
    self.logits(self.inputs)
    for hook in hooks:
      hook.remove()
    logits = []
    for condition in conditions:
      first = self.window(condition)[0]
      x = streams[first]
      with self.attached("windows", condition):
        for layer in self.decoder.layers[first:]:
          x = layer(x, **keywords)
      logits.append(self.model.lm_head(self.decoder.norm(x[:, -1]))[0])
    return logits


class NNsight(Eager):
  """nnsight: a trace for each condition."""

  def __init__(self, folder, dtype, inputs):
    from nnsight import NNsight as Wrapped

    super().__init__(folder, dtype, inputs)
    self.wrapped = Wrapped(self.model)

  def condition(self, what, condition):
    inputs = self.question(condition) if what == "questions" else self.inputs
    with self.wrapped.trace(**inputs, logits_to_keep=1, use_cache=False):
      for number, layer in enumerate(self.wrapped.model.language_model.layers):
        if what == "hooked":
          output = layer.output
          layer.output = output
        elif what == "heads" and number == condition[0]:
          layer.self_attn.o_proj.input = self.silence(layer.self_attn.o_proj.input, condition[1])
        elif (what == "knockout" and number == condition) or (what == "windows" and number in self.window(condition)):
          arguments, named = layer.self_attn.inputs
          layer.self_attn.inputs = (arguments, {**named, "attention_mask": self.cut(named["attention_mask"], what)})
      logits = self.wrapped.lm_head.output.save()
    return logits[0, -1]


KINDS = {"pytorch-eager": Eager, "attention-function": AttentionFunction, "by-hand": ByHand, "nnsight": NNsight}


def first_logits(peer):
  """By workload, of its first condition; what the peer cannot do is said and left out."""
  logits = {}
  for what in ["clean", *SWEEPS]:
    try:
      logits[what] = peer.condition(what, peer.conditions(what)[0] if what in SWEEPS else None).float().contiguous()
    except Exception as error:  # a peer that cannot do a workload is a result
      print(f"cannot {what}: {type(error).__name__}: {error}".replace("\n", " "), flush=True)
  return logits


def main():
  kind, folder, inputs, dtype, logits, sample = sys.argv[1:]
  AttentionInterface.register("written_out", written_out)
  AttentionMaskInterface.register("written_out", eager_mask)
  dtype = getattr(torch, {"f32": "float32", "bf16": "bfloat16"}[dtype])
  tensors = load_file(inputs)
  inputs = {
    "input_ids": tensors["input_ids"].reshape(1, -1), "pixel_values": tensors["pixel_values"].unsqueeze(0).to(dtype),
  }  # fmt: skip
  peer = KINDS[kind](folder, dtype, inputs)
  with torch.inference_mode():
    save_file(first_logits(peer), logits)
    print("ready", flush=True)
    for line in sys.stdin:
      start = time.perf_counter()
      ran, all_of_them = peer.turn(line.strip(), int(sample))
      print((time.perf_counter() - start) * 1e3 * all_of_them / ran, ran, all_of_them, flush=True)


if __name__ == "__main__":
  main()
