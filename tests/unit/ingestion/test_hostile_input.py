"""Values that a database misreads or stops at, and files that are not what they seem."""

from decimal import Decimal

import pytest

from nightledger.ingestion import ContractError, load_contracts
from tests.unit.ingestion.conftest import HEADER, Bank, line, lines

TAKEN: dict[str, tuple[object, str, bool]] = {
    "seconds beyond all time": ({"column": "text", "format": "unix"}, "99999999999999", False),
    "infinity": ("text", "infinity", False),
    "the word epoch": ("text", "epoch", False),
    "a year of six digits": ("text", "290000-01-01 00:00:00", False),
    "a Z where the format has an offset": (
        {"column": "text", "format": "%Y-%m-%dT%H:%M:%S%z"}, "2026-03-01T10:00:00Z", True,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", TAKEN)
def test_an_odd_time_is_taken_or_quarantined_and_disturbs_nobody(bank: Bank, case: str) -> None:
    """Catches a number that stops every night, and words that DuckDB reads as times."""
    spec, value, is_taken = TAKEN[case]
    columns = bank.columns(booked_at=spec, description={"constant": "shop"})
    bank.contract(feeds={"transactions": bank.transactions(columns=columns)}, max_bad_share=1)
    bank.file("tx_1.csv", lines(line(1, text=value)))
    bank.file("tx_2.csv", lines(line(2, text="")))

    assert bank.load()["tx_2.csv"].verdict == "loaded"
    assert bank.rows("select count(*) from raw.transactions") == [(1 + is_taken,)]


@pytest.mark.parametrize(("value", "taken"), [("91.5", False), ("1_2.5", False), ("-89.999999", True)])
def test_a_latitude_is_one(bank: Bank, value: str, taken: bool) -> None:
    """Catches places that are on no map."""
    columns = bank.columns(latitude="text", description={"constant": "shop"})
    bank.contract(feeds={"transactions": bank.transactions(columns=columns)}, max_bad_share=1)
    bank.file("tx_1.csv", lines(line(1, text=value)))
    bank.load()

    assert bank.rows("select count(*) from raw.transactions") == [(taken,)]


@pytest.mark.parametrize(("currency", "taken"), [("RSD", True), ("JPY", False), ("GBP", True)])
def test_decimals_are_those_that_banks_book(bank: Bank, currency: str, taken: bool) -> None:
    """Catches a whole country in quarantine: CLDR shows dinars without paras, ISO 4217 has them."""
    columns = bank.columns(currency="text", description={"constant": "shop"})
    bank.contract(feeds={"transactions": bank.transactions(columns=columns)}, max_bad_share=1)
    bank.file("tx_1.csv", lines(line(1, text=currency, amount="-12.34")))
    bank.load()

    assert bank.rows("select count(*) from raw.transactions") == [(taken,)]


def test_a_point_in_a_file_of_decimal_commas_is_no_thousands_mark(bank: Bank) -> None:
    """Catches 12.50 that becomes 1250."""
    bank.contract(format={"type": "csv", "delimiter": ";", "decimal": ","}, max_bad_share=1)
    amounts = ["1.234,50", "12,5", "12.50", "1.23,4"]
    records = [line(n, amount=amount.replace(",", "|")) for n, amount in enumerate(amounts)]
    bank.file("tx_1.csv", lines(*records).replace(",", ";").replace("|", ","))
    bank.load()

    assert bank.rows("select amount from raw.transactions order by _record") == [
        (Decimal("1234.50"),), (Decimal("12.50"),),
    ]  # fmt: skip


def test_a_limit_has_the_decimals_of_the_contracts_currency(bank: Bank) -> None:
    """Catches money that is rounded without a word because its row names no currency."""
    columns = {"account_id": "id", "customer_id": "customer", "credit_limit": "amount"}
    ignore = ["card", "at", "text"]
    bank.contract(feeds={"accounts": {"columns": columns}}, ignore=ignore, personal=[], max_bad_share=1)
    bank.file("tx_1.csv", lines(line(1, amount="12.34567")))
    bank.load()

    assert bank.rows("select count(*) from raw.accounts") == [(0,)]


def test_columns_may_differ_in_case_only(bank: Bank) -> None:
    """Catches a readable file that is refused because the database does not tell Text from text."""
    bank.contract(ignore=["Text", "filename"])
    bank.file("tx_1.csv", f"{HEADER},Text,filename\n{line(1)},A,f\n")

    assert bank.load()["tx_1.csv"].verdict == "loaded"
    assert bank.rows("select description from raw.transactions") == [("SHOP 1",)]


def test_json_that_says_two_things_is_quarantined(bank: Bank) -> None:
    """Catches the first of two amounts taken for the only one, and NUL characters in texts."""
    bank.contract(format={"type": "jsonl"}, max_bad_share=1)
    good = '{"id":"t1","customer":"c","card":"4","at":"2026-01-05 10:00:00","amount":1,"text":"x"}'
    twice, control = good.replace('"amount":1', '"amount":1,"amount":2'), good.replace('"x"', '"\\u0000"')
    bank.file("tx_1.jsonl", f"{good}\n{twice}\n{control}\n")
    bank.load()

    assert bank.rows("select record, reason from raw.quarantine order by 1") == [
        (2, "a name stands twice"),
        (3, "holds a control character"),
    ]


def test_bytes_that_changed_in_the_landing_area_are_refused(bank: Bank) -> None:
    """Catches a landing area that was tampered with, loaded under the hash of what had arrived."""
    bank.contract()
    bank.file("tx_1.csv", lines(line(1)))
    bank.load()
    bank.connection.execute("delete from ops.loads")
    [content] = [path for path in bank.settings.landing.rglob("content") if path.is_file()]
    content.chmod(0o640)
    content.write_text(lines(line(2)))

    assert "has changed in the landing area" in bank.load()["tx_1.csv"].message


def test_coverage_counts_each_transaction_once(bank: Bank) -> None:
    """Catches a coverage that grows with every file that tells the same again."""
    bank.contract()
    bank.file("tx_1.csv", lines(line(1), line(2)))
    bank.file("tx_2.csv", lines(line(1)))
    bank.load()

    assert bank.rows("select rows, amount_sum from ops.coverage") == [(2, Decimal("-4.00"))]


def test_a_format_that_nobody_can_read_is_a_mistake_of_the_contract(bank: Bank) -> None:
    """Catches a format that stops the first night instead of the check of the contract."""
    bank.contract(
        feeds={
            "transactions": bank.transactions(columns=bank.columns(event_at={"column": "at", "format": "%Q"}))
        }
    )

    with pytest.raises(ContractError, match=r"columns\.event_at\.format: '%Q' is no format of dates"):
        load_contracts(bank.settings)
