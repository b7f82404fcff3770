"""Backups of a small home: whole or not at all, damaged ones refused, only what is new copied."""

import contextlib
import shutil
import sqlite3
import threading
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from nightledger import backup, operations
from nightledger.backup_set import BackupError
from nightledger.ingestion import landing
from nightledger.ingestion.contract import SourceContract
from nightledger.settings import Settings

NOW = datetime(2026, 1, 10, 1, 30)
CONTRACT = SourceContract.model_validate(
    {
        "name": "cards",
        "client": "bank",
        "source": "cards",
        "files": "*.csv",
        "format": {"type": "csv"},
        "timezone": "UTC",
        "currency": "GBP",
        "feeds": {"customers": {"columns": {"customer_id": "id"}}},
    }
)


def land(settings: Settings, name: str, content: str) -> None:
    file = settings.home.parent / name
    file.write_text(content)
    landing.land(settings, file, CONTRACT, NOW)


@pytest.fixture
def home(settings: Settings) -> Settings:
    """A home with two landed files, archived scores, a registry, a key and an operational database."""
    land(settings, "one.csv", "id\n1\n")
    land(settings, "two.csv", "id\n2\n")
    scores = settings.archive / "2026-01-09.1" / "scores" / "part.parquet"
    scores.parent.mkdir(parents=True)
    scores.write_bytes(b"scores")
    (settings.archive / "2026-01-10.1.part").mkdir()
    (settings.archive / "2026-01-10.1.part" / "half.parquet").write_bytes(b"half")
    model = settings.registry / "models" / "churn" / "model.ubj"
    model.parent.mkdir(parents=True)
    model.write_bytes(b"model")
    with contextlib.closing(sqlite3.connect(settings.registry / "mlflow.db")) as database:
        database.execute("create table versions (name)")
        database.execute("insert into versions values ('churn')")
        database.commit()
    settings.token_key_bytes()
    operations.open_run(settings, "run/1", kind="nightly", as_of_date=date(2026, 1, 9), base=None)
    (settings.builds / "2026-01-09.1").mkdir(parents=True)
    (settings.builds / "2026-01-09.1" / "warehouse.duckdb").write_bytes(b"can be made again")
    return settings


@pytest.fixture
def empty(tmp_path: Path) -> Settings:
    """Settings of a home that is not there yet."""
    return Settings(home=tmp_path / "restored", inbox=None, _env_file=None)


