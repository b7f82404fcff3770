"""Incidents of publications that are as small as can be: real tables, and what the pass makes of them."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
import sqlalchemy as sa

from nightledger import incidents, operations, warehouse
from nightledger.governance import ledger as model_ledger
from nightledger.incidents import causes, following
from nightledger.incidents.changes import Change, _columns, refusal
from nightledger.incidents.ledger import Incident
from nightledger.incidents.lineage import Lineage
from nightledger.monitoring import notifying
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


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    """Its clock stands still."""
    monkeypatch.setattr(operations, "clock", lambda: datetime(2026, 3, 20, 3))
    yield Home(Settings(home=tmp_path, _env_file=None))


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


def test_a_column_that_empties_is_an_incident_at_once(home):
    """Catches a feed that loses a column, which a feature of 90 days shows two months later."""
    home.watch(DAY - timedelta(days=1), transactions(DAY - timedelta(days=1), 20, 0))
    assert home.watch(DAY, transactions(DAY, 20, 50)) == {"opened": 1}
    incident = home.only()
    assert (incident["kind"], incident["cause_kind"]) == ("data", "layout")
    assert "city is empty in 50% of the records of core; usual was 0%" in incident["cause"]


def test_drift_of_a_column_that_emptied_joins_its_incident(home):
    """Catches an incident for a feature beside that of the feed which the feature is made of."""
    home.watch(DAY, transactions(DAY, 20, 0))
    home.watch(DAY + timedelta(days=1), transactions(DAY + timedelta(days=1), 20, 50))
    later = DAY + timedelta(days=9)
    home.alerts = [("away_share_90d", later, True), ("score of churn", later, True)]
    home.watch(later)
    incident = home.only()
    members = [member["about"] for member in json.loads(incident["members"]) if member.get("model")]
    assert members == ["away_share_90d", "score of churn"]
    assert (incident["state"], incident["cause_kind"]) == ("open", "layout")


def test_what_nothing_explains_is_the_customers_and_is_over_when_nothing_drifts(home):
    """Catches a change of ours that is blamed because there must be one, and an incident that never ends."""
    home.watch(DAY)
    home.alerts = [
        ("spend_30d", DAY + timedelta(days=1), True),
        ("away_share_90d", DAY + timedelta(days=1), True),
    ]
    home.watch(DAY + timedelta(days=1))
    incident = home.only()
    assert (incident["kind"], incident["cause_kind"]) == ("drift", "customers")
    assert incident["cause"] == causes.NOTHING_OF_OURS
    assert incident["weighted_drift"] == pytest.approx(0.06)
    later = DAY + timedelta(days=40)
    home.alerts.append(("rows_seen", later, True))
    assert home.watch(later) == {"opened": 1}, "an event that lasts does not hide the next"
    home.alerts = [(about, day, False) for about, day, _ in home.alerts]
    assert home.watch(later + timedelta(days=5)) == {"closed": 2}


@pytest.mark.parametrize(
    ("after", "kind", "named"),
    [
        ({"code": manifest(cities=CITIES + "-- changed")}, "dbt", "int_cities"),
        ({"pinned": "v2"}, "model", "churn v2 scores instead of v1"),
        ({"sql": "update ops.clients set timezone = 'Asia/Kolkata'"}, "client", "timezone of bank"),
    ],
)
def test_the_change_of_the_same_night_is_blamed(home, after, kind, named):
    """Catches a change that nobody recorded, or that is not among what the drifting feature is made of."""
    after = dict(after)
    sql = [after.pop("sql")] if "sql" in after else []
    home.watch(DAY)
    home.alerts = [("away_share_90d", DAY + timedelta(days=1), True)]
    home.watch(DAY + timedelta(days=1), *sql, **after)
    incident = home.only()
    assert incident["cause_kind"] == kind
    assert named in incident["cause"]


def test_a_change_is_blamed_for_a_drift_on_an_earlier_date_of_its_night(home):
    """Catches a night that makes up for others and stamps what changed with its last date only."""
    home.watch(DAY)
    days = [DAY + timedelta(days=ahead) for ahead in (1, 2, 3)]
    home.alerts = [("away_share_90d", days[0], True)]
    home.watch(days[2], code=manifest(cities=CITIES + "-- changed"), made_up=(days[0], days[1]))
    assert home.only()["cause"] == f"{days[0]}: model int_cities was changed."


def test_a_file_and_a_column_are_told_with_the_date_on_which_they_failed(home):
    """Catches files of several dates of one night that all fail on its last one, or on its first."""
    home.watch(DAY, transactions(DAY, 20, 0))
    days = [DAY + timedelta(days=ahead) for ahead in (1, 2, 3)]
    emptied = transactions(days[1], 20, 50)
    again = transactions(days[2], 1, 0)
    home.rows = [coverage(days[1], "missing")]
    assert home.watch(days[2], emptied, again, made_up=(days[0], days[1])) == {"opened": 2}
    assert {row["first_date"] for row in incidents.listed(home.settings)} == {days[1]}


def test_an_older_night_looked_at_again_changes_nothing(home):
    """Catches a task cleared in May that closes what June has found, which then stays closed for good."""
    home.watch(DAY)
    home.alerts = [("spend_30d", DAY + timedelta(days=1), True)]
    home.watch(DAY + timedelta(days=1))
    before = home.everything()
    assert incidents.watch(home.settings, f"nightly/{DAY}") == {}
    assert home.everything() == before


def test_a_closed_incident_that_goes_on_is_opened_again(home):
    """Catches a drift that goes on and that nobody sees, since its incident was closed once."""
    home.watch(DAY)
    home.alerts = [("spend_30d", DAY + timedelta(days=1), True)]
    home.watch(DAY + timedelta(days=1))
    incidents.close(home.settings, home.only()["id"], "nightly/other")
    assert home.watch(DAY + timedelta(days=2)) == {"opened": 1}
    assert home.only()["state"] == "open"


def test_the_last_date_of_a_drift_is_the_one_on_which_it_was_seen(home):
    """Catches an incident that is said to last until tonight when nothing was beyond its limit tonight."""
    home.watch(DAY)
    seen = DAY + timedelta(days=1)
    home.alerts, home.last_seen_on = [("spend_30d", seen, True)], seen
    home.watch(seen)
    home.watch(DAY + timedelta(days=3))
    assert home.only()["last_date"] == seen


def test_rules_that_a_feature_does_not_read_are_not_blamed(home):
    """Catches a release of rules that is blamed for whatever drifts in its week."""
    home.watch(DAY)
    home.alerts = [("away_share_90d", DAY + timedelta(days=1), True)]
    home.watch(DAY + timedelta(days=1), code=manifest(rules="2"))
    assert home.only()["cause_kind"] == "customers"
    with operations.engine(home.settings).connect() as connection:
        recorded = connection.execute(sa.text("select kind, what from upstream_changes")).all()
    assert recorded == [("rules", "merchant rules brands was changed.")]


def test_a_missing_file_and_its_late_arrival_are_one_event(home):
    """Catches two incidents of one file, and one that stays open when the file is long there."""
    home.watch(DAY, coverage(DAY, "arrived"))
    home.rows = [coverage(DAY + timedelta(days=1), "missing")]
    home.watch(DAY + timedelta(days=1))
    assert (home.only()["kind"], home.only()["cause_kind"]) == ("data", "missing file")
    home.rows = [coverage(DAY + timedelta(days=1), "late")]
    home.watch(DAY + timedelta(days=2))
    assert len(json.loads(home.only()["members"])) == 2
    assert home.watch(DAY + timedelta(days=7)) == {"closed": 1}


def test_a_refused_file_says_which_column_and_a_corrected_one_which_day(home):
    """Catches a new layout that is told as just any refusal, and a correction that nobody hears of."""
    home.watch(DAY, transactions(DAY, 3, 0))
    run = f"nightly/{DAY + timedelta(days=1)}"
    verdict = {"client_id": "bank", "source": "core", "records": 0, "quarantined": 0}
    message = "file core.csv · record – · column city · the column is missing · next: ask the sender"
    operations.record_files(
        home.settings,
        run,
        [
            verdict | {"load_id": "1", "file": "core.csv", "verdict": "refused", "message": message},
            verdict | {"load_id": "again", "file": "core.csv", "verdict": "loaded", "message": ""},
        ],
    )
    again = f"""
        insert into raw.transactions by name
        select * replace (2 as _content_hash, 'again' as _load_id) from raw.transactions
        where business_date = '{DAY - timedelta(days=1)}'
    """
    home.watch(DAY + timedelta(days=1), transactions(DAY, 3, 0), again)
    found = {row["cause_kind"]: row["title"] for row in incidents.listed(home.settings)}
    assert found == {
        "layout": "core: core.csv was refused: the column is missing: see the run's page.",
        "corrected file": f"core told {DAY - timedelta(days=1)} again, otherwise than before.",
    }


def test_a_failed_night_names_what_stopped_it_and_ends_with_its_publication(home):
    """Catches a message with a customer's value, and an alarm that stays on when the numbers are out."""
    run = f"nightly/{DAY}"
    operations.open_run(home.settings, run, kind="nightly", as_of_date=DAY)
    with pytest.raises(RuntimeError), operations.stage(home.settings, run, "dbt_features"):
        raise RuntimeError("customer C123 has 99.99")
    first = incidents.night_failed(home.settings, run)
    assert incidents.night_failed(home.settings, run) == first
    incident = home.only()
    assert incident["title"] == f"The night of {DAY} failed in dbt features."
    assert incident["cause"] == "RuntimeError in dbt features: see the task's log."
    assert "C123" not in str(notifying.message(home.settings, incident, "opened"))
    assert home.watch(DAY) == {"closed": 1}


