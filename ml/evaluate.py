"""How good a model would have been: trained on what was known before a day, judged on the days after it.

Nothing is published or registered. `make evaluate MODEL=… FROM=… TO=… [LABEL_DELAY=…] [TRAIN_DAYS=…] [OUT=…]
[CEILING=…]` writes into a directory:

- `predictions.parquet` and `.csv`: the rows of FROM to TO whose outcome is known by now: label and score;
- `unlabelled.parquet` and `.csv`: those whose outcome is not known yet, or never asked, with their score;
- `metrics.json` and `.csv`: the same metrics of the model and of each baseline, with intervals;
- `model_card.md`.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console

from ml import attributes, config, families, registry, scopes
from ml.artefacts import sha256
from ml.datasets import KEY, Rows, read_publication, read_rows
from ml.dates import Split, as_of_dates, matured_days
from ml.families import Job, Refused, TooLittle
from ml.features import DatasetError, read_features
from ml.scores import admission, baselines, cards, ceiling, evaluation, fitting
from ml.scores import evaluation_files as files
from ml.scores.config import Boosted, UseCase
from ml.scores.evaluation import Judged, Named
from ml.statements import lacking
from nightledger import warehouse
from nightledger.settings import Settings, SettingsError, read_settings


@dataclass(frozen=True)
class Evaluation:
    """What was trained, what it was judged on, and how well it did."""

    job: Job[UseCase]
    dates: Split
    folder: Path
    predictions: pa.Table
    """KEY, day, customer_id, label, score; rows whose outcome is known."""
    unlabelled: pa.Table
    """The same without the label: rows whose outcome is not known."""
    judged: Judged
    leak: str
    """A feature that seems to know the answer, in words; empty: none does."""

    @property
    def base_rate(self) -> float:
        """Share of events among the judged rows; nan without any."""
        return (
            float(pc.mean(self.predictions["label"]).as_py() or 0) if len(self.predictions) else float("nan")
        )


@dataclass(frozen=True)
class Asked:
    """Which model, which days, and what was known then."""

    model: str
    """A use case, or `<use case>.<member>` of its scope."""
    first: date
    last: date
    label_delay: int | None = None
    """Days until a label is known; default: the use case's."""
    train_days: int | None = None
    """Length of the time that is learnt from; default: the use case's number of dates."""
    folder: Path | None = None
    ceiling: Path | None = None
    """Parquet or CSV with client_id, entity_id, as_of_date and score of the same rows: another's
    probabilities, such as the true ones of a simulation."""


def evaluate(settings: Settings, asked: Asked) -> Evaluation:
    """Train on what was known before the first day, score and judge the days from the first to the last.

    A day is learnt from when its labels were known before the first day: horizon and delay had passed. Their
    labels are those of that time; the labels that the model is judged by are those of the publication.

    Args:
        settings: of the installation; the current publication is read.
        asked: what to evaluate.

    Raises:
        Refused: no rows, too few days or outcomes.
        ml.config.ConfigError: no such model, or not of that scope.
        ml.features.DatasetError: the publication lacks what the model needs.
    """
    name, _, member = asked.model.partition(".")
    use_case = _with_delay(config.load(name), asked.label_delay)
    use_case = scopes.asked(settings, use_case, asked.model)
    if asked.last < asked.first:
        raise Refused(f"TO={asked.last} lies before FROM={asked.first}")
    publication = read_publication(settings)
    features = read_features(publication.path, use_case)
    job = Job(settings, asked.model, use_case, publication, features)
    with warehouse.connect(publication.path, settings=settings) as connection:
        if reason := lacking(connection, use_case):
            raise Refused(reason)
        known = matured_days(connection, settings, use_case)
        dates = _split([day for _, day in known], asked, use_case)

        def read(days: Sequence[date], judged_at: datetime | None = None) -> Rows:
            pairs = [pair for pair in known if pair[1] in set(days)]
            return _of_member(read_rows(connection, settings, use_case, features, pairs, judged_at), member)

        fitted = read(dates.training)
        judged_rows = read(dates.test, publication.known_at) if use_case.label else None
        open_rows = _of_member(_open_rows(connection, job, known, asked), member)
    rows = _together(fitted, open_rows if judged_rows is None else judged_rows)
    try:
        codes = attributes.categories(rows.of(dates.fit), features, use_case.attributes.most_values)
    except attributes.AttributesError as error:
        raise Refused(str(error)) from error
    rows, open_rows = attributes.code(rows, codes), attributes.code(open_rows, codes)
    if reason := admission.too_few_outcomes(rows, dates, use_case):
        raise Refused(f"{reason} Choose other days, or lower `minimums` in the model's YAML.")
    return _measured(job, rows, open_rows, dates, asked)


