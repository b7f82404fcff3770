"""The key of a transaction says what the source says: the same for the same, another for anything else."""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nightledger.ingestion.casting import typed_feed
from nightledger.ingestion.contract import SourceContract
from nightledger.ingestion.feeds import FEEDS
from nightledger.ingestion.messages import create_shape_macro
from nightledger.ingestion.reading import Scan
from tests.unit.ingestion.conftest import CONTRACT, HEADER, Bank, line
from tests.unit.properties.conftest import FILES

Told = dict[str, str | None]
TEXTS = [column.name for column in FEEDS["transactions"].columns if column.kind == "text"]
OTHERS: Told = {
    "amount": "1.0000",
    "currency": "GBP",
    "business_date": "2026-01-05",
    "event_at": "2026-01-05 10:00:00",
}
WORDS = st.none() | st.sampled_from(["a", "b", "ab", "aa", "=", "a=b", "'", "\\", "NULL", "0"])
WORDS |= st.text(st.characters(blacklist_characters="\x00\x1e\x1f", blacklist_categories=["Cs"]), min_size=1)
TOLD = st.dictionaries(st.sampled_from(TEXTS), WORDS, max_size=6)


@pytest.fixture(scope="module")
def database() -> Iterator[duckdb.DuckDBPyConnection]:
    """A database with the macro that casts need."""
    with duckdb.connect() as connection:
        create_shape_macro(connection)
        yield connection


def keys(
    database: duckdb.DuckDBPyConnection, *told: Told, source: str = "cards", client: str = "bank"
) -> list[str]:
    """Keys of transactions in a layout that fills exactly the columns that one of them has."""
    rows: list[Told] = [OTHERS | row for row in told]
    names = list(dict.fromkeys(name for row in rows for name in row))
    contract = SourceContract.model_validate(
        {"name": "cards", "timezone": "UTC", "currency": "GBP"}
        | CONTRACT
        | {"client": client, "source": source, "personal": []}
        | {"feeds": {"transactions": {"columns": {name: name for name in names}}}}
    )
    values = {f"v{n}_{name}": row.get(name) for n, row in enumerate(rows) for name in contract.read}
    texts = ", ".join(
        "(" + ", ".join(f"$v{n}_{name}::varchar" for name in contract.read) + ")" for n in range(len(rows))
    )
    columns = ", ".join(f"c{number}" for number in range(len(contract.read)))
    scan = Scan(
        f"select 0 as file_index, null::varchar as broken, {columns} from (values {texts}) as t({columns})",
        values,
    )
    made = typed_feed(contract, "transactions", scan, [datetime(2026, 1, 10)])
    found = database.execute(f"select transaction_key from ({made.sql})", made.parameters).fetchall()
    return [key for (key,) in found]


def said(told: Told) -> dict[str, str]:
    return {name: value for name, value in told.items() if value is not None}


@given(one=TOLD, other=TOLD)
def test_keys_are_equal_exactly_when_the_source_says_the_same(
    database: duckdb.DuckDBPyConnection, one: Told, other: Told
) -> None:
    """Catches two transactions that are joined into one text, and layouts that cannot share a source."""
    apart = [*keys(database, one), *keys(database, other)]

    assert (apart[0] == apart[1]) == (said(one) == said(other))
    assert keys(database, one, other) == apart


@given(told=TOLD, first=st.sampled_from(TEXTS), second=st.sampled_from(TEXTS), text=st.text("ab", min_size=2))
def test_a_text_that_moves_to_its_neighbour_is_another_transaction(
    database: duckdb.DuckDBPyConnection, told: Told, first: str, second: str, text: str
) -> None:
    """Catches `ab` and nothing taken for `a` and `b`: the classic mistake of keys made by joining."""
    cuts = [told | {first: text[:cut] or None, second: text[cut:] or None} for cut in range(len(text) + 1)]
    distinct = {tuple(sorted(said(cut).items())) for cut in cuts}

    assert len(set(keys(database, *cuts))) == len(distinct)


@settings(max_examples=FILES)
@given(told=TOLD)
def test_client_and_source_are_part_of_the_key(database: duckdb.DuckDBPyConnection, told: Told) -> None:
    """Catches a transaction that falls on that of another client, or on a stranger of another source."""
    names = [("bank", "cards"), ("bank", "card"), ("ban", "cards"), ("ban", "kcards")]
    found = [keys(database, told, client=client, source=source)[0] for client, source in names]

    assert len(set(found)) == len(names)


@settings(max_examples=FILES)
@given(order=st.permutations(range(6)), files=st.permutations(range(3)), pad=st.booleans())
def test_the_order_of_columns_and_files_is_irrelevant(
    new_bank: Callable[[], Bank], order: list[int], files: list[int], pad: bool
) -> None:
    """Catches a bank that rearranges its export and with it doubles every transaction."""

    def load(order: list[int], files: list[int], pad: bool) -> list[Any]:
        bank = new_bank()
        plain = bank.transactions(key="occurrence", columns=bank.columns(transaction_id=None))
        bank.contract(feeds={"transactions": plain}, ignore=["id"])
        for place, file in enumerate(files):
            rows = [HEADER, line(file), line(file), line(9)]
            cut = [[row.split(",")[column] for column in order] for row in rows]
            cut = [
                [f" {cell}  " for cell in row] if pad and number else row for number, row in enumerate(cut)
            ]
            bank.file(f"tx_{place}.csv", "\n".join(",".join(row) for row in cut) + "\n")
        bank.load()
        return bank.rows("select distinct transaction_key from raw.transactions order by 1")

    plain = load(list(range(6)), [0, 1, 2], False)
    assert load(order, files, pad) == plain
    assert len(plain) == 7
