"""What a plugin in Python is written with; docs/plugins.md shows one.

A plugin is a file with a class `Plugin`. Its methods are called one at a time, in a process of their own:

    __init__(host, model, parameters)   parameters by name, checked against plugin.json; a tensor is an array
    plan(item)                          once with None: a list of Access, Edit and Reading, or PER_ITEM, to be asked for every item
    begin_lane(lane, item)              optional
    on_event(event)                     needed for Access: event.slices have views, which are arrays of float32
    end_lane(lane, readings)            optional; the answers to the plan's readings, columns by name
    begin, batch, end, predict, save, load    of a probe that learns, see below

An exception fails the lane, with its words and the lines where it happened. A view that may only be read cannot be written. No view may
be kept: its memory is used again. A probe that learns (its plan asks for Reading("capture", ...)) has

    begin(features, classes)            forgets; how many there are of each
    batch(features, classes, images)    rows of float32, the class and the image of each by number; one call or several
    end()                               learns
    predict(features)                   log-probabilities, [rows, classes]
    save() -> bytes, load(bytes)        what was learned
"""
from dataclasses import dataclass, field
from typing import Any, List, Optional, Sequence, Union

PER_ITEM = "per item"
Rows = Union[str, Sequence[int]]


@dataclass
class Access:
    """Rows that on_event wants to see or, with write=True, to change. Towers, sites: docs/hook-points.md; layers and tokens are
    selectors (docs/selectors.md), tokens may be a list of rows; heads: None is all."""
    tower: str
    site: str
    layers: Union[str, int] = "all"
    tokens: Rows = "all"
    heads: Optional[Sequence[int]] = None
    write: bool = False


@dataclass
class Edit:
    """An ablation said as data. op, as in a manifest: drop, keep_only, bias, zero (edges; site is None), scale, set, add, patch.
    queries are the tokens of the last four."""
    op: str
    tower: str
    site: Optional[str] = None
    layers: Union[str, int] = "all"
    heads: Optional[Sequence[int]] = None
    queries: Rows = "all"
    keys: Rows = "all"
    value: float = 0.0
    vector: Any = None
    source_condition: Optional[str] = None
    source_item: Optional[str] = None
    source_layer: Optional[int] = None
    keep_self: bool = False
    on_empty: str = "error"  # self, zero


@dataclass
class Reading:
    """A probe's question said as data. op: lens, mass, capture. Of a capture tokens=None is of each label the mask of its name."""
    op: str
    tower: str
    site: str
    layers: Union[str, int] = "all"
    tokens: Optional[str] = None
    keys: str = "all"
    labels: str = ""
    normed: bool = True
    ties: str = "mean"  # best
    vocabulary: Optional[range] = None
    forms: Sequence[str] = ("spaced",)  # bare, capital, plural
    pieces: str = "exclude"  # first, min, mean
    top: int = 0
    embedding: bool = False  # a lens against the input embeddings
    cosine: bool = False


@dataclass
class Slice:
    """One lane's part of an event. rows are absolute positions; view has them, and the heads, in their order."""
    lane: int
    access: int  # in the plan
    view: Any
    rows: List[int]
    heads: List[int]
    first_key: int
    keys: int
    is_last_block: bool


@dataclass
class Event:
    """A visit of a hook point, with all lanes' slices. phase: vision, projector, prefill, decode; layer is None at sites without."""
    phase: str
    layer: Optional[int]
    step: int
    tower: str
    site: str
    slices: List[Slice] = field(default_factory=list)


@dataclass
class Segment:
    kind: str  # prefix, image, question, generated
    first: int
    count: int
    image: int
    tile: int
    rows: int
    cols: int
    box: Any  # in source pixels: left, top, right, bottom


@dataclass
class Label:
    field: str
    text: str
    ids: List[int]


@dataclass
class Mask:
    name: str
    rows: Any
    coverage: Any


@dataclass
class Item:
    index: int
    id: str
    condition: str
    tokens: Any
    segments: List[Segment]
    labels: List[Label]
    masks: List[Mask]
    meta: dict


@dataclass
class Model:
    family: str
    digest: str
    text_layers: int
    text_heads: int
    text_kv_heads: int
    text_head_width: int
    text_width: int
    text_mlp_width: int
    vision_layers: int
    vision_heads: int
    vision_head_width: int
    vision_width: int
    patch_rows: int
    patch_cols: int
    image_size: int
    feature_layer: int
    vocabulary: int
    known_vocabulary: int
