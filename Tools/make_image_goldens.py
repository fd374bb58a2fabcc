#!/usr/bin/env python3
"""Writes the pictures and golden digests that Tests/CheckpointsTests/ImageTests.swift holds Ablate against.

    /root/ablate-venv/bin/python Tools/make_image_goldens.py [--torchvision] [--photos FOLDER]

The truth is CLIPImageProcessorPil of the transformers that runs this (written down in goldens.json with Pillow's
version). The photographs are scikit-image's (astronaut: NASA, public domain; chelsea, coffee: CC0; rocket: SpaceX,
public domain), fetched as a wheel from PyPI once and kept in ~/.cache/ablate. --torchvision also prints how far the
torchvision processor, transformers 5's default, is from the PIL one. --photos adds a folder of pictures (searched
for JPEG, PNG and WebP) to that comparison and prints every golden of theirs as JSON lines instead of writing fixtures.
"""

import argparse
import hashlib
import io
import json
import pathlib
import struct
import subprocess
import sys
import zipfile
import zlib

import numpy as np
import PIL
import transformers
from PIL import Image
from transformers.image_transforms import center_crop
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

SEED = 20261124
FIXTURES = pathlib.Path(__file__).parent.parent / "Tests/CheckpointsTests/Fixtures/images"
CACHE = pathlib.Path.home() / ".cache/ablate"
WHEEL = "scikit-image==0.26.0"

HALF = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
CONFIGS = {
    # As LLaVA-1.5's own file says it.
    "llava-336": {
        "crop_size": {"height": 336, "width": 336}, "do_center_crop": True, "do_convert_rgb": True,
        "do_normalize": True, "do_rescale": True, "do_resize": True,
        "image_mean": [0.48145466, 0.4578275, 0.40821073], "image_processor_type": "CLIPImageProcessor",
        "image_std": [0.26862954, 0.26130258, 0.27577711], "processor_class": "LlavaProcessor", "resample": 3,
        "rescale_factor": 0.00392156862745098, "size": {"shortest_edge": 336},
    },
    "defaults-224": {},
    "half-64": {"size": 64, "crop_size": 64, **HALF},
    "padded-lanczos": {"size": {"shortest_edge": 50}, "crop_size": {"height": 63, "width": 80}, "resample": 1},
    "exact-bilinear": {"size": {"height": 97, "width": 128}, "do_center_crop": False, "resample": 2, **HALF},
    "unresized": {"do_resize": False, "crop_size": [65, 64], "do_normalize": False},
    "unscaled": {"size": 40, "crop_size": 32, "do_rescale": False, "image_mean": 120.0, "image_std": [60, 61, 62]},
}
# Those whose settings are in processor_config.json.
NESTED = {"half-64", "exact-bilinear"}


def photographs():
    """The wheel's photographs by name, as RGB arrays."""
    folder = CACHE / "scikit-image"
    if not list(folder.glob("*.whl")):
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--dest", str(folder), WHEEL]
        subprocess.run(command, check=True)
    wheel = zipfile.ZipFile(next(folder.glob("*.whl")))
    names = {"astronaut": "png", "chelsea": "png", "coffee": "png", "rocket": "jpg"}
    return {
        name: np.array(Image.open(io.BytesIO(wheel.read(f"skimage/data/{name}.{kind}"))).convert("RGB"))
        for name, kind in names.items()
    }


