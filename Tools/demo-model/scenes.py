"""Scenes as arrays: what the training stages read. A scene becomes pixels, patch words and a list of coloured parts."""
import numpy as np

import world

WORDS, PRIMS, COLOURS, OBJECTS = world.PART_WORDS, world.PRIMITIVES, list(world.COLOURS), world.OBJECT_NAMES


def label_patches(scene):
    """(instance [64] or -1): the instance that covers most of each patch, where it covers a quarter or more."""
    coverage = scene.coverage()
    best = coverage.argmax(0)
    return np.where(coverage.max(0) >= .25, best, -1)


def encode(scene):
    """One scene as a dict of small arrays.

    pixels [64,64,3] u8; word, prim, owner [64] u8 with 0 for background (1-based otherwise);
    objects [2] u8 (left, right; 1-based, 0 for none); parts [12,3] u8 (owner, word, colour; 1-based, zero rows pad).
    """
    instances = scene.instances
    index = label_patches(scene)
    column = lambda values: np.where(index < 0, 0, np.array(values)[index] + 1).astype(np.uint8)
    rows = dict.fromkeys((i.owner + 1, WORDS.index(i.word) + 1, COLOURS.index(i.colour) + 1) for i in instances)
    parts, objects = np.zeros((12, 3), np.uint8), np.zeros(2, np.uint8)
    parts[:len(rows)] = list(rows)
    objects[:len(scene.objects)] = [OBJECTS.index(name) + 1 for name in scene.objects]
    return {"pixels": scene.pixels, "word": column([WORDS.index(i.word) for i in instances]),
            "prim": column([PRIMS.index(i.primitive) for i in instances]),
            "owner": column([i.owner for i in instances]), "objects": objects, "parts": parts}


def build(seed, count):
    """Arrays of `count` scenes of the stream `seed`, stacked on the first axis."""
    rows = [encode(world.draw(seed, index)) for index in range(count)]
    return {key: np.stack([row[key] for row in rows]) for key in rows[0]}
