#!/usr/bin/env python3
"""Runs Ablate and its peers on the same weights and inputs, alternating, and prints ratios with intervals.

    python -m venv .venv && .venv/bin/pip install -r Benchmarks/requirements.txt
    .venv/bin/python Benchmarks/run.py [--sizes tiny,mid] [--dtypes f32,bf16] [--rounds 7] [--out runs/benchmarks]

Writes OUT/results.json. Every program is a process of its own that has its weights in memory and
waits for its turn; a turn is one pass. A peer counts only if its logits agree. None of this is needed to build, test or run Ablate.
"""

import argparse
import json
import os
import pathlib
import platform
import random
import statistics
import subprocess
import sys

import numpy
from safetensors.numpy import load_file, save_file

ROOT = pathlib.Path(__file__).resolve().parent.parent
ABLATE = ROOT / ".build/release/ablate"
PEERS = ["pytorch-eager", "attention-function", "nnsight"]
#: max|a-b| / max|b| between the logits of the last row; bf16 rounds at other places in each program
GATE = {"f32": 1e-4, "bf16": 5e-2}
WORKLOADS = {"W0 clean prefill": "clean", "identity at every hook point": "hooked"}


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
  """A prompt of ids and a noisy image, seeded: what every program gets."""
  config = json.loads((folder / "config.json").read_text())
  vision, image = config["vision_config"], config.get("image_token_index", config.get("image_token_id"))
  size = vision["image_size"]
  generator = numpy.random.default_rng(1)
  words = [int(i) for i in generator.integers(5, 60, 20)]
  ids = words[:5] + [image] * (size // vision["patch_size"]) ** 2 + words[5:]
  pixels = generator.standard_normal((3, size, size), dtype=numpy.float32)
  save_file({"input_ids": numpy.array([ids], numpy.int64), "pixel_values": pixels}, path)


class Program:
  """A process that runs one pass for each line that it gets."""

  def __init__(self, command, environment):
    self.process = subprocess.Popen(
      [str(part) for part in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )
    for line in self.process.stdout:
      if line.strip() == "ready":
        return
    raise RuntimeError(f"{command[0]} ended with {self.process.wait()} before it was ready")

  def turn(self, word):
    self.process.stdin.write(word + "\n")
    self.process.stdin.flush()
    return float(self.process.stdout.readline())

  def close(self):
    self.process.stdin.close()
    usage = os.wait4(self.process.pid, 0)[2]
    return usage.ru_maxrss * 1024


def ratio(ours, theirs, seed=0):
  """Median ratio of paired rounds with a 95 % bootstrap interval."""
  ratios = [b / a for a, b in zip(ours, theirs)]
  draw = random.Random(seed)
  medians = sorted(statistics.median(draw.choices(ratios, k=len(ratios))) for _ in range(2000))
  return statistics.median(ratios), medians[50], medians[1949]


def difference(a, b):
  return float(numpy.abs(a - b).max() / numpy.abs(b).max())


def measure(size, dtype, arguments):
  folder, inputs = checkpoint(size, arguments.out), arguments.out / f"{size}-inputs.safetensors"
  write_inputs(folder, inputs)
  environment = {**os.environ, "OMP_NUM_THREADS": str(arguments.threads), "OMP_WAIT_POLICY": "passive"}
  common = ["--model", folder, "--dtype", dtype, "--inputs", inputs]
  captured = arguments.out / "ours.safetensors"
  subprocess.run(
    [str(part) for part in [ABLATE, "capture", *common, "--at", "logits", "--out", captured]], check=True, env=environment,
    stdout=subprocess.DEVNULL,
  )  # fmt: skip
  logits = load_file(captured)["logits"][-1]
  programs = {"ablate": Program([ABLATE, "bench", *common, "--plugin", "identity", "--paced"], environment)}
  peers = {}
  for kind in arguments.peers.split(","):
    theirs = arguments.out / f"{kind}.safetensors"
    try:
      programs[kind] = Program(
        [sys.executable, ROOT / "Benchmarks/peer.py", kind, folder, inputs, dtype, theirs], environment
      )
      peers[kind] = difference(logits, load_file(theirs)["logits"])
    except (RuntimeError, FileNotFoundError) as error:
      peers[kind] = f"not possible: {error}"
  result = {"size": size, "dtype": dtype, "agreement": peers, "workloads": {}}
  for title, word in WORKLOADS.items():
    times = {name: [] for name in programs}
    for number in range(arguments.rounds + 1):
      order = list(programs) if number % 2 else list(programs)[::-1]
      for name in order:
        times[name].append(programs[name].turn(word))
    times = {name: values[1:] for name, values in times.items()}  # the first round compiles and warms up
    result["workloads"][title] = {
      "milliseconds": times,
      "ratios": {
        name: ratio(times["ablate"], values)
        for name, values in times.items()
        if name != "ablate" and isinstance(peers[name], float) and peers[name] <= GATE[dtype]
      },
    }
  result["peak_bytes"] = {name: program.close() for name, program in programs.items()}
  return result


def rows(result):
  for title, workload in result["workloads"].items():
    ours = statistics.median(workload["milliseconds"]["ablate"])
    yield f"| {result['size']} | {result['dtype']} | {title} | ablate | {ours:.1f} | | |"
    for name, values in workload["milliseconds"].items():
      if name == "ablate":
        continue
      agreement = result["agreement"][name]
      if name in workload["ratios"]:
        middle, low, high = workload["ratios"][name]
        text = f"{middle:.2f} ({low:.2f} to {high:.2f})"
      else:
        text = "does not agree"
      yield f"| | | | {name} | {statistics.median(values):.1f} | {text} | {agreement:.1e} |"
  for name, agreement in result["agreement"].items():
    if isinstance(agreement, str):
      yield f"| {result['size']} | {result['dtype']} | all | {name} | | {agreement} | |"


def main():
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("--sizes", default="tiny,mid")
  parser.add_argument("--dtypes", default="f32,bf16")
  parser.add_argument("--peers", default=",".join(PEERS))
  parser.add_argument("--rounds", type=int, default=7)
  parser.add_argument("--threads", type=int, default=os.cpu_count())
  parser.add_argument("--out", type=pathlib.Path, default=ROOT / "runs/benchmarks")
  arguments = parser.parse_args()
  arguments.out.mkdir(parents=True, exist_ok=True)
  load = os.getloadavg()[0]
  results = [
    measure(size, dtype, arguments) for size in arguments.sizes.split(",") for dtype in arguments.dtypes.split(",")
  ]
  (arguments.out / "results.json").write_text(json.dumps({"load": load, "results": results}, indent=1))
  print(f"{arguments.threads} threads, load {load:.1f} before and {os.getloadavg()[0]:.1f} after, {platform.processor()}")
  print("| size | type | workload | program | ms (median) | slower than ablate (95 % interval) | logits differ by |")
  print("|---|---|---|---|---|---|---|")
  for result in results:
    print("\n".join(rows(result)))


if __name__ == "__main__":
  main()
