"""Values that a database misreads or stops at, and texts that would do something."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
from rich.console import Console

from nightledger.ingestion import __main__ as commands
from nightledger.ingestion import load_contracts
from nightledger.ingestion.statement import Statement
from tests.unit.ingestion.conftest import Bank, line, lines

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


ODD = {
    "year_0": {"at": "0000-01-05 10:00:00"},
    "year_1": {"at": "0001-01-05 10:00:00"},
    "year_9999": {"at": "9999-12-31 23:59:59"},
    "year_10000": {"at": "10000-01-01 00:00:00"},
    "exponent": {"amount": "1e5"},
    "exponent_with_sign": {"amount": "-1E+2"},
    "hexadecimal": {"amount": "0x10"},
    "not_a_number": {"amount": "NaN"},
    "infinity": {"amount": "Infinity"},
    "other_digits": {"amount": "١٢.٥٠"},
    "many_digits": {"amount": "9" * 400},
    "a_blank_inside": {"amount": "1 000.00"},
}


@pytest.mark.parametrize("name", ODD)
def test_an_odd_value_is_quarantined_by_its_shape(
    bank: Bank, golden: Callable[[str, str], None], name: str
) -> None:
    """Catches 1e5 booked as a hundred thousand, and times that no calendar of the database can hold."""
    bank.contract(max_bad_share=0.5)
    bank.file("tx_1.csv", lines(line(1), line(2, **ODD[name]), line(3)))
    verdict = bank.load()["tx_1.csv"]

    golden(f"odd_{name}", verdict.message)
    assert bank.rows("select transaction_id from raw.transactions order by 1") == [("t1",), ("t3",)]


TEXTS = [
    "'; drop table raw.transactions; --",
    '"" or ""=""',
    "<script>alert(1)</script>",
    '=HYPERLINK(""http://x"")',
    "@SUM(1+1)*cmd|' /C calc'!A0",
    "+1-1",
    "[red]x[/red] [/]",
    "[link=file:///etc/passwd]x[/link]",
    "{{ 7*7 }} ${7*7} $p0 $1 ?",
    "\u202eetirw ot",
]


def test_texts_load_as_they_are_and_do_nothing(bank: Bank) -> None:
    """Catches a description that is run, or mended, instead of kept."""
    bank.contract()
    bank.file("tx_1.csv", lines(*(line(n, text=f'"{text}"') for n, text in enumerate(TEXTS))))
    bank.load()

    expected = [(text.replace('""', '"'),) for text in TEXTS]
    assert bank.rows("select description from raw.transactions order by _record") == expected


def test_texts_are_inert_in_the_report_of_a_check(
    bank: Bank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches a description that colours, links or hides what a person reads, or stops the report."""
    contract = bank.contract(max_bad_share=1)
    sample = tmp_path / "tx_[red]1[bold].csv"
    sample.write_text(lines(*(line(n, text=f'"{text}"') for n, text in enumerate(TEXTS))))
    with Console(
        record=True, width=400, force_terminal=True, highlight=False, file=(tmp_path / "shown").open("w")
    ) as console:
        monkeypatch.setattr(commands, "console", console)
        monkeypatch.setattr(commands, "SHOWN", len(TEXTS))
        assert commands.check(bank.settings, load_contracts(bank.settings)[0], sample)
    shown = (tmp_path / "shown").read_text()

    assert contract.exists()
    assert "\x1b]8;" not in shown, "a link"
    assert "\u202e" not in shown
    assert "tx_[red]1[bold].csv would be loaded" in shown.replace("\x1b[32m", "").replace("\x1b[0m", "")
    assert "[link=file:" in shown
    assert "[red]x[/red]" in shown


def test_one_value_that_nobody_thought_of_refuses_its_file_only(
    bank: Bank, golden: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches an error of the database that stops every file of a contract, night after night."""
    bank.contract()
    for number in (1, 2, 3):
        bank.file(f"tx_{number}.csv", lines(line(number, amount="secret" if number == 2 else "-1.00")))
    monkeypatch.setattr(Statement, "number", lambda self, text: f"cast({text} as decimal(18,4))")
    verdicts = bank.load()

    golden("refused_uncastable", verdicts["tx_2.csv"].message)
    assert [verdicts[f"tx_{number}.csv"].verdict for number in (1, 2, 3)] == ["loaded", "refused", "loaded"]
    assert bank.rows("select transaction_id, _record from raw.transactions order by 1") == [
        ("t1", 1),
        ("t3", 1),
    ]
    assert bank.load() == {}, "refused until contract or file change"


@pytest.mark.parametrize(
    ("mode", "name", "known_at"),
    [
        ({"mode": "manifest"}, "tx_1.csv", "0001-01-01T00:00:00+14:00"),
        ({"mode": "manifest"}, "tx_1.csv", "9999-12-31T23:00:00-14:00"),
        ({"mode": "file_name", "pattern": r"tx_(\d{8})", "lag": "2d"}, "tx_99991231.csv", None),
    ],
)
def test_a_time_at_the_end_of_all_times_refuses_its_file_only(
    bank: Bank, mode: dict[str, str], name: str, known_at: str | None
) -> None:
    """Catches an overflow of the calendar that ends the night."""
    bank.contract(feeds={"transactions": bank.transactions(known_at=mode)})
    bank.file(name, lines(line(1)), {"known_at": known_at})
    verdict = bank.load()[name]
    assert verdict.verdict == "refused"
    assert "does not say when it was known" in verdict.message


def test_a_number_that_a_double_cannot_hold_is_no_other_number(bank: Bank) -> None:
    """Catches cents that are lost on large amounts, and places of many digits that are refused for it."""
    columns = bank.columns(latitude="place", account_id="customer", card_token=None)
    bank.contract(
        format={"type": "jsonl"},
        feeds={"transactions": bank.transactions(columns=columns)},
        personal=[],
        max_bad_share=1,
    )
    record = (
        '{{"id": "t{n}", "customer": "c", "at": "2026-01-05 10:00:00", "text": "s", "amount": {amount},'
        ' "place": {place}}}'
    )
    texts = [("-99999999999999.99", "1.5"), ('"-99999999999999.99"', "12.345678901234567"), ("-10.5", "1.5")]
    bank.file(
        "tx_1.jsonl",
        "\n".join(record.format(n=n, amount=amount, place=place) for n, (amount, place) in enumerate(texts)),
    )
    bank.load()
    assert bank.rows("select transaction_id, amount from raw.transactions order by 1") == [
        ("t1", Decimal("-99999999999999.99")),
        ("t2", Decimal("-10.50")),
    ]
    assert bank.rows("select reason from raw.quarantine") == [
        ("a number has more digits than can be read exactly; as a text it can",)
    ]
