"""Compute a published score again, from the archive alone: `python -m ml.scores.replay RECEIPT`.

The archive keeps what each night scored: the vector, what the score was made with, and what came out. The
version is loaded from the registry, its hash compared with the one archived, and score, margin, band, how
sure it is, reasons and what-ifs are computed again and compared bit by bit: with what was archived, and with
every publication that still has the score. Publications that are gone are not needed.
"""

import argparse
import hashlib
import re
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ml.registry import Registry, RegistryError
from ml.scores import certainty
from ml.scores.deviations import Deviations
from ml.scores.explanation import Explainer
from ml.scores.forest import Forest
from ml.scores.matrix import Matrix, matrix_of
from ml.scores.model import Model
from ml.scores.receipts import (
    KEY,
    REASON,
    SAID,
    WHAT_IF,
    ReceiptError,
    Record,
    Scored,
    described,
    find,
    part,
    receipts,
)
from nightledger import warehouse
from nightledger.settings import Settings, SettingsError, read_settings


class ReplayError(RuntimeError):
    """A receipt cannot be replayed; the message says why."""


@dataclass(frozen=True)
class Replayed:
    """A score computed again, and what differs from what was said."""

    scored: Scored
    model: Model
    vector_sha256: str
    now: Record
    compared: tuple[Record, ...]
    differences: tuple[str, ...]
    """In words; empty when all is the same."""


def replay(settings: Settings, receipt_id: str) -> list[Replayed]:
    """Compute a score again, once for each archived publication that scored it.

    Args:
        settings: archive, registry, publications.
        receipt_id: of `marts.fct_scores`.

    Raises:
        ReplayError: no archived score has the receipt, or the artefact is not the one that scored.
        ml.scores.receipts.ReceiptError: the archive lacks what the score was made with.
        ml.registry.RegistryError: the version is gone or its hash differs.
    """
    if not re.fullmatch(r"[0-9a-f]{64}", receipt_id):
        raise ReplayError(f"{receipt_id!r} is no receipt: those are 64 characters of 0-9 and a-f")
    found = find(settings, receipt_id)
    if not found:
        raise ReplayError(
            f"No score with receipt {receipt_id} is in {settings.archive}. Receipts stand in "
            "marts.fct_scores, column receipt_id."
        )
    registry = Registry(settings)
    published = _published(settings, receipt_id, found)
    done = []
    for scored in found:
        made_with = scored.circumstances
        model = registry.load(made_with.model, made_with.version)
        registered = registry.known(made_with.model, made_with.version).artefact_sha256
        if registered != made_with.artefact_sha256:
            raise ReplayError(
                f"{made_with.model} {made_with.version} is not the model that scored: the hash of its "
                f"artefact was {made_with.artefact_sha256}, and in the registry it is {registered}"
            )
        others = published[scored.publication["id"]]
        done.append(_again(scored, model, receipt_id, [scored.record, *others]))
    return done


def _published(settings: Settings, receipt_id: str, found: Sequence[Scored]) -> dict[str, list[Record]]:
    """What the publications that are still there say, by the archived publication that they have it from."""
    nights = {scored.publication["id"]: scored for scored in found}
    records: dict[str, list[Record]] = {name: [] for name in nights}
    bases = _bases(settings)
    for name in sorted(path.name for path in _there(settings)):
        origin: str | None = name
        while origin is not None and origin not in nights:
            origin = bases.get(origin)
        if origin is None:
            continue
        with warehouse.connect(settings.builds / name, settings=settings) as connection:
            if ("marts", "fct_scores") not in {pair[:2] for pair in warehouse.relations(connection)}:
                continue
            scores = connection.execute(
                "select * from marts.fct_scores where model = $model and model_version = $model_version"
                " and as_of_date = $as_of_date and receipt_id = $receipt_id",
                part(nights[origin].key, "model", "model_version", "as_of_date") | {"receipt_id": receipt_id},
            ).to_arrow_table()
            for score in scores.to_pylist():
                told = [
                    connection.execute(
                        f"select * from marts.{table} where client_id = $client_id and model = $model"  # noqa: S608
                        " and model_version = $model_version and entity = $entity and entity_id = $entity_id"
                        " and as_of_date = $as_of_date order by rank",
                        part(score, *KEY),
                    )
                    .to_arrow_table()
                    .to_pylist()
                    for table in ("fct_score_reasons", "fct_what_if")
                ]
                records[origin].append(Record.of(f"publication {name}", score, *told))
    return records


