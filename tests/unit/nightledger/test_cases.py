"""Cases: states, two people at once, an account that nobody edits, and what nights make of closings."""

import threading
from datetime import datetime, timedelta

import duckdb
import pyarrow as pa
import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable

from nightledger import cases, operations
from nightledger.cases import CaseConflict, CaseError
from nightledger.operations.schema import case_events, case_labels

KEY = ("bank", "t1")
CUTOFF = datetime(2026, 3, 6, 2)


def act(settings, action, *, who="mia", key=KEY, **values):
    """One thing that somebody does who has seen the newest version."""
    return cases.act(
        settings, *key, action=action, who=who, seen=cases.read_case(settings, *key).version, **values
    )


def test_a_case_is_new_then_open_then_closed_and_open_again(settings, monkeypatch):
    """Catches a state that does not follow from the events, a verdict or assignee that outlives its end."""
    moment = datetime(2026, 3, 5, 8)
    monkeypatch.setattr(operations, "clock", lambda: moment)
    assert cases.read_case(settings, *KEY) == cases.Case(*KEY)
    assert cases.read_case(settings, *KEY).state == "new"
    assert act(settings, "assign", assignee=" tom ").assignee == "tom"
    case = act(settings, "close", verdict="fraud", note="She was asleep.")
    assert (case.state, case.verdict, case.assignee) == ("closed", "fraud", "tom")
    assert act(settings, "note", note="Card blocked.").state == "closed"
    case = act(settings, "reopen", who="tom", note="It was her son.")
    assert (case.state, case.verdict, case.assignee) == ("open", None, "tom")
    assert act(settings, "assign", assignee="").assignee is None
    case = act(settings, "close", verdict="genuine")
    assert (case.state, case.verdict, case.version) == ("closed", "genuine", 6)
    assert [event.version for event in case.events] == [1, 2, 3, 4, 5, 6]
    assert (case.events[3].who, case.events[3].note) == ("tom", "It was her son.")
    assert case.events[0].recorded_at == moment
    other = act(settings, "note", note="x", key=("lender", "t1"))
    assert other.version == 1, "the same payment's key at another client is another case"
    assert set(cases.read_cases(settings)) == {KEY, ("lender", "t1")}
    assert cases.read_cases(settings, {"bank"}) == {KEY: case}


@pytest.mark.parametrize(
    ("before", "action", "values", "message"),
    [
        ([], "close", {"verdict": None}, "fraud or genuine"),
        ([], "close", {"verdict": "maybe"}, "fraud or genuine"),
        ([], "note", {"note": "  "}, "the note is empty"),
        ([], "note", {"note": "x" * 4001}, "4,001 characters"),
        ([], "assign", {"assignee": ""}, "nobody’s already"),
        ([], "assign", {"assignee": "x" * 201}, "at most 200"),
        ([], "reopen", {"note": "x"}, "not closed"),
        ([], "delete", {}, "an action is one of"),
        (["close"], "close", {"verdict": "genuine"}, "closed as fraud: reopen it first"),
        (["close"], "assign", {"assignee": "tom"}, "reopen it first"),
        (["close"], "reopen", {"note": ""}, "say why"),
    ],
)
def test_what_does_not_fit_is_refused_and_leaves_nothing(settings, before, action, values, message):
    """Catches a closing without a verdict, an endless note, and a second closing over the first one."""
    for done in before:
        act(settings, done, verdict="fraud")
    with pytest.raises(CaseError, match=message):
        act(settings, action, **values)
    assert len(cases.read_case(settings, *KEY).events) == len(before)


def test_the_second_of_two_people_is_told_and_nothing_is_lost(settings):
    """Catches a closing over what somebody else has found in the meantime."""
    seen = act(settings, "note", note="I am calling her.").version
    cases.act(settings, *KEY, action="close", verdict="genuine", who="tom", seen=seen)
    with pytest.raises(CaseConflict, match="after you had opened this case, tom did something about it"):
        cases.act(settings, *KEY, action="close", verdict="fraud", who="mia", seen=seen)
    case = cases.read_case(settings, *KEY)
    assert [(event.who, event.verdict) for event in case.events] == [("mia", None), ("tom", "genuine")]


