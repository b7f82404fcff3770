"""What is there, day by day, against what was expected; and from it, which days a night has to build again.

`ops.coverage` counts what is known by the horizon. A day whose fingerprint differs from that of the base
publication is touched: by a new file, a late, corrected, held or released one, or by rows that were loaded
earlier and become known tonight.

State of a day: `arrived`, `late` (after it was due), `early` (before the day was over), `unexpected` (the
calendar has no such day), `awaited` (not there, and not due by the cutoff), `missing`, or `held` (all that
had come is set aside).
"""

from collections.abc import Iterable
from datetime import date, timedelta
from typing import Any

import duckdb

from nightledger.ingestion import ledger
from nightledger.ingestion.contract import SourceContract

EVENT_DAYS = {"credit_bureau": "reported_on", "events": "event_at", "labels": "event_at"}
"""Column that gives the day of a record. Others have the day in the name of their file, or else that on which
they were known."""


def business_days(connection: duckdb.DuckDBPyConnection) -> tuple[date, date] | None:
    """First and last business date of what is in raw: of transactions and tables of attributes.

    Where there is neither, the days of events, reports and labels. Labels that became known after the last
    business date of attributes, when there are no transactions, move the last day to the one on which they
    were: a model can then be judged by them.

    Returns:
        None when nothing in raw has a day.
    """
    tables = connection.execute(
        "select table_name from duckdb_columns() where database_name = current_database()"
        " and schema_name = 'raw' and column_name = 'business_date'"
        " and (table_name = 'transactions' or starts_with(table_name, 'attributes_')) order by 1"
    ).fetchall()
    found = _ends(connection, [(table, "business_date") for (table,) in tables])
    if found is None:
        return _ends(connection, list(EVENT_DAYS.items()))
    if connection.execute("select count(*) from raw.transactions").fetchone() == (0,):
        known = _ends(connection, [("labels", "known_at")])
        return found[0], max(found[1], known[1]) if known else found[1]
    return found


def _ends(
    connection: duckdb.DuckDBPyConnection, columns: Iterable[tuple[str, str]]
) -> tuple[date, date] | None:
    """First and last day of columns of tables in raw."""
    days = " union all ".join(
        f'select cast("{column}" as date) as day from raw."{table}"'  # noqa: S608 - from the catalog
        for table, column in columns
    )
    row = connection.execute(f"select min(day), max(day) from ({days})").fetchone()  # noqa: S608
    return row if row is not None and row[0] is not None else None


def update(connection: duckdb.DuckDBPyConnection, contracts: Iterable[SourceContract]) -> int:
    """Recount what is known by the horizon and add the days that changed to `ops.touched_days`.

    Args:
        connection: writable, on the open build, with `ops.horizon` and `ops.clients`.
        contracts: all of them.

    Returns:
        Number of touched (client, business date) pairs of the night so far.
    """
    connection.execute("begin")
    try:
        _update(connection, contracts)
    except BaseException:
        connection.execute("rollback")
        raise
    connection.execute("commit")
    row = connection.execute("select count(*) from ops.touched_days").fetchone()
    return int(row[0]) if row else 0


def _update(connection: duckdb.DuckDBPyConnection, contracts: Iterable[SourceContract]) -> None:
    contracts = list(contracts)
    connection.execute("create or replace temp table recounted as select * from ops.coverage limit 0")
    _list_file_days(connection, contracts)
    _count_transactions(connection)
    for feed in ("customers", "accounts", "loans", *EVENT_DAYS):
        _count(connection, feed)
    _count_quarantine(connection)
    for contract in contracts:
        if contract.delivery.calendar:
            _expect(connection, contract)
    _note_held(connection)
    _touch(connection)
    connection.execute("delete from ops.coverage; insert into ops.coverage by name from recounted")
    connection.execute("drop table recounted; drop table file_days")


