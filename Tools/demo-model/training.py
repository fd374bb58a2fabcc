"""The training stages in order, each made once: scenes, vision tower, and per seed and variant a decoder and a projector."""
from pathlib import Path

import torch

import align
import decoder
import scenes
import vision
from stage import stage

VARIANTS = {"compensating": True, "control": False}  # the value is `denoise`, the only difference between the two
SCENE_SEED, SCENES = 1, 24000
VISION_STEPS, DECODER_STEPS, PROJECTOR_STEPS = 1800, 800, 250


def shared(work):
    """(scenes, tower state dict, cached features) that every variant and seed uses."""
    data = stage(work / "scenes.pkl", lambda: scenes.build(SCENE_SEED, SCENES))
    tower, _ = stage(work / "vision.pkl", lambda: vision.run(data, 0, VISION_STEPS))
    features = stage(work / "features.pkl", lambda: align.cache_features(tower, data["pixels"][:align.IMAGES]))
    return data, tower, features


def pair(work, seed):
    """{variant: (decoder state dict, projector state dict)} for one seed; trains what is missing."""
    data, _, features = shared(work)
    trained = {}
    for variant, denoise in VARIANTS.items():
        language, _ = stage(work / f"decoder-{variant}-{seed}.pkl", lambda: decoder.run(data, seed, DECODER_STEPS, denoise))
        projector, _ = stage(work / f"projector-{variant}-{seed}.pkl",
                             lambda: align.run(data, features, language, seed, PROJECTOR_STEPS))
        trained[variant] = language, projector
    return trained


def minutes(work):
    """{stage name: cpu minutes on one thread} of the training stages on disk."""
    files = [path for path in sorted(Path(work).glob("*.pkl")) if path.stem.split("-")[0] in ("vision", "decoder", "projector")]
    return {path.stem: round(stage(path, None)[1] / 60, 1) for path in files}


def one_thread():
    """Training is reproducible on one thread and leaves the other cores alone."""
    torch.set_num_threads(1)
