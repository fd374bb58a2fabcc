"""Tests of the reader on a run: RUN=/tmp/run python -m pytest Tools/reader (pip install pytest pandas polars nbclient ipykernel)."""
import os
import pathlib

import pytest

from ablate_reader import Run, activations

FOLDER = os.environ.get("RUN", "runs/demo")


def test_rows_are_those_of_the_store_in_pandas_and_polars():
    run = Run(FOLDER)
    rows = run.rows(probe="lens", metric="rank")
    assert len(rows) == len(run.rows(probe="lens", metric="rank", into="polars")) > 0
    assert rows.value.min() == 1 and set(rows.model) <= set(run.manifest["models"])
    assert len(run.table("trials", into="records")) == run.provenance["plan"]["trials"]


def test_what_is_not_there_is_said():
    with pytest.raises(FileNotFoundError, match="no run.sqlite"):
        Run("/nowhere")
    with pytest.raises(KeyError, match="no column 'colour'"):
        Run(FOLDER).rows(colour=1)


def test_activations_are_mapped(tmp_path):
    import struct
    header = b'{"x":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]}}'
    path = pathlib.Path(tmp_path) / "a.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + struct.pack("<2f", 1, 2))
    assert activations(path)["x"].tolist() == [[1], [2]]


def test_a_notebook_shows_a_run():
    nbclient = pytest.importorskip("nbclient")
    import nbformat
    here = pathlib.Path(__file__).parent
    code = f"import sys; sys.path.insert(0, {str(here)!r})\nfrom ablate_reader import Run\nRun({FOLDER!r})"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    nbclient.NotebookClient(notebook, timeout=60).execute()
    shown = notebook.cells[0].outputs[0].data["text/html"]
    assert "<table>" in shown and "demo-control" in shown
