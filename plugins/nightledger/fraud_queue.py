"""What the newest publication says about fraud alerts, for the people who work on them.

Everything is read from the publication, so it is as the night left it; what people have done since stands in
`nightledger.cases`.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from typing import Any

import duckdb

from nightledger import warehouse
from nightledger.settings import Settings

MOST_ALERTS = 5000
"""Alerts that are shown and counted at once: a month of three clients' queues with the default budget."""
BEFORE, AFTER = 12, 8
"""Payments of the customer that are shown beside the one of the alert."""

Row = dict[str, Any]


@contextmanager
def _reading(settings: Settings) -> Iterator[duckdb.DuckDBPyConnection | None]:
    """The newest publication; None before the first one."""
    path = warehouse.publication_path(settings)
    if path is None:
        yield None
        return
    with warehouse.connect(path, settings=settings) as connection:
        yield connection


def _rows(connection: duckdb.DuckDBPyConnection, query: str, **values: Any) -> list[Row]:
    found = connection.execute(query, values)
    names = [column[0] for column in found.description or ()]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def alerts(
    settings: Settings,
    clients: Collection[str] | None = None,
    *,
    newest: bool = True,
    worked: Collection[tuple[str, str]] = (),
) -> list[Row]:
    """Alerts within their night's budget, newest night first, then by client and place in the queue.

    Args:
        settings: of the installation.
        clients: of these clients; None: of all.
        newest: only of each client's newest night; else of every night.
        worked: client and transaction of those that are wanted beyond the budget too, since people work on
            them.

    Returns:
        Rows with the columns of `mart_fraud_alerts`: at most `MOST_ALERTS` and one more, which tells that not
        all are there.
    """
    with _reading(settings) as connection:
        if connection is None:
            return []
        return _rows(
            connection,
            f"""
            select queue.* from marts.mart_fraud_alerts as queue
            left join ops.horizon as horizon
                on horizon.client_id = queue.client_id and horizon.as_of_date = queue.as_of_date
            where (
                    queue.is_within_budget
                    or (queue.client_id, queue.transaction_key) in (
                        select (unnest($clients::varchar[]), unnest($transactions::varchar[])))
                )
                and (not $newest or horizon.client_id is not null)
                and ($only::varchar[] is null or list_contains($only::varchar[], queue.client_id))
            order by queue.as_of_date desc, queue.client_id, queue.rank
            limit {MOST_ALERTS + 1}
            """,  # noqa: S608 - a number of ours
            newest=newest,
            only=None if clients is None else sorted(clients),
            clients=[client for client, _ in worked],
            transactions=[transaction for _, transaction in worked],
        )


def night(settings: Settings, clients: Collection[str] | None = None) -> Row:
    """Which night the newest publication shows, and whether its payments were scored for fraud.

    Args:
        settings: of the installation.
        clients: those that may be named; None: all.

    Returns:
        `publication` (None before the first one), `as_of_date`, `clients`, `is_scored`, and `silent`: clients
        whose alerts are shown to nobody, since their feeds have never told a fraud.
    """
    nothing: Row = {
        "publication": None,
        "as_of_date": None,
        "clients": [],
        "is_scored": False,
        "silent": [],
    }
    path = warehouse.publication_path(settings)
    with _reading(settings) as connection:
        if connection is None or path is None:
            return nothing
        (found,) = _rows(
            connection,
            """
            select max(as_of_date) as as_of_date, list(distinct client_id order by client_id) as clients,
                exists (
                    select 1 from ops.model_pins as pins
                    where pins.model = 'fraud' and pins.role = 'champion'
                        and pins.as_of_date in (select as_of_date from ops.horizon)
                ) as is_scored, (
                    select list(client_id order by client_id) from (
                        select queue.client_id
                        from marts.mart_fraud_alerts as queue
                        inner join ops.horizon as newest using (client_id, as_of_date)
                        anti join (
                            select client_id from staging.stg_labels
                            where entity = 'transaction' and label = 'fraud'
                        ) using (client_id)
                        group by queue.client_id
                        having not bool_or(queue.is_within_budget)
                    )
                ) as silent
            from ops.horizon
            """,
        )
    named = {
        key: [name for name in found[key] or [] if clients is None or name in clients]
        for key in ("clients", "silent")
    }
    return found | {"publication": path.name} | named


