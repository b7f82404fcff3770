"""Amounts: their sign, their decimals, their marks of thousands."""

from decimal import Decimal

import pytest

from tests.unit.ingestion.conftest import HEADER, line, lines


@pytest.mark.parametrize(
    ("sign", "header", "values", "expected"),
    [
        ({"mode": "signed"}, "amount", ["-1.00", "2.00"], ["-1", "2"]),
        ({"mode": "signed", "outflow": "positive"}, "amount", ["1.00", "-2.00"], ["-1", "2"]),
        (
            {"mode": "type_column", "column": "dc", "outflow": ["D"]},
            "amount,dc",
            ["1.00,D", "2.00,C"],
            ["-1", "2"],
        ),
        (
            {"mode": "debit_credit", "debit": "debit", "credit": "credit"},
            "debit,credit",
            ["1.00,", ",2.00"],
            ["-1", "2"],
        ),
    ],
)
def test_money_that_leaves_the_customer_is_negative(bank, sign, header, values, expected):
    """Catches income taken for spending, the costliest slip of all."""
    columns = bank.columns(amount=None if sign["mode"] == "debit_credit" else "amount", card_token=None)
    bank.contract(personal=[], feeds={"transactions": bank.transactions(sign=sign, columns=columns)})
    rows = [f"t{n},c1,2026-01-05 10:00:00,shop,{value}" for n, value in enumerate(values)]
    bank.file("tx_1.csv", f"id,customer,at,text,{header}\n" + "\n".join(rows) + "\n")
    assert bank.load()["tx_1.csv"].message == ""
    found = [row[0] for row in bank.rows("select amount from raw.transactions order by transaction_id")]
    assert found == [Decimal(value) for value in expected]


@pytest.mark.parametrize(
    ("currency", "amount", "is_good"),
    [("GBP", "1.23", True), ("GBP", "1.230", True), ("GBP", "1.234", False), ("JPY", "100", True),
     ("JPY", "100.5", False), ("KWD", "1.234", True), ("KWD", "1.2345", False),
     ("INR", "1.25", True), ("INR", "1.255", False), ("XXQ", "1", False)],
)  # fmt: skip
def test_an_amount_has_no_more_decimals_than_its_currency(bank, currency, amount, is_good):
    """Catches amounts that a cast would round in silence."""
    columns = bank.columns(currency="currency")
    bank.contract(max_bad_share=1.0, feeds={"transactions": bank.transactions(columns=columns)})
    bank.file("tx_1.csv", f"{HEADER},currency\n{line(1, amount=amount)},{currency}\n")
    bank.load()
    assert bank.rows("select count(*) from raw.transactions") == [(1 if is_good else 0,)]


@pytest.mark.parametrize(
    ("form", "text", "expected"),
    [
        ({"thousands": ","}, "-1,234,567.89", "-1234567.89"),
        ({"thousands": ","}, "1234.5", "1234.5"),
        ({"thousands": ","}, "12,34", None),
        ({"thousands": ","}, "1,2345", None),
        ({"thousands": ","}, ",123", None),
        ({"thousands": ","}, "1,234,56.00", None),
        ({"thousands": ","}, "12,34,567.00", None),
        ({"thousands": " "}, "12 345.67", "12345.67"),
        ({"thousands": " "}, "12\u202f345.67", "12345.67"),
        ({"thousands": " "}, "12\u00a0345\u00a0678", "12345678"),
        ({"thousands": " "}, "12 345\u00a0678", None),
        ({"thousands": " "}, "1 2", None),
        ({"thousands": "'"}, "12'345.67", "12345.67"),
        ({"thousands": "'"}, "12’345.67", "12345.67"),
        ({"thousands": ".", "decimal": ","}, "1.234,56", "1234.56"),
        ({"thousands": ".", "decimal": ","}, "1.5", None),
        ({"thousands": " ", "decimal": ","}, "-1 234,56", "-1234.56"),
        ({"thousands": " ", "decimal": ","}, "1.234,56", None),
        ({"decimal": ","}, "1.234,56", "1234.56"),
        ({}, "1,234.56", None),
        ({}, "1e3", None),
    ],
)
def test_marks_of_thousands_stand_between_whole_groups_only(bank, form, text, expected):
    """Catches a misread decimal point that makes an amount a hundred times too large."""
    bank.contract(format={"type": "csv", "delimiter": ";"} | form, max_bad_share=1)
    bank.file("tx_1.csv", lines(line(1, amount="@")).replace(",", ";").replace("@", text))
    bank.load()
    found = bank.rows("select amount from raw.transactions")
    assert found == ([(Decimal(expected),)] if expected else [])


@pytest.mark.parametrize(
    ("currency", "text", "is_good"),
    [
        ("KWD", "1.234,567", True),
        ("KWD", "0,0010", True),
        ("KWD", "0,0001", False),
        ("EUR", "1,230", True),
        ("EUR", "1,234", False),
        ("JPY", "1.500", True),
        ("JPY", "1,5", False),
        ("CLF", "1,2345", True),
    ],
)
def test_amounts_have_the_decimals_of_their_currency(bank, currency, text, is_good):
    """Catches fils that are cut off, and thousandths of a cent that nobody can have paid."""
    form = {"type": "csv", "delimiter": ";", "decimal": ",", "thousands": "."}
    bank.contract(format=form, currency=currency, max_bad_share=1)
    bank.file("tx_1.csv", lines(line(1, amount="@")).replace(",", ";").replace("@", text))
    bank.load()
    reasons = bank.rows("select reason from raw.quarantine")
    assert reasons == ([] if is_good else [("more decimals than the currency has",)])


def test_a_word_that_is_neither_in_nor_out_is_quarantined(bank, golden):
    """Catches a new word of the sender that turns payments into income."""
    sign = {"mode": "type_column", "column": "text", "outflow": ["D"], "inflow": ["C"]}
    columns = bank.columns(description={"constant": "x"})
    bank.contract(feeds={"transactions": bank.transactions(sign=sign, columns=columns)}, max_bad_share=0.5)
    bank.file("tx_1.csv", lines(*(line(n, text=word) for n, word in enumerate("DCDR", 1))))
    golden("neither_inflow_nor_outflow", bank.load()["tx_1.csv"].message)
    assert bank.rows("select amount from raw.transactions order by _record") == [
        (Decimal("-1.5"),),
        (Decimal("2.5"),),
        (Decimal("-3.5"),),
    ]


def test_debits_and_credits_may_have_decimal_commas_and_thousands(bank):
    """Catches a credit subtracted, a debit with its own minus added, and an empty column read as a zero."""
    sign = {"mode": "debit_credit", "debit": "amount", "credit": "text"}
    columns = bank.columns(amount=None, description={"constant": "x"})
    bank.contract(
        format={"type": "csv", "delimiter": ";", "decimal": ",", "thousands": "."},
        feeds={"transactions": bank.transactions(sign=sign, columns=columns)},
    )
    pairs = [("1.234,56", ""), ("-0,50", ""), ("", "2.000,00"), ("1,00", "3,00")]
    records = [line(n, amount="@", text="#") for n in range(len(pairs))]
    texts = [
        record.replace(",", ";").replace("@", debit).replace("#", credit)
        for record, (debit, credit) in zip(records, pairs, strict=True)
    ]
    bank.file("tx_1.csv", "\n".join([HEADER.replace(",", ";"), *texts]))
    bank.only()
    found = [str(amount) for (amount,) in bank.rows("select amount from raw.transactions order by _record")]
    assert found == ["-1234.5600", "-0.5000", "2000.0000", "2.0000"]
