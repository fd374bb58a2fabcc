"""The honest lower bound: for each workload a loop that keeps by hand what its conditions have in common."""

from eager import Eager
from transformers import DynamicCache


class Stop(Exception):
  """Nothing behind this layer is needed."""


class ByHand(Eager):
  shares = True

  def all(self, what, conditions):
    """The logits of each condition."""
    if what == "questions":
      return self.cached(what, conditions, self.asked[0])
    if what in ["knockout", "heads"]:
      return self.cached(what, conditions, self.asked[-1])
    if what in ["head", "windows", "patches"]:
      return self.resumed(what, conditions)
    return [super(ByHand, self).condition(what, condition) for condition in conditions]

  def condition(self, what, condition):
    return self.all(what, [condition])[0]

  def feature(self, number):
    def stop(module, arguments, output):
      raise Stop

    def forward(image):
      hook = self.decoder.layers[self.text.num_hidden_layers // 2].register_forward_hook(stop)
      try:
        self.logits(image)
      except Stop:
        pass
      finally:
        hook.remove()

    image = {**self.inputs, "pixel_values": self.inputs["pixel_values"] * (1 - number / 8)}
    middle = self.text.num_hidden_layers // 2
    return self.residuals(image, [middle], forward)[middle][0, self.image][-1]

  def cached(self, what, conditions, kept):
    """Rows in front of `kept` once; then only those from it on, with the keys and values of the others."""
    cache = DynamicCache(config=self.text)
    ids = self.inputs["input_ids"]
    self.logits({**self.inputs, "input_ids": ids[:, :kept]}, use_cache=True, past_key_values=cache)
    logits = []
    for condition in conditions:
      asked = self.question(condition) if what == "questions" else self.inputs
      with self.attached(self.hooks(what, condition)):
        logits.append(self.logits({"input_ids": asked["input_ids"][:, kept:]}, use_cache=True, past_key_values=cache))
      cache.crop(kept - ids.shape[1])  # drops so many rows
    return logits

  def resumed(self, what, conditions):
    """The clean residual stream in front of each layer; then each condition from the first layer on that it touches."""
    streams, keywords = [], {}

    def keep(module, arguments, named):
      streams.append(arguments[0])
      keywords.update(named)

    with self.attached([layer.register_forward_pre_hook(keep, with_kwargs=True) for layer in self.decoder.layers]):
      self.logits(self.inputs)
    logits = []
    for condition in conditions:
      first = {"windows": lambda: self.window(condition)[0], "patches": lambda: condition[0]}.get(what, lambda: condition)()
      x = streams[first]
      with self.attached(self.hooks(what, condition)):
        for layer in self.decoder.layers[first:]:
          x = layer(x, **keywords)
      logits.append(self.model.lm_head(self.decoder.norm(x[:, -1]))[0])
    return logits