def test_a_night_that_fails_again_for_another_cause_says_so(home):
    """Catches a second failure of a date that nobody hears of, under the title of the first."""
    first = incidents.night_failed(home.settings, "nightly/1", DAY)
    assert home.only()["title"] == f"The night of {DAY} failed in waiting for sources."
    for run in ("nightly/2", "nightly/2", "nightly/3"):
        with pytest.raises(ValueError, match="q"), operations.stage(home.settings, run, "dbt_marts"):
            raise ValueError("q")
        assert incidents.night_failed(home.settings, run, DAY) == first
    assert home.only()["title"] == f"The night of {DAY} failed in dbt marts."
    assert home.only()["cause_kind"] == "machine"
    assert [event["event"] for event in incidents.events(home.settings)] == ["opened", "grew"]


def test_a_failed_night_that_waited_for_a_source_names_it(home):
    """Catches an incident without a word about which file is missing."""
    from nightledger.night.plan import RequiredSourceMissing

    run = f"nightly/{DAY}"
    with pytest.raises(RequiredSourceMissing), operations.stage(home.settings, run, "ingest"):
        raise RequiredSourceMissing(
            "a required source has delivered nothing: bank/core for 2026-03-09, 2026-03-10. Nothing"
        )
    incidents.night_failed(home.settings, run, DAY)
    assert home.only()["cause_kind"] == "missing file"
    assert home.only()["cause"] == "Not there: bank/core for 2026-03-09, 2026-03-10."


