#!/usr/bin/env python3
"""Makes the parity fixtures: small random checkpoints of each architecture and what transformers computes with them.

    python Tools/parity/make_goldens.py [--out Tests/Fixtures/parity] [--case mha] [--faults]

Each case gives a Hugging Face folder `CASE/` and `CASE/goldens/{clean,vision_cut,text_cut}.safetensors`: inputs and
one tensor per hook point (axes: reference.py). `--faults` also runs each checkpoint with one thing wrong at a time and
prints how far that moves the tensors, in units of the tolerance 1e-5. Everything follows from the seeds in cases.py.
"""

import argparse
import json
import math
import pathlib
import shutil
from dataclasses import replace

import numpy
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save as serialise
from transformers import AutoConfig, AutoModelForImageTextToText

from cases import CASES, tokenizer
from reference import (
  assert_pinned_versions,
  greedy,
  load,
  prepare,
  record,
  relative_difference,
  text_cut_mask,
  vision_blind_mask,
  vision_layers_read,
)

HERE = pathlib.Path(__file__).resolve().parent
GENERATED = 16
TOLERANCE = 1e-5


def standard_deviation(name, shape, config):
  """The scale that makes one parameter's part of the computation visible: see README.md, "Scales"."""
  if "embed_tokens" in name or "embeddings" in name or "lm_head" in name:
    return 0.03
  if name.endswith("q_proj.weight") or name.endswith("k_proj.weight"):
    return 1.5 / math.sqrt(shape[1])
  if name.endswith(".weight") and len(shape) > 1:
    return 1.0 / math.sqrt(math.prod(shape[1:]))
  return 0.3


def randomise(model, case, generator):
  """Draws every parameter: gains about 1, everything else about 0, attention far from uniform.

  Where exact and tanh GELU are to be told apart (`negative_gelu`), the values before the GELU lie around -2: the two
  differ by less than 5e-4 anywhere, which is large only where the GELU itself is small.
  """
  for name, parameter in model.named_parameters():
    deviation = standard_deviation(name, parameter.shape, model.config)
    values = torch.randn(parameter.shape, generator=generator) * deviation
    if "norm" in name and name.endswith("weight"):
      values += 1
    if case.negative_gelu and "linear_1" in name:
      values = values - 2 if name.endswith("bias") else values * 0.3
    if case.negative_gelu and "linear_2.weight" in name:
      values *= 10
    parameter.data.copy_(values)


def build_model(case):
  config = AutoConfig.for_model(**{key: value for key, value in case.config.items() if key != "architectures"})
  config._attn_implementation = "eager"
  model = AutoModelForImageTextToText.from_config(config)
  with torch.no_grad():
    randomise(model, case, torch.Generator().manual_seed(case.seed))
  return model.to(getattr(torch, case.dtype))


def stored_name(name, layout):
  """A transformers-5 module name in one of the layouts that are found on disk.

  modules: the names of the 5.x modules. saved: what 5.23's save_pretrained writes for a new model.
  hub: the files made before 5.
  """
  if layout == "modules":
    return name
  name = name.removeprefix("model.")
  name = name.replace("language_model.", "language_model.model.") if name.startswith("language_model.") else name
  name = "language_model." + name if name.startswith("lm_head") else name
  return name.replace("vision_tower.", "vision_tower.vision_model.") if layout == "hub" else name