def _list_file_days(connection: duckdb.DuckDBPyConnection, contracts: Iterable[SourceContract]) -> None:
    """Make `file_days`: the business date that each loaded file is for, where its name says so."""
    connection.execute(
        "create or replace temp table file_days (load_id varchar, contract varchar, business_date date)"
    )
    for contract in contracts:
        files = connection.execute(
            "select load_id, file from ops.loads where client_id = ? and contract = ? and verdict = 'loaded'",
            [contract.client, contract.name],
        ).fetchall()
        days = [(load, contract.delivery.day_of(file, None)) for load, file in files if contract.delivery.day]
        rows = [
            {"load_id": load, "contract": contract.name, "business_date": day}
            for load, day in days
            if day is not None
        ]
        ledger.insert(connection, "file_days", rows)


def _count_transactions(connection: duckdb.DuckDBPyConnection) -> None:
    """Each transaction counts once, as it was told last; the fingerprint is of every telling."""
    connection.execute("""
        insert into recounted by name
        with known as not materialized (
            select t.client_id, t.source, t.business_date, t.currency, t.amount, t.known_at,
                   t.transaction_key, t._content_hash, t._load_id, t._record,
                   hash(t.transaction_key) as key_hash
            from raw.transactions as t join ops.horizon as h using (client_id)
            where t.known_at < h.cutoff_at
        ),
        -- Keys told more than once are few, and to be found by a hash costs a fraction of sorting all keys.
        repeated as (select key_hash from known group by 1 having count(*) > 1),
        told_last as (
            select client_id, source, business_date, currency, amount
            from known anti join repeated using (key_hash)
            union all
            select client_id, source, business_date, currency, amount
            from known semi join repeated using (key_hash)
            qualify row_number() over (
                partition by transaction_key order by known_at desc, _load_id desc, _record desc) = 1
        ),
        counted as (
            select client_id, source, business_date, currency, count(*) as rows, sum(amount) as amount_sum
            from told_last group by all
        ),
        told as (
            select client_id, source, business_date, currency, min(known_at) as first_known_at,
                   max(known_at) as last_known_at,
                   sum(cast(hash(transaction_key, _content_hash, known_at, _load_id) as hugeint))
                       as fingerprint
            from known group by all
        ),
        replaced as (
            select told.client_id, told.source, told.business_date,
                   sum(cast(hash(p._load_id) as hugeint)) as fingerprint
            from (select distinct client_id, source, business_date from told) as told
            join raw.replaced_periods as p
                on p.client_id = told.client_id and p.source = told.source
                and told.business_date between p.period_from and p.period_to
            join ops.horizon as h on h.client_id = p.client_id and p.known_at < h.cutoff_at
            group by all
        )
        select told.client_id, told.source, 'transactions' as feed, told.business_date, told.currency,
               false as expected, true as arrived, coalesce(rows, 0) as rows,
               coalesce(amount_sum, 0) as amount_sum, 0 as quarantined, 'arrived' as state,
               first_known_at, last_known_at,
               told.fingerprint + coalesce(replaced.fingerprint, 0) as _fingerprint
        from told
        left join counted using (client_id, source, business_date, currency)
        left join replaced using (client_id, source, business_date)
    """)


def _count(connection: duckdb.DuckDBPyConnection, feed: str) -> None:
    day = EVENT_DAYS.get(feed, "coalesce(f.business_date, known_at)")
    connection.execute(
        f"""
        insert into recounted by name
        select client_id, source, $feed as feed, cast({day} as date) as business_date, '' as currency,
               false as expected, true as arrived, count(*) as rows, null as amount_sum, 0 as quarantined,
               'arrived' as state, min(known_at) as first_known_at, max(known_at) as last_known_at,
               sum(cast(hash(_load_id, _record) as hugeint)) as _fingerprint
        from raw.{feed} join ops.horizon as h using (client_id)
        left join file_days as f on f.load_id = _load_id
        where known_at < h.cutoff_at
        group by all
        """,  # noqa: S608 - names of feeds and their columns
        {"feed": feed},
    )


