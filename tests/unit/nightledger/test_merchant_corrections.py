"""People's corrections of merchants: what can be meant, and from which night on it counts."""

from datetime import datetime

import duckdb
import pytest

from nightledger import operations, publications, warehouse
from nightledger.merchants import corrections
from nightledger.merchants.corrections import CorrectionError
from nightledger.night import plan

SHOP = {"descriptor": "ACME #", "merchant": "Acme", "reason": "the owner says so", "by": "ada"}


@pytest.fixture
def published(settings):
    """An installation whose publication has four transactions of three descriptors."""
    path = settings.builds / "2026-01-05.1"
    path.mkdir(parents=True)
    with warehouse.connect(path, read_only=False, settings=settings) as connection:
        connection.execute("""
            create schema intermediate; create schema staging;
            create table staging.categories as select 'bar' as subcategory;
            create table intermediate.int_transactions as
            select * from (values
                ('ACME #', 'ACME 12345', cast(null as varchar), null), ('ACME #', 'ACME 67890', null, null),
                ('A_B CAFE', 'A_B CAFE', null, null), ('AXB CAFE', 'AXB CAFE', null, null),
                ('AXB CAFE', 'AXB CAFE', null, timestamp '2026-01-05')
            ) as rows (descriptor, description, merchant_name, superseded_at)
        """)
    publications.point(settings, "current", path.name)
    return settings


def test_a_correction_waits_for_a_night_and_then_keeps_its_time(published):
    """Catches a correction that changes dates that were published before anybody knew it."""
    corrections.correct(published, **SHOP)
    (entry,) = operations.correction_log(published)
    assert (entry["known_at"], entry["publication_id"], entry["ordered_by"]) == (None, "2026-01-05.1", "ada")
    assert operations.take_up_corrections(published, datetime(2026, 1, 6, 2)) == 1
    assert operations.take_up_corrections(published, datetime(2026, 1, 7, 2)) == 0, "run again"
    assert operations.correction_log(published)[0]["known_at"] == datetime(2026, 1, 6, 2)


def test_the_base_of_a_night_is_noted_before_the_night_moves_the_horizon():
    """Catches corrections that are known since tonight's own cutoff, and so never count tonight."""
    with duckdb.connect() as connection:
        connection.execute("create schema ops")
        plan.create_tables(connection)
        assert plan.note_base(connection) is None, "the first night"
        connection.execute(
            "insert into ops.horizon values ('a', date '2026-01-05', timestamp '2026-01-06 01:00'),"
            " ('b', date '2026-01-05', timestamp '2026-01-06 02:00')"
        )
        assert plan.note_base(connection) == datetime(2026, 1, 6, 2)
        assert plan.note_base(connection) == datetime(2026, 1, 6, 2), "opened again"


def test_a_description_from_a_statement_stands_for_its_descriptor(published):
    """Catches a person who copies what they see and is told that there is no such thing."""
    done = corrections.correct(published, **(SHOP | {"descriptor": " ACME 67890 "}))
    assert (done.descriptors, done.transactions) == (1, 2)
    assert operations.correction_log(published)[0]["descriptor"] == "ACME #"


def test_an_underscore_in_a_pattern_is_an_underscore(published):
    """Catches a pattern that reaches merchants nobody named."""
    done = corrections.correct(
        published, pattern="a_b%", merchant="Ab", subcategory="bar", reason="seen", by="ada"
    )
    assert (done.descriptors, done.transactions) == (1, 1)
    assert operations.correction_log(published)[0]["pattern"] == "a_b%"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"descriptor": "ACNE 1"}, r"ACNE 1 is not published; say which .*\n  ACME #"),
        ({"descriptor": ""}, "one DESCRIPTOR or one PATTERN"),
        ({"pattern": "A%"}, "one DESCRIPTOR or one PATTERN"),
        ({"descriptor": "", "pattern": "%"}, "% for anything"),
        ({"descriptor": "", "pattern": "A\\%"}, "no backslash"),
        ({"descriptor": "", "pattern": "ZZZ%"}, "no published descriptor is like ZZZ%"),
        ({"merchant": " "}, "MERCHANT, SUBCATEGORY or both"),
        ({"subcategory": "pub"}, "pub is no subcategory. There are: bar"),
        ({"reason": " "}, "say why"),
    ],
)
def test_what_cannot_be_meant_is_refused_and_leaves_no_entry(published, changed, message):
    """Catches a typo that is obeyed in silence by every later night."""
    with pytest.raises(CorrectionError, match=message):
        corrections.correct(published, **(SHOP | changed))
    assert operations.correction_log(published) == []


def test_nothing_can_be_corrected_before_the_first_publication(settings):
    """Catches a correction of which nobody knows what it was based on."""
    with pytest.raises(CorrectionError, match="nothing has been published"):
        corrections.correct(settings, **SHOP)


def test_a_withdrawal_is_an_entry_of_its_own_and_happens_once(published):
    """Catches a correction that is deleted, with the reason why it was made."""
    number = corrections.correct(published, **SHOP).number
    corrections.withdraw(published, number, reason="they have moved", by="bob")
    refused = {number: "withdrawn already", number + 1: "no correction", 99: "no correction"}
    for wrong, message in refused.items():
        with pytest.raises(CorrectionError, match=message):
            corrections.withdraw(published, wrong, reason="again", by="bob")
    entries = operations.correction_log(published)
    assert [(row["action"], row["withdrawn_id"], row["ordered_by"]) for row in entries] == [
        ("correct", None, "ada"),
        ("withdraw", number, "bob"),
    ]


def test_the_commands_say_what_happens(published, monkeypatch, capsys):
    """Catches a command that records and tells nobody, or breaks on what a stranger wrote on a statement."""
    monkeypatch.setenv("NIGHTLEDGER_HOME", str(published.home))
    words = ["--descriptor", "ACME #", "--merchant", "[red]\x1bAcme", "--reason", "why", "--by", "ada"]
    assert corrections.main(["correct", *words]) == 0
    assert corrections.main(["withdraw", "1", "--reason", "no", "--by", "ada"]) == 0
    assert corrections.main(["withdraw", "one", "--reason", "no"]) == 1
    assert corrections.main(["list"]) == 0
    said = capsys.readouterr()
    out = " ".join(said.out.split())
    assert "Recorded as 1." in out
    assert "1 descriptor with 2 transactions" in out
    assert "[red]?Acme" in out
    assert "1 (withdrawn)" in out
    assert "by its number" in said.err
