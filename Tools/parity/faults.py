"""One thing wrong at a time, in transformers itself: each fault must move some tensor by 100 tolerances.

A parity test proves something only if a wrong implementation would fail it. Here the wrong implementation is
transformers with a changed configuration, changed weights or a changed function; what it computes is compared with
the clean recording.
"""

import contextlib

import torch
from transformers.activations import ACT2FN
from transformers.models.llama import modeling_llama
from transformers.models.llava_next import modeling_llava_next
from transformers.models.mistral import modeling_mistral

from reference import (
  BLOCKED,
  causal_mask,
  load,
  record,
  relative_difference,
  text_cut_mask,
  vision_blind_mask,
)


def rope_base(model):
  rotary = model.model.language_model.rotary_emb
  width = rotary.inv_freq.shape[0]
  base = 1e4 if model.config.text_config.rope_parameters["rope_theta"] != 1e4 else 5e5
  rotary.inv_freq.copy_(1.0 / base ** (torch.arange(width) / width))


@contextlib.contextmanager
def interleaved_rope():
  """Neighbouring elements turn together, as in GPT-J and GGUF, instead of the two halves."""
  decoders = modeling_llama, modeling_mistral
  originals = [decoder.apply_rotary_pos_emb for decoder in decoders]

  def turned(value, cos, sin):
    half = value.shape[-1] // 2
    cos, sin = (table[..., :half].repeat_interleave(2, -1).unsqueeze(1) for table in (cos, sin))
    other = torch.stack([-value[..., 1::2], value[..., ::2]], -1).flatten(-2)
    return value * cos + other * sin

  for decoder in decoders:
    decoder.apply_rotary_pos_emb = lambda q, k, cos, sin, *_: (turned(q, cos, sin), turned(k, cos, sin))
  try:
    yield
  finally:
    for decoder, original in zip(decoders, originals):
      decoder.apply_rotary_pos_emb = original


def rms_eps(model):
  for module in model.modules():
    if hasattr(module, "variance_epsilon"):
      module.variance_epsilon = 1e-5 if module.variance_epsilon != 1e-5 else 1e-6


def layer_norm_eps(model):
  for module in model.modules():
    if isinstance(module, torch.nn.LayerNorm):
      module.eps = 1e-6 if module.eps == 1e-5 else 1e-5


def gelu_kind(model, which, wrong):
  if which == "projector":
    model.model.multi_modal_projector.act = ACT2FN[wrong]
  for layer in model.model.vision_tower.encoder.layers if which == "vision" else []:
    layer.mlp.activation_fn = ACT2FN[wrong]


