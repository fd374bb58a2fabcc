# The executor of plugins in Python: speaks with the host as Sources/PluginRuntime/Worker does, over descriptors 3 (socket), 4 (shared
# memory) and 5 (the plugin's checked bytes). Behind ablate_plugin.py, which is in the same text.
import ctypes
import json
import linecache
import mmap
import os
import socket
import struct
import sys
import traceback

HELD, FILTER = sys.argv[1].split(","), bytes.fromhex(sys.argv[2])


def close_in():
    """The seccomp filter of ablate-worker, which had to start this interpreter first."""
    text = ctypes.create_string_buffer(FILTER, len(FILTER))
    program = struct.pack("@HxxxxxxQ", len(FILTER) // 8, ctypes.addressof(text))
    libc = ctypes.CDLL(None)
    libc.prctl.argtypes = [ctypes.c_int, ctypes.c_ulong, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_ulong]
    if FILTER and libc.prctl(22, 2, program, 0, 0) == 0:  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
        HELD.append("seccomp")
    libc.prctl(4, 0, None, 0, 0)  # PR_SET_DUMPABLE, which a new program has again


close_in()
sys.path[:] = [path for path in sys.path if path]
import numpy as np

HELD[:0] = [f"python {'.'.join(map(str, sys.version_info[:3]))}", f"numpy {np.__version__}"]
sys.modules["ablate_plugin"] = sys.modules["__main__"]

MESSAGE_BYTES, VIEW_BYTES = 64 << 20, 256 << 20
KINDS = {name: number for number, name in enumerate(
    "create plan begin_lane event end_lane destroy fit begin_fit batch end_fit predict save load answer".split(), 1)}
DONE, FAILED, EMIT, SELECT, RANDOM_KEY, LOG = range(32, 38)
EDITS = ["drop", "keep_only", "bias", "zero", "scale", "set", "add", "patch"]  # from 1 on
READINGS = ["lens", "mass", "capture"]
PARAMETERS = ["bool", "i64", "f64", "str", "i64v", "strv", "selector", "tensor"]


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def raw(self, form):
        values = struct.unpack_from("<" + form, self.data, self.at)
        self.at += struct.calcsize("<" + form)
        return values[0] if len(values) == 1 else values

    def int(self): return self.raw("q")
    def word(self): return self.raw("I")
    def flag(self): return self.raw("B") != 0
    def number(self): return self.raw("d")

    def bytes(self):
        count = self.int()
        self.at += count
        return self.data[self.at - count:self.at]

    def text(self): return str(self.bytes(), "utf-8")
    def list(self, one): return [one() for _ in range(self.int())]
    def optional(self, one): return one() if self.flag() else None

    def array(self, dtype):
        count = self.int()
        values = np.frombuffer(self.data, dtype, count, self.at).copy()
        self.at += values.nbytes
        return values


class Writer:
    def __init__(self):
        self.parts = []

    def raw(self, form, *values):
        self.parts.append(struct.pack("<" + form, *values))
        return self

    def int(self, value): return self.raw("q", int(value))
    def word(self, value): return self.raw("I", value)
    def flag(self, value): return self.raw("B", 1 if value else 0)
    def number(self, value): return self.raw("d", float(value))

    def bytes(self, value):
        self.int(len(value)).parts.append(bytes(value))
        return self

    def text(self, value): return self.bytes(value.encode("utf-8"))

    def list(self, values, one):
        values = list(values)
        self.int(len(values))
        for value in values:
            one(value)
        return self

    def array(self, values):
        self.int(values.size).parts.append(values.tobytes())
        return self

    def optional(self, value, one):
        self.flag(value is not None)
        if value is not None:
            one(value)
        return self


class Line:
    """Turns over the socket, messages in the shared memory."""

    def __init__(self):
        self.socket = socket.socket(fileno=3)
        self.memory = mmap.mmap(4, MESSAGE_BYTES + VIEW_BYTES)
        os.close(4)

    def send(self, kind, message):
        data = b"".join(message.parts)
        if len(data) > MESSAGE_BYTES:
            raise ValueError(f"{len(data)} bytes are more than a message can hold")
        self.memory[:len(data)] = data
        self.socket.send(struct.pack("<II", kind, len(data)))

    def receive(self):
        packet = self.socket.recv(8)
        if len(packet) < 8:
            os._exit(0)
        kind, count = struct.unpack("<II", packet)
        return kind, Reader(self.memory[:count])

    def ask(self, kind, message):
        self.send(kind, message)
        return self.receive()[1]

    def view(self, offset, shape, writable=True):
        view = np.ndarray(shape, np.float32, self.memory, MESSAGE_BYTES + offset)
        view.flags.writeable = writable
        return view


class Refusal(Exception):
    """What the host had to say."""


class Host:
    """What the host does for a plugin."""
    _levels = {"debug": 0, "info": 1, "warning": 2, "error": 3}

    def __init__(self, line):
        self._line, self._keys = line, {}

    def log(self, text, level="info"):
        words = struct.pack("<Ii", LOG, self._levels[level]) + str(text).encode("utf-8")[:1024]
        try:
            self._line.socket.send(words, socket.MSG_DONTWAIT)
        except BlockingIOError:
            pass

    def emit(self, lane, table, **columns):
        """Rows for a lane, column by column: site, layer, row, label and head are keys, every other column of numbers is a metric."""
        message = Writer().word(lane).text(table).int(len(columns))
        for name, values in columns.items():
            write_column(message, name, values)
        refusal = self._line.ask(EMIT, message)
        self._heed(refusal.optional(refusal.text))

    def select(self, tower, selector):
        """The sorted rows of the item in hand that a selector names; in plan(item) and begin_lane."""
        answer = self._line.ask(SELECT, Writer().text(tower).text(selector))
        self._heed(answer.optional(answer.text))
        return answer.array("<i8")

    def random(self, lane, stream, first, count):
        """Words of the lane's stream, uint32, numbered: the same in whatever order they are drawn."""
        if lane not in self._keys:
            answer = self._line.ask(RANDOM_KEY, Writer().word(lane))
            self._heed(answer.optional(answer.text))
            self._keys[lane] = answer.raw("II")
        return philox(self._keys[lane], stream, first, count)

    @staticmethod
    def _heed(refusal):
        if refusal is not None:
            raise Refusal(refusal)


def philox(key, stream, first, count):
    """Philox4x32-10, as Sources/PluginRuntime/Philox.swift."""
    low = np.uint64(0xFFFFFFFF)
    blocks = np.arange(first // 4, (first + count + 3) // 4, dtype=np.uint64)
    c = [blocks & low, blocks >> np.uint64(32)] + [np.full_like(blocks, stream >> s & 0xFFFFFFFF) for s in (0, 32)]
    k = list(key)
    for _ in range(10):
        a, b = np.uint64(0xD2511F53) * c[0], np.uint64(0xCD9E8D57) * c[2]
        c = [b >> np.uint64(32) ^ c[1] ^ np.uint64(k[0]), b & low, a >> np.uint64(32) ^ c[3] ^ np.uint64(k[1]), a & low]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    words = np.stack(c, 1).astype(np.uint32).ravel()
    return words[first % 4:first % 4 + count]


# What the host tells


def read_item(r):
    kinds = ["prefix", "image", "question", "generated"]

    def segment():
        return Segment(kinds[r.word()], *(r.int() for _ in range(6)), box=r.raw("ffff"))

    return Item(
        r.int(), r.text(), r.text(), r.array("<i4"), r.list(segment),
        r.list(lambda: Label(r.text(), r.text(), r.array("<i4").tolist())),
        r.list(lambda: Mask(r.text(), r.array("<i4"), r.array("<f4"))), json.loads(r.text()))


def read_parameter(r):
    name, kind = r.text(), PARAMETERS[r.word() - 1]
    read = {
        "bool": r.flag, "i64": r.int, "f64": r.number, "str": r.text, "selector": r.text,
        "i64v": lambda: r.array("<i8").tolist(), "strv": lambda: r.list(r.text),
        "tensor": lambda: (lambda shape: r.array("<f4").reshape(shape))(r.array("<i8")),
    }
    return name, read[kind]()


def read_column(r):
    name, valid = r.text(), r.optional(lambda: r.array("u1"))
    read = {1: lambda: r.array("u1").astype(bool), 2: lambda: r.array("<i8"), 3: lambda: r.array("<f8"), 4: lambda: r.list(r.text)}
    return name, read[r.raw("B")]()


def read_event(r, line):
    place = Event(["vision", "projector", "prefill", "decode"][r.word()], r.optional(r.int), r.int(), r.text(), r.text())
    for _ in range(r.int()):
        lane, access, offset, shape = r.word(), r.int(), r.int(), r.array("<i8").tolist()
        rows, heads, first, keys = r.array("<i8").tolist(), r.array("<i8").tolist(), r.int(), r.int()
        is_last, writable = r.flag(), r.flag()
        place.slices.append(Slice(lane, access, line.view(offset, shape, writable), rows, heads, first, keys, is_last))
    return place


# What a plugin asks


def write_column(w, name, values):
    w.text(name).flag(False)
    if isinstance(values, (list, tuple)) and values and isinstance(values[0], str):
        return w.raw("B", 4).list(values, w.text)
    values = np.atleast_1d(np.asarray(values))
    if values.dtype == bool:
        return w.raw("B", 1).array(values.astype("u1"))
    if values.dtype.kind in "iu":
        return w.raw("B", 2).array(values.astype("<i8"))
    if values.dtype.kind == "f":
        return w.raw("B", 3).array(values.astype("<f8"))
    return w.raw("B", 4).list(values.tolist(), w.text)


def number_of(word, words, first=0):
    if word not in words:
        raise ValueError(f"'{word}' is none of {', '.join(words)}")
    return words.index(word) + first


def write_layers(w, layers): w.flag(False).text(str(layers))
def write_indices(w, values): w.array(np.asarray(values, "<i8"))


def write_tokens(w, tokens):
    if isinstance(tokens, str):
        w.flag(False).text(tokens)
    else:
        write_indices(w.flag(True), tokens)


def write_access(w, access):
    w.word(3 if access.write else 1).text(access.tower).text(access.site)
    write_layers(w, access.layers)
    w.optional(access.heads, lambda heads: write_indices(w, heads))
    write_tokens(w, access.tokens)


def write_edit(w, edit):
    w.word(number_of(edit.op, EDITS, 1)).text(edit.tower).optional(edit.site, w.text)
    write_layers(w, edit.layers)
    w.optional(edit.heads, lambda heads: write_indices(w, heads))
    write_tokens(w, edit.queries)
    write_tokens(w, edit.keys)
    w.number(edit.value)
    vector = None if edit.vector is None else np.ascontiguousarray(edit.vector, "<f4")
    w.optional(vector, lambda vector: w.array(np.asarray(vector.shape, "<i8")).array(vector))
    w.optional(edit.source_condition, w.text).optional(edit.source_item, w.text).optional(edit.source_layer, w.int)
    w.flag(edit.keep_self).word(number_of(edit.on_empty, ["error", "self", "zero"]))


def write_reading(w, reading):
    w.word(number_of(reading.op, READINGS, 1)).text(reading.tower).text(reading.site)
    write_layers(w, reading.layers)
    tokens = reading.tokens if reading.op == "capture" else reading.tokens or "all"
    w.optional(tokens, w.text).text(reading.keys).text(reading.labels)
    w.flag(reading.normed).word(number_of(reading.ties, ["mean", "best"]))
    ids = reading.vocabulary
    w.optional(None if ids is None else ids.start, w.int).optional(None if ids is None else ids.stop, w.int)
    forms = ["spaced", "bare", "capital", "plural"]
    w.list([1 << number_of(form, forms) for form in reading.forms], w.word)
    w.word(number_of(reading.pieces, ["exclude", "first", "min", "mean"])).int(reading.top)
    w.flag(reading.embedding).flag(reading.cosine)


def write_plan(w, plan):
    w.flag(plan is PER_ITEM)
    asked = [] if plan is PER_ITEM else list(plan)
    for kind, write in [(Access, write_access), (Edit, write_edit), (Reading, write_reading)]:
        w.list([one for one in asked if isinstance(one, kind)], lambda one: write(w, one))
    for one in asked:
        if not isinstance(one, (Access, Edit, Reading)):
            raise TypeError(f"a plan has Access, Edit and Reading, not {type(one).__name__}")


# Calls


class Service:
    def __init__(self, line):
        self.line, self.host, self.plugin, self.path = line, Host(line), None, ""
        self.saved, self.loaded = b"", b""  # on their way out and in

    def create(self, r, w):
        r.int()  # the limit of memory, which ablate-worker has set
        self.path = os.path.join(os.path.dirname(r.text()), json.loads(bytes(r.bytes()))["library"])
        parameters = dict(r.list(lambda: read_parameter(r)))
        model = Model(r.text(), r.text(), *(r.int() for _ in range(16)))
        source = os.pread(5, os.fstat(5).st_size, 0).decode("utf-8")
        linecache.cache[self.path] = (len(source), None, source.splitlines(True), self.path)
        names = {"__name__": "plugin", "__file__": self.path}
        exec(compile(source, self.path, "exec"), names)
        if not isinstance(names.get("Plugin"), type):
            raise TypeError("the file has no class Plugin")
        self.plugin = names["Plugin"](self.host, model, parameters)
        w.list(HELD, w.text)

    def plan(self, r, w):
        plan = self.plugin.plan(r.optional(lambda: read_item(r)))
        if plan is not PER_ITEM:
            plan = list(plan)
            if any(isinstance(one, Access) for one in plan) and not hasattr(self.plugin, "on_event"):
                raise TypeError("asks for accesses, but has no on_event")
            if any(isinstance(one, Reading) and one.op == "capture" for one in plan) and not hasattr(self.plugin, "predict"):
                raise TypeError("asks for the reading capture, but has no predict: it does not learn")
        write_plan(w, plan)

    def begin_lane(self, r, w):
        lane = r.word()
        self.host._keys.pop(lane, None)
        if hasattr(self.plugin, "begin_lane"):
            self.plugin.begin_lane(lane, read_item(r))

    def event(self, r, w):
        self.plugin.on_event(read_event(r, self.line))

    def end_lane(self, r, w):
        lane = r.word()
        if hasattr(self.plugin, "end_lane"):
            self.plugin.end_lane(lane, dict(r.list(lambda: read_column(r))))

    def destroy(self, r, w):
        if hasattr(self.plugin, "destroy"):
            self.plugin.destroy()

    def fit(self, r, w):
        for name in ["begin", "batch", "end", "predict", "save", "load"]:
            if not hasattr(self.plugin, name):
                raise TypeError(f"the plugin has no {name}: it does not learn")
        w.flag(False)  # no lens, which would ask the host for gradients

    def begin_fit(self, r, w): self.plugin.begin(r.int(), r.int())

    def batch(self, r, w):
        features = self.line.view(0, [r.int(), r.int()], writable=False)
        self.plugin.batch(features, r.array("<i4"), r.array("<u8"))

    def end_fit(self, r, w): self.plugin.end()

    def predict(self, r, w):
        rows, width, classes = r.int(), r.int(), r.int()
        answers = self.line.view((rows * width * 4 + 63) // 64 * 64, [rows, classes])
        answers[...] = self.plugin.predict(self.line.view(0, [rows, width], writable=False))

    def save(self, r, w):
        first = r.int()
        if first == 0:
            self.saved = bytes(self.plugin.save())
        w.int(len(self.saved)).bytes(self.saved[first:first + (16 << 20)])

    def load(self, r, w):
        total, piece = r.int(), r.bytes()
        self.loaded += piece
        if len(self.loaded) >= total:
            state, self.loaded = self.loaded, b""
            self.plugin.load(state)

    def run(self):
        names = {number: name for name, number in KINDS.items()}
        while True:
            kind, message = self.line.receive()
            answer = Writer()
            try:
                getattr(self, names[kind])(message, answer)
                self.line.send(DONE, answer)
            except Exception as error:
                place = {"event": "on_event", "begin_fit": "begin", "end_fit": "end"}.get(names[kind], names[kind])
                self.line.send(FAILED, Writer().raw("B", 1).text(place).text(self.words(error)))
            if names[kind] == "destroy":
                return

    def words(self, error):
        """The exception, and the plugin's lines that it went through, the innermost first, in one line."""
        said = " ".join(traceback.format_exception_only(type(error), error)[-1].split())
        name = os.path.basename(self.path)
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == self.path]
        lines = [f"{name}:{frame.lineno} in {frame.name}: {frame.line}" for frame in reversed(frames[-4:])]
        return "; ".join([said] + lines)[:2000]


Service(Line()).run()
