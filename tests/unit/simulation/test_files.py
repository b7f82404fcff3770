"""The bank's files: reproducible, complete, conserved."""

import gzip
import hashlib
import json
import subprocess
import sys
from datetime import date, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from simulation.clients import CLIENTS, make_clients
from simulation.files import make
from simulation.parameters import Bank
from simulation.truth import TruthError

TINY = Bank(customers=40, start=date(2024, 2, 1), days=70, seed=3)


def _hashes(out: Path) -> dict[str, str]:
    return {
        path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted((out / "files").rglob("*.*"))
    }


def test_same_seed_gives_the_same_bytes_in_another_process(tmp_path: Path) -> None:
    """Catches anything that hangs on hash randomisation, the clock, threads or the order of a set."""
    make_clients(TINY, tmp_path / "here", CLIENTS)
    arguments = ["--customers", "40", "--start", "2024-02-01", "--days", "70", "--seed", "3"]
    arguments += ["--clients", ",".join(CLIENTS)]
    command = [sys.executable, "-m", "simulation", "make", "--out", str(tmp_path / "there"), *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env={"PYTHONHASHSEED": "5"})
    assert json.loads(done.stdout)["days"] == 70
    assert _hashes(tmp_path / "here") == _hashes(tmp_path / "there")


def test_another_seed_gives_another_bank(tmp_path: Path) -> None:
    """Catches a stream that ignores the seed."""
    make(TINY, tmp_path / "one", through=date(2024, 2, 3))
    make(Bank(40, date(2024, 2, 1), 70, seed=4), tmp_path / "other", through=date(2024, 2, 3))
    one, other = _hashes(tmp_path / "one"), _hashes(tmp_path / "other")
    both = [name for name in one if name.endswith("gz") and name in other]
    assert len(both) > 6
    assert all(one[name] != other[name] for name in both)


@pytest.mark.parametrize("client", ["wallet", "lender"])
def test_another_client_day_by_day_equals_all_at_once(tmp_path: Path, client: str) -> None:
    """Catches a late, repeated or corrected file that depends on --through, or is written before its time."""
    make_clients(TINY, tmp_path / "whole", [client], date(2024, 3, 20))
    for through in (date(2024, 2, 20), date(2024, 3, 1), date(2024, 3, 20)):
        make_clients(TINY, tmp_path / "steps", [client], through)
        for path in (tmp_path / "steps" / "files" / client).glob("*.manifest.json"):
            assert json.loads(path.read_text())["known_at"] <= f"{through + timedelta(days=1)}T01", path.name
    assert _hashes(tmp_path / "steps") == _hashes(tmp_path / "whole")


def test_day_by_day_equals_all_at_once_and_rewrites_nothing(tmp_path: Path) -> None:
    """Catches a file that depends on --through, and a later call that touches an older file.

    The steps end within, at the end of and just after a block of days, where follow-ups cross over.
    """
    make(TINY, tmp_path / "whole", through=date(2024, 4, 12))
    steps = (date(2024, 2, 20), date(2024, 3, 1), date(2024, 3, 2), date(2024, 4, 11), date(2024, 4, 12))
    for through in steps:
        times = {path: path.stat().st_mtime_ns for path in (tmp_path / "steps").rglob("*.*")}
        make(TINY, tmp_path / "steps", through=through)
        assert times == {path: path.stat().st_mtime_ns for path in times}
    assert _hashes(tmp_path / "steps") == _hashes(tmp_path / "whole")
    assert make(TINY, tmp_path / "steps", through=date(2024, 4, 12)).files == 0


def test_a_day_that_was_left_unfinished_is_completed(tmp_path: Path) -> None:
    """Catches a kill between a day's files: the next call must add what is missing and nothing else."""
    make(TINY, tmp_path, through=date(2024, 2, 5))
    before = _hashes(tmp_path)
    (tmp_path / "files" / "transactions_2024-02-04.csv.gz").unlink()
    (tmp_path / "files" / "events_2024-02-04.jsonl.gz").unlink()
    make(TINY, tmp_path, through=date(2024, 2, 5))
    assert _hashes(tmp_path) == before


