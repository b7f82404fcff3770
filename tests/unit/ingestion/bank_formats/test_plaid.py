"""Plaid's users, and other JSON whose records lie below several parents."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from nightledger.ingestion.formats import Unreadable
from tests.unit.ingestion.bank_formats.helpers import (
    EXCERPTS,
    files,
    rows,
    written,
)

PLAID = "plaid+sandbox-custom-users"


def plaid_files() -> list[Any]:
    return [
        path
        for path in files(PLAID, "*.json")
        if isinstance(path, Path) or '"date_posted"' in path.values[0].read_text()
    ]


@pytest.mark.parametrize("path", [pytest.param(EXCERPTS / "plaid.json", id="excerpt"), *plaid_files()])
def test_the_accounts_of_a_plaid_user_come_in_to_the_cent(bank, deliver, path):
    """Catches an account whose transactions are taken for another's, and outflow with the wrong sign."""
    accounts = json.loads(path.read_text(), parse_float=Decimal, parse_int=Decimal)["override_accounts"]
    expected = [
        (
            f"{account['type']} {account['subtype']}",
            -each["amount"],
            each["date_posted"],
            each["description"].strip(),
        )
        for account in accounts
        for each in account.get("transactions", [])
    ]
    verdict = deliver("plaid_transactions", path)
    assert (verdict.verdict, verdict.message, verdict.quarantined) == ("loaded", "", 0)
    assert expected == bank.rows(
        "select account_id, amount, business_date::varchar, description from raw.transactions"
        " order by _record"
    )


def nested(*accounts: dict[str, Any]) -> bytes:
    return json.dumps({"before": [1], "bank": {"accounts": accounts}, "after": {"a": 1}}).encode()


def test_records_below_several_parents_have_their_fields(tmp_path):
    """Catches fields of a parent that come after its records, and those of another parent."""
    first = {"moves": {"list": [{"n": 1, "in": {"n": 2}}, {"n": 3}]}, "id": "a", "tags": [{"n": 9}], "n": 5}
    path = written(tmp_path, nested(first, {"id": "b"}, {"id": "c", "moves": {"of": 2, "list": [{"n": 4}]}}))
    found = rows(path, type="json", records="bank.accounts.*.moves.list")
    assert [(row["n"], row["in.n"], row["bank.accounts.id"], row["bank.accounts.n"]) for row in found] == [
        ("1", "2", "a", "5"),
        ("3", None, "a", "5"),
        ("4", None, "c", None),
    ]
    assert found[2]["bank.accounts.moves.of"] == "2"


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(nested({"moves": [{"n": 1}]})[:-30], id="cut in a record"),
        pytest.param(nested({"moves": [{"n": 1}]})[:-2], id="cut at the end"),
        pytest.param(nested({"moves": [{"n": 1}, 2]}), id="a number for a record"),
        pytest.param(nested([]), id="a list for a parent"),  # type: ignore[arg-type]
        pytest.param(b'{"bank": {}}', id="no array"),
    ],
)
def test_json_that_is_not_nested_as_the_contract_says_is_refused(tmp_path, content):
    """Catches a file of which a part is read."""
    with pytest.raises(Unreadable):
        rows(written(tmp_path, content), type="json", records="bank.accounts.*.moves")
