"""What transformers says about the shipped models: the oracle that the Swift side is held against (Tests/Fixtures/demo-reference.json).

fp32, eager attention, PIL image processor, CLS blind. Ranks are [sites][parts in the order of the record]: the best 1-based rank
of the part's word over its patches, at the projector output (after the final norm, as everywhere) and after each layer.
Beside them, per condition: the log-probability of the right answer and KL(clean, condition) of the token behind the prompt, in nats.
"""
import argparse
import json
from importlib.metadata import version
from pathlib import Path

import torch

from knockout import CONDITIONS
from measure import Checkpoint, best_ranks, read_dataset

ROOT = Path(__file__).parents[2]
OUTPUT = ROOT / "Tests" / "Fixtures" / "demo-reference.json"
EXAMPLES = 20
PACKAGES = ("torch", "transformers", "tokenizers", "pillow", "numpy")


def reference(folder, examples):
    """The entries of one model: {record id: ids, answer and ranks}."""
    checkpoint = Checkpoint(folder)
    inputs = checkpoint.inputs(examples)
    generated, answers = checkpoint.answers(inputs)
    ranks = {name: best_ranks(checkpoint, examples, *cut) for name, cut in CONDITIONS.items()}
    behaviour = [{name: checkpoint.behaviour(example, *cut) for name, cut in CONDITIONS.items()} for example in examples]
    return {example.record["id"]: {
        "input_ids": inputs["input_ids"][i].tolist(), "generated_ids": generated[i], "answer": answers[i],
        "parts": [{"label": label, "patches": patches} for label, patches in example.parts],
        "best_rank": {name: rows[i].T.tolist() for name, rows in ranks.items()},
        "logprob": {name: round(value, 7) for name, (value, _) in behaviour[i].items()},
        "kl": {name: round(divergence(behaviour[i]["V+ T+"][1], next_token), 7) for name, (_, next_token) in behaviour[i].items()}}
        for i, example in enumerate(examples)}


def divergence(clean, other):
    """KL(clean, other) of two rows of log-probabilities."""
    return (clean.exp() * (clean - other)).sum().item()


def write(models, data, path):
    """Writes the JSON for {name: folder}."""
    examples = read_dataset(data, EXAMPLES)
    content = {"versions": {name: version(name) for name in PACKAGES}, "dtype": "float32", "attention": "eager",
               "image_processor": "CLIPImageProcessorPil", "cls_policy": "blind", "max_new_tokens": 16,
               "sites": ["projector.out", *(f"text.{layer}.resid_post" for layer in range(5))],  # a model has those of its layers
               "conditions": {name: {"cut_vision": v, "cut_text": t} for name, (v, t) in CONDITIONS.items()},
               "models": {name: reference(folder, examples) for name, folder in models.items()}}
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(json.dumps(content, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", default=OUTPUT)
    torch.set_num_threads(1)
    names = ("demo-compensating", "demo-control", "demo-grouped")
    write({name: ROOT / "checkpoints" / name for name in names}, ROOT / "data" / "parts", parser.parse_args().output)
