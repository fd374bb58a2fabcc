"""A world of drawn objects whose parts are locally ambiguous, with exact part masks.

Every part is one of five primitives, and the primitive alone decides shape and hatch, which is all that
one 8x8 patch can show. A striped bar is a leg, a trunk or a mast by its surroundings only.
"""
from dataclasses import dataclass

import numpy as np

SIZE, PATCH, GRID = 64, 8, 8
PRIMITIVES = ["bar", "plank", "disc", "triangle", "block"]
COLOURS = {
    "red": (205, 50, 50), "green": (50, 160, 60), "blue": (60, 90, 210), "yellow": (225, 205, 50),
    "orange": (235, 140, 40), "purple": (140, 70, 170), "pink": (240, 140, 180), "brown": (130, 85, 50),
    "white": (235, 235, 235), "cyan": (70, 200, 205),
}

# object -> [(part word, primitive, probability that it is left out, boxes x0 y0 x1 y1 in the unit square)];
# a later part covers an earlier one.
OBJECTS = {
    "cat": [("tail", "bar", .2, [(.84, .22, .97, .62)]), ("leg", "bar", 0, [(.26, .68, .40, 1), (.72, .68, .86, 1)]),
            ("body", "block", 0, [(.22, .44, .90, .76)]), ("ear", "triangle", .1, [(.0, .0, .19, .2), (.29, .0, .48, .2)]),
            ("head", "disc", 0, [(.0, .14, .48, .58)])],
    "bird": [("claw", "bar", 0, [(.38, .74, .50, 1), (.60, .74, .72, 1)]), ("tail", "plank", .2, [(.74, .52, 1, .68)]),
             ("belly", "disc", 0, [(.26, .30, .86, .84)]), ("head", "disc", 0, [(.06, .04, .42, .42)]),
             ("wing", "triangle", .15, [(.46, .18, .84, .56)])],
    "fish": [("tail", "triangle", 0, [(.74, .30, 1, .76)]), ("fin", "triangle", .15, [(.38, .04, .66, .34)]),
             ("body", "block", 0, [(.30, .30, .80, .76)]), ("head", "disc", 0, [(.0, .28, .40, .78)])],
    "tree": [("root", "plank", .25, [(.16, .88, .84, 1)]), ("trunk", "bar", 0, [(.40, .52, .60, .92)]),
             ("crown", "disc", 0, [(.06, .0, .94, .60)])],
    "flower": [("stem", "bar", 0, [(.44, .36, .56, .74)]), ("leaf", "triangle", .25, [(.16, .46, .42, .68), (.58, .46, .84, .68)]),
               ("petal", "disc", 0, [(.20, .0, .48, .26), (.52, .0, .80, .26), (.36, .18, .64, .44)]),
               ("pot", "block", 0, [(.26, .72, .74, 1)])],
    "house": [("chimney", "bar", .3, [(.70, .02, .84, .34)]), ("wall", "block", 0, [(.10, .42, .90, 1)]),
              ("roof", "triangle", 0, [(.0, .06, 1, .46)]), ("door", "bar", .1, [(.40, .60, .58, 1)])],
    "boat": [("mast", "bar", 0, [(.44, .06, .55, .76)]), ("flag", "plank", .3, [(.55, .0, .84, .14)]),
             ("sail", "triangle", 0, [(.54, .20, .96, .70)]), ("hull", "plank", 0, [(.04, .74, .96, 1)])],
    "car": [("cabin", "block", 0, [(.24, .18, .76, .52)]), ("chassis", "plank", 0, [(.0, .50, 1, .78)]),
            ("wheel", "disc", 0, [(.10, .66, .38, .96), (.62, .66, .90, .96)])],
    "desk": [("leg", "bar", 0, [(.06, .28, .20, 1), (.80, .28, .94, 1)]), ("drawer", "block", .1, [(.52, .28, .80, .62)]),
             ("top", "plank", 0, [(.0, .10, 1, .30)])],
    "chair": [("leg", "bar", 0, [(.12, .60, .26, 1), (.70, .60, .84, 1)]), ("backrest", "block", 0, [(.10, .0, .44, .50)]),
              ("seat", "plank", 0, [(.08, .48, .92, .66)])],
    "lamp": [("pole", "bar", 0, [(.43, .34, .57, .90)]), ("base", "plank", 0, [(.18, .84, .82, 1)]),
             ("shade", "triangle", 0, [(.10, .0, .90, .42)])],
    "train": [("funnel", "bar", .1, [(.12, .10, .26, .46)]), ("boiler", "plank", 0, [(.0, .42, .60, .74)]),
              ("cab", "block", 0, [(.56, .12, 1, .74)]), ("wheel", "disc", 0, [(.04, .70, .30, 1), (.37, .70, .63, 1), (.70, .70, .96, 1)])],
    "mushroom": [("stalk", "bar", 0, [(.38, .44, .62, 1)]), ("cap", "triangle", 0, [(.04, .04, .96, .54)])],
    "rocket": [("flame", "disc", .2, [(.36, .80, .64, 1)]), ("fin", "triangle", 0, [(.06, .56, .36, .86), (.64, .56, .94, .86)]),
               ("fuselage", "block", 0, [(.32, .28, .68, .84)]), ("nose", "triangle", 0, [(.28, .0, .72, .32)])],
}
OBJECT_NAMES = list(OBJECTS)
PART_PRIMITIVES = sorted({(primitive, word) for parts in OBJECTS.values() for word, primitive, _, _ in parts},
                         key=lambda pair: (PRIMITIVES.index(pair[0]), pair[1]))
