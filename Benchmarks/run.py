#!/usr/bin/env python3
"""Runs Ablate and its peers on the same weights and inputs, alternating, and prints ratios with intervals.

    python -m venv .venv && .venv/bin/pip install -r Benchmarks/requirements.txt
    .venv/bin/python Benchmarks/run.py [--sizes tiny,mid] [--dtypes f32,bf16] [--rounds 7] [--out runs/benchmarks]

Adds to OUT/results.json and prints OUT/table.md of all that is in there; `--docs` puts it into docs/performance.md, too. Every program is a
process of its own that has its weights in memory and waits for its turn; a turn is one workload. A peer counts only if its logits agree,
without and with the intervention, and if the intervention changes them. None of this is needed to build, test or run Ablate.
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
PEERS = ["pytorch-eager", "attention-function", "by-hand", "nnsight", "transformer-lens", "llama.cpp"]
#: max|a-b| / max|b| between the logits of the last row; bf16 rounds at other places in each program
GATE = {"f32": 1e-4, "bf16": 5e-2}
WORKLOADS = {
  "clean": "W0 clean prefill",
  "decoder": "its decoder alone",
  "hooked": "W1 identity at every hook point",
  "head": "W2 one head silent",
  "knockout": "W3 last token to image, a condition per layer",
  "windows": "image to image, a window around each layer",
  "heads": "W4 head by head at the last token",
  "patches": "W5 patches, layer by question token",
  "generation": "W6 16 tokens with a head silent",
  "questions": "W7 one image, 20 questions",
  "vision-heads": "W8 a head of the vision encoder, in 4 layers",
  "features": "W9 features of 4 images",
}
#: the workload whose first condition a workload's logits are, where it has none of its own
SAME = {"hooked": "clean", "generation": "head"}


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
  words = generator.integers(5, 60, 20)
  pixels = generator.standard_normal((3, size, size), dtype=numpy.float32)
  ids = numpy.concatenate([words[:5], numpy.full((size // vision["patch_size"]) ** 2, image), words[5:]])
  save_file({"input_ids": ids[None].astype(numpy.int64), "pixel_values": pixels}, path)


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


def agreement(what, mine, theirs, gate):
  """max|a-b| / max|b| of what the first condition gives; or why it does not count."""
  own = what if what in theirs else SAME.get(what, what)
  if own not in theirs:
    return "not possible"
  apart, changes = difference(mine[own], theirs[own]), own not in ["clean", "decoder", "features"]
  if changes and difference(theirs[own], theirs["clean"]) == 0:
    return "silently ignored"
  return apart if apart <= gate else f"does not agree: {apart:.1e}"


def measure(size, dtype, arguments, results, keep):
  folder, inputs = checkpoint(size, arguments.out), arguments.out / f"{size}-inputs.safetensors"
  write_inputs(folder, inputs)
  environment = {**os.environ, "OMP_NUM_THREADS": str(arguments.threads), "OMP_WAIT_POLICY": "passive"}
  logits = {"ablate": arguments.out / "ablate.safetensors"}
  bench = [ABLATE, "bench", "--model", folder, "--dtype", dtype, "--inputs", inputs, "--plugin", "identity", "--paced"]
  ablate = Program([*bench, "--logits", logits["ablate"]], environment)
  mine = load_file(logits["ablate"])
  workloads = arguments.workloads.split(",")
  firsts = ",".join({"clean", *workloads, *(SAME[what] for what in workloads if what in SAME)})
  for kind in arguments.peers.split(","):  # one at a time: all of them would not fit the memory
    theirs = arguments.out / f"{kind}.safetensors"
    command = [sys.executable, ROOT / "Benchmarks/peers", kind, folder, inputs, dtype, arguments.sample, theirs, firsts]
    print(f"{size} {dtype} {kind}", file=sys.stderr)
    try:
      peer = Program(command, environment)
    except RuntimeError as error:
      print(f"not measured: {error}", file=sys.stderr)
      continue
    logits = load_file(theirs)
    for what in workloads:
      apart = agreement(what, mine, logits, GATE[dtype])
      if what in peer.cannot:
        apart = "not possible"
      turns = take_turns(what, ablate, peer, arguments.rounds) if isinstance(apart, float) else {}
      results[f"{size} {dtype} {what} {kind}"] = {"agreement": apart, "reason": peer.cannot.get(what), **turns}
      keep()
    results[f"{size} {dtype} memory {kind}"] = {"peak_bytes": peer.close()}
  results[f"{size} {dtype} memory ablate"] = {"peak_bytes": ablate.close()}
  keep()


def take_turns(what, ablate, peer, rounds):
  mine, theirs, sample, load = [], [], [], os.getloadavg()[0]
  for number in range(rounds + 1):
    for program, times in [(ablate, mine), (peer, theirs)][:: 1 if number % 2 else -1]:
      milliseconds, ran = program.turn(what)
      times.append(milliseconds)
      sample = ran or sample
  # The first round compiles and warms up.
  return {
    "ablate": mine[1:], "peer": theirs[1:], "ratio": ratio(mine[1:], theirs[1:]), "sample": sample,
    "load": [load, os.getloadavg()[0]],
  }  # fmt: skip


def cell(found):
  if found is None:
    return ""
  if "ratio" not in found:
    return str(found["agreement"])
  middle, low, high = found["ratio"]
  digits = 0 if middle >= 100 else 1 if middle >= 10 else 2
  ran, every = found["sample"] or [1, 1]
  rounds = "1 round" if len(found["peer"]) == 1 else f"{low:.{digits}f} to {high:.{digits}f}"
  note = "" if ran == every else f", {ran} of {every}"
  return f"**{middle:.{digits}f}** ({rounds}{note})"


def table(results, size, dtype):
  """A row for each workload, a column for each peer: how many times as long it takes."""
  kinds = [kind for kind in PEERS if any(key == f"{size} {dtype} memory {kind}" for key in results)]
  yield "| | ablate, ms | " + " | ".join(kinds) + " |"
  yield "|---|---:|" + "---|" * len(kinds)
  for what, title in WORKLOADS.items():
    found = [results.get(f"{size} {dtype} {what} {kind}") for kind in kinds]
    times = [statistics.median(each["ablate"]) for each in found if each and "ablate" in each]
    if any(found):
      mine = f"{statistics.median(times):,.1f}" if times else ""
      yield f"| {title} | {mine} | " + " | ".join(map(cell, found)) + " |"
  memory = [results[f"{size} {dtype} memory {kind}"]["peak_bytes"] / 1e9 for kind in ["ablate", *kinds]]
  yield "| memory at most, GB | " + " | ".join(f"{gigabytes:.2f}" for gigabytes in memory) + " |"
  measured = [each for key, each in results.items() if key.startswith(f"{size} {dtype} ") and "ratio" in each]
  rounds = sorted({len(each["peer"]) for each in measured})
  loads = [load for each in measured for load in each["load"]]
  apart = max(each["agreement"] for each in measured)
  yield ""
  yield (
    f"Rounds: {' or '.join(map(str, rounds))}; load {min(loads):.1f} to {max(loads):.1f}; logits differ by {apart:.0e} of the "
    "largest at most."
  )


def report(results):
  yield f"{processor()}, {os.cpu_count()} virtual cores; the peer's time / Ablate's, by turns, with a 95 % interval."
  for size in SIZES:
    for dtype in GATE:
      if f"{size} {dtype} memory ablate" in results:
        yield from ["", f"### {SIZES[size]}, {dtype}", "", *table(results, size, dtype)]


SIZES = {
  "tiny": "Tiny: the demo model (width 128, 4 + 3 layers, 84 tokens)",
  "mid": "Mid-size: CLIP-L/14-336, 16 x 2048 decoder, 596 tokens",
  "wide": "Two layers of 7B width, CLIP-L/14-336, 596 tokens",
}


def into_docs(lines, name):
  """Replaces what stands between the markers in docs/performance.md."""
  path = ROOT / "docs/performance.md"
  text = path.read_text()
  start, end = f"<!-- {name}: written by Benchmarks/run.py -->\n", f"<!-- end of {name} -->"
  before, _, rest = text.partition(start)
  path.write_text(before + start + "\n".join(lines) + "\n" + rest[rest.index(end) :])


def main():
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("--sizes", default="tiny,mid", help="of " + ", ".join(SIZES) + "; empty: only what is there is shown")
  parser.add_argument("--dtypes", default="f32,bf16")
  parser.add_argument("--peers", default=",".join(PEERS))
  parser.add_argument("--rounds", type=int, default=7)
  parser.add_argument("--workloads", default=",".join(WORKLOADS))
  parser.add_argument("--sample", type=int, default=4, help="conditions of a workload that a peer runs, where each costs it a pass")
  parser.add_argument("--threads", type=int, default=os.cpu_count())
  parser.add_argument("--out", type=pathlib.Path, default=ROOT / "runs/benchmarks")
  parser.add_argument("--docs", action="store_true", help="write the tables into docs/performance.md, too")
  arguments = parser.parse_args()
  arguments.out.mkdir(parents=True, exist_ok=True)
  kept = arguments.out / "results.json"
  results = json.loads(kept.read_text()) if kept.exists() else {}
  for size in filter(None, arguments.sizes.split(",")):
    for dtype in arguments.dtypes.split(","):
      measure(size, dtype, arguments, results, lambda: kept.write_text(json.dumps(results, indent=1)))
  lines = list(report(results))
  (arguments.out / "table.md").write_text("\n".join(lines) + "\n")
  print("\n".join(lines))
  if arguments.docs:
    into_docs(lines, "ratios")


if __name__ == "__main__":
  main()
