"""Contracts that are wrong or change: nothing is counted twice, and what was refused is tried again."""

from collections.abc import Callable
from decimal import Decimal

import pytest

from nightledger.ingestion import ContractError, load_contracts
from tests.unit.ingestion.conftest import CONTRACT, HEADER, Bank, line, lines


def test_columns_may_differ_in_case_only(bank: Bank) -> None:
    """Catches a readable file that is refused because the database does not tell Text from text."""
    bank.contract(ignore=["Text", "filename"])
    bank.file("tx_1.csv", f"{HEADER},Text,filename\n{line(1)},A,f\n")

    assert bank.load()["tx_1.csv"].verdict == "loaded"
    assert bank.rows("select description from raw.transactions") == [("SHOP 1",)]


def test_a_format_that_nobody_can_read_is_a_mistake_of_the_contract(bank: Bank) -> None:
    """Catches a format that stops the first night instead of the check of the contract."""
    bank.contract(
        feeds={
            "transactions": bank.transactions(columns=bank.columns(event_at={"column": "at", "format": "%Q"}))
        }
    )

    with pytest.raises(ContractError, match=r"columns\.event_at\.format: '%Q' is no format of dates"):
        load_contracts(bank.settings)


CHANGES: dict[str, Callable[[Bank], object]] = {
    "its file has another name": lambda bank: _rename(bank),
    "a type": lambda bank: bank.contract(
        feeds={"transactions": bank.transactions(columns=bank.columns(booked_at="at"))}, max_bad_share=1
    ),
    "the key": lambda bank: bank.contract(
        feeds={"transactions": bank.transactions(key="occurrence")}, max_bad_share=1
    ),
    "its source": lambda bank: bank.contract(source="other", max_bad_share=1),
    "its feeds": lambda bank: bank.contract(
        feeds=CONTRACT["feeds"] | {"accounts": {"columns": {"account_id": "customer", "customer_id": "id"}}},
        max_bad_share=1,
    ),
}


def _rename(bank: Bank) -> None:
    bank.contract().unlink()
    bank.contract("renamed", max_bad_share=1)


@pytest.mark.parametrize("change", CHANGES)
def test_a_contract_that_changes_counts_nothing_twice_and_tries_again(bank: Bank, change: str) -> None:
    """Catches files that are loaded once more because their contract has another name, source or shape."""
    bank.contract()
    bank.file("tx_1.csv", lines(line(1), line(2)))
    bank.file("tx_2.csv", lines(line(3), line(4, amount="x")))
    first = bank.load()
    CHANGES[change](bank)
    second = bank.load()

    assert (first["tx_1.csv"].verdict, first["tx_2.csv"].verdict) == ("loaded", "refused")
    assert {name: verdict.verdict for name, verdict in second.items()} == {"tx_2.csv": "loaded"}
    assert bank.rows("select count(*), sum(amount) from raw.transactions") == [(3, Decimal("-7.50"))]
    assert bank.rows("select file, verdict from ops.loads order by 1") == [
        ("tx_1.csv", "loaded"), ("tx_2.csv", "loaded"),
    ]  # fmt: skip
    assert bank.load() == {}


def test_files_of_a_new_layout_join_those_of_the_old_one(bank: Bank) -> None:
    """Catches columns that were renamed by the bank, and with them the old files refused or counted again."""
    bank.contract()
    bank.file("tx_1.csv", lines(line(1)))
    bank.file("tx_2.csv", lines(line(1, amount="x")))
    bank.load()
    bank.contract(feeds={"transactions": bank.transactions(columns=bank.columns(amount="value"))})
    bank.file("tx_3.csv", lines(line(1), line(3)).replace("amount", "value"))
    verdicts = bank.load()

    assert {name: verdict.verdict for name, verdict in verdicts.items()} == {
        "tx_2.csv": "refused", "tx_3.csv": "loaded",
    }  # fmt: skip
    assert "column amount" in verdicts["tx_2.csv"].message or "column value" in verdicts["tx_2.csv"].message
    assert bank.rows("select count(distinct transaction_key) from raw.transactions") == [(2,)]
    assert bank.load() == {}
