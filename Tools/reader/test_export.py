"""Files of `ablate export`, read by pandas, polars, DuckDB, numpy and safetensors in one line each.

    RUN=/tmp/run python -m pytest Tools/reader      (pip install pytest pandas polars duckdb pyarrow numpy safetensors)

The run is exported with .build/release/ablate, or $ABLATE. Last run with pandas 3.1.1, polars 2.1.0, duckdb 2.0.1, pyarrow 26.0.1, numpy 2.4.6,
safetensors 0.8.0.
"""
import json
import os
import pathlib
import subprocess

import pytest

from ablate_reader import Run

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = os.environ.get("RUN", "runs/demo")
GOLDEN = ROOT / "Tests/ExperimentsTests/Golden"
pandas = pytest.importorskip("pandas")


@pytest.fixture(scope="module")
def rows():
    """The rows as the store has them."""
    return Run(FOLDER).rows()


@pytest.fixture(scope="module")
def export(tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")

    def written(ending):
        path = folder / f"rows.{ending}"
        ablate = os.environ.get("ABLATE", ROOT / ".build/release/ablate")
        subprocess.run([ablate, "export", FOLDER, "--out", path], check=True, capture_output=True)
        return path
    return written


def assert_same(found, rows):
    """Column by column; None, NaN and NULL are one."""
    assert list(found.columns) == list(rows.columns) and len(found) == len(rows)
    for column in rows.columns:
        a, b = found[column].reset_index(drop=True), rows[column].reset_index(drop=True)
        assert (a.isna() == b.isna()).all(), column
        assert (a[a.notna()] == b[b.notna()]).all(), column


def test_parquet_in_pandas_polars_and_duckdb(export, rows):
    import duckdb
    import polars
    path = export("parquet")
    assert_same(pandas.read_parquet(path), rows)
    assert_same(polars.read_parquet(path).to_pandas(), rows)
    assert_same(duckdb.sql(f"from '{path}'").df(), rows)
    assert polars.read_parquet(path).schema["token"] == polars.Int64
    best = polars.scan_parquet(path).filter(polars.col("metric") == "rank").select(polars.col("value").min()).collect().item()
    assert best == rows[rows.metric == "rank"].value.min()


def test_numpy_array(export, rows):
    import numpy
    array = numpy.load(export("npy"))
    assert len(array) == len(rows) and (array["model"] == rows.model.to_numpy(str)).all()
    assert numpy.array_equal(array["value"], rows.value.to_numpy(float), equal_nan=True)


def test_safetensors_with_codes_of_texts(export, rows):
    import numpy
    from safetensors import safe_open
    with safe_open(export("safetensors"), "np") as file:
        metadata, value, token = file.metadata(), file.get_tensor("value"), file.get_tensor("token")
        words, codes = numpy.array(json.loads(metadata["label"])), file.get_tensor("label")
    assert numpy.array_equal(value, rows.value.to_numpy(float), equal_nan=True)
    assert (token == rows.token.fillna(-1).to_numpy(int)).all()
    assert (words[codes[codes >= 0]] == rows.label.dropna().to_numpy(str)).all() and ((codes < 0) == rows.label.isna()).all()


def test_lines(export, rows):
    import polars
    assert_same(polars.read_ndjson(export("jsonl"), infer_schema_length=None).to_pandas(), rows)
    assert_same(polars.read_csv(export("csv"), infer_schema_length=None).to_pandas(), rows)


def test_the_golden_files_hold_one_table():
    """Odd texts and numbers, in a file small enough to be read by eye."""
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(GOLDEN / "rows.parquet").to_pylist()
    lines = [json.loads(line) for line in (GOLDEN / "rows.jsonl").read_text().splitlines()]
    for line in lines:
        line["value"] = float(line["value"]) if line["value"] is not None else None
    assert len(table) == 40 and table == lines
    empty = parquet.ParquetFile(GOLDEN / "rows.parquet").metadata
    assert empty.num_row_groups == 1 and empty.created_by == "ablate"