def test_of_two_people_at_the_same_moment_one_is_told(settings, monkeypatch):
    """Catches a check that both pass before either writes: the database has to decide."""
    act(settings, "note", note="first")
    barrier, check, told = threading.Barrier(2), cases._check, []

    def check_together(*arguments):
        check(*arguments)
        barrier.wait(10)

    def close(who):
        try:
            cases.act(settings, *KEY, action="close", verdict="fraud", who=who, seen=1)
        except CaseConflict as error:
            told.append((who, str(error)))

    monkeypatch.setattr(cases, "_check", check_together)
    threads = [threading.Thread(target=close, args=(who,)) for who in ("mia", "tom")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = [event.who for event in cases.read_case(settings, *KEY).events if event.action == "close"]
    ((loser, message),) = told
    assert {winner, loser} == {"mia", "tom"}
    assert f"{winner} did something" in message


@pytest.mark.parametrize("table", ["case_events", "case_labels"])
def test_nobody_edits_what_was_done(settings, table):
    """Catches an account of who closed what that somebody can put right afterwards."""
    act(settings, "close", verdict="fraud")
    take_up(settings, CUTOFF)
    change = {
        "case_events": "update case_events set who = 'tom'",
        "case_labels": "update case_labels set verdict = 'genuine'",
    }[table]
    replace = f"insert or replace into {table} select * from {table}"
    for statement in (change, f"delete from {table}", replace):
        with (
            pytest.raises(sa.exc.IntegrityError, match="append-only"),
            operations.engine(settings).begin() as connection,
        ):
            connection.execute(sa.text(statement))


def test_postgres_takes_the_same_tables_and_statements():
    """Catches a column or an insert that only SQLite understands."""
    dialect = postgresql.dialect()
    for table in (case_events, case_labels):
        assert f"CREATE TABLE {table.name}" in str(CreateTable(table).compile(dialect=dialect))
    made = str(CreateTable(case_events).compile(dialect=dialect))
    assert "id SERIAL NOT NULL" in made
    assert "UNIQUE (client_id, transaction_key, version)" in made
    assert "event_id INTEGER NOT NULL" in str(CreateTable(case_labels).compile(dialect=dialect))


def take_up(settings, cutoff, alerts=(("bank", "t1", "2026-03-04"),)):
    """What a night does that begins from a publication with this cutoff; returns (new, changed facts)."""
    with duckdb.connect() as build:
        build.execute("create schema ops; create schema marts")
        build.execute(
            "create table ops.base_horizon as select 'bank' as client_id, ?::timestamp cutoff_at", [cutoff]
        )
        build.execute(
            "create table ops.changed_facts (client_id text, business_date date, known_at timestamp)"
        )
        build.execute(
            "create table marts.mart_fraud_alerts (client_id text, transaction_key text, business_date date)"
        )
        for _ in range(2):  # on the night it was scored, and on its posting's
            build.executemany("insert into marts.mart_fraud_alerts values (?, ?, ?)", alerts)
        number = cases.take_up(settings, build)
        return number, build.execute("from ops.changed_facts order by all").fetchall()


def labels(settings):
    return [
        (row["transaction_key"], row["verdict"], row["known_at"])
        for row in operations.read(settings, sa.select(case_labels).order_by(case_labels.c.event_id))
    ]


def test_a_closing_becomes_a_label_of_the_next_night_and_of_no_published_date(settings):
    """Catches a label that a date published before would know when it is built again, or one told twice."""
    act(settings, "assign", assignee="tom")
    act(settings, "close", verdict="fraud")
    act(settings, "close", verdict="fraud", key=("gone", "t9"))
    day = datetime(2026, 3, 4).date()
    assert take_up(settings, CUTOFF) == (1, [("bank", day, CUTOFF)])
    assert labels(settings) == [("t1", "fraud", CUTOFF)], (
        "an assignment is none, nor a client that is not there"
    )
    act(settings, "reopen", note="It was her son.")
    # The night died and is opened again: the label stays as it was, and what it changes is noted again.
    assert take_up(settings, CUTOFF) == (1, [("bank", day, CUTOFF)] * 2)
    later = CUTOFF + timedelta(days=1)
    act(settings, "close", verdict="genuine")
    assert take_up(settings, later) == (1, [("bank", day, later)])
    assert labels(settings) == [("t1", "fraud", CUTOFF), ("t1", None, CUTOFF), ("t1", "genuine", later)]
    assert take_up(settings, later + timedelta(days=1)) == (0, [])


def test_notes_stay_out_of_publications(settings):
    """Catches what somebody wrote about a customer in a file that every analyst reads."""
    act(settings, "note", note="Her number is 0171.")
    with duckdb.connect() as build:
        operations.snapshot(settings, build)
        found: pa.Table = build.execute("from operations.case_events").to_arrow_table()
    assert found.num_rows == 1
    assert set(found.column_names) == {column.name for column in case_events.columns} - {"note"}
