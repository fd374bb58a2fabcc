"""The gate: is one model a positive and the other a negative control on held-out images? Prints, and writes JSON and Markdown.

m(V,T) is the mean over part instances of log2(best rank of the part's word over its patches, last decoder layer).
L_on = m(cut,intact) - m(intact,intact), L_off = m(cut,cut) - m(intact,cut), C = L_off - L_on, bootstrap by image.
"""
import argparse
import json
from pathlib import Path

import numpy as np

from knockout import CLS_POLICIES, CONDITIONS
from measure import Checkpoint, accuracy, best_ranks, leak, random_patch_ranks, read_dataset

RESULTS = Path(__file__).parent / "results"
RESAMPLES = 2000


def interval(statistic, count):
    """[value, low, high]: a statistic of image indices with its 95 % bootstrap interval over `count` images."""
    rng = np.random.default_rng(0)
    values = [statistic(rng.integers(0, count, count)) for _ in range(RESAMPLES)]
    return [round(float(v), 4) for v in (statistic(np.arange(count)), *np.quantile(values, [.025, .975]))]


def contrast(log_ranks):
    """m, L_on, L_off and C with intervals, from {condition: per image [parts] log2 ranks}, paired by image."""
    count = len(next(iter(log_ranks.values())))
    sizes = np.array([len(rows) for rows in log_ranks["V+ T+"]])
    sums = {condition: np.array([rows.sum() for rows in images]) for condition, images in log_ranks.items()}
    mean = lambda condition, chosen: sums[condition][chosen].sum() / sizes[chosen].sum()
    loss_on = lambda chosen: mean("V- T+", chosen) - mean("V+ T+", chosen)
    loss_off = lambda chosen: mean("V- T-", chosen) - mean("V+ T-", chosen)
    named = {condition: lambda chosen, condition=condition: mean(condition, chosen) for condition in log_ranks}
    named |= {"L_on": loss_on, "L_off": loss_off, "C": lambda chosen: loss_off(chosen) - loss_on(chosen)}
    return {name: interval(statistic, count) for name, statistic in named.items()}


def by_site(ranks):
    """Mean log2 best rank and hit@1 per site, over part instances."""
    stacked = np.concatenate(ranks)
    return {"log2 rank": np.log2(stacked).mean(0).round(3).tolist(), "hit@1": (stacked == 1).mean(0).round(3).tolist()}


def examine(folder, examples):
    """Everything the table shows about one checkpoint."""
    checkpoint = Checkpoint(folder)
    random = random_patch_ranks(checkpoint, examples)
    result = {"parts": sum(map(len, random)), "accuracy": {}, "sites": {}, "contrast": {},
              "random patches": round(float(np.log2(np.concatenate(random)).mean()), 4),
              "leak": {policy: leak(checkpoint, examples[0], policy) for policy in CLS_POLICIES}}
    for policy in CLS_POLICIES:
        ranks = {name: best_ranks(checkpoint, examples, *cut, policy) for name, cut in CONDITIONS.items()}
        result["contrast"][policy] = contrast({name: [np.log2(rows[:, -1]) for rows in images] for name, images in ranks.items()})
        result["sites"][policy] = {name: by_site(images) for name, images in ranks.items()}
    for name, cut in CONDITIONS.items():
        result["accuracy"][name] = round(accuracy(checkpoint, examples, *cut), 4)
    return result


CLEAN, BLIND = "V+ T+", "blind"


def is_sound(models):
    """{criterion: passed} that every model of {variant: result} must meet."""
    return {"no leak with both cuts, CLS blind or isolated":
                max(model["leak"][policy] for model in models.values() for policy in ("blind", "isolated")) == 0,
            "clean accuracy of each at least 0.90": min(model["accuracy"][CLEAN] for model in models.values()) >= .9,
            "clean log2 rank at least 1 below random patches in each":
                all(m["contrast"][BLIND][CLEAN][2] + 1 < m["random patches"] for m in models.values())}


