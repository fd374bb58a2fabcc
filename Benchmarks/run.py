#!/usr/bin/env python3
"""Runs Ablate and its peers on the same weights and inputs, alternating, and prints ratios with intervals.

    python -m venv .venv && .venv/bin/pip install -r Benchmarks/requirements.txt
    .venv/bin/python Benchmarks/run.py [--sizes tiny,mid] [--dtypes f32,bf16] [--rounds 7] [--out runs/benchmarks]

Writes OUT/results.json and prints OUT/table.md. Every program is a process of its own that has its weights in memory and waits for its
turn; a turn is one workload. A peer counts only if its logits agree, without and with the intervention, and if the intervention changes them.
None of this is needed to build, test or run Ablate.
"""

import argparse
import json
import os
import pathlib
import random
import statistics
import subprocess
import sys

import numpy
from safetensors.numpy import load_file, save_file

ROOT = pathlib.Path(__file__).resolve().parent.parent
ABLATE = ROOT / ".build/release/ablate"
PEERS = ["pytorch-eager", "attention-function", "by-hand", "nnsight"]
#: max|a-b| / max|b| between the logits of the last row; bf16 rounds at other places in each program
GATE = {"f32": 1e-4, "bf16": 5e-2}
WORKLOADS = {
  "clean": "W0 clean prefill",
  "hooked": "W1 identity at every hook point",
  "knockout": "W3 last token to image, a condition per layer",
  "windows": "image to image, a window around each layer",
  "heads": "W4 head by head at the last token",
  "questions": "W7 one image, 20 questions",
}


def ours(what, layers):
  """The plugin that is the first condition of a sweep."""
  reach = layers // 16
  return {
    "knockout": "attention-knockout:tower=text,layers=0,queries=last,keys=image",
    "windows": f"attention-knockout:tower=text,layers=0-{min(layers - 1, reach)}",
    "heads": "zero-heads:layers=0,heads=0,tokens=last",
  }.get(what)


def checkpoint(size, folder):
  """The checkpoint of a size; made when it is not there."""
  if size == "tiny":
    return ROOT / "checkpoints/demo-compensating"
  path = folder / size
  if not (path / "tokenizer.json").exists():
    script = {"mid": ["parity/mid_size.py"], "wide": ["big_checkpoint.py", "--layers", "2"]}[size]
    subprocess.run([sys.executable, ROOT / "Tools" / script[0], path, *script[1:]], check=True)
  return path


