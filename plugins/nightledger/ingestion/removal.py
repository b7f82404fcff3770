"""Takes loads out of raw again, and notes what a night's loads change about past dates."""

from collections.abc import Iterator, Sequence

import duckdb

from nightledger.ingestion import coverage


def note_facts(connection: duckdb.DuckDBPyConnection, load_ids: Sequence[str]) -> None:
    """Add to `ops.changed_facts` since when the rows of loads are known, by business date where there is one.

    Args:
        connection: writable, on the open build.
        load_ids: loads that came tonight, or that are about to be removed.
    """
    if not load_ids:
        return
    for table, columns in _tables(connection):
        if "known_at" not in columns:
            continue
        day = "business_date" if "business_date" in columns else "null"
        connection.execute(
            f"insert into ops.changed_facts select client_id, {day}, min(known_at)"  # noqa: S608 - from the catalog
            f' from raw."{table}" where _load_id in (select unnest($ids)) group by all',
            {"ids": list(load_ids)},
        )


def remove(connection: duckdb.DuckDBPyConnection, load_ids: Sequence[str]) -> None:
    """Delete all rows of loads from raw, quarantine and ledger, and mark the days that change by it.

    The caller holds the transaction.
    """
    if not load_ids:
        return
    ids = {"ids": list(load_ids)}
    connection.execute(
        "create or replace temp table touched as"
        " select distinct client_id, business_date from raw.transactions"
        " where _load_id in (select unnest($ids))"
        " union select p.client_id, t.business_date from raw.replaced_periods as p"
        " join raw.transactions as t on t.client_id = p.client_id and t.source = p.source"
        " and t.business_date between p.period_from and p.period_to"
        " where p._load_id in (select unnest($ids))",
        ids,
    )
    coverage.spread(connection)
    note_facts(connection, load_ids)
    for table, _ in _tables(connection):
        connection.execute(f'delete from raw."{table}" where _load_id in (select unnest($ids))', ids)  # noqa: S608
    connection.execute("delete from ops.load_feeds where load_id in (select unnest($ids))", ids)
    connection.execute("delete from ops.loads where load_id in (select unnest($ids))", ids)


def _tables(connection: duckdb.DuckDBPyConnection) -> Iterator[tuple[str, set[str]]]:
    """Tables of schema raw whose rows belong to loads, with their columns."""
    rows = connection.execute(
        "select table_name, list(column_name) from duckdb_columns()"
        " where database_name = current_database() and schema_name = 'raw' group by 1"
        " having list_contains(list(column_name), '_load_id') order by 1"
    ).fetchall()
    return ((name, set(columns)) for name, columns in rows)
