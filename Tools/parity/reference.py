"""Records a transformers LLaVA (also ViP-LLaVA and LLaVA-NeXT) at every hook point that Ablate names.

The one place where Hugging Face's modules and Ablate's hook points meet: make_goldens.py and verify_parity.py both
call `record`. The model runs through transformers' own eager attention; what cannot be seen from a module's input or
output (the rotated queries and keys, the masked scores) is taken where `eager_attention_forward` is called, and the
scores recomputed there must give the pattern that eager attention returned, bit for bit.

Axes, batch dropped (rows of NeXT's tiles stand one tile behind the other): residual stream and block outputs [T, width]; q, k, v, rot_q, rot_k, z [T, heads, head width]
(k, v, rot_k per key/value head); attn_scores and pattern [heads, T query, T key], keys within the tile; a masked score
is -inf.
"""

import contextlib
import importlib.metadata
from dataclasses import dataclass, replace

import torch
from tokenizers import Tokenizer
from transformers import AutoModelForImageTextToText
from transformers.models.clip import modeling_clip
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.llama import modeling_llama
from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil
from transformers.models.llava_next.processing_llava_next import LlavaNextProcessor
from transformers.models.mistral import modeling_mistral

ATTENTIONS = modeling_clip, modeling_llama, modeling_mistral
"""The modules whose eager attention is recorded."""

BLOCKED = torch.finfo(torch.float32).min
"""What an additive mask holds at a blocked edge, as transformers writes it; stored as -inf."""


def assert_pinned_versions(requirements):
  """Stops where an installed package is not the one that requirements.txt pins; returns {name: version}."""
  versions = {}
  for line in requirements.read_text().split():
    name, pinned = line.split("==")
    installed = importlib.metadata.version(name).split("+")[0]
    if installed != pinned:
      raise SystemExit(f"{name} is {installed}, the goldens need {pinned}: pip install -r {requirements}")
    versions[name] = installed
  return versions


def load(folder):
  """The checkpoint in `folder`, computed in f32 whatever it stores, with eager attention."""
  model, loading = AutoModelForImageTextToText.from_pretrained(
    folder, attn_implementation="eager", dtype=torch.float32, output_loading_info=True
  )
  # transformers fills a missing tensor with random numbers and only warns.
  odd = {kind: names for kind, names in loading.items() if names}
  if odd:
    raise SystemExit(f"{folder}: transformers did not load every tensor: {odd}")
  towers = model.config.vision_config.model_type, model.config.text_config.model_type
  if towers[0] != "clip_vision_model" or towers[1] not in ("llama", "mistral"):
    raise SystemExit(f"{folder}: this reference records clip_vision_model + llama or mistral, not {' + '.join(towers)}")
  return model.eval()


@dataclass
class Inputs:
  """What a model takes: ids [T] i64, pixels [3, S, S] f32, of NeXT [tiles, 3, S, S] with the picture's (height, width)."""

  ids: torch.Tensor
  pixels: torch.Tensor
  image_size: tuple | None = None

  def tensors(self):
    """Under the names that transformers gives them, as golden files hold them."""
    sizes = {} if self.image_size is None else {"image_sizes": torch.tensor(self.image_size)}
    return {"input_ids": self.ids, "pixel_values": self.pixels.contiguous()} | sizes

  def image(self):
    """The arguments of get_image_features."""
    sizes = {} if self.image_size is None else {"image_sizes": torch.tensor([self.image_size])}
    return {"pixel_values": self.pixels[None]} | sizes


def image_token_count(folder, config, image):
  """Image features of a picture: of NeXT by its processor's own arithmetic."""
  side = config.vision_config.image_size // config.vision_config.patch_size
  if config.model_type != "llava_next":
    return side * side + (getattr(config, "vision_feature_select_strategy", "default") == "full")
  processor = LlavaNextProcessor.__new__(LlavaNextProcessor)
  processor.image_processor = LlavaNextImageProcessorPil.from_pretrained(folder)
  processor.patch_size, processor.num_additional_image_tokens = config.vision_config.patch_size, 0
  size = config.vision_config.image_size
  return processor._get_number_of_features(image.height, image.width, size, size)


