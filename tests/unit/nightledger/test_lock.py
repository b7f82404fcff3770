"""One night at a time: who holds the lock, and what a dead run leaves behind."""

import json
import os

import pytest

from nightledger import operations, publications
from nightledger.night import lock
from nightledger.night.lock import Night, NightError


def alive(_run: str) -> bool:
    return True


def dead(_run: str) -> bool:
    return False


def a_night(run: str, publication_id: str = "2026-01-02.1") -> Night:
    return Night(run, "nightly", "2026-01-02", None, publication_id, "abc")


def test_a_second_live_night_has_to_wait(settings):
    """Catches two nights that write at once, by schedule, backfill or hand."""
    assert lock.take(settings, "nightly/a", alive)
    assert not lock.take(settings, "nightly/b", alive)
    assert lock.holder(settings) == "nightly/a"


def test_the_same_run_takes_its_own_lock_again(settings):
    """Catches a retry that waits for itself for ever."""
    assert lock.take(settings, "nightly/a", alive)
    lock.pin(settings, a_night("nightly/a"))
    assert lock.take(settings, "nightly/a", alive)
    assert lock.pinned(settings, "nightly/a") == a_night("nightly/a")


def test_a_dead_runs_remains_are_set_aside_and_only_the_last_are_kept(settings):
    """Catches a killed night that blocks all later ones, or fills the disk with its copies."""
    for number in (1, 2):
        run = f"nightly/{number}"
        assert lock.take(settings, run, dead)
        build = settings.builds / f"2026-01-0{number}.1.building"
        build.mkdir()
        (build / "half").write_text(run)
    assert lock.take(settings, "nightly/3", dead)
    assert [path.name for path in settings.builds.iterdir() if path.is_dir()] == ["abandoned"]
    assert (settings.builds / "abandoned" / "half").read_text() == "nightly/2"


def test_a_night_that_died_after_the_pointer_moved_counts_as_published(settings):
    """Catches a publication that readers see but that no log knows, which pruning would then lose."""
    assert lock.take(settings, "nightly/a", alive)
    final = settings.builds / "2026-01-02.1"
    final.mkdir()
    description = {
        "id": final.name, "base": None, "run": "nightly/a", "as_of_date": "2026-01-02",
        "content_hash": "h", "kind": "nightly", "night_of": "2026-01-02",
    }  # fmt: skip
    (final / "publication.json").write_text(json.dumps(description))
    publications.point(settings, "current", final.name)
    assert lock.take(settings, "nightly/b", dead)
    assert [row["publication_id"] for row in operations.publication_log(settings)] == [final.name]
    assert final.exists()
    assert lock.base_of(settings, "nightly/b") == final.name


def test_what_killed_processes_left_in_the_landing_area_goes(settings):
    """Catches copies of customers' files that nobody knows of, and a disk that fills with them."""
    dead_pid = 4_194_304  # one above the highest that Linux gives
    (settings.landing / ".even-abc").mkdir(parents=True)
    (settings.landing / ".even-abc" / "0").write_text("rows")
    (settings.landing / ".pull-abc").mkdir()
    (settings.landing / ".pull-abc" / "page.json").write_text("rows")
    (settings.landing / f".{dead_pid}.part").write_text("half")
    being_landed = settings.landing / f".{os.getpid()}.part"
    being_landed.write_text("half")
    assert lock.take(settings, "nightly/a", alive)
    assert list(settings.landing.iterdir()) == [being_landed]


def test_only_the_holder_can_release_or_read_the_night(settings):
    """Catches a late task of a dead run that closes or writes somebody else's night."""
    assert lock.take(settings, "nightly/a", alive)
    lock.release(settings, "nightly/b")
    assert lock.holder(settings) == "nightly/a"
    with pytest.raises(NightError, match="held by nightly/a"):
        lock.pinned(settings, "nightly/b")
    lock.release(settings, "nightly/a")
    assert lock.holder(settings) is None
