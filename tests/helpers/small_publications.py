"""Publications that are as small as can be: real tables of a few rows, and nights that publish them."""

import json
from datetime import date, datetime, timedelta
from typing import Any

import duckdb

from nightledger import incidents, operations, warehouse
from nightledger.settings import Settings

DAY = date(2026, 3, 10)
MODEL = """
with cities as (select * from {{ ref('int_cities') }})
select cities.customer_id, cities.as_of_date, cities.away_share_90d,
    cast(coalesce(cities.spend, 0) as float) as spend_30d,
    count(*) as rows_seen
from cities group by all
"""
CITIES = """
select customer_id, sum(case when place > 1 then 1 else 0 end) as away_share_90d, sum(amount) as spend
from (select *, row_number() over (order by city) as place from {{ source('raw', 'transactions') }})
"""
TABLES = """
    create schema ops; create schema marts; create schema raw; create schema operations;
    create table ops.horizon (client_id varchar, as_of_date date, cutoff_at timestamp);
    create table ops.as_of_dates (client_id varchar, as_of_date date);
    create table ops.coverage (client_id varchar, source varchar, feed varchar, business_date date,
        currency varchar, expected boolean, state varchar);
    create table ops.clients (client_id varchar, timezone varchar, interchange_rate decimal(9, 6));
    create table ops.model_pins (model varchar, as_of_date date, model_version varchar, role varchar);
    create table operations.merchant_corrections (known_at timestamp);
    create table raw.transactions (client_id varchar, source varchar, transaction_key varchar,
        business_date date, source_category varchar, payment_mode varchar, channel varchar, status varchar,
        city varchar, terminal_id varchar, known_at timestamp, _content_hash bigint, _load_id varchar);
    create table raw.events (client_id varchar, source varchar, event_at timestamp, event_type varchar,
        channel varchar, _load_id varchar);
    create table marts.mart_drift_alerts (client_id varchar, alert_about varchar, model varchar,
        model_version varchar, feature varchar, what_changed varchar, severity varchar, weighted_drift float,
        is_within_budget boolean, is_ongoing boolean, started_on date, last_seen_on date);
    create table marts.fct_drift (client_id varchar, model varchar, model_version varchar, role varchar,
        feature varchar, reference varchar, excess_psi float, weighted_drift float, as_of_date date);
    create table marts.mart_realised_performance (client_id varchar, model varchar, model_version varchar,
        role varchar, basis varchar, is_mature boolean, cohort_month date, last_date date,
        events decimal(18, 4), expected_events decimal(18, 4), calibration_ratio float);
"""


def manifest(cities: str = CITIES, rules: str = "1") -> dict[str, Any]:
    """A project of a source, a seed of merchant rules, and three models."""

    def node(
        name: str, code: str, reads: list[str], schema: str = "intermediate", **more: Any
    ) -> dict[str, Any]:
        return {
            "resource_type": "model", "schema": schema, "name": name, "raw_code": code, "columns": {},
            "checksum": {"checksum": code}, "depends_on": {"nodes": reads, "macros": []}, **more,
        }  # fmt: skip

    raw = "source.nightledger.raw.transactions"
    seed = {"resource_type": "seed", "checksum": {"checksum": rules}, "depends_on": {"macros": []}}
    features = {"away_share_90d": {}, "spend_30d": {}, "rows_seen": {}}
    return {
        "nodes": {
            "seed.nightledger.brands": {**node("brands", "", []), **seed},
            "model.nightledger.int_merchant_matches": node(
                "int_merchant_matches", "select", ["seed.nightledger.brands"]
            ),
            "model.nightledger.int_cities": node("int_cities", cities, [raw]),
            "model.nightledger.features_x": node(
                "features_x", MODEL, ["model.nightledger.int_cities"], "features", columns=features
            ),
        },
        "sources": {
            raw: {
                "resource_type": "source", "schema": "raw", "name": "transactions",
                "columns": {"city": {}, "amount": {}},
            }
        },
        "macros": {},
    }  # fmt: skip