def write_weights(model, case, folder):
  state = dict(model.state_dict())
  if model.config.tie_word_embeddings:
    del state["lm_head.weight"]
  tensors = {stored_name(name, case.names): value.contiguous() for name, value in state.items()}
  if case.names == "saved":
    save_as_transformers_does(model, tensors, folder)
  if case.shards == 1:
    save(tensors, folder / "model.safetensors", {"format": "pt"})
    return
  names, weight_map = sorted(tensors), {}
  for shard in range(case.shards):
    file = f"model-{shard + 1:05}-of-{case.shards:05}.safetensors"
    part = names[shard * len(names) // case.shards : (shard + 1) * len(names) // case.shards]
    save({name: tensors[name] for name in part}, folder / file, {"format": "pt"})
    weight_map |= dict.fromkeys(part, file)
  total = sum(value.numel() * value.element_size() for value in tensors.values())
  index = {"metadata": {"total_size": total}, "weight_map": weight_map}
  write_json(folder / "model.safetensors.index.json", index)


def save(tensors, path, metadata):
  """Safetensors with the metadata in the order given: the library writes a hash map's, another one at every run."""
  content = serialise({name: value.contiguous() for name, value in tensors.items()})
  length = int.from_bytes(content[:8], "little")
  header = json.dumps({"__metadata__": metadata} | json.loads(content[8 : 8 + length]), separators=(",", ":")).encode()
  header += b" " * (-len(header) % 8)
  path.write_bytes(len(header).to_bytes(8, "little") + header + content[8 + length :])


def save_as_transformers_does(model, tensors, folder):
  """Keeps save_pretrained's own config.json (every default spelled out) and holds our tensor names against its."""
  scratch = folder / "scratch"
  model.save_pretrained(scratch)
  with safe_open(scratch / "model.safetensors", "pt") as file:
    if set(file.keys()) != set(tensors):
      raise SystemExit(f"{folder.name}: save_pretrained names tensors otherwise: {set(file.keys()) ^ set(tensors)}")
  (scratch / "config.json").rename(folder / "config.json")
  shutil.rmtree(scratch)


def write_json(path, value):
  path.write_text(json.dumps(value, indent=2) + "\n")


def write_processor(config, folder):
  size = config.vision_config.image_size
  select = getattr(config, "vision_feature_select_strategy", "default")
  mean, deviation = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
  preprocessor = {
    "crop_size": {"height": size, "width": size},
    "do_center_crop": True,
    "do_convert_rgb": True,
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": mean,
    "image_processor_type": "CLIPImageProcessor",
    "image_std": deviation,
    "processor_class": "LlavaProcessor",
    "resample": 3,
    "rescale_factor": 1 / 255,
    "size": {"shortest_edge": size},
  }
  processor = {
    "image_token": "<image>",
    "num_additional_image_tokens": 1,
    "patch_size": config.vision_config.patch_size,
    "processor_class": "LlavaProcessor",
    "vision_feature_select_strategy": select,
  }
  if config.model_type == "llava_next":
    preprocessor |= {
      "do_pad": True,
      "image_grid_pinpoints": config.image_grid_pinpoints,
      "image_processor_type": "LlavaNextImageProcessor",
      "processor_class": "LlavaNextProcessor",
    }
    processor |= {"num_additional_image_tokens": 0, "processor_class": "LlavaNextProcessor"}
  specials = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
  write_json(folder / "preprocessor_config.json", preprocessor)
  write_json(folder / "processor_config.json", processor)
  write_json(folder / "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast", **specials})


def draw_image(case):
  """A smooth random picture, not square, so that resize, crop and padding have something to do."""
  random = numpy.random.Generator(numpy.random.PCG64(case.seed))
  coarse = random.integers(0, 256, (5, 7, 3), dtype=numpy.uint8)
  return Image.fromarray(coarse).resize(case.image, Image.Resampling.BICUBIC)


def write_folder(case, folder):
  """The checkpoint and everything that `ablate generate --model FOLDER --image FOLDER/image.png` needs."""
  model = build_model(case)
  write_weights(model, case, folder)
  if case.names != "saved":
    write_json(folder / "config.json", case.config)
  tokenizer(case.tokenizer).save(str(folder / "tokenizer.json"))
  write_processor(model.config, folder)
  draw_image(case).save(folder / "image.png", optimize=True)


def kept(name, variant, config, case):
  """What a golden file stores of a recording: STORED says it in words, the file's metadata repeats them."""
  tower, *rest = name.split(".")
  last = vision_layers_read(config) - 1 if tower == "vision" else config.text_config.num_hidden_layers - 1
  if len(rest) > 1 and (case.outline or case.small_cuts and variant != "clean"):
    return rest[1] in ("pattern", "resid_post")
  if variant == "clean":
    return True
  if len(rest) < 2:
    return variant == "vision_cut" or name not in ("vision.embed", "projector.in", "projector.mid")
  if int(rest[0]) not in (0, last):
    return False
  if variant == "vision_cut":
    return tower == "vision" or rest[1] in ("pattern", "resid_post")
  return tower == "text"


STORED = {
  "clean": "every hook point that the logits depend on",
  "outline": "per layer pattern and resid_post; every hook point outside the layers",
  "vision_cut": "vision layers 0 and last; text layers 0 and last as pattern and resid_post; projector, embed, logits",
  "text_cut": "text layers 0 and last, projector.out, text.embed, final_norm, logits; the vision tower is as in clean",
}


def mean_entropy(tensors, tower):
  """Mean entropy of the pattern's rows in nats, and of uniform attention over the same keys."""
  entropies, uniform = [], []
  for name, value in tensors.items():
    if name.startswith(tower) and name.endswith(".pattern"):
      entropies.append(torch.special.entr(value).sum(-1).mean().item())
      keys = torch.isfinite(tensors[name.replace("pattern", "attn_scores")]).sum(-1)
      uniform.append(keys.float().log().mean().item())
  return sum(entropies) / len(entropies), sum(uniform) / len(uniform)


