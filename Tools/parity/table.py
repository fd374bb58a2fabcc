#!/usr/bin/env python3
"""Makes the table of docs/parity.md from the suite's own output; what stands below the table there is written by hand and kept:

    ABLATE_PARITY_TABLE=1 swift test -c release --skip-build --filter ParityTests | python3 Tools/parity/table.py
"""

import pathlib
import sys
from collections import defaultdict

ORDER = (
  "embed resid_pre q k v rot_q rot_k attn_scores pattern z attn_out resid_mid mlp_pre mlp_post mlp_out resid_post "
  "in mid out final_norm logits"
).split()

CASES = {
  "mha": "llava, llama", "gqa": "llava, llama", "tied": "llava, llama", "bf16": "llava, llama", "f16": "llava, llama",
  "mistral": "llava, mistral", "vip": "vipllava, llama", "next_llama": "llava_next, llama",
  "next_mistral": "llava_next, mistral",
}  # fmt: skip
"""What each case is a checkpoint of; the order of the columns."""


PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "parity.md"
END = "Made by Tools/parity/table.py.\n"


def main():
  worst, variants = defaultdict(float), defaultdict(set)
  for line in sys.stdin:
    if "PARITY |" not in line:
      continue
    _, case, variant, point, difference = [part.strip() for part in line.split("|")]
    parts = point.split(".")
    row = ("text" if point == "logits" else parts[0], parts[-1])
    variants[case].add(variant)
    worst[row, case] = max(worst[row, case], float(difference))
  columns = [case for case in CASES if case in variants]
  if not columns:
    sys.exit("no line with PARITY on standard input: see the docstring")
  rows = sorted({row for row, _ in worst}, key=lambda r: (["vision", "projector", "text"].index(r[0]), ORDER.index(r[1])))
  cells = {row: [f"{worst[row, c]:.1e}" if (row, c) in worst else "" for c in columns] for row in rows}
  lines = [
    "# Parity with Hugging Face transformers\n",
    "max|a-b| / max|b|, f32, small random checkpoints (Tools/parity/README.md says what each covers), against transformers",
    "5.23.0 eager: the largest over the layers of a site and over the variants of a checkpoint (clean, vision attention cut,",
    "image-to-image attention of the decoder cut). Masked positions agree exactly; 16 greedy tokens are equal id by id, clean",
    "and with the decoder cut. The suite's tolerance is 1e-5; each of the seeded faults exceeds it a hundredfold. A blank was",
    "not stored in that checkpoint's golden files.\n",
    "| | " + " | ".join(columns) + " |",
    "|---" * (len(columns) + 1) + "|",
    "| architecture | " + " | ".join(CASES[case] for case in columns) + " |",
    "| variants | " + " | ".join(", ".join(sorted(variants[case])) for case in columns) + " |",
    *(f"| {tower}.{site} | " + " | ".join(cells[tower, site]) + " |" for tower, site in rows),
    f"\nLargest of all: {max(worst.values()):.1e}. {END}",
  ]
  PAGE.write_text("\n".join(lines) + PAGE.read_text().partition(END)[2])


if __name__ == "__main__":
  main()