def png(samples, depth, colour_type, chunks=(), interlaced=False, size=None):
    """A PNG of `samples` [height, width, channels] as they are, in the kinds that Pillow cannot write."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    def rows(part):
        for row in part.reshape(part.shape[0], -1):
            if depth == 16:
                yield b"\0" + row.astype(">u2").tobytes()
            else:
                bits = np.unpackbits(row.astype(np.uint8)[:, None], axis=1)[:, 8 - depth:]
                yield b"\0" + np.packbits(bits.reshape(-1)).tobytes()

    adam7 = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    passes = [samples[y::dy, x::dx] for y, x, dy, dx in adam7] if interlaced else [samples]
    data = b"".join(row for part in passes if part.size for row in rows(part))
    width, height = size or (samples.shape[1], samples.shape[0])
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, int(interlaced))
    body = [chunk(b"IHDR", header), *(chunk(kind, data) for kind, data in chunks)]
    return b"".join([b"\x89PNG\r\n\x1a\n", *body, chunk(b"IDAT", zlib.compress(data, 9)), chunk(b"IEND", b"")])


def encoded(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def pictures(photos, rng):
    """File name to bytes: every kind of JPEG, PNG and WebP, sizes on both sides of the crops, extreme aspects."""
    astronaut, chelsea, coffee, rocket = (photos[name] for name in ("astronaut", "chelsea", "coffee", "rocket"))
    jpeg = lambda array, **options: encoded(Image.fromarray(array), "JPEG", **options)
    yield "astronaut-444.jpg", jpeg(astronaut[:360, 60:361], quality=88, subsampling=0)
    yield "chelsea-420.jpg", jpeg(chelsea, quality=85, subsampling=2)
    yield "rocket-progressive-422.jpg", jpeg(rocket, quality=75, subsampling=1, progressive=True)
    yield "coffee-grey.jpg", encoded(Image.fromarray(coffee).convert("L"), "JPEG", quality=75)
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation, which nobody here applies
    yield "coffee-rotated.jpg", jpeg(coffee[100:300, 150:401], quality=60, exif=exif)
    # More than twice as high as wide: Pillow 13 shrinks these downwards first, older ones did not.
    yield "rocket-tall.jpg", jpeg(rocket[:, 230:383], quality=80)
    yield "rocket-strip.jpg", jpeg(rocket[200:205], quality=90)
    yield "astronaut-thread.png", encoded(Image.fromarray(astronaut[:300, 250:253]), "PNG")
    yield "astronaut-small.png", encoded(Image.fromarray(astronaut[60:113, 200:237]), "PNG")
    yield "astronaut-pixel.png", encoded(Image.fromarray(astronaut[100:101, 220:221]), "PNG")
    yield "chelsea-grey.png", encoded(Image.fromarray(chelsea).convert("L").crop((100, 50, 231, 147)), "PNG")
    alpha = np.clip(np.add.outer(np.arange(71) * 2, np.arange(90) * 2) - 40, 0, 255)
    part = chelsea[90:161, 120:210]
    yield "chelsea-rgba.png", encoded(Image.fromarray(np.dstack([part, alpha]).astype(np.uint8)), "PNG")
    yield "chelsea-la.png", encoded(Image.fromarray(np.dstack([part[..., 1], alpha]).astype(np.uint8)), "PNG")
    palette = Image.fromarray(coffee[80:200, 100:283]).quantize(200)
    yield "coffee-palette.png", encoded(palette, "PNG")
    yield "coffee-palette-alpha.png", encoded(palette, "PNG", transparency=bytes(rng.integers(0, 256, 150).tolist()))
    yield "coffee-palette-key.png", encoded(palette, "PNG", transparency=3)
    yield "coffee-palette-4bit.png", encoded(palette.quantize(16), "PNG", bits=4)
    grey = np.array(Image.fromarray(part).convert("L"))[..., None]
    yield "grey-1bit-key.png", png(grey >> 7, 1, 0, [(b"tRNS", struct.pack(">H", 1))], interlaced=True)
    yield "grey-2bit.png", png(grey >> 6, 2, 0, [(b"tRNS", struct.pack(">H", 2))])
    yield "grey-4bit-interlaced.png", png(grey[:, :33] >> 4, 4, 0, interlaced=True)
    key = struct.pack(">HHH", *part[35, 45].tolist())
    yield "rgb-key-interlaced.png", png(part[20:51, 30:60], 8, 2, [(b"tRNS", key)], interlaced=True)
    deep = part[:40, :50].astype(int) * 256 + rng.integers(0, 256, (40, 50, 3))
    yield "rgb-16bit.png", png(deep, 16, 2)
    webp = lambda array, **options: encoded(Image.fromarray(array), "WEBP", **options)
    yield "chelsea-lossy.webp", webp(chelsea[20:221, 30:331], quality=60)
    yield "coffee-lossless.webp", webp(coffee[120:183, 200:287], lossless=True)
    veiled = np.dstack([part, alpha]).astype(np.uint8)
    yield "chelsea-alpha.webp", webp(veiled, quality=50)
    yield "chelsea-alpha-lossless.webp", webp(veiled[:40], lossless=True)
    yield "la-16bit.png", png(np.dstack([deep[..., 0], alpha[:40, :50] * 256 + 17]), 16, 4, interlaced=True)


def masks(rng):
    labels = rng.integers(0, 5, (9, 13)).repeat(7, 0).repeat(5, 1)[..., None]
    colours = (b"PLTE", bytes(range(15)))
    yield "mask-palette.png", png(labels, 8, 3, [colours])
    yield "mask-palette-4bit-interlaced.png", png(labels, 4, 3, [colours], interlaced=True)
    yield "mask-1bit.png", png(labels > 2, 1, 0)
    yield "mask-grey.png", png(labels * 50, 8, 0)


def refused(photos):
    """What the decoders must refuse by name."""
    yield "cmyk.jpg", encoded(Image.fromarray(photos["coffee"][:40, :40]).convert("CMYK"), "JPEG")
    frames = [Image.fromarray(photos["coffee"][y:y + 24, :30]) for y in (0, 30)]
    yield "moving.webp", encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:])
    yield "grey-16bit.png", png(np.arange(12).reshape(3, 4, 1) * 999, 16, 0)
    yield "bomb.png", png(np.zeros((1, 1, 1), int), 1, 0, size=(20000, 20000))
    yield "palette-beyond.png", png(np.arange(4).reshape(2, 2, 1), 8, 3, [(b"PLTE", bytes(range(9)))])


def sha256(array):
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def write_processors():
    """One checkpoint folder per configuration, as transformers writes them: flat before version 5, nested since."""
    for name, config in CONFIGS.items():
        folder = FIXTURES / "processors" / name
        folder.mkdir(parents=True, exist_ok=True)
        flat, nested = config, {"processor_class": "LlavaProcessor", "patch_size": 14}
        if name in NESTED:
            # transformers prefers the nested settings to a flat file that says something else.
            flat, nested = {"size": 7}, {**nested, "image_processor": config}
        (folder / "preprocessor_config.json").write_text(json.dumps(flat, indent=1) + "\n")
        (folder / "processor_config.json").write_text(json.dumps(nested, indent=1) + "\n")


def golden(data):
    """Digests of one picture: decoded to RGB, and preprocessed by each configuration."""
    image = Image.open(io.BytesIO(data))
    values = {}
    for name in CONFIGS:
        processor = CLIPImageProcessorPil.from_pretrained(FIXTURES / "processors" / name)
        output = processor(image, return_tensors="np")["pixel_values"]
        assert output.dtype == np.float32, (name, output.dtype)
        values[name] = sha256(output)
    rgb = CLIPImageProcessorPil().process_image(image, do_convert_rgb=True)
    return {
        "width": image.width, "height": image.height, "rgb": sha256(np.moveaxis(rgb, 0, -1)), "pixel_values": values
    }


def mask_golden(data, patch=8):
    """Digest of the stored samples, and patch coverage by Pillow's own nearest-neighbour resize."""
    image = Image.open(io.BytesIO(data))
    samples = np.array(image).astype(np.uint8)
    height, width = samples.shape
    covered = {}
    for edge, crop_height, crop_width in ((64, 64, 64), (40, 48, 72)):
        size = (edge, edge * height // width) if width <= height else (edge * width // height, edge)
        resized = np.array(Image.fromarray(samples).resize(size, Image.Resampling.NEAREST))
        # Outside is -1, which is no label.
        input_ = center_crop(resized[None].astype(np.int64) + 1, (crop_height, crop_width), "channels_first",
                             input_data_format="channels_first")[0] - 1
        patches = input_.reshape(crop_height // patch, patch, crop_width // patch, patch)
        for value in (None, 1, 4):
            inside = patches > 0 if value is None else patches == value
            covered[f"{edge} {crop_height} {crop_width} {patch} {'any' if value is None else value}"] = (
                inside.mean((1, 3)).astype(np.float32).ravel().tolist())
    return {"width": width, "height": height, "samples": sha256(samples), "coverage": covered}


def torchvision_difference(data):
    """At LLaVA's 336: the share of 8-bit values that differ, the largest difference in grey levels; and of the
    normalised values whose grey level is the same, the share whose bits differ and by how much at most."""
    from transformers.models.clip.image_processing_clip import CLIPImageProcessor

    image = Image.open(io.BytesIO(data))
    levels, values = [], []
    for processor in (CLIPImageProcessorPil, CLIPImageProcessor):
        config = CONFIGS["llava-336"]
        bare = {**config, "do_rescale": False, "do_normalize": False}
        levels.append(processor(**bare)(image, return_tensors="np")["pixel_values"].astype(int))
        values.append(processor(**config)(image, return_tensors="np")["pixel_values"])
    same = levels[0] == levels[1]
    rest = abs(values[0] - values[1])[same]
    return float((~same).mean()), int(abs(levels[0] - levels[1]).max()), float((rest > 0).mean()), float(rest.max())


def print_torchvision(files):
    rows = [(name, *torchvision_difference(data)) for name, data in files]
    for name, share, largest, _, _ in rows:
        print(f"{name:32s} {share:7.2%} of values differ, by {largest} levels at most")
    shares = [row[1] for row in rows]
    print(f"{len(rows)} pictures: mean share {np.mean(shares):.2%}, median {np.median(shares):.2%}, "
          f"most {max(shares):.2%}; largest difference {max(row[2] for row in rows)} of 255 levels. Where the level "
          f"is the same, {np.mean([row[3] for row in rows]):.0%} of normalised values differ in their last bits, by "
          f"{max(row[4] for row in rows):.1e} at most")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--torchvision", action="store_true")
    parser.add_argument("--photos", type=pathlib.Path)
    options = parser.parse_args()
    if options.photos:
        paths = sorted(path for path in options.photos.rglob("*") if path.suffix in (".jpg", ".jpeg", ".png", ".webp"))
        if options.torchvision:
            print_torchvision([(path.name, path.read_bytes()) for path in paths])
        else:
            for path in paths:
                print(json.dumps({"path": str(path), **golden(path.read_bytes())}))
        return
    rng = np.random.default_rng(SEED)
    photos = photographs()
    files, mask_files = dict(pictures(photos, rng)), dict(masks(rng))
    if options.torchvision:
        return print_torchvision(files.items())
    write_processors()
    for name, data in (*files.items(), *mask_files.items(), *refused(photos)):
        (FIXTURES / name).write_bytes(data)
    goldens = {
        "about": "made by Tools/make_image_goldens.py",
        "versions": {
            "transformers": transformers.__version__, "Pillow": PIL.__version__, "numpy": np.__version__,
            "photographs": WHEEL,
        },
        "seed": SEED,
        "configs": list(CONFIGS),
        "images": {name: golden(data) for name, data in files.items()},
        "masks": {name: mask_golden(data) for name, data in mask_files.items()},
    }
    (FIXTURES / "goldens.json").write_text(json.dumps(goldens, indent=1) + "\n")
    total = sum(path.stat().st_size for path in FIXTURES.rglob("*") if path.is_file())
    print(f"{len(files)} pictures, {len(mask_files)} masks, {total} bytes in {FIXTURES}")


if __name__ == "__main__":
    main()