def prepare(folder, config, image, prompt):
  """Inputs in which `<image>` stands once per image feature, pixels by the PIL class.

  The image token is what the tokenizer calls the id `image_token_index`; the prompt holds it once.
  """
  tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
  token = tokenizer.id_to_token(config.image_token_id)
  if token is None or prompt.count(token) != 1:
    raise SystemExit(f"the prompt {prompt!r} must hold the image token {token!r} exactly once")
  count = image_token_count(folder, config, image)
  ids = torch.tensor(tokenizer.encode(prompt.replace(token, token * count)).ids)
  if (ids == config.image_token_id).sum() != count:
    raise SystemExit(f"the tokenizer does not give {count} ids {config.image_token_id} for {count} times {token!r}")
  next_ = config.model_type == "llava_next"
  processor = (LlavaNextImageProcessorPil if next_ else CLIPImageProcessorPil).from_pretrained(folder)
  pixels = processor(image, return_tensors="pt")["pixel_values"][0].to(torch.float32).contiguous()
  return Inputs(ids, pixels, (image.height, image.width) if next_ else None)


def vision_layers_read(config):
  """How many vision blocks the projector can see: hidden_states[feature layer] is the output of block number - 1."""
  layers, features = config.vision_config.num_hidden_layers, config.vision_feature_layer
  features = [features] if isinstance(features, int) else features
  return max(feature + layers + 1 if feature < 0 else feature for feature in features)


def causal_mask(length):
  """[1, 1, T, T], 0 where a query may attend to a key, BLOCKED above the diagonal."""
  return torch.full((length, length), BLOCKED).triu(1)[None, None]


def text_cut_mask(input_ids, image_token, prompt_length=None):
  """The causal mask, and image tokens do not attend to other image tokens; prefix and self stay."""
  ids = input_ids if prompt_length is None else input_ids[:prompt_length]
  mask = causal_mask(len(input_ids))
  at = (ids == image_token).nonzero()[:, 0]
  blocked = ~torch.eye(len(at), dtype=torch.bool)
  rows, columns = at[:, None].expand_as(blocked)[blocked], at[None].expand_as(blocked)[blocked]
  mask[0, 0, rows, columns] = BLOCKED
  return mask


def vision_blind_mask(patches):
  """[1, 1, 1 + patches, 1 + patches]: a patch reads the CLS token and itself, CLS reads itself only."""
  mask = torch.full((patches + 1, patches + 1), BLOCKED)
  mask.fill_diagonal_(0)
  mask[1:, 0] = 0
  return mask[None, None]


@torch.no_grad()
def forward(model, inputs, vision_mask=None, text_mask=None):
  """Logits [T, vocabulary]. The masks are additive and 4-D and go to every layer of their tower."""
  vision = {} if vision_mask is None else {"attention_mask": vision_mask}
  image = model.model.get_image_features(**inputs.image(), return_dict=True, **vision)
  output = model(
    input_ids=inputs.ids[None],
    attention_mask=text_mask,
    mm_encoder_outputs={"image": image},
    use_cache=False,
  )
  return output.logits[0]


def greedy(model, inputs, count, text_cut=False):
  """`count` greedy tokens without a cache: every step is a full pass, so nothing but the masks decides.

  Returns the ids and the smallest lead of the first token over the second, relative to the largest logit.
  """
  ids, length, lead = inputs.ids, len(inputs.ids), float("inf")
  image_token = model.config.image_token_id
  for _ in range(count):
    mask = text_cut_mask(ids, image_token, length) if text_cut else None
    logits = forward(model, replace(inputs, ids=ids), text_mask=mask)[-1]
    first, second = logits.topk(2).values.tolist()
    lead = min(lead, (first - second) / logits.abs().max().item())
    ids = torch.cat([ids, logits.argmax()[None]])
    if ids[-1] == image_token:
      raise SystemExit("the greedy continuation contains the image token: choose another seed")
  return ids[length:], lead


def split_heads(value, head_width):
  """[batch, T, heads x head width] as [batch x T, heads, head width]; no heads where `head_width` is None."""
  value = value.flatten(0, 1) if value.dim() == 3 else value
  return value if head_width is None else value.reshape(value.shape[0], -1, head_width)


