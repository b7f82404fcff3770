"""Reports of a model that gives scores: its features, its scores, and what became of them."""

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import cast

import duckdb
import numpy as np
import pandas as pd
import pyarrow.compute as pc

from ml import attributes, scopes
from ml.datasets import KEY, Rows, read_rows
from ml.dates import matured_days
from ml.features import DatasetError, Feature, read_features
from ml.reports.comparisons import Absent, Comparison, Subject
from ml.sampling import sampled_sql
from ml.scores.config import UseCase
from ml.scores.model import Model
from nightledger.clients import load_clients

LONGEST_LIST, SHORTEST_LIST = 50, 5
"""Rows that are looked at of a list, whatever the budget."""


def compare(subject: Subject) -> Iterator[Comparison | Absent]:
    """Features against the training rows, scores against held-out rows, matured scores against labels."""
    use_case = cast(UseCase, subject.described)
    model = Model.from_files(subject.registry.files(subject.pin.model, subject.pin.version))
    yield _features(subject, use_case, model)
    yield _scores(subject)
    if use_case.label is None:
        yield Absent("classification", "It foretells nothing: there is no label to hold against its scores.")
        return
    outcomes, why_not = _outcomes(subject, use_case)
    if why_not:
        yield Absent("classification", why_not)
        yield Absent("ranking", why_not)
        return
    heldout = subject.connection.execute(
        f"select client_id, entity_id, as_of_date, day, label, score from {subject.heldout()}"  # noqa: S608
    ).df()
    share = use_case.evaluation.budget_share if use_case.evaluation else 0.1
    yield _classification(subject, use_case, outcomes, heldout, share)
    yield _ranking(subject, use_case, outcomes, heldout, share)


def _features(subject: Subject, use_case: UseCase, model: Model) -> Comparison | Absent:
    features = attributes.coded(read_features(subject.publication.path, use_case), model.categories)
    if differences := model.differences(features, None):
        return Absent("data", f"The training rows cannot be read again, {differences}.")
    vectors = subject.lake("vectors")
    if vectors is None:
        return Absent("data", f"It scored no row of {subject.pin.as_of_date}.")
    rows = f"""
        select vectors.*, coalesce(scores.band, '') as _band
        from {vectors} as vectors
        left join {subject.lake("scores")} as scores using (client_id, entity_id, as_of_date)
    """  # noqa: S608 - our own files
    current = subject.connection.execute(sampled_sql(rows, ["client_id", "_band"], KEY, subject.half)).df()
    try:
        training, days = _training(subject, use_case, features, model)
    except DatasetError as error:
        return Absent("data", f"The training rows cannot be read again: {error}.")
    texts = tuple(feature.name for feature in features if feature.is_text)
    names = list(model.features)
    both = [_told(table[names], features) for table in (current, training.table.select(names).to_pandas())]
    return Comparison(
        kind="data",
        current=both[0],
        reference=both[1],
        told=(
            f"Current: what was scored for {subject.pin.as_of_date}, drawn by client and band. Reference:"
            f" what version {subject.pin.version} was trained on ({days}), as the publication has it now,"
            " drawn by client and outcome."
        ),
        categories=texts,
    )


def _told(table: pd.DataFrame, features: Sequence[Feature]) -> pd.DataFrame:
    """The table with texts in place of their codes."""
    table = table.copy()
    for feature in features:
        if feature.is_text and feature.values is not None:
            words = dict(enumerate(feature.values, start=1))
            table[feature.name] = table[feature.name].map(words)
    return table


def _training(
    subject: Subject, use_case: UseCase, features: Sequence[Feature], model: Model
) -> tuple[Rows, str]:
    """A sample of the rows that the version was trained on, and from when to when they are."""
    said = subject.registry.parameters(subject.pin.model, subject.pin.version)["training_dates"]
    first, last = (date.fromisoformat(day) for day in said.partition(",")[0].split(" to "))
    clients = load_clients(subject.settings)
    off = {name for name, of in clients.items() if use_case.name in of.switched_off}
    mine = scopes.owner(subject.pin.member)
    pairs = [
        pair
        for pair in matured_days(subject.connection, subject.settings, use_case)
        if first <= pair[1] <= last and pair[0] not in off and (mine not in clients or pair[0] == mine)
    ]
    rows = read_rows(subject.connection, subject.settings, use_case, features, pairs, most=subject.half)
    if subject.pin.member:
        rows = rows.where(pc.equal(rows.table["scope"], subject.pin.member))
    return attributes.code(rows, model.categories), f"{first} to {last}"