def golden_inputs(case, variant, model, inputs):
  """The masks of a variant and its greedy continuation."""
  config = model.config
  side = config.vision_config.image_size // config.vision_config.patch_size
  masks = {}
  if variant == "vision_cut":
    masks["vision_mask"] = vision_blind_mask(side * side)
  if variant == "text_cut":
    masks["text_mask"] = text_cut_mask(inputs.ids, config.image_token_id)
  if variant == "vision_cut":
    return masks, None
  generated, lead = greedy(model, inputs, GENERATED, text_cut=variant == "text_cut")
  if lead < 1e-3 or len(set(generated.tolist())) < 4:
    raise SystemExit(f"{case.name} {variant}: lead {lead:.1e}, ids {generated.tolist()}: choose another seed")
  if variant == "clean":
    cached = model.generate(
      input_ids=inputs.ids[None], **inputs.image(), max_new_tokens=GENERATED, do_sample=False, eos_token_id=None,
      pad_token_id=3,
    )  # fmt: skip
    if not torch.equal(cached[0, len(inputs.ids) :], generated):
      raise SystemExit(f"{case.name}: generate() with a cache disagrees with full passes")
  return masks, (generated, lead)


def write_golden(case, variant, model, inputs, versions, folder):
  masks, generation = golden_inputs(case, variant, model, inputs)
  tensors = record(model, inputs, **masks)
  if variant == "clean":
    check_untouched(model, inputs, tensors)
  stored = {name: value for name, value in tensors.items() if kept(name, variant, model.config, case)}
  metadata = {
    "case": case.name,
    "variant": variant,
    "seed": str(case.seed),
    "prompt": case.prompt,
    "made_by": "Tools/parity/make_goldens.py",
    "versions": json.dumps(versions),
    "attention": "eager, f32",
    "stored": STORED["outline" if case.outline or case.small_cuts and variant != "clean" else variant],
    "masked_scores": "-inf",
  }
  for tower in ("vision", "text"):
    mean, uniform = mean_entropy(tensors, tower)
    metadata[f"{tower}_attention_entropy"] = f"{mean:.3f} nats, uniform {uniform:.3f}"
  if generation is not None:
    stored["generated_ids"], metadata["smallest_lead"] = generation[0], f"{generation[1]:.2e}"
  stored |= inputs.tensors()
  path = folder / "goldens" / f"{variant}.safetensors"
  save(stored, path, metadata)
  entropies = "  ".join(f"{tower} {metadata[f'{tower}_attention_entropy']}" for tower in ("vision", "text"))
  print(f"  {variant:10} T {len(inputs.ids)}  {len(stored)} tensors  {path.stat().st_size:,} bytes  entropy {entropies}")
  return tensors


@torch.no_grad()
def check_untouched(model, inputs, tensors):
  """The recorded pass is transformers' own: its plain forward gives the same bits."""
  plain = model(input_ids=inputs.ids[None], **inputs.image(), output_hidden_states=True, output_attentions=True)
  same = torch.equal(plain.logits[0], tensors["logits"])
  for index, pattern in enumerate(plain.attentions):
    same = same and torch.equal(pattern[0], tensors[f"text.{index}.pattern"])
    same = same and torch.equal(plain.hidden_states[index][0], tensors[f"text.{index}.resid_pre"])
  if not same:
    raise SystemExit("recording changed the result, or a hook point stands for another tensor")


def noise(model, inputs, clean):
  """How far f32 itself is from f64 on this checkpoint: {tensor: relative difference}. The norms stay in f32."""
  double = type(model)(model.config).double().eval()
  double.load_state_dict({name: value.double() for name, value in model.state_dict().items()})
  exact = record(double, replace(inputs, pixels=inputs.pixels.double()))
  return {name: relative_difference(clean[name], exact[name]) for name in clean}


def make_case(case, out, versions, with_faults):
  folder = out / case.name
  shutil.rmtree(folder, ignore_errors=True)
  (folder / "goldens").mkdir(parents=True)
  write_folder(case, folder)
  model = load(folder)
  inputs = prepare(folder, model.config, Image.open(folder / "image.png"), case.prompt)
  if (inputs.ids == 0).any():
    raise SystemExit(f"{case.name}: the prompt {case.prompt!r} holds words that the tokenizer does not know")
  print(f"{case.name}: {sum(p.numel() for p in model.parameters()):,} parameters")
  clean = None
  for variant in case.variants:
    tensors = write_golden(case, variant, model, inputs, versions, folder)
    clean = tensors if variant == "clean" else clean
  worst = max(noise(model, inputs, clean).items(), key=lambda item: item[1])
  print(f"  f32 against f64: largest {worst[1]:.1e} at {worst[0]}")
  if with_faults:
    from faults import print_faults

    print_faults(folder, inputs, clean, TOLERANCE)


def main():
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("--out", type=pathlib.Path, default=HERE.parents[1] / "Tests" / "Fixtures" / "parity")
  parser.add_argument("--case", action="append", choices=[case.name for case in CASES])
  parser.add_argument("--faults", action="store_true")
  arguments = parser.parse_args()
  torch.set_num_threads(1)
  versions = assert_pinned_versions(HERE / "requirements.txt")
  for case in CASES:
    if not arguments.case or case.name in arguments.case:
      make_case(case, arguments.out, versions, arguments.faults)


if __name__ == "__main__":
  main()