def key_value_head_order(model):
  """Query head h reads key/value head h mod (number of them) instead of h div (heads per group)."""
  config = model.config.text_config
  heads, kv, width = config.num_attention_heads, config.num_key_value_heads, config.head_dim
  order = [(head % kv) * (heads // kv) + head // kv for head in range(heads)]
  for layer in model.model.language_model.layers:
    query, out = layer.self_attn.q_proj.weight, layer.self_attn.o_proj.weight
    query.data = query.reshape(heads, width, -1)[order].reshape(query.shape).contiguous()
    out.data = out.reshape(-1, heads, width)[:, order].reshape(out.shape).contiguous()


def patch_order(model):
  """Patches column by column. The positions follow the sequence, as they would in a wrong implementation."""
  patch = model.model.vision_tower.embeddings.patch_embedding
  patch.register_forward_hook(lambda _, __, output: output.transpose(2, 3).contiguous())


def cls_row(model):
  """The last row is dropped, or with "full" put first, instead of CLS being the row that is dropped or first."""
  full = model.config.vision_feature_select_strategy == "full"
  model.config.vision_feature_select_strategy = "full"
  projector = model.model.multi_modal_projector
  move = (lambda x: x.roll(1, 1)) if full else (lambda x: x[:, :-1])
  projector.register_forward_pre_hook(lambda _, positional: (move(positional[0]),))


def feature_layer(model):
  """The neighbouring layer; of several layers the other order."""
  layers = model.config.vision_feature_layer
  if isinstance(layers, int):
    model.config.vision_feature_layer += 1 if layers < -1 else -1
  else:
    model.config.vision_feature_layer = list(reversed(layers))


def feature_norm_eps(model):
  model.model.multi_modal_projector.projector_layernorm.eps = 1e-5


def no_newline(model):
  model.model.image_newline.data.zero_()


def tile_order(model):
  """The first two tiles behind the base change places."""

  def exchanged(_, positional, named):
    pixels = positional[0] if positional else named["pixel_values"]
    order = [0, 2, 1, *range(3, len(pixels))]
    return (pixels[order],), {key: value for key, value in named.items() if key != "pixel_values"}

  model.model.vision_tower.register_forward_pre_hook(exchanged, with_kwargs=True)


@contextlib.contextmanager
def unpadding_off_by_one():
  """The kept rows or columns of the merged grid begin one too early."""
  original = modeling_llava_next.unpad_image

  def unpadded(features, size):
    right = original(features, size)
    axis = 1 if right.shape[1] < features.shape[1] else 2
    begin = (features.shape[axis] - right.shape[axis]) // 2
    return features.narrow(axis, max(begin - 1, 0), right.shape[axis])

  modeling_llava_next.unpad_image = unpadded
  try:
    yield
  finally:
    modeling_llava_next.unpad_image = original


def no_projector_bias(model):
  model.model.multi_modal_projector.linear_2.bias.data.zero_()


def faults(config):
  """(name, change of the model, context in which it runs, diagonals that the causal mask is moved by)."""
  nothing = contextlib.nullcontext
  wrong_vision = {"quick_gelu": "gelu", "gelu": "quick_gelu", "gelu_pytorch_tanh": "quick_gelu"}
  wrong_projector = {"gelu": "gelu_pytorch_tanh", "gelu_pytorch_tanh": "gelu"}
  vision = wrong_vision[config.vision_config.hidden_act]
  projector = wrong_projector[config.projector_hidden_act]
  yield "RoPE base", rope_base, nothing, 0
  yield "RoPE layout", lambda _: None, interleaved_rope, 0
  yield "RMSNorm eps", rms_eps, nothing, 0
  yield "LayerNorm eps", layer_norm_eps, nothing, 0
  yield f"vision {vision}", lambda model: gelu_kind(model, "vision", vision), nothing, 0
  yield f"projector {projector}", lambda model: gelu_kind(model, "projector", projector), nothing, 0
  yield "projector quick_gelu", lambda model: gelu_kind(model, "projector", "quick_gelu"), nothing, 0
  if 1 < config.text_config.num_key_value_heads < config.text_config.num_attention_heads:
    yield "KV head order", key_value_head_order, nothing, 0
  yield "patch order", patch_order, nothing, 0
  if config.model_type == "llava":
    yield "CLS row", cls_row, nothing, 0
  several = not isinstance(config.vision_feature_layer, int)
  yield "feature order" if several else "feature layer", feature_layer, nothing, 0
  if config.model_type == "vipllava":
    yield "projector norm eps", feature_norm_eps, nothing, 0
  if config.model_type == "llava_next":
    yield "no newline", no_newline, nothing, 0
    yield "tile order", tile_order, nothing, 0
    yield "unpadding off by one", lambda _: None, unpadding_off_by_one, 0
  yield "no projector bias", no_projector_bias, nothing, 0
  yield "causal mask off by one", lambda _: None, nothing, 1


def print_faults(folder, inputs, clean, tolerance):
  """Largest relative difference of any tensor per fault, the tensor, and of the logits; in units of `tolerance`."""
  length = len(inputs.ids)
  for name, change, context, offset in faults(load(folder).config):
    model = load(folder)
    with torch.no_grad(), context():
      change(model)
      mask = causal_mask(length) if offset == 0 else torch.full((length,) * 2, BLOCKED).triu(1 + offset)[None, None]
      wrong = record(model, inputs, text_mask=mask)
    print_fault(name, wrong, clean, tolerance)
  print_mask_faults(load(folder), inputs, tolerance)


def print_mask_faults(model, inputs, tolerance):
  """The two cuts with their masks a little wrong, against the cuts as the goldens have them."""
  side = model.config.vision_config.image_size // model.config.vision_config.patch_size
  image_token = model.config.image_token_id
  blind = vision_blind_mask(side * side)
  leaking, lonely = blind.clone(), blind.clone()
  leaking[0, 0, 0] = 0
  lonely[0, 0, 1:, 0] = BLOCKED
  cut = record(model, inputs, vision_mask=blind)
  print_fault("vision cut, CLS reads", record(model, inputs, vision_mask=leaking), cut, tolerance)
  print_fault("vision cut, no CLS key", record(model, inputs, vision_mask=lonely), cut, tolerance)
  ids = inputs.ids
  right = text_cut_mask(ids, image_token)
  shifted = text_cut_mask(torch.cat([ids[:1], ids[:-1]]), image_token)
  cut = record(model, inputs, text_mask=right)
  print_fault("text cut, one off", record(model, inputs, text_mask=shifted), cut, tolerance)


def print_fault(name, wrong, right, tolerance):
  moved = {key: distance(wrong[key], right[key]) / tolerance for key in right if key in wrong}
  worst = max(moved, key=moved.get)
  verdict = "" if moved[worst] >= 100 else "  BELOW 100"
  print(f"  fault {name:32} {moved[worst]:9.0f} at {worst:20} logits {moved['logits']:9.0f}{verdict}")


def distance(wrong, clean):
  """As relative_difference, over entries that are finite in both: a moved mask must show in the numbers, too.

  A tensor whose shape the fault changed counts for nothing: that much any implementation notices.
  """
  if wrong.shape != clean.shape:
    return 0.0
  finite = torch.isfinite(wrong) & torch.isfinite(clean)
  return relative_difference(wrong[finite], clean[finite])
