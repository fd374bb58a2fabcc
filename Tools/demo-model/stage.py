"""A stage is a file that is made once: written beside its place, then renamed, and read when it is already there."""
import os
import pickle
from pathlib import Path


def stage(path, make):
    """The value stored at `path`; `make()` computes and stores it the first time."""
    path = Path(path)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        print(f"stage {path.stem}: running", flush=True)
        unfinished = path.with_suffix(".part")
        with open(unfinished, "wb") as file:
            pickle.dump(make(), file, protocol=5)
        os.replace(unfinished, path)
    with open(path, "rb") as file:
        return pickle.load(file)
