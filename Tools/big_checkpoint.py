#!/usr/bin/env python3
"""Writes a random LLaVA-1.5 of full size, to try what does not fit: python Tools/big_checkpoint.py OUT [--layers 32] [--next]

The shapes of llava-1.5-7b-hf (CLIP-L/14 at 336 pixels, a Llama decoder of 32 layers, width 4096, MLP 11008, vocabulary 32064), f16, in
shards of about 2 GB: 13 GB; with --next a LLaVA-NeXT of the same shapes, whose square images take 2,928 tokens. Weights are slices of one seeded block of normal numbers of standard deviation 0.02, norm gains are 1: the
numbers mean nothing. Needs torch and transformers for the list of tensors, and as much memory as one shard.
"""

import argparse
import json
import pathlib
import sys

import numpy
import torch
from transformers import (
  LlavaConfig,
  LlavaForConditionalGeneration,
  LlavaNextConfig,
  LlavaNextForConditionalGeneration,
)

sys.path.insert(0, str(pathlib.Path(__file__).parent / "parity"))
from cases import joined  # noqa: E402
from make_goldens import stored_name, write_json, write_processor  # noqa: E402
from mid_size import IMAGE_TOKEN, PROMPT, VISION, VOCABULARY, write_tokenizer  # noqa: E402

TEXT = dict(
  hidden_size=4096, intermediate_size=11008, num_attention_heads=32, vocab_size=VOCABULARY,
  max_position_embeddings=4096, rms_norm_eps=1e-5,
)  # fmt: skip
SHARD = 2 << 30


def shards(shapes):
  """Lists of tensor names, each list about SHARD bytes."""
  parts, size = [[]], 0
  for name, shape in shapes.items():
    if size >= SHARD:
      parts.append([])
      size = 0
    parts[-1].append(name)
    size += 2 * shape.numel()
  return parts


def values(name, count, block, generator):
  if "norm" in name:
    return numpy.full(count, 1 if name.endswith("weight") else 0, numpy.float16)
  start = int(generator.integers(len(block)))
  return numpy.resize(numpy.roll(block, -start), count) if count < len(block) else numpy.resize(block, count)


def write_shard(path, names, shapes, block, generator):
  header, offset = {"__metadata__": {"format": "pt"}}, 0
  for name in names:
    end = offset + 2 * shapes[name].numel()
    header[stored_name(name, "hub")] = {"dtype": "F16", "shape": list(shapes[name]), "data_offsets": [offset, end]}
    offset = end
  text = json.dumps(header).encode()
  text += b" " * (-len(text) % 8)
  with open(path, "wb") as file:
    file.write(len(text).to_bytes(8, "little") + text)
    for name in names:
      file.write(values(name, shapes[name].numel(), block, generator).tobytes())


def main():
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("out", type=pathlib.Path)
  parser.add_argument("--layers", type=int, default=32)
  parser.add_argument("--next", action="store_true")
  arguments = parser.parse_args()
  arguments.out.mkdir(parents=True, exist_ok=True)
  text = {**TEXT, "num_hidden_layers": arguments.layers}
  top = dict(image_token_index=IMAGE_TOKEN, torch_dtype="float16")
  kind, make_config, make_model = "Llava", LlavaConfig, LlavaForConditionalGeneration
  if arguments.next:
    kind, make_config, make_model = "LlavaNext", LlavaNextConfig, LlavaNextForConditionalGeneration
    top |= dict(image_grid_pinpoints=[[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]])
  written = joined(kind, "llama", text, VISION, **top)
  config = make_config(**{key: value for key, value in written.items() if key != "architectures"})
  with torch.device("meta"):
    shapes = {name: value.shape for name, value in make_model(config).state_dict().items()}
  write_json(arguments.out / "config.json", written)
  write_processor(config, arguments.out)
  generator = numpy.random.default_rng(7)
  block = (generator.standard_normal((1 << 24) + 43, dtype=numpy.float32) * 0.02).astype(numpy.float16)
  parts, weight_map = shards(shapes), {}
  for number, names in enumerate(parts, 1):
    file = f"model-{number:05}-of-{len(parts):05}.safetensors"
    write_shard(arguments.out / file, names, shapes, block, generator)
    weight_map |= {stored_name(name, "hub"): file for name in names}
    print(f"{file}: {(arguments.out / file).stat().st_size:,} bytes", flush=True)
  total = sum(2 * shape.numel() for shape in shapes.values())
  write_json(
    arguments.out / "model.safetensors.index.json", {"metadata": {"total_size": total}, "weight_map": weight_map}
  )
  count = write_tokenizer(arguments.out)
  print(f"{total // 2:,} parameters; {count} tokens for --prompt {json.dumps(PROMPT)}")


if __name__ == "__main__":
  main()
