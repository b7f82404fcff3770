"""The steps of the path for lifetime value; see `ml.families`.

A version is fitted on what was known before the days held out, and judged by them. It is registered as it was
judged: its few parameters gain nothing from the latest months, and what is published is what was measured.
"""

from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import pyarrow as pa
from rich.console import Console

from ml import config
from ml.config import Described
from ml.datasets import read_publication
from ml.families import Job, Refused, TooLittle, Trained
from ml.lifetime_value import decision, fitting, report
from ml.lifetime_value.config import LifetimeValue
from ml.lifetime_value.customers import Customers, read_customers
from ml.lifetime_value.model import FILE, ValueModel
from ml.partitions import BATCH, Pin, partition
from ml.registry import Registered, Registry
from nightledger import warehouse
from nightledger.settings import Settings

if TYPE_CHECKING:
    from ml.evaluate import Asked

LAKE = "lifetime_values"


def train(job: Job[LifetimeValue], member: str, champion: Registered | None) -> Trained:
    """Fit on what was known before the days held out, and predict them."""
    with warehouse.connect(job.publication.path, settings=job.settings) as connection:
        last, known_at = fitting.horizon(connection, member, TooLittle)
        window = fitting.Window(last - timedelta(days=job.described.holdout_days - 1), last, known_at)
        who, model = fitting.fitted(connection, job.settings, job.described, member, window)
        rival, incomparable = None, ""
        if champion is not None and champion.version != job.version(model.files()):
            its = ValueModel.from_files(Registry(job.settings).files(job.name, champion.version))
            if its.measure != model.measure:
                incomparable = f"Champion {champion.version} tells {its.measure}, this one {model.measure}."
            else:
                seen = fitting.customers_of(
                    connection, job.settings, member, window, its.measure, its.visit_days
                )
                rival = its, seen
        held, judged = fitting.judged(connection, job.described, member, window, who, model, rival)
    verdict, reason = decision.verdict(job.described, judged, champion if rival else None, incomparable)
    return Trained(
        files=model.files(),
        heldout=held.table(member),
        params={
            "fitted_until": window.origin.isoformat(),
            "customers": len(who),
            "held_out": f"{window.first} to {window.last}",
            "measure": model.measure,
            "parameters": model.files()[FILE].decode(),
            "lifetime_value": job.described.model_dump_json(),
        },
        metrics=judged.rows,
        documents={"model_card.md": report.card(job, model, who, held, judged, window.origin)},
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
    """Whether the build has what a version reads; it brings all its numbers with it."""
    ValueModel.from_files(files)
    wanted = {
        "int_revenue": "client_id customer_id business_date revenue spend_amount is_customer_initiated"
        " known_at superseded_at",
        "int_customers": "client_id customer_id closed_on known_at superseded_at",
    }
    there = connection.execute(
        "select table_name, column_name from information_schema.columns where table_schema = 'intermediate'"
    ).fetchall()
    lacking = [
        f"{table}.{column}"
        for table, columns in wanted.items()
        for column in columns.split()
        if (table, column) not in there
    ]
    return f"{described.name} reads what the build does not have: {', '.join(lacking)}" if lacking else ""


def score(
    connection: duckdb.DuckDBPyConnection,
    settings: Settings,
    build: Path,
    pin: Pin,
    described: Described,
    files: Mapping[str, bytes],
) -> int:
    """The value of each customer of a client who was known and not closed at the end of a date."""
    model = ValueModel.from_files(files)
    schema = warehouse.LAKE_SCHEMAS[LAKE]
    tonight = connection.execute(
        "select cutoff_at from ops.as_of_dates where client_id = ? and as_of_date = ? and is_tonight",
        [pin.member, pin.as_of_date],
    ).fetchone()
    rows = 0
    with partition(build / "lake", LAKE, pin, schema) as writer:
        if tonight is None:
            return 0
        who = read_customers(
            connection,
            pin.member,
            pin.as_of_date,
            tonight[0],
            measure=model.measure,
            visit_days=model.visit_days,
        )
        who = who.where(~who.is_closed)
        for start in range(0, len(who), BATCH):
            part = who.where(_between(len(who), start, start + BATCH))
            writer.write_table(_valued(model, part, pin, schema))
            rows += len(part)
    return rows


def evaluate(settings: Settings, asked: "Asked", console: Console) -> None:
    """Fit on what was known before the first day, predict the days asked for, and say how well.

    Raises:
        Refused: the days are too few or lie beyond the publication, or another family's option was given.
        TooLittle: too few customers.
    """
    described = config.read(asked.model.partition(".")[0])
    assert isinstance(described, LifetimeValue)  # noqa: S101 - the family was told by the file
    member = asked.model.partition(".")[2]
    if not member:
        raise Refused(f"{described.name}.yml: scope is client; ask for {described.name}.<client>")
    if asked.label_delay is not None or asked.ceiling is not None:
        raise Refused("lifetime value has no labels and no ceiling: leave LABEL_DELAY and CEILING out")
    publication = read_publication(settings)
    with warehouse.connect(publication.path, settings=settings) as connection:
        last, known_at = fitting.horizon(connection, member, Refused)
        if asked.last > last or (asked.last - asked.first).days < 27:
            raise Refused(
                f"FROM={asked.first} TO={asked.last}: at least 28 days are predicted, and they must have "
                f"ended by {last}, the publication's last day."
            )
        since = asked.first - timedelta(days=asked.train_days) if asked.train_days else None
        window = fitting.Window(asked.first, asked.last, known_at, since)
        who, model = fitting.fitted(connection, settings, described, member, window)
        held, judged = fitting.judged(connection, described, member, window, who, model, None)
    job = Job(settings, asked.model, described, publication, ())
    version = job.version(model.files())
    folder = asked.folder or settings.home / "evaluations" / f"{asked.model}_{asked.first}_{asked.last}"
    card = report.card(job, model, who, held, judged, window.origin)
    rows = [{"model": job.name, "version": version, **row} for row in judged.rows]
    report.write(folder, publication, held.table(member), rows, card)
    verdict, reason = decision.verdict(described, judged, None, "")
    report.show(job, model, who, held, judged, console)
    console.print(f"By its rules a first version would be {verdict}: {reason}")
    console.print(f"Files: {folder}", soft_wrap=True)


def _between(n: int, start: int, end: int) -> Any:
    places = np.arange(n)
    return (places >= start) & (places < end)


def _valued(model: ValueModel, who: Customers, pin: Pin, schema: pa.Schema) -> pa.Table:
    found, n = model.forecast(who), len(who)
    return pa.table(
        {
            "client_id": pa.repeat(pin.member, n),
            "model": pa.repeat(pin.name, n),
            "model_version": pa.repeat(pin.version, n),
            "role": pa.repeat(pin.role, n),
            "customer_id": who.ids,
            "measure": pa.repeat(model.measure, n),
            "band": pa.array(model.bands_of(found.value)),
            "probability_alive": pa.array(found.alive, pa.float32()),
            "expected_visits": pa.array(found.visits, pa.float32()),
            "expected_value_each": _money(found.each),
            "lifetime_value": _money(found.value),
            "as_of_date": pa.repeat(pin.as_of_date, n),
        },
        schema=schema,
    )


def _money(values: Any) -> pa.Array:
    return pa.array(np.round(values, 4)).cast(pa.decimal128(18, 4))
