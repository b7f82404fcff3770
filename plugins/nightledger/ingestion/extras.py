"""Tables that belong to one source: its extra columns beside a feed, and its `attributes`.

`raw.extra_<feed>_<source>` holds the extra columns of a feed's rows and joins them by client_id, _load_id and
_record. `raw.attributes_<source>` is one wide table: canonical columns and extra ones. A table is made when
the first file of its source is loaded, and gets a column when a contract names a new one; what was loaded
before is NULL there. `ops.raw_tables` lists these tables, as the dbt project cannot.
"""

import duckdb

from nightledger.ingestion.contract import SourceContract
from nightledger.ingestion.feeds import BY_SOURCE, FEEDS, TYPES, raw_columns
from nightledger.ingestion.landing import Arrival
from nightledger.ingestion.messages import Message, Refused


def feed_table(contract: SourceContract, feed: str) -> str:
    """Name, within schema raw, of the table of a feed's canonical columns."""
    return f"{feed}_{contract.source}" if feed in BY_SOURCE else feed


def extra_table(contract: SourceContract, feed: str) -> str:
    """Name, within schema raw, of the table of a feed's extra columns."""
    return feed_table(contract, feed) if feed in BY_SOURCE else f"extra_{feed}_{contract.source}"


def wanted_columns(contract: SourceContract, feed: str) -> list[tuple[str, str]]:
    """(name, type) of every column that a contract needs in the feed's extra table."""
    extra = [(column.name, column.sql_type) for column in contract.feeds[feed].extra_columns]
    if feed in BY_SOURCE:
        return [*raw_columns(FEEDS[feed]), *extra]
    joined = [("client_id", "varchar"), ("known_at", "timestamp"), ("_load_id", "varchar")]
    return [*joined, ("_record", "bigint"), *extra]


def prepare(connection: duckdb.DuckDBPyConnection, contract: SourceContract) -> None:
    """Make what the contract's extra columns need, inside the transaction of a batch that fits."""
    for feed in contract.feeds:
        if feed not in BY_SOURCE and not contract.feeds[feed].extra:
            continue
        table = extra_table(contract, feed)
        wanted = wanted_columns(contract, feed)
        columns = ", ".join(f'"{name}" {sql_type}' for name, sql_type in wanted)
        connection.execute(f'create table if not exists raw."{table}" ({columns})')
        present = _present(connection, table)
        for name, sql_type in wanted:
            if name not in present:
                connection.execute(f'alter table raw."{table}" add column "{name}" {sql_type}')
        connection.execute(
            "insert or ignore into ops.raw_tables values (?, ?, ?)", [table, feed, contract.source]
        )


def check_types(connection: duckdb.DuckDBPyConnection, contract: SourceContract, arrival: Arrival) -> None:
    """Refuse a file whose contract has changed the type of an extra column that is in raw already.

    Raises:
        Refused: names the column and both types.
    """
    for feed in contract.feeds:
        present = _present(connection, extra_table(contract, feed))
        for column in contract.feeds[feed].extra_columns:
            before = present.get(column.name, column.sql_type)
            if before != column.sql_type:
                raise Refused(
                    Message(
                        arrival.file,
                        f"raw.{extra_table(contract, feed)} holds this column as {before}, and "
                        f"sources/{contract.name}.yml now says {column.sql_type}",
                        "give the column another name under `extra`, or its old type",
                        column=column.name,
                    )
                )


def write(connection: duckdb.DuckDBPyConnection, contract: SourceContract, feed: str) -> None:
    """Copy the extra columns of a feed's good rows from `typed_<feed>` to the table beside the feed."""
    extra = contract.feeds[feed].extra_columns
    if feed in BY_SOURCE or not extra:
        return
    values = ", ".join(f't.x_{column.name} as "{column.name}"' for column in extra)
    connection.execute(
        f'insert into raw."{extra_table(contract, feed)}" by name'  # noqa: S608 - checked by the contract
        f" select $client as client_id, t.known_at, load_id as _load_id, t._record, {values}"
        f" from typed_{feed} as t join batch_files using (file_index) where t.error is null",
        {"client": contract.client},
    )


def _present(connection: duckdb.DuckDBPyConnection, table: str) -> dict[str, str]:
    """Types by name of the columns of a table in raw; none while there is no such table."""
    canonical = {sql_type.upper(): sql_type for sql_type in TYPES.values()}
    rows = connection.execute(
        "select column_name, data_type from duckdb_columns() where database_name = current_database()"
        " and schema_name = 'raw' and table_name = ?",
        [table],
    ).fetchall()
    return {name: canonical.get(data_type, data_type) for name, data_type in rows}
