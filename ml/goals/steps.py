"""The steps of the path for the order of life events; see `ml.families`.

Rules find the evidence and decide what is told. A version puts what is told of a customer in an order, and is
promoted only where that order is better than popularity by segment and than the rules' own. It ranks as it
was judged: it is not fitted again on the dates that judged it.
"""

from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, cast

import duckdb
import numpy as np
import pyarrow as pa
from rich.console import Console

from ml import config, scopes
from ml.config import Described
from ml.datasets import read_publication
from ml.families import Job, Refused, TooLittle, Trained
from ml.features import published_hash, read_features
from ml.goals import cases, learning, report
from ml.goals.config import Goals
from ml.goals.learning import Learnt, Sides
from ml.goals.model import LifeEvents
from ml.goals.ranking import CHAMPION, RANKER, RULES, learnt_until
from ml.partitions import Pin, partition
from ml.promotion import KEPT, PROMOTED, REFUSED
from ml.registry import Registered, Registry
from ml.segments.config import Segments
from nightledger import warehouse
from nightledger.settings import Settings

if TYPE_CHECKING:
    from ml.evaluate import Asked

LAKE = "life_event_ranks"


def train(job: Job[Goals], member: str, champion: Registered | None) -> Trained:
    """Learn from earlier dates, and judge by the latest ones."""
    rules = job.described
    rival = None
    if champion is not None:
        rival = LifeEvents.from_files(Registry(job.settings).files(job.name, champion.version)).ranker
    with warehouse.connect(job.publication.path, settings=job.settings) as connection:
        now = learning.told(connection, rules, member, job.publication.known_at)
        days = learning.open_dates(connection, rules, member, job.publication.as_of_date)
        sides = learning.latest_third(rules, days, member)
        then = cases.told(connection, rules, member, sides.judged[0][1])
        learnt = learning.learn(connection, job.publication, rules, member, sides, then, now, rival)
    own = _version(job, learnt)
    verdict, reason = decide(rules, learnt, champion)
    return Trained(
        files=own.files(),
        heldout=report.predictions(learnt.comparison),
        params={
            "learnt_dates": len(sides.learnt),
            "judged_dates": learnt.window,
            "learnt_cases": learnt.comparison.learnt,
            "described": rules.model_dump_json(exclude={"description"}),
        },
        metrics=report.rows(rules, learnt),
        documents={"model_card.md": report.card(job, job.version(own.files()), learnt, reason)},
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
    """How events and features of a date differ from those that a version was fitted on; empty: not at all."""
    own = LifeEvents.from_files(files)
    there = connection.execute("select event from staging.life_events order by 1").fetchall()
    if (now := tuple(event for (event,) in there)) != own.ranker.events:
        return f"it ranks {', '.join(own.ranker.events)}; the seed life_events has {', '.join(now)}"
    if own.segmentation is None:
        return ""
    features = read_features(build, described)
    return own.segmentation.differences(features, published_hash(connection, described, as_of_date))


def score(
    connection: duckdb.DuckDBPyConnection,
    settings: Settings,
    build: Path,
    pin: Pin,
    described: Described,
    files: Mapping[str, bytes],
) -> int:
    """Score the events that there is evidence for, of each customer of a client on a date."""
    del settings
    rules, own = cast(Goals, described), LifeEvents.from_files(files)
    of_segments = cast(Segments, config.read(rules.segments))
    versions = [own.segmentation] if own.segmentation else []
    days = [pin.as_of_date]
    segments = cases.segments_at(connection, of_segments, versions, pin.member, days)
    found = cases.read(connection, rules, pin.member, days, segments)
    scores = own.ranker.scores(found)
    of, event = np.nonzero(found.evidence)
    n = len(of)
    schema = warehouse.LAKE_SCHEMAS[LAKE]
    table = pa.table(
        {
            "client_id": pa.repeat(pin.member, n),
            "model": pa.repeat(pin.name, n),
            "model_version": pa.repeat(pin.version, n),
            "role": pa.repeat(pin.role, n),
            "customer_id": pa.array(found.names[of], pa.string()),
            "event": pa.array(np.array(own.ranker.events, dtype=object)[event], pa.string()),
            "score": pa.array(scores[of, event], pa.float32()),
            "as_of_date": pa.repeat(pin.as_of_date, n),
        },
        schema=schema,
    )
    with partition(build / "lake", LAKE, pin, schema) as writer:
        writer.write_table(table)
    return n


def evaluate(settings: Settings, asked: "Asked", console: Console) -> None:
    """Learn from what was told before the first day, and judge by the dates asked for.

    Raises:
        Refused: the dates or what is known of them are too little, or another family's option was given.
    """
    name, _, client = asked.model.partition(".")
    rules = cast(Goals, scopes.asked(settings, config.read(name), asked.model))
    if asked.ceiling is not None:
        raise Refused("life events have no ceiling: leave CEILING out")
    if asked.label_delay is not None:
        rules = rules.model_copy(update={"delay_days": asked.label_delay})
    publication = read_publication(settings)
    job = Job(settings, asked.model, rules, publication, ())
    with warehouse.connect(publication.path, settings=settings) as connection:
        try:
            now = learning.told(connection, rules, client, publication.known_at)
            sides = _sides(connection, rules, client, publication.as_of_date, asked)
            then = cases.told(connection, rules, client, sides.judged[0][1])
            learnt = learning.learn(connection, publication, rules, client, sides, then, now)
        except TooLittle as refused:
            raise Refused(str(refused)) from refused
    verdict, reason = decide(rules, learnt, None)
    version = job.version(_version(job, learnt).files())
    folder = asked.folder or settings.home / "evaluations" / f"{asked.model}_{asked.first}_{asked.last}"
    metrics = [{"model": job.name, "version": version, **row} for row in report.rows(rules, learnt)]
    about = {"model": job.name, "version": version, "publication": publication.id, "judged": learnt.window}
    said = report.predictions(learnt.comparison)
    report.write(folder, about, metrics, said, report.card(job, version, learnt, reason))
    console.print(f"[bold]{job.name}[/bold] on publication {publication.id}: judged on {learnt.window}")
    report.show(rules, learnt.comparison, console)
    console.print(f"By its rules a first version would be {verdict}: {reason}")
    console.print(f"Files: {folder}", soft_wrap=True)


def decide(rules: Goals, learnt: Learnt, champion: Registered | None) -> tuple[str, str]:
    """What becomes of a version, and why."""
    result, (ndcg, _) = learnt.comparison, rules.metrics
    leads = "; ".join(
        f"{report.in_words(result.gained[RANKER, name, metric], '+')} over {name} in {title}"
        for name in rules.promotion.over_lists
        for metric, title in zip(rules.metrics, ("the order", "hits"), strict=True)
    )
    text = f"NDCG of the first {rules.list_length} {report.in_words(result.found[RANKER, ndcg])}: {leads}"
    if not result.wins(rules):
        text = f"{text}. It must be surely better than each in both."
        if champion is None:
            return REFUSED, f"{text} The rules rank."
        if (CHAMPION, RULES, ndcg) in result.gained and not result.wins(rules, CHAMPION):
            text = (
                f"{text} Champion {champion.version} no longer is either: after `make demote` the rules rank."
            )
        return REFUSED, text
    if champion is None:
        return PROMOTED, f"{text}. It is the first champion."
    if (RANKER, CHAMPION, ndcg) not in result.gained:
        return PROMOTED, f"{text}. Champion {champion.version} ranks other events."
    gain, margin = result.gained[RANKER, CHAMPION, ndcg], rules.promotion.over_champion
    better = gain.value > 0 and gain.lo > margin
    return PROMOTED if better else KEPT, (
        f"{text}. Its lead over champion {champion.version} is {report.in_words(gain, '+')}: it "
        f"{'is' if better else 'must be'} positive with a lower end above {margin:g}."
    )


def _version(job: Job[Goals], learnt: Learnt) -> LifeEvents:
    described = job.described.model_dump(mode="json", exclude={"description"})
    return LifeEvents(job.publication.as_of_date, learnt.comparison.ranker, learnt.segmentation, described)


def _sides(
    connection: duckdb.DuckDBPyConnection, rules: Goals, client: str, last: date, asked: "Asked"
) -> Sides:
    """The dates asked for, and those before them.

    Raises:
        Refused: there are none to judge by, or to learn from.
    """
    days = learning.open_dates(connection, rules, client, last)
    until = learnt_until(rules, asked.first)
    since = asked.first - timedelta(days=asked.train_days) if asked.train_days else date.min
    sides = Sides(
        tuple(one for one in days if since <= one[0] < until),
        tuple(one for one in days if asked.first <= one[0] <= asked.last),
    )
    if not sides.learnt or not sides.judged:
        span = f"{days[0][0]} to {days[-1][0]}" if days else "none"
        raise Refused(
            f"{len(sides.learnt)} dates before {until} to learn from, {len(sides.judged)} from {asked.first} "
            f"to {asked.last} to judge by. Dates with evidence, of which what happened is known: {span}."
        )
    return sides
