"""From a publication to a judged ranker: which dates are learnt from, which judge, who was where on each."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import cast

import duckdb
import pyarrow as pa

from ml import config
from ml.datasets import Publication
from ml.families import TooLittle
from ml.features import read_features
from ml.goals import cases
from ml.goals.config import Goals
from ml.goals.ranking import Comparison, Ranker, compare, judged_from, learnt_until
from ml.segments import past
from ml.segments.config import Segments
from ml.segments.model import Segmentation


@dataclass(frozen=True)
class Sides:
    """Dates to learn from and to judge by, each with its cutoff, in order."""

    learnt: tuple[tuple[date, datetime], ...]
    judged: tuple[tuple[date, datetime], ...]


@dataclass(frozen=True)
class Learnt:
    """What came of them."""

    comparison: Comparison
    segmentation: Segmentation | None
    """The latest of those that popularity goes by; None: nobody was in a segment."""
    window: str
    """First and last date judged."""


def open_dates(
    connection: duckdb.DuckDBPyConnection, rules: Goals, client: str, last: date
) -> list[tuple[date, datetime]]:
    """Dates with evidence of which it is known by a day what happened around them, with their cutoffs."""
    wait = timedelta(days=rules.after_days + rules.delay_days)
    return [(day, cutoff) for day, cutoff in cases.dates(connection, client) if day + wait <= last]


def latest_third(rules: Goals, days: Sequence[tuple[date, datetime]], client: str) -> Sides:
    """The latest dates to judge by, and those before them to learn from.

    Raises:
        TooLittle: there are no dates.
    """
    if not days:
        raise TooLittle(
            f"{client} has no date with evidence that is {rules.after_days + rules.delay_days} days old: run "
            "a history first."
        )
    first = judged_from(rules, [day for day, _ in days])
    until = learnt_until(rules, first)
    learnt = tuple(one for one in days if one[0] < until)
    if not learnt:
        raise TooLittle(
            f"{client} has dates with evidence from {days[0][0]} to {days[-1][0]}: none to learn from lies "
            f"before {until}, where no event counts for those that judge, too. Run a longer history."
        )
    return Sides(learnt, tuple(one for one in days if one[0] >= first))


def told(connection: duckdb.DuckDBPyConnection, rules: Goals, client: str, before: datetime) -> pa.Table:
    """See `ml.goals.cases.told`.

    Raises:
        TooLittle: nobody has said that anything happened.
    """
    found = cases.told(connection, rules, client, before)
    if not len(found):
        events = connection.execute("select event from staging.life_events order by 1").fetchall()
        raise TooLittle(
            f"Nobody has told what happened to the customers of {client}: the feed `labels` has no row with "
            f"entity customer, a label among {', '.join(event for (event,) in events)}, and a value among "
            f"{', '.join(rules.positive)}. The rules rank. A file of what happened can be compared with: "
            f"make evaluate-goals CLIENT={client} TRUTH=file."
        )
    return found


def learn(
    connection: duckdb.DuckDBPyConnection,
    publication: Publication,
    rules: Goals,
    client: str,
    sides: Sides,
    then: pa.Table,
    now: pa.Table,
    champion: Ranker | None = None,
) -> Learnt:
    """Fit on one side, judge by the other.

    Args:
        connection: on the publication.
        publication: which.
        rules: of the model.
        client: whose customers.
        sides: the dates.
        then: what happened (`ml.goals.cases.TRUTH`), as the first judged date knew it: learnt from.
        now: what happened, as it is known now: judged by.
        champion: another ranker to be judged beside it, if it ranks the same events.

    Raises:
        TooLittle: too few customers to whom something happened.
    """
    described = cast(Segments, config.read(rules.segments))
    features = read_features(publication.path, rules)
    days = [day for day, _ in (*sides.learnt, *sides.judged)]
    versions = past.of_quarters(connection, described, features, client, days[-1])
    segments = cases.segments_at(connection, described, versions, client, days)

    def read(of: Sequence[tuple[date, datetime]], truth: pa.Table) -> cases.Cases:
        return cases.read(connection, rules, client, [day for day, _ in of], segments, truth)

    earlier, later = read(sides.learnt, then), read(sides.judged, now)
    comparable = champion if champion is not None and champion.events == later.events else None
    return Learnt(
        comparison=compare(rules, earlier, later, comparable),
        segmentation=versions[-1] if versions else None,
        window=f"{sides.judged[0][0]} to {sides.judged[-1][0]}",
    )