class Recorder:
  """Fills `tensors` while a model runs under `recording`. One forward pass per recorder."""

  def __init__(self, keep=lambda name: True):
    self.keep = keep
    self.tensors = {}
    self.hooks = []
    self.sites = {}

  def put(self, name, value):
    if not self.keep(name):
      return
    self.tensors[name] = value.detach().to(torch.float32).clone().contiguous()

  def on_input(self, module, name, head_width=None):
    def hook(_, positional, named):
      value = positional[0] if positional else named["inputs_embeds" if name == "text.embed" else "hidden_states"]
      self.put(name, split_heads(value, head_width))

    self.hooks.append(module.register_forward_pre_hook(hook, with_kwargs=True))

  def on_output(self, module, name, head_width=None):
    def hook(_, __, output):
      value = output[0] if isinstance(output, tuple) else output
      self.put(name, split_heads(value, head_width))

    self.hooks.append(module.register_forward_hook(hook))

  def attention(self, original):
    """Eager attention that also leaves its rotated operands, masked scores and pattern."""

    def wrapped(module, query, key, value, attention_mask, scaling, dropout=0.0, **rest):
      output, pattern = original(module, query, key, value, attention_mask, scaling, dropout, **rest)
      site = self.sites.get(module)
      if site is None:
        return output, pattern
      groups = query.shape[1] // key.shape[1]
      scores = torch.matmul(query, key.repeat_interleave(groups, dim=1).transpose(-1, -2)) * scaling
      if attention_mask is not None:
        scores = scores + attention_mask
      if not torch.equal(torch.softmax(scores, dim=-1, dtype=torch.float32), pattern.to(torch.float32)):
        raise SystemExit(f"{site}: the recorded scores do not give the pattern that eager attention returned")
      if site.startswith("text."):
        self.put(f"{site}.rot_q", query[0].transpose(0, 1))
        self.put(f"{site}.rot_k", key[0].transpose(0, 1))
      scores = scores.masked_fill(scores <= BLOCKED / 2, float("-inf"))
      self.put(f"{site}.attn_scores", scores.transpose(0, 1).flatten(1, 2))
      self.put(f"{site}.pattern", pattern.transpose(0, 1).flatten(1, 2))
      return output, pattern

    return wrapped

  def block(self, site, layer, head_width, names):
    """The sites that both towers' blocks have; `names` says what this tower calls its modules."""
    attention, mlp = layer.self_attn, layer.mlp
    self.sites[attention] = site
    self.on_input(layer, f"{site}.resid_pre")
    for which in "qkv":
      self.on_output(getattr(attention, f"{which}_proj"), f"{site}.{which}", head_width)
    self.on_input(getattr(attention, names["out"]), f"{site}.z", head_width)
    self.on_output(getattr(attention, names["out"]), f"{site}.attn_out")
    self.on_input(getattr(layer, names["norm"]), f"{site}.resid_mid")
    self.on_output(getattr(mlp, names["up"]), f"{site}.mlp_pre")
    self.on_input(getattr(mlp, names["down"]), f"{site}.mlp_post")
    self.on_output(getattr(mlp, names["down"]), f"{site}.mlp_out")
    self.on_output(layer, f"{site}.resid_post")

  def attach(self, model):
    towers, config = model.model, model.config
    vision, text = towers.vision_tower, towers.language_model
    self.on_output(vision.embeddings, "vision.embed")
    width = config.vision_config.hidden_size // config.vision_config.num_attention_heads
    names = {"out": "out_proj", "norm": "layer_norm2", "up": "fc1", "down": "fc2"}
    for index in range(vision_layers_read(config)):
      self.block(f"vision.{index}", vision.encoder.layers[index], width, names)
    self.on_input(towers.multi_modal_projector, "projector.in")
    self.on_output(towers.multi_modal_projector.act, "projector.mid")
    self.on_output(towers.multi_modal_projector, "projector.out")
    self.on_input(text, "text.embed")
    names = {"out": "o_proj", "norm": "post_attention_layernorm", "up": "gate_proj", "down": "down_proj"}
    for index, layer in enumerate(text.layers):
      self.block(f"text.{index}", layer, config.text_config.head_dim, names)
    self.on_output(text.norm, "text.final_norm")
    self.on_output(model.lm_head, "logits")

  @contextlib.contextmanager
  def recording(self, model):
    originals = [module.eager_attention_forward for module in ATTENTIONS]
    for module, original in zip(ATTENTIONS, originals):
      module.eager_attention_forward = self.attention(original)
    self.attach(model)
    try:
      yield
    finally:
      for module, original in zip(ATTENTIONS, originals):
        module.eager_attention_forward = original
      for hook in self.hooks:
        hook.remove()


@torch.no_grad()
def record(model, inputs, vision_mask=None, text_mask=None, keep=lambda name: True):
  """{hook point: f32 tensor} of one pass, of the hook points that `keep` wants; the masks as in `forward`."""
  recorder = Recorder(keep)
  with recorder.recording(model):
    forward(model, inputs, vision_mask, text_mask)
  return recorder.tensors


def relative_difference(ours, reference):
  """max|a-b| / max|b| over the finite entries of `reference`; infinite where -inf positions do not agree exactly."""
  if ours.shape != reference.shape:
    return float("inf")
  finite = torch.isfinite(reference)
  if not torch.equal(ours[~finite], reference[~finite]) or not torch.isfinite(ours[finite]).all():
    return float("inf")
  if not finite.any():
    return 0.0
  largest = reference[finite].abs().max().item()
  difference = (ours[finite] - reference[finite]).abs().max().item()
  return difference / largest if largest > 0 else (0.0 if difference == 0 else float("inf"))