class Home:
    """An installation whose nights are a few rows each."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.last: str | None = None
        self.alerts: list[tuple[Any, ...]] = []
        self.rows: list[str] = []
        self.last_seen_on: date | None = None

    def publish(
        self,
        day: date,
        *sql: str,
        code: dict[str, Any] | None = None,
        pinned: str = "v1",
        made_up: tuple[date, ...] = (),
    ) -> str:
        """A publication of a date, with these statements on its tables; returns its run.

        `made_up` are earlier dates that it builds too.
        """
        name, run = f"{day}.1", f"nightly/{day}"
        path = self.settings.builds / name
        path.mkdir(parents=True)
        (path / "manifest.json").write_text(json.dumps(code or manifest()))
        (path / "publication.json").write_text(json.dumps({"id": name, "base": self.last}))
        with warehouse.connect(path, read_only=False, settings=self.settings) as connection:
            connection.execute(TABLES)
            connection.execute(
                "insert into ops.horizon values ('bank', ?, ?);",
                [day, datetime.combine(day, datetime.max.time())],
            )
            connection.executemany(
                "insert into ops.as_of_dates values ('bank', ?)", [[of] for of in [*made_up, day]]
            )
            connection.execute("insert into ops.clients values ('bank', 'UTC', 0.01)")
            connection.execute("insert into ops.model_pins values ('churn', ?, ?, 'champion')", [day, pinned])
            for statement in [*self.rows, *sql]:
                connection.execute(statement)
            self._drift(connection, day)
        operations.record_publication(
            self.settings, action="published", publication_id=name, base=self.last, run_id=run,
            as_of_date=day, content_hash="", reason="",
        )  # fmt: skip
        self.last = name
        return run

    def _drift(self, connection: duckdb.DuckDBPyConnection, day: date) -> None:
        for about, started, is_ongoing in self.alerts:
            feature = "score" if about.startswith("score") else about
            row = (
                "bank",
                about,
                "churn",
                "v1",
                feature,
                "distribution",
                "moderate",
                0.03,
                True,
                is_ongoing,
                started,
                max(started, self.last_seen_on or started),
            )
            connection.execute(
                f"insert into marts.mart_drift_alerts values ({', '.join('?' * len(row))})", row
            )
            for of, psi in ((started, 0.4), (started - timedelta(days=1), 0.3)):
                connection.execute(
                    "insert into marts.fct_drift values"
                    " ('bank', 'churn', 'v1', 'champion', ?, 'training', ?, 0.03, ?)",
                    [feature, psi, of],
                )

    def watch(self, day: date, *sql: str, **more: Any) -> dict[str, int]:
        """Publish a date and look at it, twice: the second time must change nothing."""
        run = self.publish(day, *sql, **more)
        counts = incidents.watch(self.settings, run)
        before = self.everything()
        assert incidents.watch(self.settings, run) == {}
        assert self.everything() == before
        return counts

    def everything(self) -> tuple[Any, ...]:
        """Incidents and what happened to them."""
        return incidents.listed(self.settings), incidents.events(self.settings)

    def only(self) -> dict[str, Any]:
        """The one incident that there is."""
        rows = incidents.listed(self.settings)
        assert len(rows) == 1, [row["title"] for row in rows]
        return rows[0]


def transactions(day: date, days: int, without_city: int) -> str:
    """SQL: 100 payments a day, all with a city but for so many of the last day's."""
    return f"""
        insert into raw.transactions
        select 'bank', 'core', ago || '-' || n, date '{day}' - cast(ago as integer), 'purchase', 'card',
               'pos', 'posted',
               case when ago > 0 or n > {without_city} then 'ROME' end, 't1', null, 1, 'load'
        from range({days}) as a(ago), range(1, 101) as b(n)
    """


def coverage(day: date, state: str) -> str:
    """SQL: what the calendar says of a day of the app's events."""
    return f"insert into ops.coverage values ('bank', 'app', 'events', date '{day}', '', true, '{state}')"
