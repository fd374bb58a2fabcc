#!/usr/bin/env python3
"""Writes Plugins/*/golden.json: what each bundled plugin must do to the parity checkpoint `mha`.

    python3 Tools/plugins/make_golden.py          (needs numpy only)

Numbers come from transformers' activations in Tests/Fixtures/parity/mha/goldens, never from Ablate. Where transformers
has none, a fact stands that needs no number: equal to the clean pass bit for bit, changed, a value, a multiple.

A golden.json is {"ablate": 1, "cases": [case]}. A case is {"name", "model": a folder in Tests/Fixtures/parity, "inputs":
a file in it with input_ids and pixel_values, "params", "item": {"labels": [{"field", "text", "ids"}], "masks": [{"name",
"patches"}]} (for probes that need them), "expect": [expectation]}. An expectation is one of

    {"at": points, ["heads": [h]], "is": "clean" | "changed"}      bits equal to the pass without plugins; not equal
    {"at": points, ["heads": [h]], "value": x}                     every element is x
    {"at": points, "times_clean": x}                               x times the clean pass, exactly
    {"at": points, "file": f, "tolerance": t}                      max|a-b| / max|b| at most t; -inf must agree
    {"table": name, "rows": [row], "keys": [column], "tolerance": t}   the emitted rows, all of them, matched by `keys`;
                                                                   numbers within t absolutely, times max(1, |expected|)
    {"receipt": {"visits": "all"}}                                 visits made = planned, and not zero
`at` has the syntax of `ablate capture --at`; without "heads" it means all of them.
"""
import json
import pathlib
import struct

import numpy

ROOT = pathlib.Path(__file__).resolve().parents[2]
CASE = {"model": "mha", "inputs": "goldens/clean.safetensors"}
WORDS = 3
IMAGE_TOKEN, PATCHES, LABELS = 4, {"part/tail": [6, 7, 12], "part/leg": [0, 24]}, {"part/tail": 117, "part/leg": 155}


def tensors(name):
  data = (ROOT / "Tests/Fixtures/parity/mha" / name).read_bytes()
  length = struct.unpack("<Q", data[:8])[0]
  kinds = {"F32": numpy.float32, "I64": numpy.int64}
  for key, entry in json.loads(data[8 : 8 + length]).items():
    if key == "__metadata__":
      continue
    first, end = entry["data_offsets"]
    flat = numpy.frombuffer(data[8 + length + first : 8 + length + end], kinds[entry["dtype"]])
    yield key, flat.reshape(entry["shape"])


def significant(value):
  return float(f"{value:.9g}")


def lens_logits(clean, weights, layers):
  """(keys of the row, logits in double) at each patch of each part: the final RMSNorm (eps 1e-6) and the unembedding of projector.out and of
  each layer's resid_post."""
  gain = weights["language_model.model.norm.weight"].astype(numpy.float64)
  unembed = weights["language_model.lm_head.weight"].astype(numpy.float64)

  def logits(hidden):
    x = hidden.astype(numpy.float64)
    return gain * x / numpy.sqrt((x * x).mean(-1, keepdims=True) + 1e-6) @ unembed.T

  last = logits(clean[f"text.{layers - 1}.resid_post"])
  assert abs(last - clean["logits"]).max() < 1e-4 * abs(clean["logits"]).max(), "this is not the model's own head"
  first_patch = int(numpy.nonzero(clean["input_ids"] == IMAGE_TOKEN)[0][0])
  places = [("projector.out", -1, "projector.out", 0)]
  places += [("text.resid_post", layer, f"text.{layer}.resid_post", first_patch) for layer in range(layers)]
  for field, patches in PATCHES.items():
    for site, layer, tensor, start in places:
      rows = logits(clean[tensor])
      for row in (start + patch for patch in patches):
        yield {"site": site, "layer": layer, "row": row, "label": field}, rows[row]


def lens_rows(clean, weights, layers):
  """Rank, logit and log-probability of each part's label."""
  for keys, logits in lens_logits(clean, weights, layers):
    label = LABELS[keys["label"]]
    mine, others = logits[label], numpy.delete(logits, label)
    assert abs(others - mine).min() > 1e-4, "a rank that rounding could change: choose another label"
    yield {**keys, "rank": float(1 + (others > mine).sum()), "logit": significant(mine),
           "logprob": significant(mine - numpy.log(numpy.exp(logits).sum()))}


def word_rows(clean, weights, layers):
  """The words of the largest logits; ids that the tokenizer does not know stand in brackets."""
  vocabulary = json.loads((ROOT / "Tests/Fixtures/parity/mha/tokenizer.json").read_text())["model"]["vocab"]
  piece = {id: text for text, id in vocabulary.items()}
  for keys, logits in lens_logits(clean, weights, layers):
    best = numpy.argsort(-logits, kind="stable")[: WORDS + 1]
    assert numpy.diff(-logits[best]).min() > 1e-4, "an order that rounding could change: choose other patches"
    yield {**keys, **{f"word_{place + 1}": piece.get(int(id), f"[{id}]") for place, id in enumerate(best[:WORDS])}}


