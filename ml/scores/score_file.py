"""Score a CSV of features with a registered version: `python -m ml.scores.score_file churn features.csv`.

Publishes nothing and writes nothing into the home: the answer is a CSV of the same rows with score, band, how
sure it is (`certainty`) and reasons beside. Features are taken by the names of their columns, an empty
cell is a missing value, texts are as the model knew them; every other column is carried along. What is said
by comparison with others of a night (what-ifs, reasons for anomalies) is left out: a file has no others.
"""

import argparse
import csv
import json
import math
import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.markup import escape

from ml import config
from ml.config import ConfigError
from ml.registry import Registry, RegistryError
from ml.scores import certainty
from ml.scores.adverse_action import Catalogue
from ml.scores.config import UseCase
from ml.scores.explanation import Explainer
from ml.scores.matrix import table_of
from ml.scores.model import Model
from ml.scores.receipts import features_from
from nightledger.exports import inert_cell
from nightledger.settings import Settings, SettingsError, read_settings

BATCH = 10_000
"""Rows that are in memory at a time."""
LARGEST = float(np.finfo(np.float32).max)


class FileRefused(ValueError):
    """A file cannot be scored; the message says where and why."""


@dataclass(frozen=True)
class ScoredFile:
    """What was written."""

    target: Path
    version: str
    role: str
    """champion, or empty: the version was named."""
    bands: Mapping[str, int]
    """Rows of each band, from the lowest."""
    missing: tuple[str, ...]
    """Features that the file does not have."""


