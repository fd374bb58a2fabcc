#!/usr/bin/env python3
"""Draws small sources in the formats that `ablate data import` reads, and what their own tools make of them.

    .venv/bin/python Tools/data/make_fixtures.py

Needs numpy, pillow, tifffile, pycocotools and panoptic_parts (requirements.txt here). Writes Tests/DatasetsTests/
Fixtures. The truth of a COCO mask is pycocotools' annToMask, that of a Panoptic Parts label is decode_uids with the
dataset's own specification. Everything is drawn from one seed; no picture of either dataset is used.
"""

import hashlib
import importlib.metadata
import json
import pathlib
import platform

import numpy as np
import tifffile
from PIL import Image, ImageDraw

platform.python_version = lambda: "3.9"  # panoptic_parts 2.0rc6 reads "3.11.2" as 3.1, which it finds too old
from panoptic_parts.specs.dataset_spec import DatasetSpec
from panoptic_parts.utils.format import decode_uids
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

SEED = 20261126
FIXTURES = pathlib.Path(__file__).parent.parent.parent / "Tests/DatasetsTests/Fixtures"
SIZES = [(96, 72), (61, 83), (75, 50)]  # width, height


def sha256(mask):
    return hashlib.sha256(np.ascontiguousarray(mask).astype(np.uint8).tobytes()).hexdigest()


def photograph(size, rng, path):
    width, height = size
    small = rng.integers(0, 256, (4, 5, 3), dtype=np.uint8)
    Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC).save(path, quality=85)


# --- PASCAL Panoptic Parts


def uid_drawing(size, shapes):
    """Ellipses of universal ids, later ones over earlier ones, as an int32 label map."""
    image = Image.new("I", size, 0)
    draw = ImageDraw.Draw(image)
    for uid, box in shapes:
        draw.ellipse(box, fill=uid)
    return np.array(image, dtype=np.int32)


PPP = {
    # Two cats (8), one of them with parts on both sides, grass (51) around, an unlabelled hole.
    "training/2008_000001": [
        (51, (0, 0, 95, 71)), (8001, (4, 8, 50, 64)), (800101, (8, 10, 30, 32)), (800104, (9, 10, 15, 16)),
        (800105, (22, 10, 28, 16)), (800107, (20, 30, 46, 60)), (800109, (22, 50, 28, 64)),
        (800111, (32, 50, 38, 64)), (800117, (44, 30, 56, 36)), (800201, (70, 20, 90, 40)), (8003, (66, 50, 80, 66)),
        (0, (84, 60, 94, 70)),
    ],
    # An aeroplane (1) with three engines and two wheels, a car (7) with doors and windows, a chair (9) without parts.
    "training/2008_000002": [
        (100101, (4, 10, 56, 40)), (100103, (10, 4, 24, 20)), (100104, (30, 4, 44, 20)), (100106, (12, 28, 18, 34)),
        (100107, (24, 28, 30, 34)), (100115, (36, 28, 42, 34)), (100116, (20, 36, 25, 41)), (100125, (34, 36, 39, 41)),
        (700403, (6, 46, 50, 76)), (700410, (10, 52, 20, 66)), (700419, (24, 52, 34, 66)), (700440, (12, 48, 18, 54)),
        (700459, (26, 48, 32, 54)), (700408, (40, 60, 46, 64)), (9005, (52, 60, 60, 80)),
    ],
    # No instance at all.
    "validation/2008_000003": [(97, (0, 0, 74, 30)), (78, (0, 30, 74, 49))],
}


def panoptic_parts():
    spec = DatasetSpec(str(importlib.metadata.distribution("panoptic_parts").locate_file(
        "panoptic_parts/specs/dataset_specs/ppp_datasetspec.yaml")))
    goldens = {}
    for (name, shapes), size, compression in zip(PPP.items(), SIZES, ("lzw", "zlib", None)):
        labels = uid_drawing(size, shapes)
        path = FIXTURES / "ppp/labels" / f"{name}.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        if compression == "lzw":
            Image.fromarray(labels).save(path, compression="tiff_lzw")
        else:
            tifffile.imwrite(path, labels, rowsperstrip=16, metadata=None, software=None, compression=compression)
        sids, iids, pids = decode_uids(labels, experimental_dataset_spec=spec)
        parts = {}
        for sid, iid, pid in sorted({(s, i, p) for s, i, p in zip(sids.flat, iids.flat, pids.flat) if p > 0}):
            where = (sids == sid) & (iids == iid) & (pids == pid)
            label = spec.scene_class_part_class_from_sid_pid(int(sid) * 100 + int(pid))[1]
            parts[f"{spec.sid2scene_class[int(sid)]} {iid} {label}"] = {
                "area": int(where.sum()), "sha256": sha256(where)
            }
        goldens[name] = parts
    return goldens


# --- COCO instances


