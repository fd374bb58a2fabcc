"""Writes Tests/ModelsTests/LensReference.swift: what transformers' own modules and torch make of rows of the parity checkpoints.

    pip install -r Tools/parity/requirements.txt
    python Tools/probes/make_lens_reference.py

The embedding lens, by product and by cosine; the divergence of the lens at one layer from the model's own words, with its gradient by
autograd, which a lens that learns is trained by. All in float64 from the f32 activations of the goldens.
"""
import pathlib

import torch
import transformers
from safetensors.torch import load_file

ROOT = pathlib.Path(__file__).resolve().parents[2]
ROWS, IDS, KNOWN = [0, 5, 20, 36], [3, 41, 100, 135], 136


def swift(tensor):
    return "[" + ", ".join(f"{v:.9g}" for v in tensor.flatten().tolist()) + "]"


def embedding_lens(hidden, words, cosine):
    """Score, rank from 1 and log-probability of IDS, [rows, ids, 3]."""
    if cosine:
        hidden, words = (x / x.norm(dim=-1, keepdim=True) for x in (hidden, words))
    scores = hidden @ words.T
    rank = 1 + (scores[:, None, :] > scores[:, IDS, None]).sum(-1)
    return torch.stack([scores[:, IDS], rank.double(), scores.log_softmax(-1)[:, IDS]], dim=-1)


def divergence(model, hidden, final):
    """KL(final || hidden) over the known words, in nats, and its gradient at `hidden`."""
    def words(x):
        return model.lm_head(model.model.language_model.norm(x))[:, :KNOWN].log_softmax(-1)
    hidden = hidden.clone().requires_grad_()
    p, q = words(final).detach(), words(hidden)
    kl = (p.exp() * (p - q)).sum(-1)
    kl.sum().backward()
    return kl.detach(), hidden.grad


def case(name):
    folder = ROOT / "Tests/Fixtures/parity" / name
    model = transformers.LlavaForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).double()
    rows = {k: v.double()[ROWS] for k, v in load_file(folder / "goldens/clean.safetensors").items() if k.startswith("text.") and k.endswith("resid_post")}
    last = max(int(k.split(".")[1]) for k in rows)
    words = model.get_input_embeddings().weight.detach()
    kl, gradient = divergence(model, rows["text.0.resid_post"], rows[f"text.{last}.resid_post"])
    return f"""    "{name}": Case(
      product: {swift(embedding_lens(rows['text.0.resid_post'], words, False))},
      cosine: {swift(embedding_lens(rows['text.0.resid_post'], words, True))},
      divergence: {swift(kl)},
      gradient: {swift(gradient)}),"""


cases = "\n".join(case(name) for name in ("mha", "tied"))
(ROOT / "Tests/ModelsTests/LensReference.swift").write_text(f"""// Reference values: transformers {transformers.__version__}, torch {torch.__version__}; made by
// Tools/probes/make_lens_reference.py from text.0.resid_post of the parity goldens (Tools/parity, seeded there). No Python is needed to
// run the tests.
// swift-format-ignore-file

enum LensReference {{
  struct Case {{
    /// Score, rank and log-probability of each id at each row, [rows, ids, 3], over the whole vocabulary, without the norm.
    let product: [Double], cosine: [Double]
    /// KL(last layer || layer 0) in nats over the first {KNOWN} ids, [rows], and its gradient, [rows, width].
    let divergence: [Double], gradient: [Double]
  }}
  static let rows = {ROWS}, ids = {IDS}, known = {KNOWN}
  static let cases = [
{cases}
  ]
}}
""")
