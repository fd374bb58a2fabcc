#!/usr/bin/env python3
"""How the cost of a study grows with its conditions, tokens, layers and images: Ablate, a pass for each condition in PyTorch, and by hand.

    .venv/bin/python Benchmarks/growth.py [--size mid] [--rounds 3] [--out runs/benchmarks] [--docs]

Writes OUT/growth.json and OUT/growth.svg, medians of the rounds; `--docs` copies the figure to docs/figures/. Where a condition costs PyTorch a
pass, one is timed and the line is in proportion.
"""

import argparse
import json
import os
import pathlib
import shutil
import statistics
import sys

import matplotlib
import numpy
from safetensors.numpy import load_file, save_file

from run import ABLATE, ROOT, Program, checkpoint, processor, write_inputs

PROGRAMS = {"ablate": "Ablate", "by-hand": "by hand in PyTorch", "pytorch-eager": "PyTorch, a pass each"}
COLOURS = {"ablate": "#0072B2", "by-hand": "#E69F00", "pytorch-eager": "#666666"}


def longer(inputs, tokens, path):
  """The same prompt with so many tokens behind the image."""
  tensors = load_file(inputs)
  ids = tensors["input_ids"][0]
  asked = numpy.random.default_rng(2).integers(5, 60, tokens)
  save_file({**tensors, "input_ids": numpy.concatenate([ids[:-15], asked])[None]}, path)
  return path


def shallower(folder, layers, path):
  """The same checkpoint with its first layers only."""
  path.mkdir(exist_ok=True)
  for file in folder.iterdir():
    if file.name != "config.json" and not (path / file.name).exists():
      (path / file.name).symlink_to(file.resolve())
  config = json.loads((folder / "config.json").read_text())
  config["text_config"]["num_hidden_layers"] = layers
  (path / "config.json").write_text(json.dumps(config))
  return path


def panels(folder, inputs, out):
  """By panel: its axis, and for each point the checkpoint, the inputs and the workload."""
  text = json.loads((folder / "config.json").read_text())["text_config"]
  layers, heads = text["num_hidden_layers"], text["num_attention_heads"]
  counts = [n for n in [1, 4, 16, 64, 256] if n <= layers * heads]
  depths = [n for n in [2, 4, 8, 16, 32] if n <= layers]
  room = text.get("max_position_embeddings", 4096) - load_file(inputs)["input_ids"].size + 15
  lengths = [n for n in [15, 64, 256, 512] if n <= room]
  yield "conditions", "heads silenced at the last token, one after the other", [
    (n, folder, inputs, f"heads:{n}") for n in counts
  ]
  yield "tokens behind the image", "last token to image, a condition per layer", [
    (n, folder, longer(inputs, n, out / f"growth-{n}.safetensors"), "knockout") for n in lengths
  ]
  yield "layers of the decoder", "last token to image, a condition per layer", [
    (n, shallower(folder, n, out / f"growth-{n}"), inputs, "knockout") for n in depths
  ]
  yield "images", "image rows behind the middle layer", [(n, folder, inputs, f"features:{n}") for n in [1, 2, 4]]


def time_all(points, rounds, out):
  """Seconds of each point, by program; a program is started anew where checkpoint or inputs change."""
  environment = {**os.environ, "OMP_WAIT_POLICY": "passive"}
  seconds = {kind: [] for kind in PROGRAMS}
  for kind in PROGRAMS:
    running = None
    for _, folder, inputs, word in points:
      if running is None or running[0] != (folder, inputs):
        if running:
          running[1].close()
        mine = [ABLATE, "bench", "--model", folder, "--inputs", inputs, "--paced"]
        theirs = [sys.executable, ROOT / "Benchmarks/peers", kind, folder, inputs, "f32", 1]
        running = ((folder, inputs), Program(mine if kind == "ablate" else theirs, environment))
      times = [running[1].turn(word)[0] / 1e3 for _ in range(rounds + 1)][1:]
      seconds[kind].append(statistics.median(times))
    running[1].close()
  return seconds


def draw(measured, path, caption):
  matplotlib.use("svg")
  matplotlib.rcParams.update({"svg.hashsalt": "ablate", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
  from matplotlib import pyplot
  from matplotlib.ticker import LogLocator

  figure, axes = pyplot.subplots(1, len(measured), figsize=(3.1 * len(measured), 3.2), constrained_layout=True)
  for axis, panel in zip(axes, measured):
    for kind, label in PROGRAMS.items():
      axis.plot(panel["x"], panel["seconds"][kind], "o-", color=COLOURS[kind], label=label, markersize=4)
    axis.set_xscale("log", base=2)
    axis.set_yscale("log")
    axis.set_xticks(panel["x"], [str(x) for x in panel["x"]])
    axis.minorticks_off()
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.yaxis.set_major_formatter("{x:g}")
    axis.set_xlabel(panel["axis"])
    axis.set_title(panel["title"], fontsize=8)
    axis.grid(alpha=0.3)
  axes[0].set_ylabel("seconds")
  axes[0].legend(frameon=False, fontsize=8)
  figure.text(0.01, -0.03, caption, fontsize=7, color="#555555")
  figure.savefig(path, bbox_inches="tight", metadata={"Date": None})


def main():
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("--size", default="mid")
  parser.add_argument("--rounds", type=int, default=3)
  parser.add_argument("--out", type=pathlib.Path, default=ROOT / "runs/benchmarks")
  parser.add_argument("--docs", action="store_true", help="copy the figure to docs/figures/growth.svg, too")
  arguments = parser.parse_args()
  out = arguments.out
  out.mkdir(parents=True, exist_ok=True)
  folder, inputs = checkpoint(arguments.size, out), out / f"{arguments.size}-inputs.safetensors"
  write_inputs(folder, inputs)
  measured, load = [], os.getloadavg()[0]
  for axis, title, points in panels(folder, inputs, out):
    print(axis, file=sys.stderr)
    seconds = time_all(points, arguments.rounds, out)
    measured.append({"axis": axis, "title": title, "x": [point[0] for point in points], "seconds": seconds})
  (out / "growth.json").write_text(json.dumps({"load": load, "panels": measured}, indent=1))
  caption = f"f32, {arguments.size} size, {os.cpu_count()} virtual cores of {processor()}, load {load:.1f}, rounds: {arguments.rounds}"
  draw(measured, out / "growth.svg", caption)
  for panel in measured:
    print(panel["axis"], panel["x"], {kind: [round(s, 3) for s in each] for kind, each in panel["seconds"].items()})
  if arguments.docs:
    (ROOT / "docs/figures").mkdir(exist_ok=True)
    shutil.copy(out / "growth.svg", ROOT / "docs/figures/growth.svg")


if __name__ == "__main__":
  main()