def test_a_champion_that_was_taken_back_is_an_incident_until_somebody_has_seen_it(home):
    """Catches a demotion that nobody is told of, and one that a night quietly calls over."""
    home.watch(DAY)
    decision = {
        "model": "churn", "version": "v2", "decision": model_ledger.DEMOTED, "reason": "it lost 3 %",
        "decided_by": "loss limit", "run_id": "nightly/x", "trained_on_as_of": DAY, "champion_after": "v1",
        "applies_after": DAY, "known_at": operations.clock(),
    }  # fmt: skip
    with model_ledger.appending(home.settings, "churn") as (connection, _):
        model_ledger.append(connection, **decision)
    home.watch(DAY + timedelta(days=1))
    incident = home.only()
    assert (incident["kind"], incident["title"]) == (
        "champion demoted",
        "churn v2 was taken back; v1 scores.",
    )
    home.watch(DAY + timedelta(days=20))
    assert home.only()["state"] == "open"
    incidents.acknowledge(home.settings, incident["id"], by="ana", note="the fraud wave of May")
    assert home.only()["state"] == "closed"
    said = [(e["event"], e["done_by"], e["note"]) for e in incidents.events(home.settings, incident["id"])]
    assert said[1] == ("acknowledged", "ana", "the fraud wave of May")


def test_a_cohort_that_did_not_come_true_is_an_incident_once(home):
    """Catches predictions that fail unseen, and small numbers that are taken for a failure."""
    cohort = (
        "insert into marts.mart_realised_performance values ('bank', 'churn', 'v1', 'champion', 'now', true, "
    )
    home.rows = [
        cohort + f"'2026-01-01', '{DAY}', 80, 40, 2.0)",
        cohort + f"'2025-12-01', '{DAY}', 4, 2, 2.0)",
    ]
    home.watch(DAY)
    assert home.only()["title"] == "churn v1 expected 40 events in the cohort of 2026-01, and 80 happened."
    assert home.watch(DAY + timedelta(days=1)) == {}
    decide(home, "v1")
    assert incidents.ask_training(home.settings, "nightly/x") == ["churn"]


