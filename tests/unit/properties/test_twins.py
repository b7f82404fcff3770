"""Twins: across files the number of occurrences is the greatest over the files, not the sum."""

from collections import Counter
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.ingestion.conftest import Bank, line, lines
from tests.unit.properties.conftest import FILES

DELIVERIES = st.lists(st.lists(st.sampled_from("abcd"), min_size=1, max_size=8), min_size=1, max_size=5)


@settings(max_examples=2 * FILES)
@given(files=DELIVERIES, nights=st.lists(st.integers(0, 3), min_size=5, max_size=5), again=st.booleans())
def test_occurrences_are_the_greatest_count_over_the_files(
    new_bank: Callable[[], Bank], files: list[list[str]], nights: list[int], again: bool
) -> None:
    """Catches a coffee bought twice that is counted once, and a file sent twice that counts twice."""
    bank = new_bank()
    plain = bank.transactions(key="occurrence", columns=bank.columns(transaction_id=None))
    bank.contract(feeds={"transactions": plain}, ignore=["id"])
    for night in range(4):
        for number, letters in enumerate(files):
            if nights[number] != night:
                continue
            # Ids differ and are ignored: other bytes, the same transactions.
            records = [line(7 * (100 * number + n), text=letter, amount="-1.00", card="1") for n, letter in
                       enumerate(letters)]  # fmt: skip
            bank.file(f"tx_{number}.csv", lines(*records))
            if again:
                bank.file(f"tx_{number}_again.csv", lines(*records))
        bank.load()

    expected: Counter[str] = Counter()
    for letters in files:
        expected |= Counter(letters)  # the union of multisets: the greatest count of each
    found = bank.rows("select description, count(distinct transaction_key) from raw.transactions group by 1")
    assert Counter(dict(found)) == expected
    every = bank.rows("select count(*) from raw.transactions")
    assert every == [(sum(map(len, files)),)] or len({tuple(f) for f in files}) < len(files)
