#!/usr/bin/env python3
"""Holds Ablate against transformers on a checkpoint of yours, hook point by hook point.

    python Tools/verify_parity.py FOLDER [--image PHOTO.jpg] [--prompt "USER: <image>\\nWhat is this? ASSISTANT:"]

Both get the same input_ids and pixel_values (of LLaVA-NeXT also image_sizes): transformers runs with eager attention in f32, Ablate through
`ablate capture` (.build/release/ablate, or $ABLATE). Prints per hook point max|a-b| / max|b| and ends with status 1
where one is above the tolerance, a masked position disagrees, or the most likely token differs at any position.
"""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile
from fnmatch import fnmatchcase

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "parity"))

import numpy  # noqa: E402
import torch  # noqa: E402
from PIL import Image  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

from reference import load, prepare, record, relative_difference  # noqa: E402

AT = "vision.*.resid_post,projector.out,text.*.resid_post,text.*.pattern,logits"
PROMPT = "USER: <image>\nWhat is shown in this picture? ASSISTANT:"


def find_ablate():
  binary = pathlib.Path(os.environ.get("ABLATE", HERE.parent / ".build" / "release" / "ablate"))
  if not binary.is_file():
    raise SystemExit(f"{binary} is missing: build it with `swift build -c release`, or set $ABLATE")
  return binary


def drawn_image():
  """A smooth picture that is the same everywhere, for a checkpoint that comes without a photograph."""
  coarse = numpy.random.Generator(numpy.random.PCG64(1)).integers(0, 256, (9, 12, 3), dtype=numpy.uint8)
  return Image.fromarray(coarse).resize((640, 480), Image.Resampling.BICUBIC)


def run_ablate(binary, folder, inputs, at, scratch):
  given, taken = scratch / "inputs.safetensors", scratch / "activations.safetensors"
  save_file(inputs.tensors(), given)
  command = [binary, "capture", "--model", folder, "--inputs", given, "--at", at, "--out", taken]
  done = subprocess.run([str(word) for word in command], check=False)
  if done.returncode != 0:
    raise SystemExit(f"ablate capture ended with status {done.returncode}")
  return load_file(taken)


def disagreement(name, ours, reference, tolerance):
  """(text of the comparison, whether it holds)."""
  if name not in ours:
    return "not in Ablate's output", False
  a, b = ours[name].float(), reference[name]
  if a.shape != b.shape:
    return f"Ablate has {list(a.shape)}", False
  difference = relative_difference(a, b)
  if name != "logits":
    return f"{difference:.2e}", difference <= tolerance
  agree = (a.argmax(-1) == b.argmax(-1)).sum().item()
  return f"{difference:.2e}  argmax {agree}/{len(b)}", difference <= tolerance and agree == len(b)


def print_table(ours, reference, tolerance):
  """One line per hook point; true where every one holds."""
  extra = [name for name in ours if name not in reference]
  print(f"{'hook point':24} {'shape':18} max|a-b|/max|b|")
  results = []
  for name in reference:
    text, holds = disagreement(name, ours, reference, tolerance)
    print(f"{name:24} {list(reference[name].shape)!s:18} {text}{'' if holds else '  FAILS'}")
    results.append(holds)
  for name in extra:
    print(f"{name:24} {list(ours[name].shape)!s:18} no reference  FAILS")
  held = all(results) and not extra and len(results) > 0
  print(f"{sum(results)} of {len(results)} hook points within {tolerance:g}")
  return held


def main():
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("folder", type=pathlib.Path)
  parser.add_argument("--image", type=pathlib.Path)
  parser.add_argument("--prompt", default=PROMPT)
  parser.add_argument("--at", default=AT, help="hook points, comma separated, * for any layer")
  parser.add_argument("--tolerance", type=float, default=1e-4)
  parser.add_argument("--threads", type=int, default=0, help="torch's threads; 0 leaves its default")
  arguments = parser.parse_args()
  binary = find_ablate()
  if arguments.threads > 0:
    torch.set_num_threads(arguments.threads)
  model = load(arguments.folder)
  image = Image.open(arguments.image) if arguments.image else drawn_image()
  inputs = prepare(arguments.folder, model.config, image, arguments.prompt)
  patterns = [pattern.strip() for pattern in arguments.at.split(",")]
  reference = record(model, inputs, keep=lambda name: any(fnmatchcase(name, one) for one in patterns))
  del model
  with tempfile.TemporaryDirectory() as scratch:
    ours = run_ablate(binary, arguments.folder, inputs, arguments.at, pathlib.Path(scratch))
  held = print_table(ours, reference, arguments.tolerance)
  sys.exit(0 if held else 1)


if __name__ == "__main__":
  main()
