"""Which change is blamed: the rules, without a publication."""

from dataclasses import replace
from datetime import timedelta

from nightledger.incidents import causes
from nightledger.incidents.changes import Change, _columns, refusal
from nightledger.incidents.lineage import Lineage
from nightledger.settings import Settings
from tests.helpers.small_publications import DAY, manifest


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
