#!/usr/bin/env python3
"""Does the linear probe say what scikit-learn says, on the same activations, and how long do both take?

    pip install -r Tools/probes/requirements.txt && make build plugins
    Tools/probes/agree.py [--model demo-compensating] [--limit 60] [--point text.3.resid_post]

Runs linear-probe, nearest-mean and mlp-probe on data/parts with a tight tolerance, then takes from the run folder what they learned from (features/,
fits/) and what they said (run.sqlite), and lets scikit-learn learn from the very same rows. Prints the largest differences of the
log-probability of the right class on the images that were held out (linear, nearest) or of the loss that was reached (mlp, which has several
minima), and exits with 1 if one is beyond its tolerance. Both are told to use one thread.
"""
import argparse
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "1"
import numpy as np  # noqa: E402
import sklearn  # noqa: E402
from safetensors import safe_open  # noqa: E402
from sklearn.linear_model import LogisticRegression  # noqa: E402
from sklearn.neighbors import NearestCentroid  # noqa: E402
from sklearn.neural_network import MLPClassifier  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
L2, ALPHA, HIDDEN = 1.0, 10.0, 16
# Log-probabilities are stored after f32; the minimum is found to 1e-8 of the gradient on both sides.
TOLERANCE = {"linear": 1e-3, "nearest": 1e-4, "mlp": 0.05}


def manifest(options):
    def probe(plugin, **settings):
        settings = {"layers": options.point.split(".")[1], "sites": [".".join(options.point.split(".")[::2])], **settings}
        return {"plugin": plugin, "with": settings, "fit": {"control_task": False, "portions": []}}
    return json.dumps({
        "ablate": 1, "name": "agree", "seed": 1, "models": [options.model],
        "dataset": {"path": str(ROOT / "data/parts"), "limit": options.limit}, "conditions": {"clean": []},
        "probes": {"linear": probe("linear-probe", l2=L2, tolerance=1e-8, steps=20000), "nearest": probe("nearest-mean"),
                   "mlp": probe("mlp-probe", l2=ALPHA, hidden=HIDDEN, tolerance=1e-6, steps=5000)}})


def features(run, point):
    """example -> ([rows, width], [(row, label, word)]) from the files that the passes left."""
    keys = dict(sqlite3.connect(run / "run.sqlite").execute("SELECT key, example FROM trials"))
    found = {}
    for file in sorted((run / "features").glob("*/*.safetensors")):
        with safe_open(file, "np") as tensors:
            if f"places {point}" not in tensors.metadata():
                continue
            places = [(p["row"], p["field"].removeprefix("part/"), p["text"])
                      for p in json.loads(tensors.metadata()[f"places {point}"])]
            found[keys[file.stem]] = (tensors.get_tensor(point).astype(float), places)
    return found


def said(run, probe):
    """(example, row, label) -> log-probability of the right class."""
    rows = sqlite3.connect(run / "run.sqlite").execute(
        "SELECT t.example, m.token, m.label, m.value FROM measurements m JOIN trials t ON t.id = m.trial "
        "WHERE m.probe = ? AND m.metric = 'logprob'", (probe,))
    return {tuple(row[:3]): row[3] for row in rows}


def fits(run, probe):
    """(facts, state as doubles behind the head) of each fit."""
    for file in sorted((run / "fits").iterdir()):
        line, _, state = file.read_bytes().partition(b"\n")
        facts = json.loads(line)
        if facts["probe"] == probe:
            yield facts, np.frombuffer(state[32:])


def rows(table, examples, classes):
    x, y, names = [], [], []
    for example in examples:
        values, places = table[example]
        for vector, (row, label, word) in zip(values, places):
            if word in classes:
                x.append(vector), y.append(classes.index(word)), names.append((example, row, label))
    return np.array(x), np.array(y), names


def centroid_log_probabilities(x, y, new):
    means = NearestCentroid().fit(x, y).centroids_
    z = -((new[:, None] - means) ** 2).sum(-1) / (2 * ((x - means[y]) ** 2).mean())
    return z - z.max(1, keepdims=True) - np.log(np.exp(z - z.max(1, keepdims=True)).sum(1, keepdims=True))


def mlp_loss(weights, biases, x, y, alpha):
    z = np.maximum(x @ weights[0] + biases[0], 0) @ weights[1] + biases[1]
    log_p = z - z.max(1, keepdims=True) - np.log(np.exp(z - z.max(1, keepdims=True)).sum(1, keepdims=True))
    return -log_p[np.arange(len(y)), y].mean() + alpha / 2 * sum((w ** 2).sum() for w in weights) / len(y)


def compare(run, probe, table):
    """Largest difference over all folds, and scikit-learn's seconds."""
    worst, seconds, ours = 0.0, 0.0, said(run, probe)
    for facts, state in fits(run, probe):
        classes = facts["classes"]
        x, y, _ = rows(table, facts["examples"], classes)
        new, right, names = rows(table, [e for e in table if e not in facts["examples"]], classes)
        start = time.perf_counter()
        scaler = StandardScaler().fit(x)
        a, b = scaler.transform(x), scaler.transform(new)
        if probe == "mlp":
            model = MLPClassifier((HIDDEN,), solver="lbfgs", alpha=ALPHA, tol=1e-9, max_iter=5000, random_state=0).fit(a, y)
            seconds += time.perf_counter() - start
            w = state[2 * x.shape[1]:]
            first, second = x.shape[1] * HIDDEN, (x.shape[1] + 1) * HIDDEN
            own = mlp_loss([w[:first].reshape(-1, HIDDEN), w[second:second + HIDDEN * len(classes)].reshape(HIDDEN, -1)],
                           [w[first:second], w[second + HIDDEN * len(classes):]], a, y, ALPHA)
            theirs = mlp_loss(model.coefs_, model.intercepts_, a, y, ALPHA)
            worst = max(worst, (own - theirs) / theirs)
            continue
        if probe == "linear":
            log_p = LogisticRegression(C=1 / L2, tol=1e-8, max_iter=20000).fit(a, y).predict_log_proba(b)
        else:
            log_p = centroid_log_probabilities(a, y, b)
        seconds += time.perf_counter() - start
        mine = np.array([ours[name] for name in names])
        worst = max(worst, np.abs(mine - log_p[np.arange(len(right)), right]).max())
    return worst, seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--model", default="demo-compensating")
    parser.add_argument("--limit", type=int, default=60)
    parser.add_argument("--point", default="text.3.resid_post")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        (Path(folder) / "agree.yaml").write_text(manifest(options))
        subprocess.run([ROOT / ".build/release/ablate", "run", Path(folder) / "agree.yaml", "--out", run, "--quiet"],
                       check=True, stdout=subprocess.DEVNULL)
        table, bad = features(run, options.point), 0
        times = [t for _, t in sqlite3.connect(run / "run.sqlite").execute("SELECT rowid, milliseconds FROM timings ORDER BY rowid")]
        print(f"{options.model}, {options.point}: {sum(len(p) for _, p in table.values())} rows of {len(table)} images, 5 folds; "
              f"scikit-learn {sklearn.__version__}")
        for index, probe in enumerate(TOLERANCE):
            worst, seconds = compare(run, probe, table)
            own = sum(times[len(times) * (index + 1) // 4:len(times) * (index + 2) // 4]) / 1000
            what = "loss above scikit-learn's, relative" if probe == "mlp" else "largest difference of log-probabilities"
            print(f"  {probe:8} {what}: {worst:.2g} (tolerance {TOLERANCE[probe]:g}); {own:.2f} s, scikit-learn {seconds:.2f} s")
            bad += not worst <= TOLERANCE[probe]
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
