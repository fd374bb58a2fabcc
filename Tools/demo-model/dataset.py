"""Writes the held-out images with exact part masks as a Hugging Face ImageFolder (`metadata.jsonl`)."""
import json
import shutil
from pathlib import Path

import numpy as np
from PIL import Image

import text
import world

SEED, IMAGES, COVERAGE = 9, 300, .5


def parts_of(scene):
    """(mask [64,64] u8, entries): the parts that fill at least half of some patch, renumbered from 1."""
    mask, entries = np.zeros_like(scene.value_map), []
    for index, covered in enumerate(scene.coverage().max(1) >= COVERAGE):
        if covered:
            mask[scene.value_map == index + 1] = len(entries) + 1
            entries.append((scene.instances[index].word, len(entries) + 1))
    return mask, entries


def record(index, entries, name):
    """One line of metadata.jsonl."""
    mask = f"masks/{index:04}.png"
    return {"file_name": f"images/{index:04}.png", "id": f"parts-{index:04}", "prompt": text.PROMPT, "answer": name, "class": name,
            "parts": [{"label": word, "mask": mask, "value": value} for word, value in entries]}


def write(folder):
    """Draws the single-object scenes of stream SEED, which no training stage reads, beside `folder`, then renames."""
    folder = Path(folder)
    unfinished = folder.with_name(folder.name + ".part")
    shutil.rmtree(unfinished, ignore_errors=True)
    for kind in ("images", "masks"):
        (unfinished / kind).mkdir(parents=True)
    lines = []
    for index in range(IMAGES):
        scene = world.draw(SEED, index, single=True)
        mask, entries = parts_of(scene)
        Image.fromarray(scene.pixels).save(unfinished / f"images/{index:04}.png", optimize=True)
        Image.fromarray(mask).save(unfinished / f"masks/{index:04}.png", optimize=True)
        lines.append(json.dumps(record(index, entries, scene.objects[0])))
    (unfinished / "metadata.jsonl").write_text("\n".join(lines) + "\n")
    shutil.copy(Path(__file__).parent / "cards" / "dataset.md", unfinished / "README.md")
    shutil.rmtree(folder, ignore_errors=True)
    unfinished.rename(folder)
