"""One peer of the benchmarks: loads a checkpoint, says "ready", then runs one pass for each line of standard input and prints its
milliseconds. `python peer.py KIND CHECKPOINT INPUTS DTYPE LOGITS`; the first pass writes the last row's logits to LOGITS."""

import sys
import time

import torch
from safetensors.torch import load_file, save_file
from transformers import AttentionInterface, LlavaForConditionalGeneration
from transformers.models.llama.modeling_llama import repeat_kv


def written_out(module, query, key, value, attention_mask, scaling, dropout=0.0, **kwargs):
  """The twenty lines that a researcher writes: eager attention with the scores and the pattern in reach."""
  groups = getattr(module, "num_key_value_groups", 1)
  key, value = repeat_kv(key, groups), repeat_kv(value, groups)
  scores = query @ key.transpose(2, 3) * scaling
  if attention_mask is not None:
    scores = scores + attention_mask[..., : key.shape[-2]]
  pattern = scores.softmax(dim=-1, dtype=torch.float32).to(query.dtype)
  return (pattern @ value).transpose(1, 2).contiguous(), pattern


def identity(module, arguments, output):
  """A hook that takes every activation and gives it back, as an identity plugin does."""
  return tuple(x.clone() if torch.is_tensor(x) else x for x in output) if isinstance(output, tuple) else (
    output.clone() if torch.is_tensor(output) else output
  )


class Eager:
  attention = "eager"

  def __init__(self, folder, dtype):
    self.model = LlavaForConditionalGeneration.from_pretrained(folder, dtype=dtype, attn_implementation=self.attention)
    self.model.eval()

  def prefill(self, inputs):
    return self.model(**inputs, logits_to_keep=1, use_cache=False).logits[0, -1]

  def run(self, what, inputs):
    hooks = []
    if what == "hooked":  # every module of every layer, and what holds them
      modules = [m for n, m in self.model.named_modules() if ".layers." in n or "projector" in n]
      hooks = [m.register_forward_hook(identity) for m in modules]
    try:
      return self.prefill(inputs)
    finally:
      for hook in hooks:
        hook.remove()


class AttentionFunction(Eager):
  attention = "written_out"


class NNsight(Eager):
  def __init__(self, folder, dtype):
    from nnsight import NNsight as Wrapped

    super().__init__(folder, dtype)
    self.wrapped = Wrapped(self.model)

  def run(self, what, inputs):
    with self.wrapped.trace(**inputs, logits_to_keep=1, use_cache=False):
      if what == "hooked":
        for layer in self.wrapped.model.language_model.layers:
          output = layer.output
          layer.output = output
      logits = self.wrapped.lm_head.output.save()
    return logits[0, -1]


KINDS = {"pytorch-eager": Eager, "attention-function": AttentionFunction, "nnsight": NNsight}


def main():
  kind, folder, inputs, dtype, logits = sys.argv[1:]
  AttentionInterface.register("written_out", written_out)
  dtype = getattr(torch, {"f32": "float32", "bf16": "bfloat16"}[dtype])
  peer, tensors = KINDS[kind](folder, dtype), load_file(inputs)
  example = {
    "input_ids": tensors["input_ids"].reshape(1, -1), "pixel_values": tensors["pixel_values"].unsqueeze(0).to(dtype),
  }  # fmt: skip
  with torch.inference_mode():
    save_file({"logits": peer.run("clean", example).float().contiguous()}, logits)
    print("ready", flush=True)
    for line in sys.stdin:
      start = time.perf_counter()
      peer.run(line.strip(), example)
      print((time.perf_counter() - start) * 1e3, flush=True)


if __name__ == "__main__":
  main()