def test_another_bank_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    """Catches days of two banks in one inbox, whose truth would describe only one of them."""
    make(TINY, tmp_path, through=date(2024, 2, 1))
    with pytest.raises(TruthError, match="another bank"):
        make(Bank(41, date(2024, 2, 1), 70, seed=3), tmp_path, through=date(2024, 2, 2))


def test_a_date_outside_the_simulated_days_is_refused(tmp_path: Path) -> None:
    """Catches a next night beyond the horizon that silently writes nothing."""
    with pytest.raises(ValueError, match="outside the 190 simulated days"):
        make(TINY, tmp_path, through=date(2024, 8, 9))


def test_manifests_conserve_rows_and_sums_to_the_paisa(
    bank_folder: Path, files: duckdb.DuckDBPyConnection
) -> None:
    """Catches a follow-up from the block before that is counted and not written, or the reverse."""
    planted = pq.read_table(bank_folder / "truth" / "planted").to_pylist()
    unreadable = {row["file"] for row in planted if row["flaw"] == "amount"}
    checked = 0
    for path in sorted((bank_folder / "files").glob("*.gz")):
        manifest = json.loads(path.with_name(f"{path.name}.manifest.json").read_text())
        lines = gzip.decompress(path.read_bytes()).decode().splitlines()
        header = 0 if path.name.startswith("events") else 1
        assert manifest["rows"] == len(lines) - header, path.name
        assert manifest["known_at"] == f"{path.name.split('_')[1][:10]}T19:30:00Z"
        if path.name.startswith("transactions") and path.name not in unreadable:
            amounts = [Decimal(line.split(",")[5]) for line in lines[1:]]
            assert manifest["sum"] == str(sum(amounts, Decimal("0.00"))), path.name
            checked += 1
        assert ("sum" in manifest) == path.name.startswith("transactions")
    assert checked > 300
    rows = files.sql("select count(*), count(distinct txn_id) from transactions").fetchone()
    assert rows is not None and rows[0] == rows[1] > 80_000


def test_exactly_the_planted_records_are_malformed(bank_folder: Path) -> None:
    """Catches a truth that counts other records than those a loader has to quarantine."""
    found = set()
    for path in sorted((bank_folder / "files").glob("transactions_*.gz")):
        for record, line in enumerate(gzip.decompress(path.read_bytes()).decode().splitlines()[1:], start=1):
            _, _, customer, when, _, amount = line.split(",")[:6]
            if not customer:
                found.add((path.name, record, "customer"))
            elif when[5:7] == "13":
                found.add((path.name, record, "time"))
            else:
                try:
                    Decimal(amount)
                except InvalidOperation:
                    found.add((path.name, record, "amount"))
    days = {path.name for path in (bank_folder / "files").iterdir()}
    planted = pq.read_table(bank_folder / "truth" / "planted").to_pylist()
    expected = {(row["file"], row["record"], row["flaw"]) for row in planted if row["file"] in days}
    assert found == expected
    assert {flaw for *_, flaw in found} == {"time", "amount", "customer"}


def test_no_file_carries_the_truth(bank_folder: Path) -> None:
    """Catches a hidden column or word that slips into what the bank sends."""
    hidden = ("dissatisf", "shock", "offer", "hazard", "fading", "churn", "leave", "is_visit", "occasional")
    hidden += ("takeover", "stranger", "purse", "marriage", "exposed")
    for path in (bank_folder / "files").iterdir():
        content = path.read_bytes()
        text = gzip.decompress(content) if path.suffix == ".gz" else content
        assert not [word for word in hidden if word.encode() in text.lower()], path.name
    assert {path.name for path in bank_folder.iterdir()} == {"files", "truth"}
