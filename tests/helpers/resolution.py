"""What the rules make of texts: the dbt project and the nearest-brand step on a warehouse of their own."""

from collections.abc import Iterable
from datetime import date, datetime
from pathlib import Path

from nightledger.merchants import nearest
from nightledger.merchants.evaluation import Answer
from tests.dbt.factory import Warehouse

DAY = date(2026, 1, 5)


def resolve(home: Path, texts: Iterable[str], country: str) -> dict[str, Answer]:
    """The proposal for each text, for a client of one country.

    Args:
        home: an empty directory for the warehouse.
        texts: descriptors as a source writes them.
        country: two letters; brands of other countries do not count.
    """
    distinct = sorted(set(texts))
    warehouse = Warehouse(home, "texts")
    warehouse.insert(
        "ops.clients", [{"client_id": "a", "base_currency": "EUR", "timezone": "UTC", "country": country}]
    )
    warehouse.insert(
        "raw.transactions",
        [
            {
                "client_id": "a",
                "source": "texts",
                "transaction_key": str(number),
                "customer_id": "c",
                "account_id": "c",
                "business_date": DAY,
                "amount": -1,
                "currency": "EUR",
                "description": text,
                "known_at": datetime(2026, 1, 5, 12),
                "_load_id": "l",
                "_record": number,
                "_content_hash": str(number),
            }
            for number, text in enumerate(distinct)
        ],
    )
    warehouse.set_dates([], tonight=[DAY])
    kinds = ("--resource-type", "model", "--resource-type", "seed")
    warehouse.dbt("build", "--select", "+int_merchant_matches", *kinds)
    with warehouse.connect() as connection:
        nearest.resolve_nearest(connection)
    warehouse.dbt("build", "--select", "int_merchant_proposals", *kinds)
    with warehouse.connect() as connection:
        rows = connection.execute("""
            select description, merchant, subcategory, tier
            from staging.stg_transactions inner join intermediate.int_merchant_proposals using (descriptor)
        """).fetchall()
    return {text: Answer(merchant, subcategory, tier) for text, merchant, subcategory, tier in rows}
