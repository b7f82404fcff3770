"""Events and campaigns that a bank has only when it asks for them."""

import csv
import gzip
import hashlib
from collections import Counter
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from simulation.ceilings import read_identity
from simulation.files import make
from simulation.parameters import Bank
from simulation.responses import WITHIN_DAYS, contact
from simulation.world import build_world

PLAIN = Bank(customers=500, start=date(2025, 1, 1), days=200, seed=17)
MORE = replace(PLAIN, more_events=True)
CONTACTED = date(2025, 7, 19)
"""The last day of the history; the answers come in the days after it."""


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("plain")
    make(PLAIN, out)
    return out


@pytest.fixture(scope="module")
def more(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("more")
    make(MORE, out)
    return out


def payments(out: Path, since: date | None = None) -> list[dict[str, str]]:
    """Rows of the bank's files."""
    found = []
    for path in sorted((out / "files").glob("transactions_*.csv.gz")):
        if since is None or path.name >= f"transactions_{since}":
            with gzip.open(path, "rt", newline="") as file:
                found += list(csv.DictReader(file))
    return found


def described(rows: list[dict[str, str]]) -> Counter[tuple[str, str, str]]:
    """What stays of a row when its number and the account's balance are others."""
    return Counter((row["customer_id"], row["amount"], row["narration"]) for row in rows)


def test_more_events_only_add_payments(plain: Path, more: Path) -> None:
    """Catches an option that draws from the streams of others: every figure of the page would be of another
    bank. The few rows that differ are malformed ones, which are drawn by the place in the file."""
    before, after = described(payments(plain)), described(payments(more))
    assert (before - after).total() <= 0.001 * before.total()
    added = [text for (_, _, text), count in (after - before).items() for _ in range(count)]
    known = ("MARUTI", "INDIAN OIL PETROL", "ICICI LOMBARD", "HDFC LTD", "BSE STAR MF")
    assert sum(any(name in text for name in known) for text in added) >= 0.98 * len(added) > 80


def test_a_bank_that_asks_for_nothing_is_the_bank_that_it_was(plain: Path, more: Path) -> None:
    """Catches a truth of before the option that is taken for another bank's."""
    assert "more_events" not in PLAIN.as_dict()
    assert read_identity(plain / "truth")[0] == PLAIN and read_identity(more / "truth")[0] == MORE
    assert make(PLAIN, plain).files == 0, "it is all there"


def test_what_happened_shows_in_the_files_of_those_to_whom_it_did(more: Path) -> None:
    """Catches events that nothing shows, payments of somebody without the event, and consents of nobody."""
    lives = pq.read_table(more / "truth" / "lives.parquet").to_pylist()
    rows = payments(more)
    for kind, name, least in (("car", "MARUTI", 3), ("retirement_saving", "BSE STAR MF-7", 3)):
        happened = {row["customer_id"]: row["date"] for row in lives if row["kind"] == kind}
        paid = {row["customer_id"] for row in rows if name in row["narration"]}
        in_time = {who for who, day in happened.items() if day < PLAIN.last_day - timedelta(days=45)}
        assert paid <= set(happened)
        assert len(paid & in_time) >= max(least, 0.3 * len(in_time)), "some have left, or come later"
    consents = Counter()
    for path in (more / "files").glob("customers_*.csv.gz"):
        with gzip.open(path, "rt", newline="") as file:
            consents.update("sensitive" in row["consents"].split(";") for row in csv.DictReader(file))
    assert 0.2 < consents[True] / consents.total() < 0.4


def test_a_planted_campaign_has_the_effect_that_was_asked_for(more: Path, tmp_path: Path) -> None:
    """Catches an effect that is not the one that the truth tells, reaches others or rewrites the past."""
    world = build_world(*read_identity(more / "truth"))
    listed = [
        row["customer_id"] for row in payments(more, CONTACTED - timedelta(days=5)) if row["customer_id"]
    ]
    listed = sorted(set(listed))[:120]
    targets = tmp_path / "targets.csv"
    targets.write_text("customer_id,reason\n" + "".join(f"{name},x\n" for name in listed))
    before = {path: hashlib.sha256(path.read_bytes()).digest() for path in (more / "files").iterdir()}
    told = contact(world, more, targets, CONTACTED, 0.2)
    assert told == {"contacted": 120, "responding": 24, "effect": 0.2}
    assert contact(world, more, targets, CONTACTED, 0.2) == told, "noted once"
    make(MORE, more, through=CONTACTED + timedelta(days=20))
    assert all(hashlib.sha256(path.read_bytes()).digest() == digest for path, digest in before.items())

    truth = pq.read_table(more / "truth" / "contacted.parquet").to_pylist()
    responding = {row["customer_id"] for row in truth if row["responds_on"]}
    assert len(truth) == 120 and len(responding) == 24
    after = payments(more, CONTACTED + timedelta(days=1))
    first_premiums = {row["customer_id"] for row in after if "LIC OF INDIA-8" in row["narration"]}
    assert first_premiums == responding
    insured = {row["customer_id"] for row in payments(more) if "LIC OF INDIA-3" in row["narration"]}
    assert not responding & insured, "nobody of them would have paid without the contact"
    assert WITHIN_DAYS < 20
    with pytest.raises(ValueError, match="is there already"):
        contact(world, more, targets, CONTACTED, 0.2)
