"""Merchants from descriptors, end to end: dbt, the nearest brand, dbt."""

from pathlib import Path

import pytest

from nightledger import warehouse
from nightledger.merchants.brands import fold
from nightledger.merchants.evaluation import Answer, is_right, read_labels, weighted
from nightledger.settings import PROJECT
from tests.helpers.resolution import resolve

LABELS = read_labels(PROJECT / "tests" / "data" / "merchant_labels.csv")
ISSUED = {
    "SQ *BLUE BOTTLE 1234 SF CA": ("Blue Bottle", "name"),
    "UPI/P2M/412345/SWIGGY/paytm@ybl": ("Swiggy", "alias"),
    "POS 4321XXXX AMAZON MKTPLACE PMTS": ("Amazon", "alias"),
    "ATM WDL/S1AW2105/BENGALURU": ("Cash withdrawal", "rule"),
    "WWW.TRAVELODGEE.CO.UK": ("Travelodge", "nearest"),
    "99887766": ("unknown", "unknown"),
}
LEAST_PRECISION = 0.95
"""By transactions, on labelled descriptors; docs/reference/merchants.md has what was measured."""


@pytest.fixture(scope="module")
def answers(home: Path) -> dict[str, Answer]:
    """What the rules make of the labelled descriptors and of the issue's own examples."""
    return resolve(home, [*(label.descriptor for label in LABELS), *ISSUED], "GB")


def test_known_wordings_are_resolved(answers: dict[str, Answer]) -> None:
    """Would catch an intermediary, a payment's number or a terminal becoming the merchant."""
    assert {text: (answers[text].merchant, answers[text].tier) for text in ISSUED} == ISSUED


def test_labelled_descriptors_stay_resolved(answers: dict[str, Answer]) -> None:
    """Would catch a rule that mends one city's merchants and breaks many others."""
    resolved = [label for label in LABELS if answers[label.descriptor].tier != "unknown"]
    share = weighted(
        resolved,
        lambda label: is_right(label, answers[label.descriptor]),
        lambda label: label.weight * label.transactions,
    )
    assert share.value >= LEAST_PRECISION
    assert len(resolved) >= LEAST_PRECISION * len(LABELS)


def test_sql_and_python_fold_alike(home: Path, answers: dict[str, Answer]) -> None:
    """Would catch brand keys, made in Python, that no text folded in SQL can meet."""
    with warehouse.connect(home / "texts") as connection:
        rows = connection.execute("select descriptor, all_words from intermediate.int_descriptors").fetchall()
    assert len(rows) > len(ISSUED)
    assert {descriptor: words for descriptor, words in rows if fold(descriptor) != words} == {}
