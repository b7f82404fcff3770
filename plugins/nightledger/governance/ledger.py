"""What was decided about model versions: rows that nobody can change, and what they come to.

Each row says who decided what, when and why, who is champion after it, and the last as-of date that it does
not concern. So the champion of a date is that of the newest decision which applies to it. The registry's
aliases follow these rows (`ml.standing`), never the other way round.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import Any

import sqlalchemy as sa

from nightledger import operations, warehouse
from nightledger.operations.schema import model_decisions, model_importances, model_metrics, model_pins
from nightledger.settings import Settings

PROMOTED, KEPT, REFUSED, UNCHANGED = "promoted", "kept_as_challenger", "refused", "unchanged"
AWAITING, APPROVED, REJECTED = "awaiting_approval", "approved", "rejected"
DEMOTED, WITHDRAWN, REINSTATED = "demoted", "withdrawn", "reinstated"
CHAMPION, CHALLENGER = "champion", "challenger"

Decision = dict[str, Any]


class GovernanceError(ValueError):
    """A decision cannot be taken; the message says why and what can be done."""


@dataclass(frozen=True)
class Standing:
    """What a model's decisions come to."""

    champion: str | None = None
    challenger: str | None = None
    """The latest version that was judged since there is this champion, and neither promoted nor rejected."""
    is_withdrawn: bool = False
    """Somebody said that nothing is to score: only a person brings the model back."""


def standing(decisions: Sequence[Mapping[str, Any]]) -> Standing:
    """What the decisions about one model, oldest first, come to."""
    champion: str | None = None
    is_withdrawn = False
    contenders: dict[str, None] = {}
    for row in decisions:
        version = row["version"]
        if row["champion_after"] != champion:
            champion = row["champion_after"]
            is_withdrawn = champion is None
            contenders.clear()
        if row["decision"] in (KEPT, AWAITING):
            contenders.pop(version, None)
            contenders[version] = None
        elif row["decision"] == REJECTED:
            contenders.pop(version, None)
    challenger = next(reversed(contenders), None) if champion else None
    return Standing(champion, challenger, is_withdrawn)


def decisions(settings: Settings, model: str = "") -> list[Decision]:
    """Every decision, oldest first; about one model, or all."""
    if warehouse.publication_path(settings) is not None:
        operations.engine(settings)  # a home that an older release has made gets the columns now
    query = sa.select(model_decisions).order_by(model_decisions.c.id)
    return operations.read(settings, query.where(model_decisions.c.model == model) if model else query)


def decisions_of(settings: Settings, run_id: str) -> list[Decision]:
    """What a run has decided about each model in the end, in the order of the models."""
    last = {row["model"]: row for row in decisions(settings) if row["run_id"] == run_id}
    return [last[model] for model in sorted(last)]


def last_decision(settings: Settings, model: str) -> Decision | None:
    """The newest decision about a model, or None."""
    return next(reversed(decisions(settings, model)), None)


def champions(settings: Settings) -> dict[str, str]:
    """The champion of each model that has one."""
    found = decisions(settings)
    standings = {
        model: standing([row for row in found if row["model"] == model])
        for model in sorted({row["model"] for row in found})
    }
    return {model: of.champion for model, of in standings.items() if of.champion}


def metrics_of(settings: Settings, model: str, version: str) -> list[dict[str, Any]]:
    """What was measured when a version was trained, of the model and of its baselines."""
    table = model_metrics
    query = sa.select(table).where(table.c.model == model, table.c.version == version).order_by(table.c.id)
    return operations.read(settings, query)


def fix_pins(
    settings: Settings, wanted: Mapping[tuple[str, date], Mapping[str, str]]
) -> dict[tuple[str, date], dict[str, str]]:
    """Record which versions score each (model, as-of date) once; the first recorded ones are used for good.

    So a replay after a rollback and another promotion scores a date with what scored it first.

    Args:
        settings: of the installation.
        wanted: by model and date, the version of each role, to be used where none is recorded yet.

    Returns:
        The versions by model and date, and by role.
    """
    now = operations.clock()
    known: dict[tuple[str, date], dict[str, str]] = {}
    with operations.engine(settings).begin() as connection:
        for row in connection.execute(sa.select(model_pins)):
            known.setdefault((row.model, row.as_of_date), {})[row.role] = row.model_version
        missing = [
            {"model": model, "as_of_date": day, "role": role, "model_version": version, "recorded_at": now}
            for (model, day), versions in wanted.items()
            if (model, day) not in known
            for role, version in versions.items()
        ]
        if missing:
            connection.execute(model_pins.insert(), missing)
    return {key: known.get(key, dict(versions)) for key, versions in wanted.items()}


@contextmanager
def appending(settings: Settings, model: str) -> Iterator[tuple[sa.Connection, list[Decision]]]:
    """The decisions about a model, oldest first, while nobody else can append one."""
    with operations.engine(settings).begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(sa.text("lock table model_decisions in share row exclusive mode"))
        else:
            connection.exec_driver_sql("begin immediate")
        query = sa.select(model_decisions).where(model_decisions.c.model == model)
        rows = connection.execute(query.order_by(model_decisions.c.id))
        yield connection, [dict(row._mapping) for row in rows]


def append(connection: sa.Connection, **values: Any) -> Decision:
    """Write a decision; the columns of `model_decisions`, without its number and the time."""
    row = {"recorded_at": operations.clock(), **values}
    key = connection.execute(model_decisions.insert(), row).inserted_primary_key
    return {"id": key[0] if key else None, **row}


def from_now_on(settings: Settings, trained_on: date) -> dict[str, Any]:
    """What a decision of this moment is based on: it concerns the dates after those published."""
    path = warehouse.publication_path(settings)
    if path is None:
        raise GovernanceError(f"nothing has been published in {settings.home} yet: nothing is scored")
    with warehouse.connect(path, settings=settings) as connection:
        row = connection.execute("select max(as_of_date), max(cutoff_at) from ops.horizon").fetchone()
    if row is None or row[0] is None:
        raise GovernanceError(f"publication {path.name} has no as-of date")
    # A version never scores a date that it was trained on, whatever was rolled back since.
    return {"publication_id": path.name, "applies_after": max(row[0], trained_on), "known_at": row[1]}


def keep_measured(connection: sa.Connection, outcome: Mapping[str, Any], row: Decision) -> None:
    """Append metrics and importances of a version, unless an earlier run has measured the same one."""
    of_version = {name: outcome[name] for name in ("model", "version")}
    common = of_version | {name: row[name] for name in ("run_id", "known_at", "recorded_at")}
    for table, measured in ((model_metrics, outcome["metrics"]), (model_importances, outcome["importances"])):
        known = sa.select(table.c.id).where(*(table.c[name] == of for name, of in of_version.items()))
        if not measured or connection.execute(known).first():
            continue
        names = {column.name for column in table.columns} - {"id"}
        connection.execute(
            table.insert(),
            [{key: value for key, value in one.items() if key in names} | common for one in measured],
        )
