"""Runs of Ablate in Python: run a manifest, read rows as pandas or polars, activations by memory map.

    pip install ./Tools/reader          (pure Python; pandas, polars and numpy are imported where they are asked for)

    from ablate_reader import Run, activations
    run = Run.of("manifests/quick.yaml", out="/tmp/quick")     # `ablate run`, which resumes
    run                                                        # a small table in a notebook
    run.rows(probe="lens", metric="rank").groupby(["condition", "point"]).value.median()
    run.rows(metric="accuracy", into="polars")
"""
import html
import json
import mmap
import pathlib
import sqlite3
import struct
import subprocess

ROWS = """SELECT t.model, t.example, t.class, coalesce(e.cluster, t.example) AS cluster, t.condition, m.probe, m.point, m.token, m.label,
            m.metric, m.value, m.text
          FROM measurements m JOIN trials t ON t.id = m.trial LEFT JOIN examples e USING (example)"""
TABLES = ("trials", "measurements", "receipts", "readings", "examples", "sessions", "engines", "timings")


class Run:
    """A run folder. Opens `run.sqlite` for reading only, also while a run is writing."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        store = self.folder / "run.sqlite"
        if not store.is_file():
            raise FileNotFoundError(f"{self.folder}: there is no run in this folder (no run.sqlite)")
        self._store = f"{store.resolve().as_uri()}?mode=ro"

    @classmethod
    def of(cls, manifest, out, binary="ablate", **options):
        """Runs `ablate run MANIFEST --out OUT` (which resumes) and opens the run; raises with what it said when it fails."""
        flags = [f"--{name.replace('_', '-')}" for name, value in options.items() if value]
        done = subprocess.run([binary, "run", str(manifest), "--out", str(out), "--quiet", *flags], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"ablate run exited with {done.returncode}: {done.stderr.strip()}")
        return cls(out)

    def _json(self, column):
        return json.loads(self._select(f"SELECT {column} FROM sessions ORDER BY id DESC LIMIT 1")[1][0][0])

    @property
    def manifest(self):
        """The manifest of the last session with every default written out."""
        return self._json("manifest")

    @property
    def provenance(self):
        return self._json("provenance")

    def _select(self, sql, arguments=()):
        connection = sqlite3.connect(self._store, uri=True)
        try:
            cursor = connection.execute(sql, arguments)
            return [column[0] for column in cursor.description], cursor.fetchall()
        finally:
            connection.close()

    def rows(self, into="pandas", **where):
        """Measurements with the names of their trials; `where` takes model, example, condition, probe, point, metric, label."""
        columns = {"class_": "class"}
        known = "model example class cluster condition probe point token label metric".split()
        names = [columns.get(name, name) for name in where]
        for name in names:
            if name not in known:
                raise KeyError(f"rows have no column '{name}'; they have: {', '.join(known)}")
        sql = ROWS + (" WHERE " + " AND ".join(f'"{name}" = ?' for name in names) if names else "") + " ORDER BY m.rowid"
        return _frame(*self._select(sql, tuple(where.values())), into)

    def table(self, name, into="pandas"):
        """A table of the store as it is; docs/manifests.md says what its rows are."""
        if name not in TABLES:
            raise KeyError(f"no table '{name}'; there are: {', '.join(TABLES)}")
        return _frame(*self._select(f"SELECT * FROM {name}"), into)

    def _repr_html_(self):
        counts = self._select("SELECT model, condition, count(DISTINCT key), sum(status = 'failed') FROM trials GROUP BY 1, 2")[1]
        body = "".join("<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) + "</tr>" for row in counts)
        return (f"<b>{html.escape(self.manifest['name'])}</b> <code>{html.escape(str(self.folder))}</code><table><thead><tr>"
                f"<th>model</th><th>condition</th><th>trials</th><th>failed</th></tr></thead><tbody>{body}</tbody></table>")


def _frame(columns, rows, into):
    if into == "pandas":
        import pandas
        return pandas.DataFrame.from_records(rows, columns=columns)
    if into == "polars":
        import polars
        return polars.DataFrame(rows, schema=columns, orient="row", infer_schema_length=None)
    if into == "records":
        return [dict(zip(columns, row)) for row in rows]
    raise ValueError(f"into='{into}': pandas, polars or records")


def activations(path):
    """The float32 tensors of a file of `ablate capture` or `ablate export`, by name, as memory-mapped numpy arrays."""
    import numpy
    with open(path, "rb") as file:
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + length])
    types = {"F32": "<f4", "F64": "<f8", "I64": "<i8", "I32": "<i4", "BOOL": "?"}
    found = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        kind = numpy.dtype(types[entry["dtype"]])
        found[name] = numpy.frombuffer(data, kind, (end - begin) // kind.itemsize, 8 + length + begin).reshape(entry["shape"])
    return found
