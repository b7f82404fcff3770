"""Labels of any kind within a horizon, on a few statements about customers of one as-of date."""

from datetime import date, datetime, timedelta
from typing import Any

import duckdb
import pytest

from ml import statements
from ml.scores.config import UseCase
from tests.unit.ml.bank import cutoff
from tests.unit.ml.loans import use_case

D = date(2025, 6, 30)
HORIZON, DELAY = 30, 10
CUSTOMERS = ("a", "b", "c", "d")


def day(offset: int) -> datetime:
    """Noon, so many days after the as-of date."""
    return datetime.combine(D + timedelta(days=offset), datetime.min.time()) + timedelta(hours=12)


@pytest.fixture
def connection() -> duckdb.DuckDBPyConnection:
    """Two clients with the same four customers each; nothing is told yet."""
    made = duckdb.connect()
    made.execute(f"""
        create schema ops; create schema staging; create schema features;
        create table ops.clients as select unnest(['bank', 'silent']) as client_id, 'UTC' as timezone;
        create table dates as
        select client_id, date '{D}' as as_of_date, timestamp '{cutoff(D)}' as cutoff_at from ops.clients;
        create table cutoffs as
        select client_id, as_of_date + n::integer as day, cutoff_at + to_days(n::integer) as cutoff_at
        from dates cross join range({HORIZON + DELAY + 1}) as days(n);
        create table features.features_credit as
        select client_id, unnest({list(CUSTOMERS)}) as customer_id, as_of_date from dates;
        create table staging.stg_labels (
            client_id varchar, entity varchar, entity_id varchar, label varchar, value varchar,
            _load_id varchar, _record bigint, event_at timestamp, known_at timestamp);
    """)
    return made


def tell(
    connection: duckdb.DuckDBPyConnection, customer: str, value: str, event: int | None, known: int
) -> None:
    """The bank says so of a customer; days are counted from the as-of date."""
    connection.execute(
        "insert into staging.stg_labels select 'bank', 'customer', ?, 'fraud', ?, 'x', count(*), ?, ?"
        " from staging.stg_labels",
        [customer, value, None if event is None else day(event), day(known)],
    )


def case(silence: str = "other", **changes: Any) -> UseCase:
    return use_case(
        entity="customer",
        features=["features_credit"],
        parameters={"label": "fraud", "positive": ["yes"], "silence": silence},
        **{
            "label": {"horizon_days": HORIZON, "delay_days": DELAY},
            "dates": {"every": "month_end", "training": 4, "calibration": 1, "test": 1},
        }
        | changes,
    )


def run(
    connection: duckdb.DuckDBPyConnection, name: str, asked: UseCase
) -> dict[tuple[str, str], int | None]:
    """Whom a statement gives, with their label where it has one."""
    sql = statements.module_sql(asked, name)
    label = "label" if name == "LABEL" else "null"
    rows = connection.execute(
        f"select client_id, entity_id, {label} from ({sql})", statements.parameters(asked, sql)
    ).fetchall()
    found = {(client, customer): value for client, customer, value in rows}
    assert len(found) == len(rows)
    return found


def labels(connection: duckdb.DuckDBPyConnection, asked: UseCase) -> dict[str, int | None]:
    found = run(connection, "LABEL", asked)
    return {customer: value for (client, customer), value in found.items() if client == "bank"}


@pytest.mark.parametrize("silence", ["other", "unknown"])
def test_what_is_taken_back_by_the_judgement_never_was(
    connection: duckdb.DuckDBPyConnection, silence: str
) -> None:
    """Catches a fraud that stays one although it was withdrawn in time, and a withdrawal that came late."""
    for customer in "abcd":
        tell(connection, customer, "yes", 5, -1 if customer == "d" else 6)
    tell(connection, "b", "no", 5, HORIZON + DELAY)  # the last day that is judged by
    tell(connection, "c", "no", 5, HORIZON + DELAY + 1)
    tell(connection, "d", "no", 5, 7)
    tell(connection, "d", "yes", 9, 8)  # of another day: the withdrawal is not about it
    assert labels(connection, case(silence)) == {"a": 1, "b": 0, "c": 1, "d": 1}