def _with_delay(use_case: UseCase, label_delay: int | None) -> UseCase:
    if label_delay is None or use_case.label is None:
        return use_case
    return use_case.model_copy(
        update={"label": use_case.label.model_copy(update={"delay_days": label_delay})}
    )


def _of_member(rows: Rows, member: str) -> Rows:
    return rows.where(pc.equal(rows.table["scope"], member)) if member else rows


def _split(days: Sequence[date], asked: Asked, use_case: UseCase) -> Split:
    """The latest training days whose labels were known before the first test day, and the test days.

    Of the training days the same share calibrates as in the use case.
    """
    ordered = sorted(set(days))
    gap = timedelta(days=use_case.matures_after)
    before = [day for day in ordered if day + gap < asked.first]
    if asked.train_days is None:
        before = before[-use_case.dates.training :]
    else:
        before = [day for day in before if day + gap >= asked.first - timedelta(days=asked.train_days)]
    test = [day for day in ordered if asked.first <= day <= asked.last]
    numbers = use_case.dates
    if not ordered:
        label = use_case.label
        asked_about = f"No row that {use_case.name} asks about"
        if label is None:
            raise Refused(f"{asked_about} is in this publication: what it is about was not delivered.")
        raise Refused(
            f"{asked_about} has a known outcome ({label.event} or {label.other}) in this publication: what "
            f"tells it was not delivered, or the history is shorter than the {label.matures_after} days "
            "until it is known."
        )
    span = f"{numbers.count(len(ordered))} can be judged, {ordered[0]} to {ordered[-1]}"
    if len(before) < 2:
        raise Refused(
            f"{numbers.count(len(before))} to learn from: their labels must have been known before "
            f"{asked.first}, {use_case.matures_after} days after them. In all, {span}. Choose a later FROM, "
            "a shorter LABEL_DELAY or more TRAIN_DAYS."
        )
    if not test:
        raise Refused(f"no rows to judge from {asked.first} to {asked.last}. In all, {span}.")
    calibration = max(1, round(len(before) * numbers.calibration / numbers.training))
    edge = max(1, len(before) - calibration)
    return Split(fit=tuple(before[:edge]), calibration=tuple(before[edge:]), test=tuple(test))


def _open_rows(
    connection: duckdb.DuckDBPyConnection, job: Job[UseCase], known: Sequence[tuple[str, date]], asked: Asked
) -> Rows:
    """The rows of the days without known labels, as they were first seen."""
    use_case = job.described.model_copy(update={"label": None})
    there = as_of_dates(connection, use_case)
    if use_case.dates.every == "day":
        clients = sorted({client for client, _ in there})
        span = (asked.first + timedelta(days=n) for n in range((asked.last - asked.first).days + 1))
        pairs = [(client, day) for day in span for client in clients]
    else:
        pairs = [pair for pair in there if asked.first <= pair[1] <= asked.last and _ends_a_month(pair[1])]
    judged = set(known) if job.described.label is not None else set()
    rows = read_rows(
        connection, job.settings, use_case, job.features, [pair for pair in pairs if pair not in judged]
    )
    table = rows.table
    with duckdb.connect() as scratch:
        scratch.register("given", table.append_column("_place", pa.array(range(len(table)))))
        first_seen = scratch.execute(
            "select _place from given qualify as_of_date = min(as_of_date)"
            " over (partition by client_id, entity_id, day) order by _place"
        ).to_arrow_table()
    return replace(rows, table=table.take(first_seen["_place"]))


