#!/usr/bin/env python3
"""Does tuned-lens find what PyTorch finds, on the same activations?

    pip install -r Tools/parity/requirements.txt && make build plugins
    Tools/probes/agree_tuned.py [--model demo-compensating] [--limit 60]

Runs tuned-lens on data/parts, then trains the same objective on the very rows of each fit: A and b from zero, torch.optim.LBFGS with a strong
Wolfe search in float64, the model's norm and unembedding from its checkpoint. Prints the loss that both reach, the divergence on the images that were held
out, and the largest difference of divergence between the two at one row; exits with 1 if a mean is beyond its tolerance.
"""
import argparse
import json
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

sys.path.insert(0, str(Path(__file__).parent))
from agree import ROOT, features  # noqa: E402

L2, TOLERANCE = 1.0, 2e-3  # of the mean divergence in nats: ours stops where f32 gradients are 1e-5, torch's at 1e-9


class Words:
    """Final norm and unembedding of a checkpoint, in float64, over the ids that its tokenizer knows."""

    def __init__(self, folder):
        config = json.loads((folder / "config.json").read_text())
        tensors = {k: v.double() for f in folder.glob("*.safetensors") for k, v in load_file(f).items()}
        def one(ending):
            return next(v for k, v in tensors.items() if k.endswith(ending))
        tokenizer = json.loads((folder / "tokenizer.json").read_text())
        known = 1 + max(list(tokenizer["model"]["vocab"].values()) + [t["id"] for t in tokenizer["added_tokens"]])
        self.gain, self.eps = one("language_model.model.norm.weight"), config["text_config"].get("rms_norm_eps", 1e-6)
        head = [v for k, v in tensors.items() if k.endswith("lm_head.weight")] or [one("embed_tokens.weight")]
        self.head = head[0][:known]

    def __call__(self, h):
        return (h * torch.rsqrt((h * h).mean(-1, keepdim=True) + self.eps) * self.gain @ self.head.T).log_softmax(-1)


def divergence(final, said):
    return (final.exp() * (final - said)).sum(-1)


def train(words, x, final):
    """A, b and the loss that they reach, as tuned-lens.c states it."""
    a = torch.zeros(x.shape[1], x.shape[1], dtype=torch.float64, requires_grad=True)
    b = torch.zeros(x.shape[1], dtype=torch.float64, requires_grad=True)
    search = torch.optim.LBFGS([a, b], max_iter=1000, tolerance_grad=1e-9, tolerance_change=1e-14, line_search_fn="strong_wolfe")
    def loss():
        search.zero_grad()
        value = (divergence(final, words(x + x @ a + b)).sum() + L2 / 2 * (a * a).sum()) / len(x)
        value.backward()
        return value
    search.step(loss)
    return a.detach(), b.detach(), loss().item()


def unique(table, examples):
    """Rows of some examples, each once; example by example."""
    rows = []
    for example in examples:
        values, places = table[example]
        first = {p[0]: i for i, p in reversed(list(enumerate(places)))}
        rows.append(values[sorted(first.values())])
    return torch.from_numpy(np.concatenate(rows))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--model", default="demo-compensating")
    parser.add_argument("--limit", type=int, default=60)
    options = parser.parse_args()
    torch.set_num_threads(1)
    words = Words(ROOT / "checkpoints" / options.model)
    probe = {"plugin": "tuned-lens", "with": {"l2": L2, "tolerance": 1e-5, "steps": 3000}, "fit": {"control_task": False, "portions": []}}
    manifest = {"ablate": 1, "name": "agree", "seed": 1, "models": [options.model], "conditions": {"clean": []},
                "dataset": {"path": str(ROOT / "data/parts"), "limit": options.limit}, "probes": {"tuned": probe}}
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        (Path(folder) / "agree.yaml").write_text(json.dumps(manifest))
        subprocess.run([ROOT / ".build/release/ablate", "run", Path(folder) / "agree.yaml", "--out", run, "--quiet"], check=True)
        own = sum(t for t, in sqlite3.connect(run / "run.sqlite").execute("SELECT milliseconds FROM timings")) / 1000
        fits = [f.read_bytes().partition(b"\n") for f in sorted((run / "fits").iterdir())]
        fits = sorted(((json.loads(line), np.frombuffer(state[32:])) for line, _, state in fits),
                      key=lambda f: (f[0]["point"], f[0]["split"]))
        points = sorted({facts["point"] for facts, _ in fits})
        tables = {point: features(run, point) for point in points}
        print(f"{options.model}, {len(tables[points[0]])} images, torch {torch.__version__}; the run took {own:.1f} s")
        print("hook point          loss ours   torch     held-out KL: lens    ours   torch   furthest row   torch, s")
        for point in points[:-1]:
            table, last, start, lines = tables[point], tables[points[-1]], time.perf_counter(), []
            for facts, state in (f for f in fits if f[0]["point"] == point):
                x, final = unique(table, facts["examples"]), words(unique(last, facts["examples"]))
                others = [e for e in table if e not in facts["examples"]]
                new, target = unique(table, others), words(unique(last, others))
                width = x.shape[1]
                w = torch.from_numpy(state[2 * width:].copy())
                a, b = w[:width * width].reshape(width, width), w[width * width:]
                loss = (divergence(final, words(x + x @ a + b)).sum() + L2 / 2 * (a * a).sum()) / len(x)
                their_a, their_b, their_loss = train(words, x, final)
                ours, theirs = (divergence(target, words(new + new @ m + c)) for m, c in ((a, b), (their_a, their_b)))
                lines.append([loss.item(), their_loss, divergence(target, words(new)).mean().item(), ours.mean().item(),
                              theirs.mean().item(), (ours - theirs).abs().max().item()])
            mean, worst = np.mean(lines, 0), np.max(lines, 0)
            seconds = time.perf_counter() - start
            print(f"{point:18} {mean[0]:10.5f} {mean[1]:8.5f} {mean[2]:20.5f} {mean[3]:7.5f} {mean[4]:7.5f} {worst[5]:14.5f} {seconds:10.1f}")
            bad += max(abs(l[0] - l[1]) for l in lines) > TOLERANCE or max(abs(l[3] - l[4]) for l in lines) > TOLERANCE
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
