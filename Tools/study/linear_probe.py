#!/usr/bin/env python3
"""What a linear probe finds in the vision features with and without the vision cut: local content should survive, context should not.

    make build plugins && python3 Tools/study/linear_probe.py [--model demo-compensating] [--at projector.in] [--out FILE]

Activations come from `ablate capture` on data/parts, clean and under `attention-knockout` (CLS blind). Targets of a patch that a part covers by
half or more: the primitive that is drawn there (shape and hatch, visible in the patch alone) and the part's word (a bar is a leg, a mast or a
trunk by what is around it); of every patch: its mean colour. Probes are ridge regressions, trained anew under each condition on the images
before --split and tested on those behind it, so that no image is in both. Labels shuffled among the training patches are the control task. The
interval is a bootstrap over test images. Needs numpy and Pillow.
"""
import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "Tools" / "demo-model"))
from world import GRID, OBJECTS, PATCH  # noqa: E402

BINARY, DATA = ROOT / ".build/release/ablate", ROOT / "data/parts"
PRIMITIVE = {(name, word): primitive for name, parts in OBJECTS.items() for word, primitive, _, _ in parts}
CONDITIONS = {"clean": [], "vision cut": ["--plugin", "attention-knockout"]}
RIDGE, DRAWS = 10.0, 2000


def records(limit):
    return [json.loads(line) for line in (DATA / "metadata.jsonl").read_text().splitlines()[:limit]]


def capture(model, record, at, plugins, folder):
    """One activation [patches, width]."""
    file = folder / "x.safetensors"
    subprocess.run([BINARY, "capture", "--model", model, "--image", DATA / record["file_name"], "--prompt", record["prompt"],
                    "--at", at, "--out", file, *plugins], check=True, stdout=subprocess.DEVNULL)
    data = file.read_bytes()
    length = int.from_bytes(data[:8], "little")
    entry = json.loads(data[8:8 + length])[at]
    first, end = entry["data_offsets"]
    return np.frombuffer(data[8 + length + first:8 + length + end], np.float32).reshape(entry["shape"]).astype(np.float64)


def patches(image):
    """[patches, pixels, channels] in raster order."""
    grid = image.reshape(GRID, PATCH, GRID, PATCH, -1).transpose(0, 2, 1, 3, 4)
    return grid.reshape(GRID * GRID, PATCH * PATCH, -1)


def targets(record):
    """Per patch: mean colour [3], primitive and word ("" where no part covers half of it)."""
    colour = patches(np.asarray(Image.open(DATA / record["file_name"]).convert("RGB"), float)).mean(1) / 255
    primitive, word = np.full((2, GRID * GRID), "", dtype=object)
    for part in record["parts"]:
        inside = (patches(np.asarray(Image.open(DATA / part["mask"])))[..., 0] == part["value"]).mean(1) >= 0.5
        primitive[inside], word[inside] = PRIMITIVE[record["class"], part["label"]], part["label"]
    return colour, primitive, word


def ridge(x, y):
    """A function that predicts y from x."""
    mean, scale = x.mean(0), x.std(0) + 1e-9
    z = (x - mean) / scale
    offset = y.mean(0)
    weights = np.linalg.solve(z.T @ z + RIDGE * np.eye(z.shape[1]), z.T @ (y - offset))
    return lambda new: (new - mean) / scale @ weights + offset


def interval(scores, images, rng):
    """Mean of a score per patch with a 95 % bootstrap interval over images."""
    groups = [scores[images == image] for image in np.unique(images)]
    sums, counts = np.array([g.sum() for g in groups]), np.array([len(g) for g in groups])
    draws = rng.integers(len(groups), size=(DRAWS, len(groups)))
    means = sums[draws].sum(1) / counts[draws].sum(1)
    return [float(scores.mean()), *(float(v) for v in np.quantile(means, [0.025, 0.975]))]


def classify(x, labels, images, train, rng, shuffled=False):
    chosen = labels != ""
    names = np.unique(labels[chosen & train])
    fit, test = chosen & train, chosen & ~train & np.isin(labels, names)
    given = rng.permutation(labels[fit]) if shuffled else labels[fit]
    predict = ridge(x[fit], (given[:, None] == names).astype(float))
    return interval((names[predict(x[test]).argmax(1)] == labels[test]).astype(float), images[test], rng)


def explained(x, colour, images, train, rng):
    """Share of the variance of the test patches' colour that is explained, per patch, so that images can be drawn."""
    error = ((ridge(x[train], colour[train])(x[~train]) - colour[~train]) ** 2).sum(1)
    total = ((colour[~train] - colour[train].mean(0)) ** 2).sum(1).mean()
    return interval(1 - error / total, images[~train], rng)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--model", default="demo-compensating")
    parser.add_argument("--at", default="projector.in", help="a hook point with one row per patch")
    parser.add_argument("--limit", type=int, default=300)
    parser.add_argument("--split", type=int, default=200)
    parser.add_argument("--out")
    options = parser.parse_args()
    all_records = records(options.limit)
    colour, primitive, word = (np.concatenate(part) for part in zip(*map(targets, all_records)))
    images = np.repeat(np.arange(len(all_records)), GRID * GRID)
    train = images < options.split
    result = {"model": options.model, "at": options.at, "train_images": options.split, "test_images": len(all_records) - options.split,
              "ridge": RIDGE, "seed": 0, "conditions": {}}
    with tempfile.TemporaryDirectory() as folder:
        for name, plugins in CONDITIONS.items():
            x = np.concatenate([capture(options.model, r, options.at, plugins, Path(folder)) for r in all_records])
            rng = np.random.default_rng(0)
            rows = {"colour, R2": explained(x, colour, images, train, rng),
                    "primitive, accuracy": classify(x, primitive, images, train, rng),
                    "word, accuracy": classify(x, word, images, train, rng),
                    "word, shuffled labels": classify(x, word, images, train, rng, shuffled=True)}
            result["conditions"][name] = rows
            for target, (mean, low, high) in rows.items():
                print(f"{name:10}  {target:22}  {mean:.3f} [{low:.3f}, {high:.3f}]")
    if options.out:
        Path(options.out).write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
