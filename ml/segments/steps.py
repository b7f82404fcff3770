"""The steps of the path for segments; see `ml.families`."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa
from rich.console import Console

from ml.config import Described
from ml.families import Job, TooLittle, Trained
from ml.features import published_hash, read_features
from ml.partitions import BATCH, Pin, partition
from ml.promotion import KEPT, PROMOTED
from ml.registry import Registered, Registry
from ml.segments import card, evaluation, fitting
from ml.segments.config import Segments
from ml.segments.fitting import Fitted
from ml.segments.model import NEW, Segmentation
from ml.segments.rows import matrix, month_ends, read, statement
from nightledger import warehouse
from nightledger.settings import Settings

if TYPE_CHECKING:
    from ml.evaluate import Asked


def train(job: Job[Segments], member: str, champion: Registered | None) -> Trained:
    """Fit on month-ends, judge on later ones, and carry the champion's names over.

    Args:
        job: what, on what.
        member: the client.
        champion: the present version; it stays until the refit is due.

    Raises:
        TooLittle: too few month-ends or customers, or no number of segments keeps the rules.
    """
    described = job.described
    fitting.definitions_of(described, job.features)
    present = _load(job, champion.version) if champion else None
    predecessor, before = _names_from(job, champion, present)
    with warehouse.connect(job.publication.path, settings=job.settings) as connection:
        days = month_ends(connection, described, member)
        fit_days, test_days = _split(days, described)
        others = {c for one in (present, before) if one for c in one.scaling.columns}
        known = {feature.name for feature in job.features}
        rows = read(connection, described, member, (*fit_days, *test_days), sorted(others & known))
    fitted = fitting.fit(
        described,
        job.features,
        rows.of(fit_days),
        job.publication.as_of_date,
        before if before and known.issuperset(before.scaling.columns) else None,
        predecessor,
    )
    test = rows.of(test_days)
    comparable = present if present and known.issuperset(present.scaling.columns) else None
    metrics = fitting.measure(described, fitted, test, comparable)
    files = fitted.segmentation.files()
    differences = present.differences(job.features, rows.definition_hash) if present else ""
    verdict, reason = _verdict(described, fitted, champion, present, differences)
    return Trained(
        files=files,
        heldout=fitted.segmentation.assigned(test.table, test.raw),
        params={
            "training_rows": len(rows.of(fit_days)),
            "training_dates": f"{fitting.span(fit_days)}, {len(fit_days)}",
            "test_dates": f"{fitting.span(test_days)}, {len(test_days)}",
            "feature_count": len(described.columns),
            "definition_hash": rows.definition_hash,
            "segments": fitted.chosen.k,
            "names_from": fitted.segmentation.predecessor,
            "use_case": described.model_dump_json(exclude={"description"}),
        },
        metrics=metrics,
        documents={
            "model_card.md": card.write(
                job.name,
                job.version(files),
                job.publication.id,
                described,
                fitted,
                rows.of(fit_days),
                metrics,
            ),
            "features.json": json.dumps(
                [asdict(one) for one in job.features if one.name in described.columns], indent=1
            ),
        },
        verdict=verdict,
        reason=reason,
    )


def why_not(
    connection: duckdb.DuckDBPyConnection,
    build: Path,
    described: Described,
    as_of_date: date,
    files: Mapping[str, bytes],
) -> str:
    """How the features of a date differ from those that a version was fitted on; empty when they do not."""
    features = read_features(build, described)
    return Segmentation.from_files(files).differences(
        features, published_hash(connection, described, as_of_date)
    )


def score(
    connection: duckdb.DuckDBPyConnection,
    settings: Settings,
    build: Path,
    pin: Pin,
    described: Described,
    files: Mapping[str, bytes],
) -> int:
    """Assign the customers of a client that are active at a date to the nearest frozen centre."""
    del settings
    own = Segmentation.from_files(files)
    chosen, values = statement(
        described.features[0], own.scaling.columns, own.scaling.kind, pin.member, [pin.as_of_date]
    )
    schema, rows = warehouse.LAKE_SCHEMAS["segments"], 0
    with partition(build / "lake", "segments", pin, schema) as writer:
        for batch in connection.execute(chosen, values).to_arrow_reader(BATCH):
            table = pa.Table.from_batches([batch])
            found = own.assigned(table, matrix(table, own.scaling.columns))
            columns = {
                **{name: found[name] for name in found.column_names},
                "model": pa.repeat(pin.name, len(found)),
                "model_version": pa.repeat(pin.version, len(found)),
                "role": pa.repeat(pin.role, len(found)),
            }
            writer.write_table(pa.table([columns[name] for name in schema.names], schema=schema))
            rows += len(found)
    return rows


def evaluate(settings: Settings, asked: "Asked", console: Console) -> None:
    """Segments of the month-ends before the first day, and how they hold on the days after it."""
    evaluation.evaluate(settings, asked, console)


def _load(job: Job[Segments], version: str) -> Segmentation:
    return Segmentation.from_files(Registry(job.settings).files(job.name, version))


def _names_from(
    job: Job[Segments], champion: Registered | None, present: Segmentation | None
) -> tuple[str, Segmentation | None]:
    """The latest champion that is older than the publication, whose names are carried over.

    A second training of the same publication finds its own result as the champion: it begins where the first
    one began, so that it comes to the same version.
    """
    version, found = (champion.version, present) if champion else ("", None)
    while found is not None and found.as_of >= job.publication.as_of_date:
        version = found.predecessor
        found = _load(job, version) if version else None
    return version, found


def _split(days: list[date], described: Segments) -> tuple[list[date], list[date]]:
    test = described.dates.test
    if len(days) <= test:
        raise TooLittle(
            f"{len(days)} month-ends with features; needed are {test} to judge by and at least one before."
        )
    return days[:-test][-described.dates.training :], days[-test:]


def _verdict(
    described: Segments,
    fitted: Fitted,
    champion: Registered | None,
    present: Segmentation | None,
    differences: str,
) -> tuple[str, str]:
    """What becomes of a version, and why.

    The champion stays until its refit is due, except when it cannot work any more or somebody has changed the
    numbers of the YAML.
    """
    own = fitted.segmentation
    text = f"{fitted.chosen.words}. {_changes(own)}"
    if champion is None or present is None:
        return PROMOTED, f"{text} It is the first champion."
    if differences:
        return PROMOTED, (
            f"{text} Champion {champion.version} can no longer assign, its features differ: {differences}."
        )
    if present.described != own.described:
        return PROMOTED, f"{text} It follows {champion.version}, which was fitted with other numbers."
    due = present.as_of + timedelta(days=described.refit_after_days)
    if own.as_of < due and own != present:
        return KEPT, (
            f"{text} Champion {champion.version} stays: its centres are frozen for "
            f"{described.refit_after_days} days, the refit is due from {due} on."
        )
    return PROMOTED, f"{text} It follows {champion.version}, whose refit was due from {due} on."


def _changes(own: Segmentation) -> str:
    """Which segments are kept, new or retired, in words."""
    if not own.predecessor:
        return f"Names begin here: {'; '.join(segment.name for segment in own.segments)}."
    new = [segment.name for segment in own.segments if segment.state == NEW]
    there = {segment.id for segment in own.segments}
    gone = [segment.name for segment in own.retired if segment.id not in there]
    kept = len(own.segments) - len(new)
    return (
        f"{kept} of {len(own.segments)} segments are those of {own.predecessor}"
        + (f"; new: {'; '.join(new)}" if new else "")
        + (f"; retired so far: {'; '.join(gone)}" if gone else "")
        + "."
    )