def content(folder: Path) -> dict[str, bytes]:
    """Every file that is not a database, with its bytes."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for part in ("landing", "archive", "registry", "secrets")
        for path in sorted((folder / part).rglob("*"))
        if path.is_file() and path.suffix != ".db" and ".part" not in str(path)
    }


def test_a_restored_home_is_what_it_was_but_for_publications(home, empty, tmp_path):
    """Catches a kind of state that nobody backs up, and modes that tell a key to everybody."""
    made = backup.make(home, tmp_path / "backups", NOW)
    assert made.path.name == "2026-01-10T01-30-00Z"
    backup.restore(empty, tmp_path / "backups")
    assert content(empty.home) == content(home.home)
    assert operations.read(empty, operations.runs.select()) == operations.read(home, operations.runs.select())
    assert [a.sha256 for a in landing.arrivals(empty)] == [a.sha256 for a in landing.arrivals(home)]
    assert {a.arrived_at for a in landing.arrivals(empty)} == {NOW}
    with contextlib.closing(sqlite3.connect(empty.registry / "mlflow.db")) as database:
        assert database.execute("select name from versions").fetchall() == [("churn",)]
    key = empty.home / "secrets" / "token.key"
    assert (key.stat().st_mode & 0o777, key.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert all(a.path.stat().st_mode & 0o777 == 0o440 for a in landing.arrivals(empty))
    assert not empty.builds.exists()


def test_nobody_else_can_read_a_backup(home, tmp_path):
    """Catches raw personal data and the token key laid open beside a guarded home."""
    made = backup.make(home, tmp_path / "backups", NOW)
    assert made.path.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o077 for path in made.path.rglob("*") if path.is_file()} == {0}


def test_the_second_backup_copies_only_what_is_new(home, empty, tmp_path):
    """Catches a nightly backup that takes the room of all landed files each time."""
    first = backup.make(home, tmp_path / "backups", NOW)
    land(home, "three.csv", "id\n3\n")
    second = backup.make(home, tmp_path / "backups", NOW + timedelta(days=1))
    databases = 2
    assert (second.copied, second.linked) == (2 + databases, first.copied - databases)
    shutil.rmtree(first.path)
    backup.restore(empty, tmp_path / "backups")
    assert [a.file for a in landing.arrivals(empty)] == ["one.csv", "three.csv", "two.csv"]


@pytest.mark.parametrize(
    ("name", "harm"),
    [
        ("operations.db", lambda path: path.write_bytes(path.read_bytes()[:-1] + b"x")),
        ("secrets/token.key", lambda path: path.write_bytes(b"")),
        ("archive/2026-01-09.1/scores/part.parquet", Path.unlink),
        ("manifest.json", lambda path: path.write_text(path.read_text()[:-5])),
    ],
)
def test_a_damaged_backup_is_refused_by_name_before_anything_is_written(home, empty, tmp_path, name, harm):
    """Catches half a home that looks like a whole one."""
    made = backup.make(home, tmp_path / "backups", NOW)
    harm(made.path / name)
    with pytest.raises(BackupError, match=name):
        backup.restore(empty, made.path)
    assert not empty.home.exists()


def test_a_manifest_that_points_outside_is_refused(home, empty, tmp_path):
    """Catches a foreign backup that writes over other files."""
    made = backup.make(home, tmp_path / "backups", NOW)
    manifest = made.path / "manifest.json"
    manifest.write_text(manifest.read_text().replace("secrets/token.key", "../../outside"))
    with pytest.raises(BackupError, match="lies outside"):
        backup.restore(empty, made.path)


def test_a_home_with_anything_in_it_is_never_written_over(home, empty, tmp_path):
    """Catches a restore that mixes two installations."""
    backup.make(home, tmp_path / "backups", NOW)
    empty.home.mkdir()
    (empty.home / "note.txt").write_text("mine")
    with pytest.raises(BackupError, match="is not empty"):
        backup.restore(empty, tmp_path / "backups")
    assert (empty.home / "note.txt").read_text() == "mine"


def test_a_landed_file_that_changed_on_disk_is_told_and_not_backed_up(home, tmp_path):
    """Catches silent rot that is carried into every backup."""
    arrival = landing.arrivals(home)[0]
    arrival.path.chmod(0o640)
    arrival.path.write_text("id\n9\n")
    with pytest.raises(BackupError, match="is not what had landed"):
        backup.make(home, tmp_path / "backups", NOW)
    assert [path.name for path in (tmp_path / "backups").iterdir()] == [".lock"]


def test_a_backup_while_a_night_writes_holds_one_moment(home, empty, tmp_path):
    """Catches a database that is copied byte by byte while its pages change."""
    stopping = threading.Event()
    written = 0

    def write() -> None:
        nonlocal written
        while not stopping.is_set():
            # Two rows in one transaction: a copy holds both or none.
            rows = [{"check": f"{side}{written}"} for side in ("a", "b")]
            same = {"severity": "error", "status": "pass", "violations": 0, "detail": "x" * 2000}
            operations.record_audit(home, "run/1", [row | same for row in rows])
            written += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        while written < 5:
            pass
        backup.make(home, tmp_path / "backups", NOW)
        at_backup = written
    finally:
        stopping.set()
        writer.join()
    backup.restore(empty, tmp_path / "backups")
    checks = [row["check"] for row in operations.read(empty, operations.audits.select())]
    assert 5 <= len(checks) / 2 <= at_backup + 1
    assert {name[1:] for name in checks if name[0] == "a"} == {name[1:] for name in checks if name[0] == "b"}


def test_the_remains_of_a_backup_that_died_are_no_backup(home, empty, tmp_path):
    """Catches a half-written backup that is restored, or that takes room for ever."""
    remains = tmp_path / "backups" / "2026-01-09T00-00-00Z.part"
    remains.mkdir(parents=True)
    (remains / "operations.db").write_bytes(b"half")
    with pytest.raises(BackupError, match="holds no backup"):
        backup.restore(empty, tmp_path / "backups")
    backup.make(home, tmp_path / "backups", NOW)
    assert not remains.exists()


def test_two_backups_at_once_do_not_disturb_each_other(home, tmp_path):
    """Catches one backup that removes what another is writing."""
    with backup._alone(tmp_path), pytest.raises(BackupError, match="another backup"):
        backup.make(home, tmp_path, NOW)


def test_a_backup_inside_what_is_backed_up_is_refused(home):
    """Catches backups of backups, each twice as large."""
    with pytest.raises(BackupError, match="lies inside"):
        backup.make(home, home.landing / "backups", NOW)


def test_a_server_database_is_named_with_what_to_run(home, tmp_path):
    """Catches an operator who believes that everything is in the backup."""
    dsn = "postgresql+psycopg://me:very-secret@db.example/nightledger"
    made = backup.make(home.model_copy(update={"operations_dsn": dsn}), tmp_path / "backups", NOW)
    (note,) = made.notes
    assert "NOT in this backup" in note
    assert "pg_dump --format=custom" in note
    assert "'postgresql://me@db.example/nightledger'" in note
    assert "very-secret" not in note
    assert not (made.path / "operations.db").exists()


def test_a_restore_under_another_token_key_is_refused(home, empty, tmp_path):
    """Catches customers who get new tokens, so that nothing of theirs fits together any more."""
    keyed = home.model_copy(update={"token_key": SecretStr("the key of the setting")})
    (home.home / "secrets" / "token.key").unlink()
    backup.make(keyed, tmp_path / "backups", NOW)
    with pytest.raises(BackupError, match="is not the key that made the tokens"):
        backup.restore(empty.model_copy(update={"token_key": SecretStr("another")}), tmp_path / "backups")
    backup.restore(empty.model_copy(update={"token_key": keyed.token_key}), tmp_path / "backups")


def test_the_command_makes_checks_and_restores(home, empty, tmp_path, monkeypatch, capsys):
    """Catches a command line that does not reach the functions, and traces instead of messages."""
    backups = tmp_path / "backups"
    monkeypatch.setenv("NIGHTLEDGER_HOME", str(home.home))
    assert backup.main(["make", "--to", str(backups)]) == 0
    assert backup.main(["verify", "--from", str(backups)]) == 0
    assert backup.main(["restore", "--from", str(backups)]) == 1
    monkeypatch.setenv("NIGHTLEDGER_HOME", str(empty.home))
    assert backup.main(["restore", "--from", str(backups)]) == 0
    said = capsys.readouterr()
    assert "0 shared with the backup before" in said.out
    assert "are as they were written" in said.out
    assert "is not empty" in said.err
    assert len(landing.arrivals(empty)) == 2