def decide(home: Home, version: str, decision: str = model_ledger.PROMOTED) -> None:
    """Make a version of churn the champion."""
    with model_ledger.appending(home.settings, "churn") as (connection, _):
        model_ledger.append(
            connection, model="churn", version=version, decision=decision, reason="x", decided_by="rules",
            run_id=f"train/{version}", trained_on_as_of=DAY, champion_after=version, applies_after=DAY,
            known_at=operations.clock(),
        )  # fmt: skip


def missed(month: str) -> str:
    """SQL: a cohort of twice the events that were expected."""
    return (
        "insert into marts.mart_realised_performance values ('bank', 'churn', 'v1', 'champion', 'now', true,"
        f" '{month}-01', '{DAY}', 80, 40, 2.0)"
    )


def test_a_version_that_does_worse_for_months_is_one_event_until_it_is_replaced(home, monkeypatch):
    """Catches an incident and a training for each month of one failing version, and one that never ends."""
    decide(home, "v1")
    home.rows = [missed(f"2025-{month:02}") for month in range(6, 12)]
    assert home.watch(DAY) == {"opened": 1}
    assert home.only()["title"] == (
        "churn v1 expected 240 events in 6 cohorts (2025-06 to 2025-11), and 480 happened."
    )
    assert json.loads(home.only()["members"])[0]["started_on"] == "2025-06-01"
    assert incidents.ask_training(home.settings, "nightly/1") == ["churn"]
    home.rows.append(missed("2025-12"))
    assert home.watch(DAY + timedelta(days=1)) == {"grew": 1}
    monkeypatch.setattr(operations, "clock", lambda: datetime(2026, 6, 1))
    assert incidents.ask_training(home.settings, "nightly/2") == []
    assert home.watch(DAY + timedelta(days=2), pinned="v2") == {"closed": 1}
    assert home.only()["state"] == "closed"


def test_a_version_that_is_no_longer_champion_asks_for_no_training(home):
    """Catches a challenger trained for a version that nobody uses, since the next date has another one."""
    home.rows = [missed("2026-01")]
    home.watch(DAY)
    decide(home, "v2")
    assert incidents.ask_training(home.settings, "nightly/x") == []


def test_a_version_that_somebody_has_seen_is_opened_again_by_another_month_only(home):
    """Catches a click that hides what comes later, and one that hides nothing."""
    home.rows = [missed("2026-01")]
    home.watch(DAY)
    incidents.acknowledge(home.settings, home.only()["id"], by="ana", note="we know")
    assert home.watch(DAY + timedelta(days=1)) == {}
    assert home.only()["state"] == "closed"
    home.rows.append(missed("2026-02"))
    assert home.watch(DAY + timedelta(days=2)) == {"opened": 1}
    assert home.only()["state"] == "open"


def test_nobody_acknowledges_without_a_word_or_what_is_not_there(home):
    """Catches a click that hides an incident without anybody knowing why."""
    incidents.report(home.settings, kind="publish late", about="x", title="t", first_date=DAY, run_id="r")
    with pytest.raises(incidents.IncidentError, match="Write a note"):
        incidents.acknowledge(home.settings, home.only()["id"], by="ana", note="  ")
    with pytest.raises(incidents.IncidentError, match="no such incident"):
        incidents.acknowledge(home.settings, "nothing", by="ana", note="seen")


@pytest.mark.parametrize("table", ["incident_events", "upstream_changes"])
def test_what_happened_cannot_be_rewritten(home, table):
    """Catches a history that an update, a deletion or a replacement changes."""
    home.watch(DAY)
    home.watch(DAY + timedelta(days=1), code=manifest(rules="2"))
    incidents.report(home.settings, kind="publish late", about="x", title="t", first_date=DAY, run_id="r")
    for change in (
        "update {} set run_id = 'x'",
        "delete from {}",
        "insert or replace into {0} select * from {0}",
    ):
        with (
            pytest.raises(sa.exc.IntegrityError, match="append-only"),
            operations.engine(home.settings).begin() as connection,
        ):
            connection.execute(sa.text(change.format(table)))


def drifting(model: str, weight: float, first: date = DAY) -> Incident:
    """A drift incident of one feature."""
    member = {
        "about": "f",
        "model": model,
        "started_on": str(first),
        "what_changed": "",
        "weighted_drift": weight,
    }
    return Incident(
        "drift", "bank", "f", "t", first, first, "r", members=[member], weighted_drift=weight
    )  # fmt: skip


