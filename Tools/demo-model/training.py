"""The training stages in order, each made once: scenes, vision tower, and per seed and variant a decoder and a projector."""
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import LlamaConfig

import align
import decoder
import scenes
import vision
from stage import stage



@dataclass(frozen=True)
class Variant:
    """What a model is trained for: whether its decoder must restore corrupted words, and the decoder's shape."""
    denoise: bool
    config: LlamaConfig


PAIR = {"compensating": Variant(True, decoder.TIED), "control": Variant(False, decoder.TIED)}  # `denoise` is their only difference
VARIANTS = PAIR | {"grouped": Variant(True, decoder.GROUPED)}
TOWER = "vision_tower.vision_model."
SCENE_SEED, SCENES = 1, 24000
VISION_STEPS, DECODER_STEPS, PROJECTOR_STEPS = 1800, 800, 250


def adopt_tower(work, checkpoint):
    """Makes the vision tower of a checkpoint folder the stage `vision`, so that new decoders read the very tower that is shipped."""
    weights = load_file(Path(checkpoint) / "model.safetensors")
    tower = {key.removeprefix(TOWER): value.float() for key, value in weights.items() if key.startswith(TOWER)}
    stage(work / "vision.pkl", lambda: (tower, None))


def shared(work):
    """(scenes, tower state dict, cached features) that every variant and seed uses."""
    data = stage(work / "scenes.pkl", lambda: scenes.build(SCENE_SEED, SCENES))
    tower, _ = stage(work / "vision.pkl", lambda: vision.run(data, 0, VISION_STEPS))
    features = stage(work / "features.pkl", lambda: align.cache_features(tower, data["pixels"][:align.IMAGES]))
    return data, tower, features


def trained(work, seed, variants):
    """{variant: (decoder state dict, projector state dict)} for one seed; trains what is missing."""
    data, _, features = shared(work)
    models = {}
    for name in variants:
        variant = VARIANTS[name]
        language, _ = stage(work / f"decoder-{name}-{seed}.pkl",
                            lambda: decoder.run(data, seed, DECODER_STEPS, variant.denoise, variant.config))
        projector, _ = stage(work / f"projector-{name}-{seed}.pkl",
                             lambda: align.run(data, features, language, variant.config, seed, PROJECTOR_STEPS))
        models[name] = language, projector
    return models


def minutes(work):
    """{stage name: cpu minutes on one thread} of the training stages on disk; a tower that was taken over took none."""
    files = [path for path in sorted(Path(work).glob("*.pkl")) if path.stem.split("-")[0] in ("vision", "decoder", "projector")]
    seconds = {path.stem: stage(path, None)[1] for path in files}
    return {stem: round(value / 60, 1) for stem, value in seconds.items() if value is not None}


def one_thread():
    """Training is reproducible on one thread and leaves the other cores alone."""
    torch.set_num_threads(1)
