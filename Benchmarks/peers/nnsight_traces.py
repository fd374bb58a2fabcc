"""nnsight: a trace for each condition."""

from eager import Eager
from nnsight import NNsight


class Traces(Eager):
  def __init__(self, folder, dtype, inputs):
    super().__init__(folder, dtype, inputs)
    self.wrapped = NNsight(self.model)

  def condition(self, what, condition):
    if what in ["features", "decoder", "generation", "vision-heads"]:  # as a user of nnsight does: torch's hooks
      return super().condition(what, condition)
    inputs = self.question(condition) if what == "questions" else self.inputs
    with self.wrapped.trace(**inputs, logits_to_keep=1, use_cache=False):
      for number, layer in enumerate(self.wrapped.model.language_model.layers):
        if what == "hooked":
          output = layer.output
          layer.output = output
        elif what in ["head", "heads"] and number == (condition[0] if what == "heads" else condition):
          silence = self.silencer(what, condition)[1]
          layer.self_attn.o_proj.input = silence(layer.self_attn.o_proj.input)
        elif what == "patches" and number == condition[0]:
          output = layer.output.clone()
          output[:, condition[1]] = self.other[number][:, condition[1]]
          layer.output = output
        elif what in ["knockout", "windows"] and number in self.cut_layers(what, condition):
          arguments, named = layer.self_attn.inputs
          layer.self_attn.inputs = (arguments, {**named, "attention_mask": self.cut(named["attention_mask"], what)})
      logits = self.wrapped.lm_head.output.save()
    return logits[0, -1]
