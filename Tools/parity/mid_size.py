#!/usr/bin/env python3
"""Writes a random LLaVA of medium size, to measure speed on: python Tools/parity/mid_size.py OUT [--dtype bfloat16]

CLIP-L/14 at 336 pixels (24 layers, of which 23 are read) and a Llama decoder of 16 layers, width 2048, 16 heads, MLP
5504. With 596 tokens (the 576 of the image and 20 of text), logits at the last row only, a prefill costs 1385 GFLOP;
logits at every row would add 78. 1.25 billion parameters, 2.5 GB. All weights have standard deviation 0.02, norm gains
are 1: the numbers mean nothing.
"""

import argparse
import json
import pathlib

import torch
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers
from transformers import LlavaConfig, LlavaForConditionalGeneration

from cases import SPECIALS, WORDS, minimal_llava
from make_goldens import save, stored_name, write_json, write_processor

IMAGE_TOKEN, VOCABULARY = 32000, 32064
TEXT = dict(
  hidden_size=2048, intermediate_size=5504, num_hidden_layers=16, num_attention_heads=16, vocab_size=VOCABULARY,
  max_position_embeddings=4096, rms_norm_eps=1e-5,
)  # fmt: skip
VISION = dict(
  hidden_size=1024, intermediate_size=4096, num_hidden_layers=24, num_attention_heads=16, image_size=336,
  patch_size=14, projection_dim=768,
)  # fmt: skip
PROMPT = "USER : <image> what is this part of the animal that is shown here in the picture ? ASSISTANT : yes"


def tensors(shapes, dtype, generator):
  for name, shape in shapes.items():
    value = torch.empty(shape).normal_(0, 0.02, generator=generator)
    if "norm" in name:
      value.fill_(1 if name.endswith("weight") else 0)
    yield stored_name(name, "hub"), value.to(dtype)


def write_shards(shapes, dtype, folder):
  """Two files; one of them is in memory at a time."""
  generator, weight_map, total = torch.Generator().manual_seed(7), {}, 0
  names = list(shapes)
  for number, part in enumerate([names[: len(names) * 2 // 3], names[len(names) * 2 // 3 :]], 1):
    file = f"model-{number:05}-of-00002.safetensors"
    shard = dict(tensors({name: shapes[name] for name in part}, dtype, generator))
    save(shard, folder / file, {"format": "pt"})
    weight_map |= dict.fromkeys(shard, file)
    total += sum(value.numel() * value.element_size() for value in shard.values())
    print(f"{file}: {(folder / file).stat().st_size:,} bytes")
  write_json(folder / "model.safetensors.index.json", {"metadata": {"total_size": total}, "weight_map": weight_map})


def write_tokenizer(folder):
  """One word per id: real words first, then word300 and so on; `<image>` is 32000."""
  words = [*SPECIALS, *dict.fromkeys(WORDS), "picture"]
  words += [f"word{index}" for index in range(len(words), IMAGE_TOKEN)]
  vocabulary = {word: index for index, word in enumerate([*words, "<image>"])}
  tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
  tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
  tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token in [*SPECIALS, "<image>"]])
  tokenizer.save(str(folder / "tokenizer.json"))
  return len(tokenizer.encode(PROMPT).ids) - 1 + 576


def main():
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("out", type=pathlib.Path)
  parser.add_argument("--dtype", choices=["float16", "bfloat16", "float32"], default="float16")
  arguments = parser.parse_args()
  torch.set_num_threads(1)
  arguments.out.mkdir(parents=True, exist_ok=True)
  written = minimal_llava(TEXT, VISION, image_token_index=IMAGE_TOKEN, torch_dtype=arguments.dtype)
  config = LlavaConfig(**{key: value for key, value in written.items() if key != "architectures"})
  with torch.device("meta"):
    shapes = {name: value.shape for name, value in LlavaForConditionalGeneration(config).state_dict().items()}
  write_json(arguments.out / "config.json", written)
  write_processor(config, arguments.out)
  write_shards(shapes, getattr(torch, arguments.dtype), arguments.out)
  count = write_tokenizer(arguments.out)
  print(
    f"{sum(shape.numel() for shape in shapes.values()):,} parameters; {count} tokens for --prompt {json.dumps(PROMPT)}"
  )


if __name__ == "__main__":
  main()
