"""What a run is doing or why it failed, told from the operational database and the lock alone.

Airflow's own states say whether a task runs; these say what the night has reached, and they are still there
when Airflow is not. Times are UTC without a zone.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa

from nightledger import operations
from nightledger.monitoring import alerts, deadlines
from nightledger.night import lock
from nightledger.operations.schema import audits, file_verdicts_table, node_results_table, runs, stages
from nightledger.settings import Settings

NIGHTS = ("nightly", "history")
"""DAGs that publish."""
TRIES = 3
"""How often Airflow tries a step: `retries` of the DAGs, and once more."""
QUIET = timedelta(minutes=30)
"""A step that is silent for so long, and for three times as long as usual, is looked after."""
SENSOR = timedelta(minutes=5)
"""A run that waits says so every minute; after this long it waits no more."""
LINES = 5
"""Failed checks, tests or files that are shown."""
_VALUES = (
    (re.compile(r"(?<!\w)(['\"])(?:[^\n]*\1(?!\w)|.*\Z)", re.DOTALL), r"\1…\1"),
    (re.compile(r"\b((?:with|cast|convert) value) +(?!['\"])\S+"), r"\1 …"),
    (re.compile(r"\(-?[\d.]+ *[-+*/] *-?[\d.]+\)"), "(…)"),
)
"""How DuckDB puts a row's values into what it says: in quotes, after the word, or as a calculation."""


@dataclass(frozen=True)
class Run:
    """One run of a night."""

    run_id: str
    """`<dag>/<Airflow's run id>`."""
    as_of_date: date | None
    state: str
    """`running`, `tried again`, `silent`, `waiting`, `failed`, `published` or `nothing to do`."""
    stage: str | None
    """What it is at, waits in, or failed in."""
    since: datetime
    """When it reached that."""
    error: str | None = None
    done: tuple[str, ...] = ()
    waits_for: str | None = None
    opened_at: datetime | None = None
    ended_at: datetime | None = None

    @property
    def page(self) -> str:
        """Path of our page of the run at Airflow's address."""
        return f"{self._in_airflow}/plugin/nightledger-run"

    @property
    def log(self) -> str:
        """Path of the log of the task that it is at."""
        return f"{self._in_airflow}/tasks/{self.stage}" if self.stage else self._in_airflow

    @property
    def _in_airflow(self) -> str:
        dag, _, name = self.run_id.partition("/")
        return f"/dags/{quote(dag)}/runs/{quote(name, safe='')}"


@dataclass(frozen=True)
class Failure:
    """Why a run failed, and what to do."""

    run: Run
    alert: alerts.Alert
    message: str
    evidence: list[tuple[str, str]] = field(default_factory=list)
    """What failed (check, test, file) and its message."""


def last_runs(settings: Settings, now: datetime) -> list[Run]:
    """Runs of nights that have begun anything, the one that did something last first."""
    tries: dict[str, list[dict[str, Any]]] = {}
    query = sa.select(stages).where(sa.or_(*(stages.c.run_id.like(f"{dag}/%") for dag in NIGHTS)))
    for row in operations.read(settings, query.order_by(stages.c.id)):
        tries.setdefault(row["run_id"], []).append(row)
    opened = {row["run_id"]: row for row in operations.read(settings, sa.select(runs))}
    waits = {row["run_id"]: row for row in operations.waits(settings)}
    holder, usual = lock.holder(settings), deadlines.usual(settings)
    found = [
        _run(name, tries.get(name, []), opened.get(name), waits.get(name), holder, usual, now)
        for name in tries.keys() | waits.keys() | ({holder} if holder else set())
    ]
    last = {name: rows[-1]["id"] for name, rows in tries.items()}
    return sorted(found, key=lambda run: (run.since, last.get(run.run_id, 0)), reverse=True)