def alert(settings: Settings, client_id: str, transaction_key: str) -> Row | None:
    """The newest alert of a payment, with the payment as it is known now; None when there is none.

    Returns:
        The columns of `mart_fraud_alerts`, those of `fct_transactions` under `payment`, `name` of the client,
        `alerts` of the client that night, `is_reporting` (whether its feed has ever told a fraud), and
        `reported` (what the bank last said, None: nothing).
    """
    key = {"client_id": client_id, "transaction_key": transaction_key}
    with _reading(settings) as connection:
        if connection is None:
            return None
        found = _rows(
            connection,
            """
            select queue.*, clients.name, coalesce(clients.timezone, 'UTC') as timezone, (
                    select count(*) from marts.mart_fraud_alerts as others
                    where others.client_id = queue.client_id and others.as_of_date = queue.as_of_date
                        and others.is_within_budget
                ) as alerts, exists (
                    select 1 from staging.stg_labels as labels
                    where labels.client_id = queue.client_id and labels.entity = 'transaction'
                        and labels.label = 'fraud'
                ) as is_reporting
            from marts.mart_fraud_alerts as queue
            left join ops.clients as clients on clients.client_id = queue.client_id
            where queue.client_id = $client_id and queue.transaction_key = $transaction_key
            order by queue.as_of_date desc limit 1
            """,
            **key,
        )
        if not found:
            return None
        payments = _rows(
            connection,
            """
            select * from marts.fct_transactions
            where client_id = $client_id and transaction_key = $transaction_key
            order by is_current desc, version desc limit 1
            """,
            **key,
        )
        reported = _rows(
            connection,
            """
            select value, known_at from staging.stg_labels
            where client_id = $client_id and entity = 'transaction' and entity_id = $transaction_key
                and label = 'fraud'
            order by known_at desc, _load_id desc, _record desc limit 1
            """,
            **key,
        )
    return found[0] | {
        "payment": payments[0] if payments else None,
        "reported": reported[0] if reported else None,
    }


def around(settings: Settings, client_id: str, customer_id: str, payment: Row) -> Sequence[Row]:
    """What the customer did before and after a payment, newest first, the payment among it.

    Args:
        settings: of the installation.
        client_id: of the payment.
        customer_id: whose payments.
        payment: row of `fct_transactions`.
    """
    at: tuple[date, Any, str] = (payment["business_date"], payment["event_at"], payment["transaction_key"])
    columns = """
        transaction_key, event_at, business_date, merchant, category, movement, payment_mode, channel, city,
        country, currency, amount, status
    """
    with _reading(settings) as connection:
        if connection is None:
            return []
        return _rows(
            connection,
            f"""
            with theirs as (
                select {columns},
                    row(business_date, coalesce(event_at, business_date::timestamp), transaction_key)
                        as place,
                    row($day::date, coalesce($at::timestamp, $day::date::timestamp), $key::varchar) as this
                from marts.fct_transactions
                where client_id = $client_id and customer_id = $customer_id
                    and (is_current or transaction_key = $key)
                qualify row_number() over (
                    partition by transaction_key order by is_current desc, version desc) = 1
            ),
            near as (
                (select * from theirs where place <= this order by place desc limit {BEFORE + 1})
                union all
                (select * from theirs where place > this order by place limit {AFTER})
            )
            select near.* exclude (place, this), queue.score, reports.is_fraud
            from near
            left join (
                select transaction_key, max(score) as score from marts.mart_fraud_alerts
                where client_id = $client_id group by 1
            ) as queue using (transaction_key)
            left join intermediate.int_fraud_reports as reports
                on reports.client_id = $client_id and reports.transaction_key = near.transaction_key
                and reports.superseded_at is null
            order by near.place desc
            """,  # noqa: S608 - columns and numbers of ours
            client_id=client_id,
            customer_id=customer_id,
            day=at[0],
            at=at[1],
            key=at[2],
        )
