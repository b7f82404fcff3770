"""Where real files made by others lie: excerpts in the project, whole ones in a folder beside it."""

import csv
import gzip
import io
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from nightledger.settings import PROJECT

SHARED = Path(os.environ.get("NIGHTLEDGER_SHARED_DATA", PROJECT.parent / "shared" / "data"))
EXCERPTS = PROJECT / "tests" / "data"


def shared(folder: str) -> Path:
    """A folder of the shared data; its absence is a failure in CI and a reason to skip elsewhere."""
    if (SHARED / folder).is_dir():
        return SHARED / folder
    message = f"no {SHARED / folder}: set NIGHTLEDGER_SHARED_DATA to the folder that holds {folder}"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


def records(path: Path) -> Iterator[dict[str, str]]:
    """The records of a packed CSV file, read by nothing of ours."""
    with gzip.open(path) as file:
        yield from csv.DictReader(io.TextIOWrapper(file, encoding="utf-8", newline=""))