def _run(
    name: str,
    tries: Sequence[dict[str, Any]],
    row: dict[str, Any] | None,
    wait: dict[str, Any] | None,
    holder: str | None,
    usual: deadlines.Usual,
    now: datetime,
) -> Run:
    done = tuple(dict.fromkeys(each["stage"] for each in tries if each["state"] == "done"))
    day = row["as_of_date"] if row else wait["as_of_date"] if wait else None
    known: dict[str, Any] = {"run_id": name, "as_of_date": day, "done": done}
    if row:
        known |= {"opened_at": row["opened_at"], "ended_at": row["ended_at"]}
    if not tries:
        if wait and holder != name:
            state = "waiting" if now - wait["recorded_at"] < SENSOR else "nothing to do"
            since, waits_for = wait["since"], wait["waits_for"]
            return Run(**known, state=state, stage="wait_for_sources", since=since, waits_for=waits_for)
        return Run(**known, state="running", stage="open", since=wait["recorded_at"] if wait else now)
    last = tries[-1]
    since = last["recorded_at"]
    if row and row["state"] == "published":
        return Run(**known, state="published", stage="publish", since=row["ended_at"] or since)
    detail = json.loads(last["detail"])
    if last["state"] == "failed":
        stage, error = last["stage"], str(detail.get("error", ""))
        if wait and wait["recorded_at"] > since and now - wait["recorded_at"] < SENSOR:
            return Run(
                **known, state="waiting", stage=stage, since=wait["since"], waits_for=wait["waits_for"]
            )
        over = (row is not None and row["state"] == "failed") or (
            holder != name and stage != "wait_for_sources"
        )
        state = "failed" if over or _is_hopeless(tries) else "tried again"
        return Run(**known, state=state, stage=stage, since=since, error=error)
    if holder != name:
        state = "nothing to do" if "nothing_to_do" in detail else "failed"
        return Run(**known, state=state, stage=_after(done), since=since, error="it ended without a word")
    stage = _after(done)
    patience = max(QUIET, timedelta(seconds=3 * usual.seconds.get(stage, 0.0)))
    return Run(**known, state="silent" if now - since > patience else "running", stage=stage, since=since)


def _after(done: Sequence[str]) -> str:
    return next((stage for stage in deadlines.STAGES if stage not in done), deadlines.STAGES[-1])


def _is_hopeless(tries: Sequence[dict[str, Any]]) -> bool:
    """Whether Airflow does not try the last step again."""
    last, failures = tries[-1], 0
    for each in reversed(tries):
        if (each["stage"], each["state"]) != (last["stage"], "failed"):
            break
        failures += 1
    kind = alerts.of_error(str(json.loads(last["detail"]).get("error", ""))).kind
    return failures >= TRIES or kind not in ("machine", "model", "other")


def without_values(message: str) -> str:
    """What a database says, without the values of rows: more people read our pages than may see rows.

    A quotation runs to the last quote of its line, or to the end of the text if that closes none: values
    hold quotes too. Names in quotes go with them; the log of the task has it all.
    """
    for pattern, instead in _VALUES:
        message = pattern.sub(instead, message)
    return message


def why(settings: Settings, run: Run) -> Failure:
    """What failed in a run, with its first lines; of what dbt or a library said, without values."""
    alert = alerts.of_error(run.error or "")
    message = (run.error or "").partition(": ")[2] or (run.error or "")
    evidence: list[tuple[str, str]] = []
    if alert.kind == "audit":
        query = sa.select(audits).where(audits.c.run_id == run.run_id).order_by(audits.c.id)
        rows = operations.read(settings, query)
        newest = {row["check"]: row for row in rows}.values()
        evidence = [
            (row["check"], f"{row['violations']:,} found: {row['detail']}")
            for row in newest
            if row["severity"] == "error" and row["status"] == "failed"
        ]
        message = "Nothing was published; readers keep the last publication."
    elif alert.kind in ("test", "model"):
        table = node_results_table
        bad = table.c.status.in_(("fail", "error", "runtime error"))
        query = sa.select(table).where(table.c.run_id == run.run_id, bad).order_by(table.c.recorded_at.desc())
        evidence = [
            (row["unique_id"].split(".")[2], without_values(row["message"]))
            for row in operations.read(settings, query)
        ]
    if alert.kind in ("test", "model", "other"):
        message = without_values(message)
    evidence += refused(settings, run.run_id)
    return Failure(run, alert, message.strip(), evidence[:LINES])


def refused(settings: Settings, run_id: str) -> list[tuple[str, str]]:
    """Files that a run refused, and why."""
    table = file_verdicts_table
    query = sa.select(table).where(table.c.run_id == run_id, table.c.verdict == "refused")
    return [
        (f"{row['client_id']}/{row['source']}: {row['file']}", row["message"])
        for row in operations.read(settings, query.order_by(table.c.file))
    ]