def _ends_a_month(day: date) -> bool:
    return (day + timedelta(days=1)).day == 1


def _together(fitted: Rows, test: Rows) -> Rows:
    """Training rows and rows to be judged as one."""
    if len(test) and fitted.definition_hash != test.definition_hash:
        raise Refused(
            "the features of these days were made by several definitions; rebuild them with a history night"
        )
    return replace(
        fitted, table=pa.concat_tables([fitted.table, test.table.select(fitted.table.column_names)])
    )


def _measured(job: Job[UseCase], rows: Rows, open_rows: Rows, dates: Split, asked: Asked) -> Evaluation:
    use_case, threads = job.described, job.settings.threads
    model, found = fitting.search_and_fit(use_case, job.features, rows, dates, threads)
    version = registry.version_id(job.publication.as_of_date, sha256(model.files()))
    named = Named(job.name, version, f"{asked.first} to {asked.last}")
    test = rows.of(dates.test)
    judged, predictions = Judged(rows=()), _scored(test.where(pc.scalar(False)), np.zeros(0))
    if isinstance(use_case.estimator, Boosted):
        scores = model.scores(test.table, threads)
        others = baselines.predict(
            use_case,
            rows.of(dates.fit),
            rows.of(dates.calibration),
            test,
            threads=threads,
            monotone=use_case.estimator.monotone,
        )
        if asked.ceiling is not None:
            others[ceiling.NAME] = ceiling.read(asked.ceiling, test)
        costs = evaluation.alert_rules(job.settings)
        judged = evaluation.judge(use_case, named, test, scores, others, None, costs)
        predictions = _scored(test, scores)
    folder = asked.folder or job.settings.home / "evaluations" / f"{job.name}_{asked.first}_{asked.last}"
    result = Evaluation(
        job=job,
        dates=dates,
        folder=folder,
        predictions=predictions,
        unlabelled=_scored(
            open_rows, model.scores(open_rows.table, threads) if len(open_rows) else np.zeros(0)
        ),
        judged=judged,
        leak=admission.leak(rows.of(dates.fit), use_case),
    )
    importances = cards.importance(model, test, threads)
    card = cards.write(job, version, model, dates, rows, found, judged, importances)
    files.write(result, named, card)
    return result


def _scored(rows: Rows, scores: Any) -> pa.Table:
    columns = [c for c in (*KEY, "day", "customer_id", "label") if c in rows.table.column_names]
    return rows.table.select(columns).append_column("score", pa.array(scores, pa.float64()))


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no day; write 2026-03-31") from error


def _days(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no number of days, 0 or more")
    return int(text)


def main(arguments: list[str] | None = None) -> int:
    """Evaluate and print; returns the exit code."""
    parser = argparse.ArgumentParser(prog="ml.evaluate", description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--from", dest="first", type=_day, required=True, help="first day scored")
    parser.add_argument("--to", dest="last", type=_day, required=True, help="last day scored")
    parser.add_argument("--label-delay", type=_days, help="days until a label is known")
    parser.add_argument("--train-days", type=_days, help="days that are learnt from")
    parser.add_argument("--out", type=Path, help="directory to write to")
    parser.add_argument("--ceiling", type=Path, help="another's probabilities of the same rows")
    given = parser.parse_args(arguments)
    asked = Asked(
        given.model, given.first, given.last, given.label_delay, given.train_days, given.out, given.ceiling
    )
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 160
    try:
        described = config.read(asked.model.partition(".")[0])
        families.of(described).evaluate(read_settings(), asked, console)
    except (Refused, TooLittle, config.ConfigError, DatasetError, SettingsError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
