"""The twenty lines that a researcher writes on transformers' own attention interface: eager attention with scores in reach."""

from eager import Eager
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import eager_mask
from transformers.models.llama.modeling_llama import repeat_kv

import torch


class AttentionFunction(Eager):
  attention = "written_out"
  #: by the attention module: of its mask, and of its z
  edits = {}

  def __init__(self, *arguments):
    AttentionInterface.register("written_out", written_out)
    AttentionMaskInterface.register("written_out", eager_mask)
    super().__init__(*arguments)

  def hooks(self, what, condition):
    self.edits.clear()
    if what in ["head", "heads", "generation", "vision-heads"]:
      module, silence = self.silencer(what, condition)
      attention = next(m for m in self.model.modules() if module in m.children())
      self.edits[attention] = (lambda mask: mask, lambda z: silence(z.flatten(2)).view(z.shape))
    elif what in ["knockout", "windows"]:
      for layer in self.cut_layers(what, condition):
        self.edits[self.decoder.layers[layer].self_attn] = (lambda mask: self.cut(mask, what), lambda z: z)
    else:
      return super().hooks(what, condition)
    return []

  def condition(self, what, condition):
    try:
      return super().condition(what, condition)
    finally:
      self.edits.clear()


def written_out(module, query, key, value, attention_mask, scaling, dropout=0.0, **kwargs):
  groups, edit = getattr(module, "num_key_value_groups", 1), AttentionFunction.edits.get(module)
  key, value = repeat_kv(key, groups), repeat_kv(value, groups)
  scores = query @ key.transpose(2, 3) * scaling
  if attention_mask is not None:
    mask = attention_mask[..., : key.shape[-2]]
    scores = scores + (edit[0](mask) if edit else mask)
  pattern = scores.softmax(dim=-1, dtype=torch.float32).to(query.dtype)
  z = (pattern @ value).transpose(1, 2).contiguous()
  return edit[1](z) if edit else z, pattern
