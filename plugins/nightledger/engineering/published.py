"""What is published under a key that a person has."""

from typing import Any

import duckdb

from nightledger.engineering import lineage
from nightledger.engineering.lineage import TraceError
from nightledger.ingestion.messages import inert


def transactions(connection: duckdb.DuckDBPyConnection, key: str) -> list[str]:
    """Keys of the published transactions that have this key, or this id at their source."""
    found = lineage.rows(
        connection,
        "select distinct transaction_key from marts.fct_transactions"
        " where transaction_key = $key or transaction_id = $key order by 1",
        {"key": key},
    )[1]
    return [row[0] for row in found]


def scores(connection: duckdb.DuckDBPyConnection, key: str) -> list[dict[str, Any]]:
    """Published scores with this receipt."""
    return lineage.records(connection, "from marts.fct_scores where receipt_id = $key", {"key": key})


def customers(connection: duckdb.DuckDBPyConnection, key: str) -> list[tuple[str, str]]:
    """The published customer with this id; `client/customer` where several clients have it.

    Raises:
        TraceError: several clients have a customer with this id.
    """
    found = lineage.rows(
        connection,
        "select client_id, customer_id from marts.dim_customers"
        " where customer_id = $key or client_id || '/' || customer_id = $key order by all",
        {"key": key},
    )[1]
    if len(found) > 1:
        names = ", ".join(inert(f"{client}/{customer}") for client, customer in found)
        raise TraceError(f"several clients have this customer; name one: KEY={names}")
    return [(row[0], row[1]) for row in found]


def explain_absence(connection: duckdb.DuckDBPyConnection, key: str) -> str:
    """Why no published row has a key."""
    told = lineage.rows(
        connection,
        "select min(known_at) from raw.transactions where transaction_key = $key or transaction_id = $key",
        {"key": key},
    )[1]
    if told and told[0][0] is not None:
        return (
            f"raw knows this transaction, but it is known only since {told[0][0]}, after the cutoff of this "
            "publication: the next night publishes it"
        )
    return (
        "no published transaction, customer or score has this key. Give a transaction_key, a source's own "
        "id, a customer (client/customer) or a receipt_id; records in quarantine have none"
    )