def mass_rows(clean, layers):
  ids = clean["input_ids"]
  image, last = ids == IMAGE_TOKEN, len(ids) - 1
  prefix = numpy.arange(len(ids)) < numpy.nonzero(image)[0][0]
  for layer in range(layers):
    for head, pattern in enumerate(clean[f"text.{layer}.pattern"].astype(numpy.float64)):
      row = pattern[last]
      parts = {"image": row[image].sum(), "prefix": row[prefix].sum(), "self": row[last]}
      parts["rest"] = row.sum() - sum(parts.values())
      yield {"layer": layer, "row": last, "head": head, **{name: significant(value) for name, value in parts.items()}}


def main():
  clean, weights = dict(tensors("goldens/clean.safetensors")), dict(tensors("model.safetensors"))
  layers = 1 + max(int(key.split(".")[1]) for key in clean if key.startswith("text.") and key.endswith(".z"))
  upstream = [{"at": "vision.*.resid_post", "is": "clean"}, {"at": "projector.out", "is": "clean"}]
  cut = {"vision": "goldens/vision_cut.safetensors", "text": "goldens/text_cut.safetensors"}

  def case(name, params, expect, **more):
    return {"name": name, **CASE, "params": params, **more, "expect": expect}

  parts = {"labels": [{"field": field, "text": field.split("/")[1], "ids": [id]} for field, id in LABELS.items()],
           "masks": [{"name": name, "patches": patches} for name, patches in PATCHES.items()]}
  cases = {
    "identity": [case(
      "every hook point is visited and no bit changes", {},
      [{"at": f"{tower}.*.{site}", "is": "clean"} for site in ("resid_post", "pattern", "z") for tower in cut]
      + [{"at": "projector.out", "is": "clean"}, {"at": "logits", "is": "clean"}, {"receipt": {"visits": "all"}}])],
    "attention-knockout": [
      case("patches see themselves and CLS, CLS sees itself: transformers with the same mask", {"tower": "vision"},
           [{"at": at, "file": cut["vision"], "tolerance": 1e-5}
            for at in ("vision.0.pattern", "vision.1.resid_post", "projector.out", "text.2.resid_post", "logits")]),
      case("image tokens do not see each other: transformers with the same mask", {"tower": "text"},
           upstream + [{"at": at, "file": cut["text"], "tolerance": 1e-5}
                       for at in ("text.0.pattern", "text.2.pattern", "text.2.resid_post", "logits")]),
      case("one head of one layer is cut, the layers before it are not", {"tower": "text", "layers": "1", "heads": [2]},
           upstream + [{"at": "text.0.resid_post", "is": "clean"},
                       {"at": "text.1.pattern", "heads": [0, 1, 3], "is": "clean"},
                       {"at": "text.1.pattern", "heads": [2], "is": "changed"}, {"at": "logits", "is": "changed"}])],
    "random-edges": [case(
      "one head of one layer loses random edges, as many as the image-to-image cut has", {"tower": "text", "layers": "1", "heads": [2]},
      upstream + [{"at": "text.0.resid_post", "is": "clean"}, {"at": "text.1.pattern", "heads": [0, 1, 3], "is": "clean"},
                  {"at": "text.1.pattern", "heads": [2], "is": "changed"}, {"at": "logits", "is": "changed"},
                  {"receipt": {"visits": "all"}}])],
    "zero-heads": [case(
      "two heads of one layer are silent, the others speak as before", {"layers": "1", "heads": [1, 3]},
      upstream + [{"at": "text.1.z", "heads": [1, 3], "value": 0}, {"at": "text.1.z", "heads": [0, 2], "is": "clean"},
                  {"at": "text.0.resid_post", "is": "clean"}, {"at": "logits", "is": "changed"},
                  {"receipt": {"visits": "all"}}])],
    "scale": [case(
      "a layer's output is doubled, and the next layer reads that", {"layers": "0", "factor": 2},
      upstream + [{"at": "text.0.resid_post", "times_clean": 2}, {"at": "text.1.resid_pre", "times_clean": 2},
                  {"at": "logits", "is": "changed"}, {"receipt": {"visits": "all"}}])],
    "logit-lens": [
      case("rank, logit and log-probability as computed from transformers' activations", {"vocabulary": "all"},
           [{"at": "logits", "is": "clean"},
            {"table": "logit_lens", "keys": ["site", "layer", "row", "label"], "tolerance": 1e-4,
             "rows": list(lens_rows(clean, weights, layers))}], item=parts),
      case("the words that are read first, as computed from transformers' activations", {"words": WORDS, "vocabulary": "all"},
           [{"table": "words", "keys": ["site", "layer", "row", "label"],
             "rows": list(word_rows(clean, weights, layers))}], item=parts)],
    "attention-mass": [case(
      "the last token's attention, summed from transformers' patterns", {},
      [{"at": "logits", "is": "clean"}, {"receipt": {"visits": "all"}},
       {"table": "attention_mass", "keys": ["layer", "row", "head"], "tolerance": 1e-5,
        "rows": list(mass_rows(clean, layers))}])],
  }
  for name, value in cases.items():
    text = json.dumps({"ablate": 1, "cases": value}, indent=2)
    (ROOT / "Plugins" / name / "golden.json").write_text(text + "\n")


main()
