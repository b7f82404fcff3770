"""What champion and challenger were worth on the same rows of nights, once their outcomes are known.

A challenger scores each night in the shadow of the champion. How the two differ is in
`marts.mart_shadow_scores` the morning after; which of them was right is known only when labels have matured.
So each training of the model looks back, and its reason says what the nights have shown.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np

from ml.datasets import Rows
from ml.dates import register_dates
from ml.scores import evaluation, metrics
from ml.scores.config import UseCase
from ml.scores.losses import DAYS
from ml.statements import exposure_sql, module_sql, parameters
from nightledger.settings import Settings

DATASET = "nights"
"""In `ml.metrics`: what is told of champion and challenger by the nights that both have scored."""


@dataclass(frozen=True)
class Shadow:
    """Champion and challenger on the same matured rows of nights."""

    champion: str
    challenger: str
    first_day: str
    last_day: str
    evaluated: metrics.Evaluated
    """The challenger's metrics under ``, the champion's under `champion`, and the gain over it."""

    @property
    def window(self) -> str:
        """Days of the rows."""
        return f"{self.first_day} to {self.last_day}"

    def rows(self) -> list[dict[str, Any]]:
        """As the table `ml.metrics` has them, of a dataset of their own."""
        found = self.evaluated
        return [
            evaluation.row(
                evaluation.Named("", "", self.window),
                metric,
                estimate,
                found,
                client_id="",
                baseline="champion" if scorer else "challenger",
            )
            | {"dataset": DATASET}
            for scorer, by_metric in found.metrics.items()
            for metric, estimate in by_metric.items()
        ]

    def words(self) -> str:
        """One sentence."""
        metric = self.evaluated.primary
        own, its = (self.evaluated.metrics[name][metric] for name in ("", "champion"))
        gain = self.evaluated.gains["champion"]
        return (
            f"In the nights, challenger {self.challenger} had {own.value:.3f} and champion {self.champion} "
            f"{its.value:.3f} of {metric.replace('_', ' ')} on the same {self.evaluated.n:,} rows whose "
            f"outcome is known by now ({self.window}, base rate {self.evaluated.base_rate:.1%}): a "
            f"difference of {gain.value:+.3f} ({gain.lo:+.3f} to {gain.hi:+.3f})."
        )


def look_back(
    connection: duckdb.DuckDBPyConnection, settings: Settings, use_case: UseCase, champion: str
) -> Shadow | None:
    """The latest challenger beside the champion on the last matured days that both of them have scored.

    Labels are those of the training: each as known at the cutoff of the day on which it matures. Days are
    those of `ml.scores.losses`: 28 that have matured.

    Args:
        connection: on a publication.
        settings: clients.
        use_case: says what an event is and when it is known, and how scores are judged.
        champion: the version.

    Returns:
        None where no challenger has scored such a row, or the rows lack one of the outcomes.
    """
    if use_case.label is None or use_case.evaluation is None or use_case.promotion is None:
        return None
    there = connection.execute(
        "select 1 from information_schema.tables where table_schema = 'marts' and table_name = 'fct_scores'"
    ).fetchone()
    if there is None:
        return None
    span = {"model": use_case.name, "days": DAYS, "matures_after": use_case.matures_after}
    pairs = connection.execute(
        """
        select scores.model_version, scores.client_id, scores.as_of_date
        from marts.fct_scores as scores
        inner join ops.horizon as horizon using (client_id)
        where scores.model = $model and scores.role = 'challenger'
            and scores.as_of_date > horizon.as_of_date - ($matures_after + $days)::integer
            and exists (
                select 1 from marts.fct_scores as beside
                where beside.client_id = scores.client_id and beside.model = scores.model
                    and beside.as_of_date = scores.as_of_date
                    and beside.role = 'champion' and beside.model_version = $champion
            )
        group by all
        order by scores.as_of_date desc, scores.client_id, scores.model_version
        """,
        {**span, "champion": champion},
    ).fetchall()
    for challenger in dict.fromkeys(version for version, *_ in pairs):
        of_version = [(client, day) for version, client, day in pairs if version == challenger]
        register_dates(connection, settings, use_case, of_version)
        label = module_sql(use_case, "LABEL")
        exposure = exposure_sql(use_case)
        statement = f"""
            with scored as (
                select client_id, entity_id, as_of_date,
                    any_value(score) filter (where role = 'challenger') as own,
                    any_value(score) filter (where role = 'champion') as its
                from marts.fct_scores
                where model = $model
                    and ((role = 'champion' and model_version = $champion)
                        or (role = 'challenger' and model_version = $challenger))
                group by all
                having count(*) = 2
            )
            select labels.*, exposures.exposure, scored.own, scored.its
            from ({label}) as labels
            inner join scored using (client_id, entity_id, as_of_date)
            left join ({exposure}) as exposures using (client_id, entity_id, as_of_date)
            inner join ops.horizon as horizon on horizon.client_id = labels.client_id
            where labels.day <= horizon.as_of_date - $matures_after::integer
                and labels.day > horizon.as_of_date - ($matures_after + $days)::integer
            order by labels.client_id, labels.entity_id, labels.as_of_date
        """  # noqa: S608 - the use case's own SQL
        values = {**span, "champion": champion, "challenger": challenger, **parameters(use_case, statement)}
        rows = Rows(connection.execute(statement, values).to_arrow_table(), (), "")
        if len(set(rows.labels())) == 2:
            days = sorted(set(rows.table["day"].to_pylist()))
            found = _evaluated(use_case, rows, evaluation.alert_rules(settings))
            return Shadow(champion, challenger, str(days[0]), str(days[-1]), found)
    return None


def _evaluated(
    use_case: UseCase, rows: Rows, rules: Mapping[str, evaluation.AlertRules]
) -> metrics.Evaluated:
    """Both on the same rows and the same draws of customers."""
    assert use_case.evaluation is not None and use_case.promotion is not None  # noqa: S101 - was checked
    return metrics.evaluate(
        rows.labels(),
        {
            "": np.asarray(rows.table["own"].to_numpy(), dtype=np.float64),
            "champion": np.asarray(rows.table["its"].to_numpy(), dtype=np.float64),
        },
        rows.customers(),
        use_case.evaluation,
        use_case.seed,
        context=evaluation.context_of(use_case, rows, rules),
        primary=use_case.promotion.metric,
    )