def _count_quarantine(connection: duckdb.DuckDBPyConnection) -> None:
    """Count quarantined records on the day to which most rows of their file belong."""
    days = [
        """
        select 'transactions' as feed, _load_id,
               arg_max(business_date, (n, business_date)) as business_date,
               arg_max(currency, (n, business_date, currency)) as currency
        from (
            select _load_id, business_date, currency, count(*) as n from raw.transactions
            where _load_id in (select _load_id from raw.quarantine) group by all)
        group by all
    """
    ]
    for feed in ("customers", "accounts", "loans", *EVENT_DAYS):
        day = EVENT_DAYS.get(feed, "coalesce(f.business_date, known_at)")
        days.append(f"""
            select '{feed}', _load_id, arg_max(business_date, (n, business_date)), ''
            from (
                select _load_id, cast({day} as date) as business_date, count(*) as n
                from raw.{feed} left join file_days as f on f.load_id = _load_id
                where _load_id in (select _load_id from raw.quarantine) group by all)
            group by all
        """)  # noqa: S608 - names of feeds and their columns
    connection.execute(f"""
        create or replace temp table quarantined as
        select bad.client_id, bad.source, bad.feed,
               coalesce(d.business_date, f.business_date, cast(l.arrived_at as date)) as business_date,
               coalesce(d.currency, '') as currency, sum(bad.n) as n
        from (
            select client_id, source, feed, _load_id, count(*) as n from raw.quarantine
            where feed in ('transactions', 'customers', 'accounts', 'loans', {str([*EVENT_DAYS])[1:-1]})
            group by all
        ) as bad
        left join ({" union all ".join(days)}) as d using (_load_id, feed)
        left join (select load_id, min(business_date) as business_date from file_days group by 1) as f
            on f.load_id = bad._load_id
        left join ops.loads as l on l.load_id = bad._load_id
        group by all;
        update recounted set quarantined = n from quarantined as q
        where recounted.client_id = q.client_id and recounted.source = q.source and recounted.feed = q.feed
          and recounted.business_date = q.business_date and recounted.currency = q.currency;
        insert into recounted by name
        select client_id, source, feed, business_date, currency, false as expected, true as arrived,
               0 as rows, if(feed = 'transactions', 0, null) as amount_sum, n as quarantined,
               'arrived' as state, 0 as _fingerprint
        from quarantined anti join recounted using (client_id, source, feed, business_date, currency);
        drop table quarantined
    """)  # noqa: S608 - names of feeds


def _expect(connection: duckdb.DuckDBPyConnection, contract: SourceContract) -> None:
    """Compare a source with its calendar, from its first day up to the horizon."""
    delivery = contract.delivery
    feed = "transactions" if "transactions" in contract.feeds else next(iter(contract.feeds))
    key = {"client": contract.client, "source": contract.source, "feed": feed}
    row = connection.execute(
        """
        select h.as_of_date, h.cutoff_at, c.country, (
            select min(business_date) from recounted
            where client_id = $client and source = $source and feed = $feed)
        from ops.horizon as h join ops.clients as c using (client_id) where h.client_id = $client
        """,
        key,
    ).fetchone()
    if row is None or (row[3] is None and delivery.starts is None):
        return
    last, cutoff, country, first = row
    first = delivery.starts or first
    days = (first + timedelta(days=number) for number in range((last - first).days + 1))
    expected = [_expected_row(contract, day) for day in days if delivery.expects(day, country or "")]
    connection.execute(
        "create or replace temp table expected (business_date date, over_at timestamp, due_at timestamp)"
    )
    ledger.insert(connection, "expected", expected)
    of_source = "client_id = $client and source = $source and feed = $feed"
    connection.execute(
        f"""
        update recounted set expected = e.due_at is not null, state = case
            when e.due_at is null then 'unexpected'
            when first_known_at > e.due_at then 'late'
            when first_known_at < e.over_at then 'early'
            else 'arrived' end
        from (select distinct r.business_date, e.over_at, e.due_at
              from recounted as r left join expected as e using (business_date) where {of_source}) as e
        where recounted.business_date = e.business_date and {of_source}
        """,  # noqa: S608 - a fixed condition
        key,
    )
    connection.execute(
        f"""
        insert into recounted by name
        select $client as client_id, $source as source, $feed as feed, business_date, $currency as currency,
               true as expected, false as arrived, 0 as rows, 0 as amount_sum, 0 as quarantined,
               if(due_at <= $cutoff, 'missing', 'awaited') as state, 0 as _fingerprint
        from expected
        where business_date not in (select business_date from recounted where {of_source})
        """,  # noqa: S608 - a fixed condition
        key | {"currency": contract.currency, "cutoff": cutoff},
    )
    if delivery.day:
        # A late row in another day's file is not the file of its day; a file without a row of its day is.
        connection.execute(
            f"""
            update recounted set
                arrived = is_there,
                state = case
                    when is_there then if(state in ('missing', 'awaited'), 'arrived', state)
                    else if(due_at <= $cutoff, 'missing', 'awaited') end
            from (
                select *, business_date in (
                    select business_date from file_days where contract = $contract) as is_there
                from expected
            ) as e
            where recounted.business_date = e.business_date and {of_source}
            """,  # noqa: S608 - a fixed condition
            key | {"cutoff": cutoff, "contract": contract.name},
        )
    connection.execute("drop table expected")


