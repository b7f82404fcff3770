"""The steps of the path for forecasts; see `ml.families`."""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import duckdb
import pyarrow as pa
from rich.console import Console

from ml.config import Described
from ml.families import Job, TooLittle, Trained
from ml.forecasts import cards, evaluation, fitted, series
from ml.forecasts.accuracy import INTERVALS, measure
from ml.forecasts.backtest import chosen
from ml.forecasts.config import Forecast
from ml.forecasts.fitted import Fitted, Judged
from ml.partitions import BATCH, Pin, partition
from ml.promotion import KEPT, PROMOTED, REFUSED
from ml.registry import Registered, Registry
from nightledger import warehouse
from nightledger.settings import Settings

if TYPE_CHECKING:
    from ml.evaluate import Asked as AskedToEvaluate

KIND = "forecasts"


def train(job: Job[Forecast], member: str, champion: Registered | None) -> Trained:
    """Backtest every method on the publication and keep the winners."""
    rules, settings = job.described, job.settings
    with warehouse.connect(job.publication.path, settings=settings) as connection:
        asked, truth = fitted.begin(connection, settings, rules, member, job.publication.as_of_date)
        found, judged = fitted.learn(connection, settings, asked, truth)
    files = found.files()
    version = job.version(files)
    rival = None
    if champion is not None and champion.version != version:
        rival = Fitted.from_files(Registry(settings).files(job.name, champion.version))
    broken = guardrails(rules, judged)
    verdict, reason = decide(rules, judged, rival, champion, broken)
    return Trained(
        files=files,
        heldout=pa.Table.from_pandas(judged.crossed.drop(columns=["is_positive"]), preserve_index=False),
        params={
            "origins": judged.window,
            "series": len(found.tiers),
            "country": found.country,
            "described": rules.model_dump_json(exclude={"description"}),
        },
        metrics=judged.metrics,
        documents={"model_card.md": cards.write(job.name, version, rules, found, judged)},
        verdict=verdict,
        reason=reason,
        guardrails=broken,
    )


def why_not(
    connection: duckdb.DuckDBPyConnection,
    build: Path,
    described: Described,
    as_of_date: date,
    files: Mapping[str, bytes],
) -> str:
    """A version reads movements and nothing else, so only another measure or format can be wrong."""
    measure_of, rules = Fitted.from_files(files).measure, cast(Forecast, described)
    return "" if measure_of == rules.measure else f"it forecasts {measure_of}, not {rules.measure}"


def score(
    connection: duckdb.DuckDBPyConnection,
    settings: Settings,
    build: Path,
    pin: Pin,
    described: Described,
    files: Mapping[str, bytes],
) -> int:
    """Write forecasts when the date ends a month, which is their origin; other dates have none."""
    if pin.as_of_date != series.month_end(pin.as_of_date):
        return 0
    rules, found = cast(Forecast, described), Fitted.from_files(files)
    try:
        asked, truth = fitted.begin(connection, settings, rules, pin.member, pin.as_of_date, found.country)
    except TooLittle:
        return 0  # nothing is known of the client on that date: there is nothing to forecast
    span = fitted.known_at(connection, settings, asked, truth.first, pin.as_of_date)
    table, has_customers = fitted.forecast(connection, asked, found, span)
    schema = warehouse.LAKE_SCHEMAS[KIND]
    about = {
        "client_id": pin.member,
        "model": pin.name,
        "model_version": pin.version,
        "as_of_date": pin.as_of_date,
        "role": pin.role,
        "measure": rules.measure,
    }
    own = pa.Table.from_pylist([about | _decimals(one) for one in fitted.finite(table)], schema)
    rows = int(own.num_rows)
    with partition(build / "lake", KIND, pin, schema) as writer:
        writer.write_table(own)
        if has_customers:
            origins = {name: f"${name}" for name in about} | _OF_CUSTOMERS
            columns = ", ".join(
                f"{origins.get(name, name)}::{_SQL_TYPES[str(kind)]} as {name}"
                for name, kind in zip(schema.names, schema.types, strict=True)
            )
            said = connection.execute(
                f"select {columns} from _reconciled order by customer_id, step",  # noqa: S608 - the lake's own columns
                about,
            )
            for batch in said.to_arrow_reader(BATCH):
                writer.write_table(pa.Table.from_batches([batch]).cast(schema))
                rows += int(batch.num_rows)
    return rows


def evaluate(settings: Settings, asked: "AskedToEvaluate", console: Console) -> None:
    """Learn from what was known before the first day, forecast at the month-ends asked for, and judge."""
    evaluation.evaluate(settings, asked, console)


def guardrails(rules: Forecast, judged: Judged) -> tuple[str, ...]:
    """Promises that the backtest does not keep, in words."""
    most, broken = rules.promotion.coverage, []
    parts: list[tuple[str, Mapping[str, float]]] = [("series", judged.of_series())]
    if judged.customers is not None:
        parts.append(("customers", judged.customers.values))
        own, floor = judged.customers.values["mase"], judged.customers.values["floor_mase"]
        if own > floor * rules.promotion.over_floor:
            broken.append(f"MASE of customers {own:.3f}, of their floor {floor:.3f}")
    for what, values in parts:
        for name in ("80", "95"):
            covered = values[f"coverage_{name}"]
            if abs(covered - int(name) / 100) > most:
                broken.append(f"{covered:.0%} of the outcomes of {what} lie in the {name} % interval")
    return tuple(broken)


def decide(
    rules: Forecast,
    judged: Judged,
    rival: Fitted | None,
    champion: Registered | None,
    broken: tuple[str, ...],
) -> tuple[str, str]:
    """What becomes of a version, and why."""
    own, floor = judged.of_series(), judged.of_floor()
    text = (
        f"MASE {own['mase']:.3f} over {judged.crossed.origin.nunique()} origins, {judged.window}; the floor "
        f"has {floor['mase']:.3f}. {own['coverage_80']:.0%} and {own['coverage_95']:.0%} of the outcomes lie "
        "in the 80 and 95 % intervals"
    )
    if judged.is_floor():
        text = f"{text}. No method proved better than the floor, so every series has it"
    elif own["mase"] > floor["mase"] * rules.promotion.over_floor:
        return REFUSED, f"{text}. It is no better than the floor."
    if broken:
        return KEPT if rival else REFUSED, f"{text}. It breaks {len(broken)} guardrails: {'; '.join(broken)}."
    if rival is None or champion is None:
        return PROMOTED, f"{text}. It is the first champion."
    its = measure(chosen(judged.table[judged.table.grain == "month"], rival.tiers))["mase"]
    better = own["mase"] <= its * rules.promotion.over_champion
    return PROMOTED if better else KEPT, (
        f"{text}. The methods of champion {champion.version} have {its:.3f} at the same origins; at most "
        f"{rules.promotion.over_champion:g} times that {'is' if better else 'would be'} good enough."
    )


def _decimals(one: Mapping[str, Any]) -> dict[str, Any]:
    """Amounts as decimals; the other columns as they are."""
    return {
        name: Decimal(str(value)) if name in ("yhat", *INTERVALS) and value is not None else value
        for name, value in one.items()
        if name in warehouse.LAKE_SCHEMAS[KIND].names
    }


_SQL_TYPES = {"string": "varchar", "date32[day]": "date", "decimal128(18, 4)": "decimal(18, 4)"}
_OF_CUSTOMERS = {
    "level": "'customer'",
    "grain": "'month'",
    "entity": "customer_id",
    "category": "''",
    "target": "(date_trunc('month', $as_of_date::date) + to_months(step))",
}