def score_file(
    settings: Settings,
    model: str,
    file: Path,
    *,
    version: str | None = None,
    to: Path | None = None,
    allow_missing: bool = False,
) -> ScoredFile:
    """Score a file; the answer appears whole or not at all.

    Args:
        settings: registry and threads.
        model: as the registry calls it.
        file: comma-separated, UTF-8, with a header.
        version: default: the champion.
        to: file to write; default: `<file>-scored.csv` beside it.
        allow_missing: whether features without a column count as missing values.

    Raises:
        FileRefused: the file cannot be read, lacks a feature, or has a text where a number belongs.
        ml.config.ConfigError: there is no such model.
        ml.registry.RegistryError: there is no such version, or its hash differs.
    """
    use_case = config.load(model.partition(".")[0])
    target = _target(settings, file, to)
    if not settings.registry.is_dir():
        raise RegistryError(f"nothing has been trained in {settings.home} yet")
    registry = Registry(settings)
    champion = registry.champion(model)
    chosen = version or (champion.version if champion else None)
    if chosen is None:
        raise RegistryError(_no_champion(model, use_case, registry))
    loaded = registry.load(model, chosen)
    by_name = {
        feature.name: feature
        for feature in features_from(json.loads(registry.document(model, chosen, "features.json")))
    }
    explain = Explainer(
        use_case, [by_name[name] for name in loaded.features], loaded, None, _catalogue(settings, use_case)
    )
    part = target.with_name(f".{target.name}.{os.getpid()}")
    counted: Counter[str] = Counter()
    try:
        with (
            file.open(encoding="utf-8-sig", newline="") as source,
            part.open("w", encoding="utf-8", newline="") as written,
        ):
            rows = _Rows(source, loaded, allow_missing=allow_missing)
            columns = _columns(use_case)
            if taken := [name for name in columns if name in rows.header]:
                raise FileRefused(f"line 1: the file has a column {', '.join(taken)} already; rename it")
            writer = csv.writer(written)
            writer.writerow([*map(_cell, rows.header), *columns])
            for given, matrix in rows.batches():
                answers = _answers(explain, loaded, use_case, matrix, settings.threads)
                for cells, answer in zip(given, answers, strict=True):
                    writer.writerow([*map(_cell, cells), *answer])
                    counted[str(answer[1])] += 1
        part.replace(target)
    except UnicodeDecodeError as error:
        raise FileRefused(f"{file} is not in UTF-8: {error.reason} at byte {error.start}") from error
    except OSError as error:
        raise FileRefused(f"{error.filename}: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)
    return ScoredFile(
        target=target,
        version=chosen,
        role="champion" if champion and champion.version == chosen else "",
        bands={band: counted[band] for band in use_case.bands},
        missing=rows.missing,
    )


class _Rows:
    """Rows of a CSV, batch by batch, with their features."""

    def __init__(self, source: Iterator[str], model: Model, *, allow_missing: bool) -> None:
        self._lines = _lines(source)
        self._model = model
        _, self.header = next(self._lines, (1, []))
        if not self.header:
            raise FileRefused("line 1: there is no header")
        if twice := sorted(name for name, n in Counter(self.header).items() if n > 1):
            raise FileRefused(f"line 1: two columns are called {', '.join(map(repr, twice))}")
        self.missing = tuple(name for name in model.features if name not in self.header)
        if self.missing and len(self.header) == 1 and (sign := _other_separator(self.header[0])):
            raise FileRefused(f"line 1: the header is one cell with {sign}; part the cells by commas")
        if self.missing and not allow_missing:
            raise FileRefused(
                f"line 1: the file has no column {', '.join(self.missing)}. Add it, or let it count as a "
                "missing value: ALLOW_MISSING=yes"
            )
        if len(self.missing) == len(model.features):
            raise FileRefused("line 1: no column is a feature of the model")
        self._places = [
            (at, self.header.index(name)) for at, name in enumerate(model.features) if name in self.header
        ]
        self._codes = {
            at: {value: float(code) for code, value in enumerate(model.categories[name], start=1)}
            for at, name in enumerate(model.features)
            if name in model.categories
        }

    def batches(self) -> Iterator[tuple[list[list[str]], NDArray[np.float32]]]:
        """Cells of rows, and their features: rows × features in the model's order; missing is nan."""
        given: list[list[str]] = []
        numbers: list[list[float]] = []
        for line, cells in self._lines:
            if len(cells) != len(self.header):
                raise FileRefused(f"line {line}: {len(cells)} cells, and the header has {len(self.header)}")
            given.append(cells)
            numbers.append(self._numbers(cells, line))
            if len(given) == BATCH:
                yield given, np.array(numbers, dtype=np.float32)
                given, numbers = [], []
        if given:
            yield given, np.array(numbers, dtype=np.float32)

    def _numbers(self, cells: Sequence[str], line: int) -> list[float]:
        found = [math.nan] * len(self._model.features)
        for at, column in self._places:
            text = cells[column]
            if not text:
                continue
            codes = self._codes.get(at)
            if codes is not None:
                found[at] = codes.get(text, math.nan)
                continue
            try:
                found[at] = _number(text)
            except ValueError as error:
                raise FileRefused(
                    f"line {line}, column {self.header[column]}: {text[:40]!r} {error}"
                ) from error
        return found


def _lines(source: Iterator[str]) -> Iterator[tuple[int, list[str]]]:
    """Rows with the number of the line that each begins in; empty lines are none."""
    reader = csv.reader(source, strict=True)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise FileRefused(f"line {line}: {error}") from error
        if cells is None:
            return
        if cells:
            yield line, cells


def _other_separator(cell: str) -> str:
    """What parts a cell that should have been several, in words; empty: nothing known does."""
    signs = {";": "semicolons", "\t": "tabs", "|": "bars"}
    return next((name for sign, name in signs.items() if sign in cell), "")


def _number(text: str) -> float:
    """The number that a text says.

    Raises:
        ValueError: it says none.
    """
    try:
        number = float(text)
    except ValueError:
        raise ValueError("is no number") from None
    # Python reads these as numbers; a file that holds them was not meant so.
    if "_" in text or not math.isfinite(number):
        raise ValueError("is no number; a missing value is an empty cell")
    if abs(number) > LARGEST:
        raise ValueError("is too large")
    return number


def _columns(use_case: UseCase) -> list[str]:
    """Names of the columns that are added."""
    reasons = [
        f"reason_{rank}_{what}" for rank in range(1, use_case.reasons.top + 1) for what in ("code", "text")
    ]
    return ["score", "band", *certainty.COLUMNS.names, *reasons]


def _answers(
    explain: Explainer, model: Model, use_case: UseCase, matrix: NDArray[np.float32], threads: int
) -> Iterator[list[object]]:
    """Cells of `_columns` for each row."""
    table = table_of(matrix, model.features)
    told = explain(table, matrix, threads)
    reasons: list[list[object]] = [[""] * (2 * use_case.reasons.top) for _ in told.bands]
    for row, rank, code, text in zip(told.row, told.rank, told.code, told.text, strict=True):
        reasons[row][2 * rank - 2 : 2 * rank] = [inert_cell(code), inert_cell(text)]
    sure = certainty.columns(model, matrix, told.margins)
    # Shortest digits of the 32-bit number: what is read again is the same number.
    cells = [[_said(value) for value in of.to_numpy(zero_copy_only=False)] for of in sure.values()]
    for at, (band, *certain) in enumerate(zip(told.bands, *cells, strict=True)):
        yield [str(told.scores[at]), band, *certain, *reasons[at]]


def _said(value: Any) -> str:
    """A number or a truth value as a cell; missing is empty."""
    if isinstance(value, (bool, np.bool_)):
        return str(value).lower()
    return "" if value is None or np.isnan(value) else str(value)


def _no_champion(model: str, use_case: UseCase, registry: Registry) -> str:
    """What to ask for where nothing scores under a name."""
    names = registry.known_names(use_case.name)
    if model in names:
        return f"model {model} has no champion; say which: VERSION=…"
    if names:
        return f"there is no version of {model}; there are of {', '.join(names)}: ask for one of these"
    return (
        f"no version of {use_case.name} is registered: it was never trained, or every training was refused "
        "(`make models` says why)"
    )


def _catalogue(settings: Settings, use_case: UseCase) -> Catalogue | None:
    """Reasons that may be given, as this checkout's seed has them."""
    name = use_case.reasons.catalogue
    return Catalogue.from_file(settings.dbt_project / "seeds" / f"{name}.csv") if name else None


def _target(settings: Settings, file: Path, to: Path | None) -> Path:
    if not file.is_file():
        raise FileRefused(f"there is no file {file}")
    target = to or file.with_name(f"{file.stem}-scored.csv")
    whole = target.resolve()
    if whole == file.resolve():
        raise FileRefused("TO names the file itself; the answer must go elsewhere")
    for folder in filter(None, (settings.home, settings.inbox)):
        if whole.is_relative_to(folder.resolve()):
            raise FileRefused(
                f"{target} lies in {folder}, where nightly runs write and read; choose another TO"
            )
    return target


def _cell(text: str) -> object:
    """A cell that is carried along; a spreadsheet runs none of it as a formula."""
    try:
        float(text)
    except ValueError:
        return inert_cell(text)
    return text


def main() -> int:
    """Score a file and say where the answer is; returns the exit code."""
    parser = argparse.ArgumentParser(prog="ml.scores.score_file", description=__doc__)
    parser.add_argument("model", help="as the registry calls it: churn, or <use case>.<member>")
    parser.add_argument("file", type=Path, help="CSV of features")
    parser.add_argument("--version", default="", help="default: the champion")
    parser.add_argument("--to", default="", help="file to write; default: <file>-scored.csv beside it")
    parser.add_argument("--allow-missing", default="no", help="yes: a feature without a column is missing")
    given = parser.parse_args()
    console = Console(highlight=False, soft_wrap=True)
    try:
        if given.allow_missing not in ("yes", "no", ""):
            raise FileRefused("ALLOW_MISSING is yes or no")
        done = score_file(
            read_settings(),
            given.model,
            given.file,
            version=given.version or None,
            to=Path(given.to) if given.to else None,
            allow_missing=given.allow_missing == "yes",
        )
    except (FileRefused, ConfigError, RegistryError, SettingsError, ArithmeticError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    rows = sum(done.bands.values())
    bands = ", ".join(f"{n:,} {band}" for band, n in done.bands.items())
    role = f", {done.role}" if done.role else ""
    if done.missing:
        console.print(f"[yellow]![/] counted as missing values: {escape(', '.join(done.missing))}")
    console.print(
        f"{rows:,} rows in {escape(str(done.target))}, scored by {given.model} {done.version}{role}: "
        f"{bands}. Nothing was published."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
