"""Own transfers and refunds matched once more, in plain Python: one candidate after another, best first."""

from collections.abc import Callable, Iterable
from datetime import datetime
from types import SimpleNamespace
from typing import Any

from tests.dbt.factory import Warehouse

OWN = ("own_transfer", "card_repayment")
ROWS = """
    select transaction_key, version, customer_id, account_id, source, transaction_id, original_transaction_id,
           merchant, currency, amount, movement, subcategory, payment_mode, business_date, valid_from,
           coalesce(valid_to, timestamp '9999-12-31') as valid_to,
           transaction_key in (select posted_key from intermediate.int_postings) as is_posting
    from intermediate.int_movements
    where valid_to is null or valid_to > valid_from
"""
Pair = tuple[str, str, datetime, datetime]


def rows_of(warehouse: Warehouse) -> list[Any]:
    """What each row says by itself."""
    with warehouse.connect() as connection:
        cursor = connection.execute(ROWS)
        names = [column[0] for column in cursor.description or []]
        return [SimpleNamespace(**dict(zip(names, row, strict=True))) for row in cursor.fetchall()]


def pairs_in(warehouse: Warehouse, model: str) -> set[Pair]:
    """The pairs that a model found."""
    with warehouse.connect() as connection:
        query = f"select first_key, second_key, valid_from, valid_to from intermediate.{model}"
        return set(connection.execute(query).fetchall())


def transfers(rows: Iterable[Any]) -> set[Pair]:
    """Legs of own transfers that face each other, and when."""

    def is_leg(row: Any) -> bool:
        says_nothing = row.movement == "purchase" and row.subcategory == "unknown"
        return row.movement in (*OWN, "transfer_to_people", "other") or (
            says_nothing and row.payment_mode in (None, "transfer", "standing_order")
        )

    def rank(out: Any, back: Any) -> tuple[Any, ...] | None:
        days = abs((out.business_date - back.business_date).days)
        stated = out.movement in OWN or back.movement in OWN
        if out.account_id == back.account_id or out.amount != -back.amount or days > 3:
            return None
        if not stated and (out.movement, back.movement) != ("purchase", "other"):
            return None
        return (days, out.business_date)

    legs = [row for row in rows if is_leg(row) and row.account_id]
    sent, received = ([row for row in legs if sign * row.amount > 0] for sign in (-1, 1))
    return _pairs(sent, received, rank, is_shared=lambda out, back: False)


def refunds(rows: Iterable[Any]) -> set[Pair]:
    """Refunds and what they give back, and since when."""
    rows = list(rows)

    def names(back: Any, paid: Any) -> bool:
        ids = {paid.transaction_id} | ({paid.original_transaction_id} if paid.is_posting else set())
        return back.source == paid.source and back.original_transaction_id in ids - {None}

    def rank(back: Any, paid: Any) -> tuple[Any, ...] | None:
        days = (back.business_date - paid.business_date).days
        is_alike = (
            back.merchant == paid.merchant != "unknown" and back.amount <= -paid.amount and 0 <= days <= 90
        )
        if not names(back, paid) and (back.original_transaction_id or not is_alike):
            return None
        return (back.amount != -paid.amount, days, back.business_date)

    returned = [row for row in rows if row.movement in ("refund", "reversal")]
    paid = [row for row in rows if row.amount < 0 and row.movement not in OWN]
    return _pairs(returned, paid, rank, is_shared=names)


def _pairs(
    firsts: Iterable[Any],
    seconds: Iterable[Any],
    rank: Callable[[Any, Any], tuple[Any, ...] | None],
    is_shared: Callable[[Any, Any], bool],
) -> set[Pair]:
    seconds = list(seconds)
    candidates = []
    for first in firsts:
        for second in seconds:
            start, end = max(first.valid_from, second.valid_from), min(first.valid_to, second.valid_to)
            place = rank(first, second)
            same = (first.customer_id, first.currency) == (second.customer_id, second.currency)
            if place is not None and start < end and same:
                keys = (first.transaction_key, second.transaction_key)
                tie = (*keys, first.version, second.version, first.valid_from, second.valid_from)
                candidates.append((start, *place, *tie, end, is_shared(first, second)))
    taken: dict[tuple[str, str], list[tuple[datetime, datetime]]] = {}
    pairs = set()
    for start, *_, first_key, second_key, _, _, _, _, end, shared in sorted(candidates):
        sides = [("first", first_key)] if shared else [("first", first_key), ("second", second_key)]
        if all(end <= since or until <= start for side in sides for since, until in taken.get(side, [])):
            for side in sides:
                taken.setdefault(side, []).append((start, end))
            pairs.add((first_key, second_key, start, end))
    return pairs