def verdict(models):
    """{criterion: passed} for {variant: result}: the pair of controls, or the third model by itself."""
    passed = is_sound(models)
    if "grouped" in models:
        return passed | {"C of the third model: interval above 0.2": models["grouped"]["contrast"][BLIND]["C"][1] > .2}
    clean = [model["accuracy"][CLEAN] for model in models.values()]
    gain, leftover = (models[variant]["contrast"][BLIND]["C"] for variant in ("compensating", "control"))
    return passed | {
        "clean accuracies within 3 points": abs(clean[0] - clean[1]) <= .03,
        "C of the compensating model: interval above 0.2": gain[1] > .2,
        "C of the control: below 0.15 in size and a fifth of the other": abs(leftover[0]) < min(.15, gain[0] / 5)}


def show(triple):
    return "{:.2f} [{:.2f}, {:.2f}]".format(*triple)


def markdown(seed, pair, passed):
    """The table of one seed."""
    lines = [f"## Seed {seed}", "", "| | " + " | ".join(pair) + " |", "|---|" + "---|" * len(pair)]
    row = lambda name, cell: lines.append(f"| {name} | " + " | ".join(cell(model) for model in pair.values()) + " |")
    for name in CONDITIONS:
        row(f"accuracy {name}", lambda m: f"{m['accuracy'][name]:.3f}")
    row("random patches, log2 rank", lambda m: f"{m['random patches']:.2f}")
    for policy in CLS_POLICIES:
        for name in [*CONDITIONS, "L_on", "L_off", "C"]:
            row(f"{policy}: {'m ' if name in CONDITIONS else ''}{name}", lambda m: show(m["contrast"][policy][name]))
    layers = max(len(model["sites"][BLIND][CLEAN]["hit@1"]) for model in pair.values()) - 1
    sites = ["projector"] + [f"layer {layer + 1}" for layer in range(layers)]
    lines += ["", "| CLS blind, log2 rank (hit@1) | " + " | ".join(sites) + " |", "|---|" + "---|" * len(sites)]
    for variant, model in pair.items():
        for name, site in model["sites"]["blind"].items():
            cells = (f"{rank:.2f} ({hit:.2f})" for rank, hit in zip(site["log2 rank"], site["hit@1"]))
            lines.append(f"| {variant} {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines + [""] + [f"- {'pass' if ok else 'FAIL'}: {name}" for name, ok in passed.items()] + [""])


def run(seed, folders, data, stem="seed"):
    """Examines {variant: folder} and writes results/STEM-N.json and .md: (gate passed, {variant: result})."""
    examples = read_dataset(data)
    pair = {variant: examine(folder, examples) for variant, folder in folders.items()}
    passed = verdict(pair)
    content = {"seed": seed, "images": len(examples), "gate": passed, "models": pair}
    (RESULTS / f"{stem}-{seed}.json").write_text(json.dumps(content, indent=1) + "\n")
    (RESULTS / f"{stem}-{seed}.md").write_text(markdown(seed, pair, passed))
    return all(passed.values()), pair


def summarise():
    """results/README.md: one line per seed and model, from the JSON files."""
    lines = ["# The gate, all training seeds", "",
             "One vision tower, held-out images of `data/parts`; CLS blind unless said; intervals are 95 % by image.", "",
             "| seed | model | clean accuracy | clean log2 rank | random patches | L_on | L_off | C | C, CLS isolated | C, CLS open | gate |",
             "|---|---|---|---|---|---|---|---|---|---|---|"]
    for path in sorted(RESULTS.glob("*.json"), key=lambda path: (path.stem.split("-")[0] != "seed", path.stem)):
        content = json.loads(path.read_text())
        for variant, model in content["models"].items():
            blind = model["contrast"]["blind"]
            cells = [content["seed"], variant, f"{model['accuracy']['V+ T+']:.3f}", show(blind["V+ T+"]), f"{model['random patches']:.2f}",
                     *(show(blind[name]) for name in ("L_on", "L_off", "C")),
                     *(show(model["contrast"][policy]["C"]) for policy in CLS_POLICIES[1:]),
                     "pass" if all(content["gate"].values()) else "FAIL"]
            lines.append("| " + " | ".join(map(str, cells)) + " |")
    (RESULTS / "README.md").write_text("\n".join(lines) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("compensating", "control", "data"):
        parser.add_argument(name)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    passed, _ = run(options.seed, {"compensating": options.compensating, "control": options.control}, options.data)
    summarise()
    print((RESULTS / f"seed-{options.seed}.md").read_text())
    raise SystemExit(0 if passed else 1)


if __name__ == "__main__":
    main()