def test_an_incident_asks_for_one_training_and_a_model_has_its_pause(home):
    """Catches a training every night of a drift, of the wrong client, or for what is below the threshold."""
    limit = following.Limits(retrain_drift=0.02, retrain_pause_days=28, performance_ratio=1.5)
    low, high = drifting("churn", 0.01), drifting("anomaly", 0.05)
    champions = {"churn": "v1", "anomaly.bank": "v1"}
    wanted = following.trainings([low, high], [], limit, "night 1", champions)
    assert wanted == [(high.id, "anomaly.bank")]
    asked = [
        {
            "incident_id": high.id,
            "note": "anomaly.bank",
            "run_id": "night 1",
            "recorded_at": operations.clock(),
        }
    ]
    assert following.trainings([high], asked, limit, "night 1", champions) == wanted, "the same run again"
    assert following.trainings([high], asked, limit, "night 2", champions) == []
    other = drifting("anomaly", 0.05, DAY + timedelta(days=1))
    assert following.trainings([other], asked, limit, "night 2", champions) == []
    missing = replace(other, kind="data", id="x")
    assert following.trainings([missing], [], limit, "night 2", champions) == [], "it would learn the fault"
    asked[0]["recorded_at"] -= timedelta(days=28)
    assert following.trainings([other], asked, limit, "night 2", champions) == [(other.id, "anomaly.bank")]


def test_a_refusal_names_columns_of_the_contract_only():
    """Catches a customer's name in a mail, told as the unknown column of a file without a header."""
    row = {"client_id": "bank", "source": "core", "file": "core.csv"}
    hint = "the column is missing; the file has 'MR SMITH', which the contract does not know"
    for column, reason, what in (
        ("city", hint, "column city: the column is missing."),
        ("MR SMITH", "the contract does not know this column", "the contract does not know this column: see"),
        ("MR SMITH", "the column has 'MR SMITH'", "the column has '…': see the run's page."),
    ):
        message = f"file core.csv · record – · column {column} · {reason} · next: ask 'MR SMITH'"
        told = refusal(DAY, row | {"message": message}, ["transactions"], {"city"})
        assert told.kind == "layout"
        assert what in told.what
        assert "SMITH" not in told.what
    assert "amount" in _columns(Settings(_env_file=None), "demo_bank", "core_banking")
    assert _columns(Settings(_env_file=None), "demo_bank", "nothing") == frozenset()


def change(days_ago: int, kind: str, *touches: str, client: str = "") -> Change:
    """A change before the sighting."""
    return Change(DAY - timedelta(days=days_ago), kind, client, "x", f"{kind} {days_ago}", touches)


SIGHTING = causes.Sighting("bank", "away_share_90d", "churn", DAY, False, {"a", "raw.t", "raw.t.city"})


def test_the_first_change_that_reaches_the_feature_is_blamed():
    """Catches a late suspect, one of another client, and one whose effect would long have been seen."""
    emptied, release = change(80, "layout", "raw.t.city"), change(2, "dbt", "a")
    missed = [
        change(91, "layout", "raw.t.city"),
        change(20, "dbt", "a"),
        change(1, "dbt", "b"),
        change(1, "missing file", "raw.t", client="other"),
        change(30, "missing file", "raw.t"),
        change(-1, "dbt", "a"),
    ]
    assert causes.candidates(SIGHTING, [release, *missed, emptied]) == [emptied, release]


def test_a_jump_is_first_asked_of_what_changed_at_once():
    """Catches a break of today that is blamed on a slow drift of two months ago."""
    emptied, release = change(80, "layout", "raw.t.city"), change(0, "dbt", "a")
    jump = replace(SIGHTING, is_jump=True)
    assert causes.candidates(jump, [emptied, release]) == [release, emptied]
    assert causes.candidates(jump, [emptied]) == [emptied]


def test_a_feature_is_traced_to_the_columns_that_it_is_made_of():
    """Catches a lineage that blames an amount for a city, and one that finds nothing behind a count."""
    lineage = Lineage(manifest())
    away, spend = lineage.behind_feature("away_share_90d"), lineage.behind_feature("spend_30d")
    assert "raw.transactions.city" in away
    assert "raw.transactions.city" not in spend
    assert "raw.transactions.amount" in spend
    assert {"raw.transactions", "model.nightledger.int_cities"} <= lineage.behind_feature("rows_seen")
    assert lineage.behind_feature("no such feature") == frozenset()
