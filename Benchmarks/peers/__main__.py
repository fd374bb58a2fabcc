"""One peer of the benchmarks: loads a checkpoint, says "ready", then does one workload for each line of standard input and prints its
milliseconds and of how many of its conditions. `python Benchmarks/peers KIND CHECKPOINT INPUTS DTYPE SAMPLE [LOGITS WORKLOADS]`; before that, the
first condition of each of WORKLOADS is run once, and what it gives goes to LOGITS. Where each condition costs a peer a pass, SAMPLE of them run,
evenly spread, and the time of all is in proportion."""

import importlib
import sys
import time

import torch
from eager import WORKLOADS
from safetensors.torch import load_file, save_file

KINDS = {
  "pytorch-eager": ("eager", "Eager"),
  "attention-function": ("attention_function", "AttentionFunction"),
  "by-hand": ("by_hand", "ByHand"),
  "nnsight": ("nnsight_traces", "Traces"),
  "transformer-lens": ("transformer_lens_hooks", "Bridge"),
  "llama.cpp": ("llama_cpp_decoder", "Decoder"),
}


def first_results(peer, workloads):
  """By workload; what the peer cannot do is said and left out."""
  results = {}
  for what in WORKLOADS:
    if what not in workloads:
      continue
    try:
      results[what] = peer.first(what).float().contiguous().clone()
    except Exception as error:  # a peer that cannot do a workload is a result
      print(f"cannot {what}: {type(error).__name__}: {error}".replace("\n", " ")[:300], flush=True)
  return results


def turn(peer, word, sample):
  """Milliseconds of a workload, how many of its conditions ran, and how many it has. `heads:64`: of the first 64."""
  what, _, limit = word.partition(":")
  conditions = peer.conditions(what)[: int(limit) if limit else None]
  some = conditions if peer.shares else conditions[:: max(1, len(conditions) // sample)][:sample]
  peer.prepare(what)
  start = time.perf_counter()
  peer.share(what)
  shared = time.perf_counter()
  if peer.shares:
    peer.all(what, some)
  else:
    for condition in some:
      peer.condition(what, condition)
  each = (time.perf_counter() - shared) / len(some)
  return 1e3 * (shared - start + each * len(conditions)), len(some), len(conditions)


def main():
  kind, folder, inputs, dtype, sample, *gate = sys.argv[1:]
  module, name = KINDS[kind]
  tensors = load_file(inputs)
  dtype = getattr(torch, {"f32": "float32", "bf16": "bfloat16"}[dtype])
  inputs = {
    "input_ids": tensors["input_ids"].reshape(1, -1), "pixel_values": tensors["pixel_values"].unsqueeze(0).to(dtype),
  }  # fmt: skip
  peer = getattr(importlib.import_module(module), name)(folder, dtype, inputs)
  with torch.inference_mode():
    if gate:
      save_file(first_results(peer, gate[1].split(",")), gate[0])
    print("ready", flush=True)
    for line in sys.stdin:
      print(*turn(peer, line.strip(), int(sample)), flush=True)


if __name__ == "__main__":
  main()
