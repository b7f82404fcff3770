"""The drill's own judgement and plants: a drill that is wrong proves nothing."""

import gzip
import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from tests.drills import monitoring_plants as plants
from tests.drills import monitoring_table as table


def incident(on: date, kind: str, about: str, cause_kind: str, cause: str = "") -> dict[str, Any]:
    """A row as the drill judges it."""
    return {
        "id": f"{on}{about}", "kind": kind, "about": about, "title": about, "cause_kind": cause_kind,
        "cause": cause, "members": "[]", "seen_on": on,
    }  # fmt: skip


def judged(*rows: dict[str, Any]) -> tuple[dict[str, table.Found], list[Any]]:
    """Plants by the date on which they begin, and the incidents of none."""
    found, false = table.judge(rows, plants.night(120))
    return {one.plant.name: one for one in found}, false


def test_a_plant_is_seen_by_its_own_incident_and_right_only_with_its_own_cause():
    """Catches a drill that calls any incident of the week a success."""
    dbt = next(plant for plant in plants.PLANTS if plant.on == plants.DBT)
    on = plants.DBT + timedelta(days=1)
    for kind, cause, expected in (
        ("dbt", "model int_activity_windowed was changed: the models know other features.", True),
        ("machine", "RuntimeError in score: see the task's log.", False),
        ("dbt", "model another was changed: the models know other features.", False),
    ):
        found, false = judged(incident(on, "night failed", str(on), kind, cause))
        assert found[dbt.name].seen_on == on
        assert (found[dbt.name].is_right, false) == (expected, [])
    late = incident(plants.DBT_BACK + timedelta(days=8), "night failed", "x", "dbt")
    assert judged(late)[0][dbt.name].seen_on is None


def test_what_nothing_was_planted_for_is_a_false_alert():
    """Catches a count of false alerts that is nought because everything is taken for a plant."""
    stray = incident(plants.FIRST, "drift", "season_index", "customers")
    other = incident(plants.LATE, "data", "labels: delivery", "missing file")
    assert judged(stray, other)[1] == [stray, other]


def test_the_plants_files_come_when_and_as_they_were_planted(tmp_path: Path):
    """Catches a fault that is never planted, so that not seeing it looks like a failure of monitoring."""
    files = tmp_path / "files"
    files.mkdir()

    def put(name: str, text: str) -> None:
        (files / name).write_bytes(gzip.compress(text.encode()))
        (files / f"{name}.manifest.json").write_text(json.dumps({"rows": 1, "known_at": "x", "sum": "-3"}))

    day = plants.CORRECTED - timedelta(days=10)
    for of in (plants.LATE, plants.MISSING, plants.LAYOUT, *(plants.LAYOUT + timedelta(n) for n in (1, 2))):
        put(f"events_{of}.jsonl.gz", '{"event_type":"login"}')
    put(f"transactions_{day}.csv.gz", "txn_type,amount\nPUR,-3\n")
    put(f"transactions_{plants.REQUIRED}.csv.gz", "txn_type,amount\nPUR,-3\n")
    delivery = plants.Delivery(files, tmp_path / "inbox")

    def there(name: str) -> str:
        path = tmp_path / "inbox" / name
        return gzip.decompress(path.read_bytes()).decode() if path.exists() else ""

    delivery.through(plants.LATE + timedelta(days=2))
    assert not there(f"events_{plants.LATE}.jsonl.gz")
    delivery.through(plants.LATE + timedelta(days=3))
    assert there(f"events_{plants.LATE}.jsonl.gz")
    delivery.through(plants.CORRECTED)
    assert there(f"transactions_{day}.csv.gz") == "txn_type,amount\nPUR,-13\n"
    manifest = json.loads((tmp_path / "inbox" / f"transactions_{day}.csv.gz.manifest.json").read_text())
    assert manifest["sum"] == "-13"
    delivery.through(plants.LAYOUT)
    assert there(f"events_{plants.LAYOUT}.jsonl.gz") == '{"kind_of_event":"login"}'
    delivery.through(plants.LAYOUT + timedelta(days=3))
    assert there(f"events_{plants.LAYOUT}.jsonl.gz") == '{"event_type":"login"}'
    delivery.through(plants.REQUIRED)
    assert not there(f"transactions_{plants.REQUIRED}.csv.gz")
    delivery.through(plants.night(120))
    assert there(f"transactions_{plants.REQUIRED}.csv.gz")
    assert not there(f"events_{plants.MISSING}.jsonl.gz")


def test_what_is_spoilt_in_the_project_is_there_and_is_mended(tmp_path: Path):
    """Catches a plant whose text the project no longer has, half an hour into the drill."""
    from nightledger.settings import PROJECT

    plants.copy_project(PROJECT / "dbt_project", tmp_path / "project")
    names = (f"models/{plants.WEEKENDS[0]}", "seeds/mcc_categories.csv")

    def texts() -> list[str]:
        return [(tmp_path / "project" / name).read_text() for name in names]

    before = texts()
    seen = []
    for number in range(1, 121):
        plants.spoil_project(tmp_path / "project", plants.night(number))
        seen.append([text != sound for text, sound in zip(texts(), before, strict=True)])
    assert [any(column) for column in zip(*seen, strict=True)] == [True, True]
    assert texts() == before
