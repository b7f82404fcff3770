"""What must hold after every fault, and a reader that looks at the current publication all the while."""

import contextlib
import hashlib
from dataclasses import dataclass
from typing import Any

import duckdb

from nightledger import operations, publications, warehouse
from nightledger.ingestion import landing
from nightledger.night import lock
from nightledger.settings import Settings
from tests.drills.bench import Bench
from tests.drills.children import FORK, Child
from tests.drills.stages import STAGES

DECIDED_ON_THE_LATEST_DATE = ("marts.fct_next_best_actions", "marts.fct_campaign_outcomes")
"""A night that makes up for a lost one contacts nobody on the date that is over."""


@dataclass(frozen=True)
class Facts:
    """What a home holds, in terms that may not depend on faults."""

    content: str
    tables: dict[str, Any]
    loads: list[tuple[Any, ...]]
    arrivals: list[tuple[Any, ...]]
    published: list[str]
    makes_up: bool
    """Whether the night built more dates than its own, because the publication of one was lost."""


def facts(settings: Settings) -> Facts:
    """Read the current publication and what lies around it."""
    path = warehouse.publication_path(settings)
    if path is None:
        raise FileNotFoundError("there is no current publication")
    with warehouse.connect(path, settings=settings) as connection:
        content = warehouse.content_hash(connection)
        loads = connection.execute(
            "select contract, file, sha256, verdict, records, quarantined, amount_sum from ops.loads"
            " order by all"
        ).fetchall()
        dates = connection.execute("select count(distinct as_of_date) from ops.as_of_dates where is_tonight")
        makes_up = (dates.fetchone() or (0,))[0] > 1
    return Facts(
        content["hash"],
        content["tables"],
        loads,
        sorted((a.contract, a.file, a.sha256, a.size) for a in landing.arrivals(settings)),
        [
            row["publication_id"]
            for row in operations.publication_log(settings)
            if row["action"] == "published"
        ],
        makes_up,
    )


def losses(settings: Settings, reference: Facts, before: Facts, publications_added: int = 1) -> list[str]:
    """Everything that is not as after an undisturbed night; empty when nothing was lost or doubled.

    To be called in a child: it tries the same night again, which must find nothing to do.
    """
    found = facts(settings)
    wrong = []
    if found.content != reference.content:
        different = [name for name, value in reference.tables.items() if found.tables.get(name) != value]
        forgiven = DECIDED_ON_THE_LATEST_DATE if found.makes_up else ()
        wrong += [
            f"{name}: {found.tables.get(name)} instead of {reference.tables[name]}"
            for name in different
            if name not in forgiven
        ] or ([] if different else ["content hash differs"])
    if found.loads != reference.loads:
        wrong.append(f"load ledger: {set(found.loads) ^ set(reference.loads)}")
    if found.arrivals != reference.arrivals:
        wrong.append(f"landing area: {set(found.arrivals) ^ set(reference.arrivals)}")
    for arrival in landing.arrivals(settings):
        with contextlib.suppress(FileNotFoundError), arrival.path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() == arrival.sha256:
                continue
        wrong.append(f"landing area: the bytes of {arrival.file} are not what arrived")
    new = found.published[len(before.published) :]
    if found.published[: len(before.published)] != before.published or len(new) != publications_added:
        wrong.append(f"publications log: {found.published}")
    path = warehouse.publication_path(settings)
    if path and (path.name not in new[-1:] or publications.describe(path)["content_hash"] != found.content):
        wrong.append(f"{path.name} is not what its log and its description say")
    if path and {file.name for file in path.iterdir()} != set(publications.FILES):
        wrong.append(f"{path.name} holds {sorted(file.name for file in path.iterdir())}")
    there = {p.name for p in settings.builds.iterdir() if not p.name.startswith(".")}
    if extra := there - {*found.published, "current", "abandoned"}:
        wrong.append(f"builds/ still has {sorted(extra)}")
    if lock.holder(settings):
        wrong.append(f"{lock.holder(settings)} still holds the lock")
    STAGES["take_lock"](settings, "nightly/afterwards")
    if STAGES["open"](settings, "nightly/afterwards") is not None:
        wrong.append("the same night, asked for again, finds something to do")
    if left := sorted(path.name for path in settings.landing.glob(".*")):
        wrong.append(f"the landing area still has {left}")
    return wrong


class Reader:
    """A child that opens the current publication again and again, as a dashboard would."""

    def __init__(self, bench: Bench, *, hold: bool = False) -> None:
        self._ours, theirs = FORK.Pipe()
        watch = _hold if hold else _poll
        self.child = Child(lambda: watch(bench.settings, theirs), bench.log)

    def stop(self) -> tuple[set[str], list[str]]:
        """End it; returns the content hashes seen and the problems met."""
        with contextlib.suppress(BrokenPipeError):  # it has ended by itself
            self._ours.send("stop")
        outcome = self.child.wait()
        if outcome.state != "done":
            return set(), [outcome.error or outcome.state]
        return outcome.value


def _poll(settings: Settings, pipe: Any) -> tuple[set[str], list[str]]:
    seen: dict[tuple[str, int], str] = {}
    problems: list[str] = []
    stopping = False
    while True:
        try:
            path = warehouse.publication_path(settings)
            if path is None:
                problems.append("no publication")
                return set(seen.values()), problems
            key = (path.name, (path / warehouse.FILE).stat().st_mtime_ns)
            if key not in seen or stopping:
                with warehouse.connect(path, settings=settings) as connection:
                    seen[key] = warehouse.content_hash(connection)["hash"]
            if publications.describe(path)["content_hash"] != seen[key]:
                problems.append(f"{path.name} is not what it says")
        except (duckdb.Error, OSError, publications.PublicationError) as error:
            problems.append(f"{type(error).__name__}: {error}")
        if stopping:
            return set(seen.values()), problems
        stopping = pipe.poll(0.05)


def _hold(settings: Settings, pipe: Any) -> tuple[set[str], list[str]]:
    path = warehouse.publication_path(settings)
    seen: set[str] = set()
    if path is None:
        return seen, ["no publication"]
    with warehouse.connect(path, settings=settings) as connection:
        while True:
            seen.add(warehouse.content_hash(connection)["hash"])
            if pipe.poll(1):
                return seen, []