def write_inputs(folder, path):
  """A prompt of ids and a noisy image, seeded: what every program gets; and the first question of W7 beside it."""
  config = json.loads((folder / "config.json").read_text())
  vision, image = config["vision_config"], config.get("image_token_index", config.get("image_token_id"))
  size = vision["image_size"]
  generator = numpy.random.default_rng(1)
  words = numpy.array([int(i) for i in generator.integers(5, 60, 20)], numpy.int64)
  pixels = generator.standard_normal((3, size, size), dtype=numpy.float32)
  for file, asked in [(path, words[5:]), (path.with_suffix(".question"), 5 + words[5:] % 50)]:
    ids = numpy.concatenate([words[:5], numpy.full((size // vision["patch_size"]) ** 2, image), asked])
    save_file({"input_ids": ids[None].astype(numpy.int64), "pixel_values": pixels}, file)
  return config["text_config"]["num_hidden_layers"]


class Program:
  """A process that runs one workload for each line that it gets."""

  def __init__(self, command, environment):
    self.process = subprocess.Popen(
      [str(part) for part in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )
    self.cannot = {}
    for line in self.process.stdout:
      if line.startswith("cannot "):
        what, reason = line.removeprefix("cannot ").split(": ", 1)
        self.cannot[what] = reason.strip()
      if line.strip() == "ready":
        return
    raise RuntimeError(f"{command[0]} ended with {self.process.wait()} before it was ready")

  def turn(self, word):
    """Milliseconds, and of how many conditions they are where not all ran: [ran, all]."""
    self.process.stdin.write(word + "\n")
    self.process.stdin.flush()
    milliseconds, *sample = self.process.stdout.readline().split()
    return float(milliseconds), [int(n) for n in sample]

  def close(self):
    self.process.stdin.close()
    usage = os.wait4(self.process.pid, 0)[2]
    return usage.ru_maxrss * 1024


def processor():
  names = [line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
  return names[0] if names else "unknown processor"


def ratio(mine, theirs, seed=0):
  """Median ratio of paired rounds with a 95 % bootstrap interval."""
  ratios = [b / a for a, b in zip(mine, theirs)]
  draw = random.Random(seed)
  medians = sorted(statistics.median(draw.choices(ratios, k=len(ratios))) for _ in range(2000))
  return statistics.median(ratios), medians[50], medians[1949]


def difference(a, b):
  return float(numpy.abs(a - b).max() / numpy.abs(b).max())


def our_logits(common, inputs, layers, out, environment):
  """Of the first condition of each workload."""
  logits, captured = {}, out / "ours.safetensors"
  for what in WORKLOADS:
    if what == "hooked":
      continue
    plugin = ours(what, layers)
    file = inputs.with_suffix(".question") if what == "questions" else inputs
    command = [ABLATE, "capture", *common, "--inputs", file, "--at", "logits", "--out", captured]
    command += ["--plugin", plugin] if plugin else []
    subprocess.run([str(part) for part in command], check=True, env=environment, stdout=subprocess.DEVNULL)
    logits[what] = load_file(captured)["logits"][-1]
  return logits


def agreement(what, mine, theirs, gate):
  """max|a-b| / max|b| of the first condition; or why it does not count."""
  if what == "hooked":
    what = "clean"
  if what not in theirs:
    return "not possible"
  apart = difference(mine[what], theirs[what])
  if ours(what, 1) and difference(theirs[what], theirs["clean"]) == 0:
    return "silently ignored"
  return apart if apart <= gate else f"does not agree: {apart:.1e}"


def measure(size, dtype, arguments):
  folder, inputs = checkpoint(size, arguments.out), arguments.out / f"{size}-inputs.safetensors"
  layers = write_inputs(folder, inputs)
  environment = {**os.environ, "OMP_NUM_THREADS": str(arguments.threads), "OMP_WAIT_POLICY": "passive"}
  common = ["--model", folder, "--dtype", dtype]
  mine = our_logits(common, inputs, layers, arguments.out, environment)
  bench = [ABLATE, "bench", *common, "--inputs", inputs, "--plugin", "identity", "--paced"]
  ablate, peers = Program(bench, environment), {}
  for kind in arguments.peers.split(","):  # one at a time: all of them would not fit the memory
    theirs = arguments.out / f"{kind}.safetensors"
    command = [sys.executable, ROOT / "Benchmarks/peer.py", kind, folder, inputs, dtype, theirs, arguments.sample]
    print(f"{size} {dtype} {kind}", file=sys.stderr)
    try:
      peer = Program(command, environment)
    except RuntimeError as error:
      peers[kind] = {what: {"agreement": f"not possible: {error}"} for what in WORKLOADS}
      continue
    logits = load_file(theirs)
    peers[kind] = {}
    for what in arguments.workloads.split(","):
      apart = agreement(what, mine, logits, GATE[dtype])
      turns = take_turns(what, ablate, peer, arguments.rounds) if isinstance(apart, float) else {}
      peers[kind][what] = {"agreement": apart, "reason": peer.cannot.get(what), **turns}
    peers[kind]["peak_bytes"] = peer.close()
  return {"size": size, "dtype": dtype, "peers": peers, "peak_bytes": ablate.close()}


def take_turns(what, ablate, peer, rounds):
  mine, theirs, sample = [], [], []
  for number in range(rounds + 1):
    for program, times in [(ablate, mine), (peer, theirs)][:: 1 if number % 2 else -1]:
      milliseconds, ran = program.turn(what)
      times.append(milliseconds)
      sample = ran or sample
  # The first round compiles and warms up.
  return {"ablate": mine[1:], "peer": theirs[1:], "ratio": ratio(mine[1:], theirs[1:]), "sample": sample}


def rows(result):
  for what, title in WORKLOADS.items():
    for kind, peer in result["peers"].items():
      if what not in peer:
        continue
      found = peer[what]
      start = f"| {result['size']} | {result['dtype']} | {title} | {kind}"
      if "ratio" not in found:
        yield f"{start} | | | {found['agreement']} | |"
        continue
      middle, low, high = found["ratio"]
      ran, every = found["sample"] or [1, 1]
      part = "" if ran == every else f", from {ran} of {every}"
      mine, theirs = statistics.median(found["ablate"]), statistics.median(found["peer"])
      yield (
        f"{start} | {mine:.1f} | {theirs:.1f}{part} | {middle:.2f} ({low:.2f} to {high:.2f}) | {found['agreement']:.1e} |"
      )


def main():
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("--sizes", default="tiny,mid")
  parser.add_argument("--dtypes", default="f32,bf16")
  parser.add_argument("--peers", default=",".join(PEERS))
  parser.add_argument("--rounds", type=int, default=7)
  parser.add_argument("--workloads", default=",".join(WORKLOADS))
  parser.add_argument("--sample", type=int, default=4, help="conditions of a sweep that a peer runs, where each costs it a pass")
  parser.add_argument("--threads", type=int, default=os.cpu_count())
  parser.add_argument("--out", type=pathlib.Path, default=ROOT / "runs/benchmarks")
  arguments = parser.parse_args()
  arguments.out.mkdir(parents=True, exist_ok=True)
  load = os.getloadavg()[0]
  results = [
    measure(size, dtype, arguments) for size in arguments.sizes.split(",") for dtype in arguments.dtypes.split(",")
  ]
  (arguments.out / "results.json").write_text(json.dumps({"load": load, "results": results}, indent=1))
  lines = [
    f"{arguments.threads} threads, load {load:.1f} before and {os.getloadavg()[0]:.1f} after, {processor()}",
    "",
    "| size | type | workload | peer | ablate, ms | peer, ms | ratio (95 % interval) | logits differ by |",
    "|---|---|---|---|---|---|---|---|",
    *(line for result in results for line in rows(result)),
  ]
  (arguments.out / "table.md").write_text("\n".join(lines) + "\n")
  print("\n".join(lines))


if __name__ == "__main__":
  main()