def _there(settings: Settings) -> list[Path]:
    """Directories of the publications that are not pruned."""
    return [
        path.parent
        for path in settings.builds.glob("*/publication.json")
        if not path.parent.is_symlink() and not path.parent.name.endswith((".building", ".part"))
    ]


def _bases(settings: Settings) -> dict[str, str | None]:
    """The publication that each was built on, also of those that are gone."""
    files = [
        *settings.archive.glob("*/publication.json"),
        *(p / "publication.json" for p in _there(settings)),
    ]
    told = [described(path) for path in files]
    return {one["id"]: one.get("base") for one in told}


def _again(scored: Scored, model: Model, receipt_id: str, compared: Sequence[Record]) -> Replayed:
    made_with, key = scored.circumstances, scored.key
    by_name = {feature.name: feature for feature in made_with.features}
    features = [by_name[name] for name in model.features]
    matrix = matrix_of(scored.vector, model.features)
    why = None
    if isinstance(model.estimator, Forest) and scored.usual is not None and scored.usual.num_rows:
        why = Deviations.kept(made_with.use_case, features, model, scored.usual)
    use_case = made_with.use_case
    if scored.record.reasons and not isinstance(model.estimator, Forest):
        # Explained because of its band, or of the money at stake, which is not archived.
        wanted = use_case.reasons.model_copy(update={"from_band": None})
        use_case = use_case.model_copy(update={"reasons": wanted})
    explain = Explainer(use_case, features, model, None, made_with.catalogue, why, "entity_id")
    told = explain(scored.vector, matrix, 1)
    now = Record.of(
        "now",
        {
            "role": scored.record.role,
            "score": told.scores[0],
            "margin": np.float32(told.margins[0]),
            "band": told.bands[0],
            **{name: of[0].as_py() for name, of in certainty.columns(model, matrix, told.margins).items()},
        },
        pa.table(told.reasons({})).to_pylist(),
        _what_ifs(scored.record, model, matrix, told.scores[0]),
    )
    about = (key["model"], key["entity"], key["as_of_date"].isoformat(), key["model_version"])
    hashed = receipts(pa.array([key["client_id"]]), pa.array([key["entity_id"]]), about, matrix)[0].as_py()
    differences = []
    if hashed != receipt_id:
        differences.append(
            f"{scored.record.place}: the vector is not the one that was scored, or not of whom the row says: "
            f"they hash to {hashed}"
        )
    for record in compared:
        differences += [f"{record.place}: {text}" for text in _differences(record, now)]
    vector_sha256 = hashlib.sha256(matrix.astype("<f4").tobytes()).hexdigest()
    return Replayed(scored, model, vector_sha256, now, tuple(compared), tuple(differences))


def _what_ifs(record: Record, model: Model, matrix: Matrix, score: np.float32) -> list[dict[str, Any]]:
    """The what-ifs of a row, each with its feature where the archive says that its peers' median was."""
    found = []
    for said in record.what_ifs:
        if said["feature"] not in model.features:
            continue
        at = model.features.index(said["feature"])
        moved = matrix.copy()
        moved[0, at] = np.nan if said["typical"] is None else said["typical"]
        value = None if np.isnan(matrix[0, at]) else float(matrix[0, at])
        without = np.float32(model.scores(moved, 1)[0])
        found.append({**said, "value": value, "score": score, "score_without": without})
    return found


def _differences(then: Record, now: Record) -> list[str]:
    """What differs, in words; floats by their bits."""
    found = _unequal("", then.said, now.said, SAID)
    for what, was, is_now, names in (
        ("reason", then.reasons, now.reasons, REASON),
        ("what-if", then.what_ifs, now.what_ifs, WHAT_IF),
    ):
        if len(was) != len(is_now):
            found.append(f"there were {len(was)} {what}s, now there are {len(is_now)}")
        for one, other in zip(was, is_now, strict=False):
            found += _unequal(f"{what} {one['rank']}, ", one, other, names)
    return found


