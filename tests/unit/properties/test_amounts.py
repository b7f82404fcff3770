"""Amounts are what Python's Decimal says of the same text, or they are no amounts."""

import re
from decimal import Decimal

import duckdb
from hypothesis import given, settings
from hypothesis import strategies as st

from nightledger.ingestion.contract import SourceContract
from nightledger.ingestion.feeds import Column
from nightledger.ingestion.statement import Statement
from tests.unit.ingestion.conftest import CONTRACT

MARKS = [(".", None), (".", ","), (".", " "), (".", "'"), (",", None), (",", "."), (",", " ")]
AMOUNTS = st.decimals(min_value=-(10**14) + 1, max_value=10**14 - 1, places=4, allow_nan=False)


def statement(decimal: str, thousands: str | None) -> Statement:
    form = {"type": "csv", "delimiter": ";", "decimal": decimal}
    form |= {"thousands": thousands} if thousands else {}
    defaults = {"name": "cards", "timezone": "UTC", "currency": "GBP"}
    return Statement(SourceContract.model_validate(defaults | CONTRACT | {"format": form}))


def numbers(texts: list[str], decimal: str, thousands: str | None) -> list[Decimal | None]:
    """What the casts of a contract with these marks make of texts."""
    made = statement(decimal, thousands)
    number = made.number("t")
    rows = duckdb.execute(
        f"select {number} from (select unnest($texts::varchar[]) as t, generate_subscripts($texts, 1) as n)"
        " order by n",
        made.parameters | {"texts": texts},
    ).fetchall()
    return [row[0] for row in rows]


def written(amount: Decimal, decimal: str, thousands: str | None, places: int) -> str:
    text = f"{amount:,.{places}f}".replace(",", "T").replace(".", decimal)
    return text.replace("T", thousands or "")


@given(amounts=st.lists(AMOUNTS, min_size=1), marks=st.sampled_from(MARKS), places=st.integers(0, 4))
def test_an_amount_survives_being_written_with_any_marks(
    amounts: list[Decimal], marks: tuple[str, str | None], places: int
) -> None:
    """Catches an amount that loses a digit, a sign or its thousands on the way in."""
    exact = [amount.quantize(Decimal(1).scaleb(-places)) for amount in amounts]
    texts = [written(amount, *marks, places) for amount in exact]

    assert numbers(texts, *marks) == exact


@settings(max_examples=100)
@given(
    texts=st.lists(st.text("0123456789.,' +-eE_\u00a0٣x", max_size=9), min_size=1),
    marks=st.sampled_from(MARKS),
)
def test_a_text_is_an_amount_only_as_the_contract_writes_them(
    texts: list[str], marks: tuple[str, str | None]
) -> None:
    """Catches 12.50 read as 1250, 1e5 as a hundred thousand, 1,2,3 as a number."""
    for text, number in zip(texts, numbers(texts, *marks), strict=True):
        expected = reading(text, *marks)
        assert (number is None) == (expected is None), text
        if expected is not None and -expected.as_tuple().exponent <= 4:
            assert number == expected


def reading(text: str, decimal: str, thousands: str | None) -> Decimal | None:
    """The same rule once more, by hand: one kind of mark, between whole groups of three."""
    sign = text[:1] if text[:1] in ("+", "-") else ""
    whole, _, fraction = text.removeprefix(sign).partition(decimal)
    alike = {" ": " \u00a0\u202f", "'": "'\u2019", None: "." if decimal == "," else ""}
    for mark in alike.get(thousands, thousands):
        first, *groups = whole.split(mark)
        if re.fullmatch("[0-9]{1,3}", first) and all(re.fullmatch("[0-9]{3}", group) for group in groups):
            whole = first + "".join(groups)
    if not re.fullmatch("[0-9]*", whole + fraction) or not whole + fraction:
        return None
    return Decimal(f"{sign}{whole or '0'}.{fraction or '0'}")


@given(value=st.decimals(min_value=-(10**20), max_value=10**20, places=10), exponent=st.booleans())
def test_a_measured_number_may_have_an_exponent(value: Decimal, exponent: bool) -> None:
    """Catches a feature of a public table that is off by a power of ten, or quarantined for its form."""
    made = statement(".", None)
    sql = made.value(Column("v", "measure"), None, "t")
    text = f"{value:E}" if exponent else f"{value:f}"
    [(read,)] = duckdb.execute(
        f"select {sql} from (select $text as t)", made.parameters | {"text": text}
    ).fetchall()

    assert read == value