def _scores(subject: Subject) -> Comparison | Absent:
    scores = subject.lake("scores")
    if scores is None:
        return Absent("output", f"It scored no row of {subject.pin.as_of_date}.")
    sides = []
    for rows in (scores, subject.heldout()):
        drawn = sampled_sql(f"select * from {rows}", ["client_id"], KEY, subject.half)  # noqa: S608
        sides.append(subject.connection.execute(f"select score from ({drawn})").df())  # noqa: S608
    return Comparison(
        kind="output",
        current=sides[0],
        reference=sides[1],
        told=(
            f"Current: the scores of {subject.pin.as_of_date}. Reference: the same version's scores of rows"
            " that it was not fitted on, when it was trained."
        ),
    )


def _outcomes(subject: Subject, use_case: UseCase) -> tuple[pd.DataFrame, str]:
    """The version's scores that have met their label, or why there are none."""
    found = subject.connection.execute(
        """
        select client_id, entity_id, as_of_date, coalesce(label, label_now) as label, score
        from marts.fct_outcomes
        where model = ? and model_version = ? and role = 'champion' and score is not null
        """,
        [subject.pin.name, subject.pin.version],
    ).df()
    if not len(found):
        ripe = subject.versions_first + timedelta(days=use_case.matures_after)
        return found, f"None of its scores has met its outcome yet; the first are known on {ripe}."
    if found["label"].nunique() < 2:
        word = "an event" if found["label"].max() == 0 else "a row without the event"
        return found, f"There is not {word} among the {len(found):,} scores that have met their outcome."
    return found, ""


def _classification(
    subject: Subject, use_case: UseCase, outcomes: pd.DataFrame, heldout: pd.DataFrame, share: float
) -> Comparison:
    assert use_case.label is not None  # noqa: S101 - it has outcomes
    sides = []
    for table in (outcomes, heldout):
        with duckdb.connect() as aside:
            aside.register("given", table)
            drawn = sampled_sql("select * from given", ["client_id", "label"], KEY, subject.half)
            sides.append(aside.execute(drawn).df()[["label", "score"]])
    return Comparison(
        kind="classification",
        current=sides[0],
        reference=sides[1],
        told=(
            f"Current: the {len(outcomes):,} scores of version {subject.pin.version}, of"
            f" {_span(outcomes)}, that have met their label; 1 is {use_case.label.event}, 0"
            f" {use_case.label.other}. Reference: {len(heldout):,} rows that it was judged on when it was"
            f" trained. A row counts as foretold from the score that the top {share:.1%} of the latter have."
        ),
        cut=float(np.quantile(heldout["score"], 1 - share)),
    )


def _ranking(
    subject: Subject, use_case: UseCase, outcomes: pd.DataFrame, heldout: pd.DataFrame, share: float
) -> Comparison | Absent:
    """Each client's list of a date, whole lists only: of a part, the top is another one."""
    by = "day" if use_case.dates.every == "day" else "as_of_date"
    sides = []
    for table, column in ((outcomes, "as_of_date"), (heldout, by)):
        lists = table["client_id"].str.cat(table[column].astype(str).str[:10], sep=" ")
        table = table.assign(list=lists).sort_values([column, "client_id", "entity_id"], ascending=False)
        sizes = table.groupby("list", sort=False).size()
        with_events = table.groupby("list", sort=False)["label"].sum()
        fitting = sizes[(sizes.cumsum() <= subject.half) & (with_events > 0)]
        table = table[table["list"].isin(fitting.index)].reset_index(drop=True)
        sides.append(table.assign(row=np.arange(len(table)).astype(str)))
    if any(not len(side) for side in sides):
        return Absent("ranking", "There is no whole list of a client and date with an event in it.")
    usual = float(np.median(sides[1].groupby("list").size())) * share
    length = int(np.clip(round(usual), SHORTEST_LIST, LONGEST_LIST))
    columns = ["list", "row", "label", "score"]
    return Comparison(
        kind="ranking",
        current=sides[0][columns],
        reference=sides[1][columns],
        told=(
            f"A list is a client's rows of a date, the highest score first; the top {length} are looked at."
            f" Current: {sides[0]['list'].nunique()} lists of {_span(outcomes)} that have met their label."
            f" Reference: {sides[1]['list'].nunique()} lists that version {subject.pin.version} was judged on"
            " when it was trained."
        ),
        length=length,
    )


def _span(table: pd.DataFrame) -> str:
    days = sorted({str(day)[:10] for day in table["as_of_date"]})
    return days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