PART_WORDS = list(dict.fromkeys(word for _, word in PART_PRIMITIVES))


@dataclass
class Instance:
    """One drawn part: the object it belongs to (position in Scene.objects), its word, primitive and colour."""
    owner: int
    word: str
    primitive: str
    colour: str


@dataclass
class Scene:
    """pixels [64,64,3] u8; value_map [64,64] u8, 0 background, i+1 where instances[i] is visible; objects left to right."""
    pixels: np.ndarray
    value_map: np.ndarray
    instances: list
    objects: list

    def coverage(self):
        """[instances, 64]: share of each patch (raster order) that each instance covers."""
        onehot = self.value_map[None] == np.arange(1, len(self.instances) + 1)[:, None, None]
        cells = onehot.reshape(-1, GRID, PATCH, GRID, PATCH).mean((2, 4))
        return cells.reshape(len(self.instances), GRID * GRID)


YY, XX = np.mgrid[0:SIZE, 0:SIZE]


def shape(primitive, box):
    """[64,64] bool: the pixels of a primitive filling a pixel box."""
    x0, y0, x1, y1 = box
    inside = (XX >= x0) & (XX < x1) & (YY >= y0) & (YY < y1)
    u, v = (XX + .5 - x0) / (x1 - x0), (YY + .5 - y0) / (y1 - y0)
    if primitive == "disc":
        return inside & ((2 * u - 1) ** 2 + (2 * v - 1) ** 2 <= 1)
    if primitive == "triangle":
        return inside & (np.abs(2 * u - 1) <= v)
    return inside


def hatch(primitive, phase):
    """[64,64] bool: the texture that marks a primitive inside a single patch."""
    x, y = XX + phase[0], YY + phase[1]
    return {"bar": x % 4 < 2, "plank": y % 4 < 2, "disc": (x % 4 < 2) & (y % 4 < 2),
            "triangle": (x + y) % 4 < 2, "block": (x // 2 + y // 2) % 2 == 0}[primitive]


def background(rng):
    """[64,64,3] f64: a plain colour with a linear gradient."""
    slope = rng.uniform(-.4, .4, (2, 3))
    return rng.uniform(60, 200, 3) + (XX[..., None] - 32) * slope[0] + (YY[..., None] - 32) * slope[1]


def draw_object(rng, scene, name, owner, x, y, size):
    """Draws one object into the square at (x, y) and appends its instances; half of them are mirrored."""
    mirrored = rng.random() < .5
    for word, primitive, left_out, boxes in OBJECTS[name]:
        if rng.random() < left_out:
            continue
        colour = str(rng.choice(list(COLOURS)))
        for box in boxes:
            x0, y0, x1, y1 = np.array(box) + rng.uniform(-.03, .03, 4)
            x0, x1 = (1 - x1, 1 - x0) if mirrored else (x0, x1)
            width, height = max(x1 - x0, 6 / size), max(y1 - y0, 6 / size)
            pixels = np.round([x + x0 * size, y + y0 * size, x + (x0 + width) * size, y + (y0 + height) * size])
            where = shape(primitive, pixels)
            shade = np.where(hatch(primitive, rng.integers(0, 4, 2)), 1.0, .45)[..., None]
            scene.pixels[where] = (np.array(COLOURS[colour]) * rng.uniform(.85, 1.1) * shade)[where]
            scene.instances.append(Instance(owner, word, primitive, colour))
            scene.value_map[where] = len(scene.instances)


def draw(seed, index, single=False):
    """Scene number `index` of the stream `seed`: one object, or (30 %, unless `single`) two side by side."""
    rng = np.random.default_rng([seed, index])
    pair = not single and rng.random() < .3
    names = [str(name) for name in rng.choice(OBJECT_NAMES, 2 if pair else 1, replace=False)]
    scene = Scene(background(rng), np.zeros((SIZE, SIZE), np.uint8), [], names)
    for owner, name in enumerate(names):
        size = rng.uniform(28, 31.5) if pair else rng.uniform(38, 62)
        left = owner * 32 + rng.uniform(0, 32 - size) if pair else rng.uniform(0, SIZE - size)
        draw_object(rng, scene, name, owner, left, rng.uniform(0, SIZE - size), size)
    scene.pixels += rng.normal(0, rng.uniform(2, 9), scene.pixels.shape)
    scene.pixels = scene.pixels.clip(0, 255).astype(np.uint8)
    return scene
