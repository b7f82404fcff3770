"""What champions have lost on labels that are known by now, against what clients allow.

Reads a publication only. The definition stands in docs/metric-decisions.md, "Realised loss": the exposure of
events that the champion did not point out, as a share of the exposure of all that it scored, over the last
matured days. A use case's module may say with `POINTED_OUT` (client_id, entity_id, as_of_date; parameter
`version`) what people were told to look at; else it is band `high` and those above.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

import duckdb

from ml import config
from ml.datasets import read_publication
from ml.dates import register_dates
from ml.scores.config import UseCase
from ml.statements import module_sql, parameters
from nightledger import warehouse
from nightledger.clients import Client, load_clients
from nightledger.settings import Settings

DAYS = 28
"""Matured days that are looked at."""
LEAST_DAYS = 7
"""Fewer of them that the champion has scored tell nothing yet."""

BAND = "high"
"""From it on, people act; of a use case without a band of this name, the highest one."""


@dataclass(frozen=True)
class Loss:
    """Realised loss of one client; money in its base currency."""

    client_id: str
    first_day: date
    last_day: date
    days: int
    """Of the window, those of which the champion scored anything."""
    missed: float
    exposure: float

    @property
    def share(self) -> float:
        """Missed exposure as a share of all."""
        return self.missed / self.exposure if self.exposure else 0.0


def breaches(
    settings: Settings, champions: Mapping[str, str], publication_id: str | None = None
) -> list[dict[str, Any]]:
    """Champions that have lost more than a client allows.

    Args:
        settings: clients and their limits.
        champions: the version by model, as the registry calls it.
        publication_id: default: the current one.

    Returns:
        By champion: model, version, a reason in words and the figures of each client; JSON-able.
    """
    clients = load_clients(settings)
    publication = read_publication(settings, publication_id)
    found = []
    with warehouse.connect(publication.path, settings=settings) as connection:
        for model, version in sorted(champions.items()):
            name = model.partition(".")[0]
            limits = {
                client: of.loss_limits[name].share for client, of in clients.items() if name in of.loss_limits
            }
            if not limits or name not in config.names():
                continue
            losses = realised(connection, settings, config.load(name), version)
            over = [loss for loss in losses if loss.share > limits.get(loss.client_id, 1.0)]
            if over:
                figures = [
                    asdict(loss)
                    | {"first_day": str(loss.first_day), "last_day": str(loss.last_day)}
                    | {"share": loss.share, "limit": limits[loss.client_id]}
                    for loss in over
                ]
                words = " ".join(
                    _words(loss, clients[loss.client_id], limits[loss.client_id]) for loss in over
                )
                found.append({"model": model, "version": version, "reason": words, "clients": figures})
    return found


def realised(
    connection: duckdb.DuckDBPyConnection, settings: Settings, use_case: UseCase, version: str
) -> list[Loss]:
    """Realised loss of a champion by client, without those of whom it has scored too few matured days.

    Args:
        connection: on a publication.
        settings: clients.
        use_case: says what an event is, what it costs and when it is known.
        version: of the champion.
    """
    if use_case.label is None:
        return []
    scored = connection.execute(
        """
        select distinct scores.client_id, scores.as_of_date
        from marts.fct_scores as scores
        inner join ops.horizon as horizon using (client_id)
        where scores.model = $model and scores.model_version = $version and scores.role = 'champion'
            and scores.as_of_date > horizon.as_of_date - ($matures_after + $days)::integer
        order by all
        """,
        {
            "model": use_case.name,
            "version": version,
            "matures_after": use_case.matures_after,
            "days": DAYS,
        },
    ).fetchall()
    if not scored:
        return []
    register_dates(connection, settings, use_case, scored)
    label, exposure = module_sql(use_case, "LABEL"), module_sql(use_case, "EXPOSURE")
    pointed_out = module_sql(use_case, "POINTED_OUT", optional=True) or (
        "select client_id, entity_id, as_of_date from scored where list_contains($bands, band)"
    )
    statement = f"""
        with scored as (
            select client_id, entity_id, as_of_date, band from marts.fct_scores
            where model = $model and model_version = $version and role = 'champion'
        ),
        judged as (
            select labels.client_id, labels.day, labels.label, exposures.exposure,
                pointed_out.entity_id is null as is_missed
            from ({label}) as labels
            inner join scored using (client_id, entity_id, as_of_date)
            inner join ({exposure}) as exposures using (client_id, entity_id, as_of_date)
            left join ({pointed_out}) as pointed_out using (client_id, entity_id, as_of_date)
            inner join ops.horizon as horizon on horizon.client_id = labels.client_id
            where labels.day <= horizon.as_of_date - $matures_after::integer
                and labels.day > horizon.as_of_date - ($matures_after + $days)::integer
        )
        select client_id, min(day), max(day), count(distinct day),
            coalesce(sum(exposure) filter (where label = 1 and is_missed), 0), coalesce(sum(exposure), 0)
        from judged group by client_id having count(distinct day) >= $least_days order by client_id
    """  # noqa: S608 - the use case's own SQL
    bands = list(use_case.bands)
    values = {
        "model": use_case.name,
        "version": version,
        "days": DAYS,
        "least_days": LEAST_DAYS,
        "matures_after": use_case.matures_after,
        "bands": bands[bands.index(BAND) if BAND in bands else -1 :],
        **parameters(use_case, statement),
    }
    found = connection.execute(
        statement, {name: value for name, value in values.items() if f"${name}" in statement}
    ).fetchall()
    return [
        Loss(client_id, first, last, days, float(missed), float(exposure))
        for client_id, first, last, days, missed, exposure in found
    ]


def _words(loss: Loss, client: Client, limit: float) -> str:
    return (
        f"{loss.client_id} lost {loss.share:.3%} by what was not pointed out, above its limit of "
        f"{limit:.3%}: {loss.missed:,.0f} of {loss.exposure:,.0f} {client.base_currency} on {loss.days} "
        f"matured days from {loss.first_day} to {loss.last_day}."
    )