def _note_held(connection: duckdb.DuckDBPyConnection) -> None:
    """Say `held` of days that are empty because somebody set their files aside."""
    connection.execute("""
        update recounted set state = 'held'
        from ops.held_days as h
        where not arrived and feed = 'transactions' and recounted.client_id = h.client_id
          and recounted.source = h.source and recounted.business_date = h.business_date;
        insert into recounted by name
        select distinct client_id, source, 'transactions' as feed, business_date, '' as currency,
               false as expected, false as arrived, 0 as rows, 0 as amount_sum, 0 as quarantined,
               'held' as state, 0 as _fingerprint
        from ops.held_days anti join recounted using (client_id, source, business_date)
    """)


def _expected_row(contract: SourceContract, day: date) -> dict[str, Any]:
    over, due = timedelta(days=1), contract.delivery.due_by
    return {
        "business_date": day,
        "over_at": contract.delivery.moment(day, over, contract.timezone),
        "due_at": contract.delivery.moment(day, due, contract.timezone),
    }


def _touch(connection: duckdb.DuckDBPyConnection) -> None:
    """Add days that differ from before."""
    if connection.execute("select count(*) from ops.coverage").fetchone() == (0,):
        connection.execute(
            "insert or ignore into ops.touched_days"
            " select distinct client_id, business_date from recounted where feed = 'transactions'"
        )
        return
    connection.execute("""
        create or replace temp table touched as
        select distinct client_id, business_date
        from (
            select coalesce(n.client_id, b.client_id) as client_id,
                   coalesce(n.business_date, b.business_date) as business_date
            from (from recounted where feed = 'transactions') as n
            full join (from ops.coverage where feed = 'transactions') as b
                using (client_id, source, business_date, currency)
            where n._fingerprint is distinct from b._fingerprint
        )
    """)
    spread(connection)


def spread(connection: duckdb.DuckDBPyConnection) -> None:
    """Move the days of `touched` to `ops.touched_days`, with those whose rows' validity hangs on theirs."""
    connection.execute("""
        create or replace temp table touching as
        select client_id, source, transaction_key, transaction_id, original_transaction_id
        from raw.transactions semi join touched using (client_id, business_date);
        insert or ignore into ops.touched_days
        select distinct client_id, business_date from touched
        union
        -- Another version of the same transaction; what a row posts; what posts it.
        select client_id, business_date from raw.transactions semi join touching using (transaction_key)
        union
        select t.client_id, t.business_date from raw.transactions as t
        semi join (from touching where original_transaction_id is not null) as later
            on t.client_id = later.client_id and t.source = later.source
            and t.transaction_id = later.original_transaction_id
        union
        select t.client_id, t.business_date from raw.transactions as t
        semi join (from touching where transaction_id is not null) as earlier
            on t.client_id = earlier.client_id and t.source = earlier.source
            and t.original_transaction_id = earlier.transaction_id;
        drop table touched;
        drop table touching
    """)