def polygon(rng, size, corners, spread, clip=True):
    """Corners around a centre, to two digits as COCO has them."""
    width, height = size
    angles = np.sort(rng.uniform(0, 2 * np.pi, corners))
    radii = rng.uniform(0.3, 1, corners) * spread
    x, y = width * rng.uniform(0.3, 0.7) + radii * np.cos(angles), height * rng.uniform(0.3, 0.7) + radii * np.sin(angles)
    if clip:
        x, y = x.clip(0, width), y.clip(0, height)
    return [round(float(value), 2) for value in np.stack([x, y], 1).ravel()]


def segmentations(rng, size):
    """Every kind of segmentation for one picture: polygons first, then both spellings of run lengths."""
    width, height = size
    for corners, spread in ((3, 20), (5, 30), (9, 40), (24, 25), (60, 45)):
        yield [polygon(rng, size, corners, spread)], 0
    yield [polygon(rng, size, 12, 90, clip=False)], 0  # beyond the picture on all sides
    yield [polygon(rng, size, 7, 15), polygon(rng, size, 6, 12), polygon(rng, size, 5, 20)], 0  # several pieces
    yield [[10, 10, 30, 10, 30, 25, 10, 25]], 0  # whole pixels
    yield [[10.5, 10.5, 30.5, 10.5, 30.5, 25.5, 10.5, 25.5]], 0
    yield [[3, 3, 3, 3, 20.2, 3, 20.2, 3, 11, 18.7]], 0  # corners that repeat
    yield [[2, 2, 30, 30, 30, 2, 2, 30]], 0  # a bow tie
    yield [[5, 5, 40, 5.4, 5, 5.2]], 0  # a sliver
    yield [[0, 0, width, 0, width, height, 0, height]], 0  # the whole picture
    noise = np.asfortranarray(rng.random((height, width)) < 0.4, dtype=np.uint8)
    blocks = np.asfortranarray(np.kron(rng.random((height // 8 + 1, width // 8 + 1)) < 0.5, np.ones((8, 8)))
                               [:height, :width].astype(np.uint8))
    for mask in (noise, blocks, np.asfortranarray(np.zeros_like(noise)), np.asfortranarray(np.ones_like(noise))):
        runs, value = [0], 0
        for pixel in mask.ravel(order="F"):
            if pixel != value:
                runs.append(0)
                value = pixel
            runs[-1] += 1
        yield {"size": [height, width], "counts": [int(run) for run in runs]}, 1
        yield {"size": [height, width], "counts": coco_mask.encode(mask)["counts"].decode()}, int(mask is blocks)


def coco(rng):
    categories = [{"id": 3, "name": "bicycle:wheel"}, {"id": 7, "name": "bicycle"}, {"id": 90, "name": "dog:tail"}]
    images, annotations = [], []
    for index, size in enumerate(SIZES):
        images.append({"id": 100 + index, "file_name": f"val/{index:06d}.jpg", "width": size[0], "height": size[1]})
        for segmentation, crowd in segmentations(rng, size):
            number = len(annotations) + 1
            annotations.append({
                "id": number, "image_id": 100 + index, "category_id": [3, 7, 90][number % 3], "iscrowd": crowd,
                "segmentation": segmentation, "area": 0.0, "bbox": [0, 0, 1, 1],
            })
    annotations.append({**annotations[0], "id": len(annotations) + 1, "image_id": 999})  # a picture that is not listed
    folder = FIXTURES / "coco"
    folder.mkdir(parents=True, exist_ok=True)
    order = rng.permutation(len(annotations))
    content = {"info": {"description": "drawn by Tools/data/make_fixtures.py, \"quoted\" {[ \\ "},
               "annotations": [annotations[index] for index in order], "images": images, "categories": categories}
    (folder / "instances.json").write_text(json.dumps(content) + "\n")
    tool = COCO(str(folder / "instances.json"))
    goldens = {}
    for annotation in annotations[:-1]:
        mask = tool.annToMask(annotation)
        area = int(coco_mask.area(tool.annToRLE(annotation)))
        assert area == mask.sum()
        goldens[str(annotation["id"])] = {"area": area, "sha256": sha256(mask)}
    return goldens


def main():
    rng = np.random.default_rng(SEED)
    for folder in ("ppp/JPEGImages", "coco/images/val"):
        (FIXTURES / folder).mkdir(parents=True, exist_ok=True)
    for name, size in zip(PPP, SIZES):
        photograph(size, rng, FIXTURES / "ppp/JPEGImages" / f"{pathlib.Path(name).name}.jpg")
    for index, size in enumerate(SIZES):
        photograph(size, rng, FIXTURES / f"coco/images/val/{index:06d}.jpg")
    versions = {name: importlib.metadata.version(name)
                for name in ("numpy", "pillow", "tifffile", "pycocotools", "panoptic_parts")}
    goldens = {"about": "made by Tools/data/make_fixtures.py", "versions": versions, "seed": SEED,
               "ppp": panoptic_parts(), "coco": coco(rng)}
    (FIXTURES / "goldens.json").write_text(json.dumps(goldens, indent=1) + "\n")
    print(sum(path.stat().st_size for path in FIXTURES.rglob("*") if path.is_file()), "bytes in", FIXTURES)


if __name__ == "__main__":
    main()