def _unequal(of: str, then: Mapping[str, Any], now: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    pairs = [(name, _exactly(then[name]), _exactly(now[name])) for name in names]
    return [f"{of}{name} was {was}, now is {is_now}" for name, was, is_now in pairs if was != is_now]


def _exactly(value: Any) -> str:
    """A text that only the same value has: of a float the shortest digits, and the bits."""
    if isinstance(value, (float, np.floating)):
        number = np.float32(value)
        return "missing" if np.isnan(number) else f"{number} (bits {number.view(np.uint32):08x})"
    return "missing" if value is None else str(value)


def show(settings: Settings, receipt_id: str, done: Sequence[Replayed], console: Console) -> None:
    """Print who was scored, by what, what came out, and whether it is the same."""
    last = done[-1]
    key, made_with, now = last.scored.key, last.scored.circumstances, last.now
    there = {path.name for path in _there(settings)}
    facts: list[tuple[str, str]] = [
        ("receipt", receipt_id),
        ("who", f"{key['entity']} {key['entity_id']} of client {key['client_id']}"),
        ("as of", f"{key['as_of_date']}"),
        ("model", f"{made_with.model} {made_with.version}, {last.scored.record.role}"),
        ("artefact", f"{made_with.artefact_sha256} (SHA-256, checked)"),
        ("vector", f"{last.vector_sha256} (SHA-256 of {len(last.model.features)} floats)"),
        *(("scored for", _publication(one.scored.publication, there)) for one in done),
        ("score", f"{now.said['score']:.6f}, band {now.said['band']}"),
        ("margin", f"{now.said['margin']:.6f}"),
        *_sure(now.said),
        *(("because" if at == 0 else "", reason["text"]) for at, reason in enumerate(now.reasons)),
    ]
    console.print(_table(("", ""), facts, title="The score, computed again"))
    values = last.scored.vector.select(list(last.model.features)).to_pylist()[0]
    rows = [
        (name, *(("–" if number is None else str(np.float32(number))) for number in (value, usual)))
        for name, value in values.items()
        for usual in [last.model.medians[name]]
    ]
    console.print(_table(("feature", "value", "typical"), rows, title="What it was made from"))
    differences = [text for one in done for text in one.differences]
    for text in differences:
        console.print(f"[red]✗[/] {escape(text)}", soft_wrap=True)
    if not differences:
        places = ", ".join(record.place for one in done for record in one.compared)
        console.print(f"[green]✓[/] matches, bit by bit: {places}", soft_wrap=True)


def _sure(said: Mapping[str, Any]) -> list[tuple[str, str]]:
    """How sure a score is; versions from before intervals were kept, and ranks, have none."""
    facts = []
    if said["score_lo"] is not None:
        ends = f"{said['score_lo']:.6f} to {said['score_hi']:.6f}"
        facts.append(("interval", f"{ends}, with {said['support']:,} fitted rows in it"))
    within = {True: ", beyond the fitted rows", False: ", within the fitted rows"}
    return [*facts, ("confidence", f"{said['confidence']:.4f}{within.get(said['is_out_of_range'], '')}")]


def _publication(kept: Mapping[str, Any], there: Collection[str]) -> str:
    """A publication, whether it is still there, and its git revision."""
    state = "still there" if kept["id"] in there else "gone"
    return f"publication {kept['id']}, {state}; git revision {kept['code_revision']}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], title: str) -> Table:
    table = Table(
        title=title,
        title_justify="left",
        box=None,
        pad_edge=False,
        show_header=any(heads),
        title_style="bold",
    )
    for at, heading in enumerate(heads):
        table.add_column(heading, overflow="fold", justify="right" if any(heads) and at else "left")
    for row in rows:
        table.add_row(*map(escape, row))
    return table


def main() -> int:
    """Replay and print; returns the exit code: 0 when all is the same."""
    parser = argparse.ArgumentParser(prog="ml.scores.replay", description=__doc__)
    parser.add_argument("receipt", help="receipt_id of marts.fct_scores")
    given = parser.parse_args()
    try:
        settings = read_settings()
        done = replay(settings, given.receipt.strip())
    except (ReplayError, ReceiptError, RegistryError, SettingsError, ArithmeticError, duckdb.Error) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    show(settings, given.receipt.strip(), done, Console(highlight=False, width=max(110, Console().width)))
    return 1 if any(one.differences for one in done) else 0


if __name__ == "__main__":
    sys.exit(main())