def test_a_withdrawal_may_bear_its_own_day(connection: duckdb.DuckDBPyConnection) -> None:
    """Catches one that finds no event of its day; and an outcome of another month that is taken for one."""
    tell(connection, "d", "yes", HORIZON + 1, -1)
    for customer, taken_back in (("a", 20), ("b", None), ("c", 3)):
        tell(connection, customer, "yes", 5, 6)
        tell(connection, customer, "no", taken_back, 20)
    assert labels(connection, case()) == {"a": 0, "b": 0, "c": 1, "d": 0}
    # Where every outcome is told, `no` says how another day was.
    assert labels(connection, case("unknown")) == {"a": 1, "b": 1, "c": 1}


@pytest.mark.parametrize("silence", ["other", "unknown"])
def test_an_event_of_before_that_is_told_afterwards_is_no_outcome(
    connection: duckdb.DuckDBPyConnection, silence: str
) -> None:
    """Catches a fraud that counts as honest since nobody knew of it yet; one that was withdrawn is none."""
    tell(connection, "d", "no", 3, -1)
    for customer in "abc":
        tell(connection, customer, "yes", 0, 1)
    for customer in "ab":
        tell(connection, customer, "yes", 8, 9)
    tell(connection, "b", "no", 0, 20)
    asked = case(silence)
    assert labels(connection, asked) == {"b": 1, "d": 0}
    everybody = {customer for client, customer in run(connection, "POPULATION", asked) if client == "bank"}
    assert everybody == set(CUSTOMERS)  # on the day itself nobody can know


@pytest.mark.parametrize("silence", ["other", "unknown"])
def test_training_and_scoring_ask_about_the_same(connection: duckdb.DuckDBPyConnection, silence: str) -> None:
    """Catches a score for who is known to have had the event, which no model has learnt of."""
    tell(connection, "a", "yes", -20, -10)
    tell(connection, "b", "yes", -20, -10)
    tell(connection, "b", "no", -20, -5)  # withdrawn in time: asked about as any other
    tell(connection, "c", "yes", -20, -10)
    tell(connection, "c", "no", -20, 5)  # in force at the as-of date, as who is scored then sees it
    for customer in CUSTOMERS:
        tell(connection, customer, "yes", 3, 4)
    asked = case(silence)
    scored = {customer for client, customer in run(connection, "POPULATION", asked) if client == "bank"}
    assert scored == {"b", "d"} == set(labels(connection, asked))


def test_who_never_told_anything_is_not_asked_where_silence_counts(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    """Catches scores and good outcomes for customers of a client that says nothing; a label told too late."""
    tell(connection, "a", "yes", 2, 3)
    for name in ("POPULATION", "LABEL"):
        assert run(connection, name, case()) == {}
    assert len(run(connection, "POPULATION", case("unknown"))) == 2 * len(CUSTOMERS)
    tell(connection, "b", "no", -9, -1)
    for name in ("POPULATION", "LABEL"):
        assert set(run(connection, name, case())) == {("bank", customer) for customer in CUSTOMERS}


def test_without_a_horizon_the_last_value_decides_and_everybody_is_scored(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    """Catches rules of a horizon applied to rows that are judged themselves."""
    for at, (customer, value) in enumerate((("a", "yes"), ("a", "no"), ("b", "no"), ("b", "yes"))):
        tell(connection, customer, value, -20 + at, -9 + at)
    asked = case("unknown", label={"horizon_days": 0, "delay_days": DELAY})
    assert labels(connection, asked) == {"a": 0, "b": 1}
    assert len(run(connection, "POPULATION", asked)) == 2 * len(CUSTOMERS)
