"""Publications: sealed step by step, moved back, checked and pruned."""

import hashlib
import json
import os
from datetime import date

import pytest

from nightledger import operations, publications, warehouse
from nightledger.publications import Damaged, PublicationError


def make(settings, publication_id: str, base: str | None = None, *, building: bool = False):
    """A build or publication with every file that one has."""
    path = settings.builds / (f"{publication_id}.building" if building else publication_id)
    path.mkdir(parents=True)
    for name in publications.FILES:
        (path / name).write_text("{}")
    as_of = publication_id.rpartition(".")[0]
    description = {
        "id": publication_id, "base": base, "run": f"nightly/{publication_id}", "as_of_date": as_of,
        "content_hash": f"hash of {publication_id}", "kind": "nightly", "night_of": as_of,
    }  # fmt: skip
    (path / "publication.json").write_text(json.dumps(description))
    return path


def publish(settings, *ids: str) -> None:
    base = publications.current_id(settings)
    for publication_id in ids:
        make(settings, publication_id, base, building=True)
        final = publications.seal(settings, publication_id, base)
        publications.ensure_logged(settings, final)
        base = publication_id


def test_sealing_can_be_repeated_from_every_step(settings):
    """Catches a publication that is lost or doubled when the process dies between two steps."""
    make(settings, "2026-01-01.1", building=True)
    publications.seal(settings, "2026-01-01.1", None)
    (settings.builds / "current").unlink()  # as if killed between the rename and the pointer
    final = publications.seal(settings, "2026-01-01.1", None)
    assert publications.seal(settings, "2026-01-01.1", None) == final
    assert warehouse.publication_path(settings) == final
    assert {path.name for path in final.iterdir()} == set(publications.FILES)


def test_a_night_built_on_an_outdated_base_is_refused(settings):
    """Catches a slow night that would silently undo a rollback or another night."""
    publish(settings, "2026-01-01.1", "2026-01-02.1")
    make(settings, "2026-01-02.2", "2026-01-01.1", building=True)
    with pytest.raises(PublicationError, match=r"built on 2026-01-01\.1, but the current"):
        publications.seal(settings, "2026-01-02.2", "2026-01-01.1")
    assert publications.current_id(settings) == "2026-01-02.1"


def test_an_incomplete_build_is_refused_by_the_name_of_what_it_lacks(settings):
    """Catches a publication without its audit."""
    build = make(settings, "2026-01-01.1", building=True)
    (build / "audit.json").unlink()
    with pytest.raises(PublicationError, match=r"lacks audit\.json"):
        publications.seal(settings, "2026-01-01.1", None)
    (build / "audit.json").write_text("{}")
    (build / "warehouse.duckdb.wal").write_text("")
    with pytest.raises(PublicationError, match="write-ahead log"):
        publications.seal(settings, "2026-01-01.1", None)


def test_serials_are_never_used_twice(settings):
    """Catches two different contents under one id after pruning."""
    publish(settings, "2026-01-01.1", "2026-01-01.2")
    publications.remove(settings.builds / "2026-01-01.2")
    assert publications.next_id(settings, date(2026, 1, 1)) == "2026-01-01.3"
    assert publications.next_id(settings, date(2026, 1, 2)) == "2026-01-02.1"


def test_rollback_moves_the_pointer_and_says_why_in_the_log(settings):
    """Catches a rollback that nobody can explain the next morning."""
    publish(settings, "2026-01-01.1", "2026-01-02.1", "2026-01-03.1")
    assert publications.rollback(settings, reason="wrong rates") == "2026-01-02.1"
    assert publications.rollback(settings, reason="still wrong", to="2026-01-01.1") == "2026-01-01.1"
    last = operations.publication_log(settings)[-1]
    assert (last["action"], last["publication_id"], last["base"], last["reason"]) == (
        "rolled_back", "2026-01-01.1", "2026-01-02.1", "still wrong",
    )  # fmt: skip
    with pytest.raises(PublicationError, match=r"There are: 2026-01-02\.1, 2026-01-03\.1"):
        publications.rollback(settings, reason="x", to="2020-01-01.1")


def test_a_second_rollback_does_not_return_to_what_was_rolled_back(settings):
    """Catches a rollback that brings back the very publication somebody withdrew."""
    publish(settings, "2026-01-29.1", "2026-01-30.1")
    publications.rollback(settings, reason="wrong")
    publish(settings, "2026-01-30.2")
    assert publications.rollback(settings, reason="wrong again") == "2026-01-29.1"


def test_an_id_whose_scores_are_archived_is_not_used_again(settings):
    """Catches a publication beside which the archive keeps the scores of a dead run."""
    publish(settings, "2026-01-01.1")
    (settings.archive / "2026-01-01.2").mkdir(parents=True)
    assert publications.next_id(settings, date(2026, 1, 1)) == "2026-01-01.3"


def test_pruning_keeps_the_last_ones_month_ends_and_what_readers_see(settings):
    """Catches a pruning that takes away the publication under a rollback."""
    settings.keep_publications = 2
    publish(
        settings,
        *(f"2026-01-{day:02d}.1" for day in (29, 30, 31)),
        *(f"2026-02-0{day}.1" for day in range(1, 5)),
    )
    publications.rollback(settings, reason="x", to="2026-02-01.1")
    removed = publications.prune(settings, "nightly/x")
    assert removed == ["2026-01-29.1", "2026-01-30.1", "2026-02-02.1"]
    assert {path.name for path in settings.builds.iterdir() if not path.is_symlink()} == {
        "2026-01-31.1", "2026-02-01.1", "2026-02-03.1", "2026-02-04.1",
    }  # fmt: skip


def test_pruning_keeps_the_base_of_what_readers_see(settings):
    """Catches a night whose changes nobody finds, and a rollback with nowhere to go, if one is to be kept."""
    settings.keep_publications = 1
    publish(settings, "2026-01-01.1", "2026-01-02.1", "2026-01-03.1")
    assert publications.prune(settings, "nightly/x") == ["2026-01-01.1"]
    assert publications.rollback(settings, reason="x") == "2026-01-02.1"


def publish_with_hashes(settings, *ids: str) -> None:
    publish(settings, *ids)
    for publication_id in ids:
        path = settings.builds / publication_id
        path.chmod(0o750)
        description = publications.describe(path)
        description["warehouse_sha256"] = hashlib.sha256(b"{}").hexdigest()
        (path / "publication.json").chmod(0o640)
        (path / "publication.json").write_text(json.dumps(description))


def flip(path):
    file = path / warehouse.FILE
    file.chmod(0o640)
    file.write_bytes(b"{)")


@pytest.mark.parametrize(
    "damage",
    [
        flip,
        lambda path: (path / warehouse.FILE).unlink(),
        lambda path: (path / "publication.json").unlink(),
        lambda path: os.truncate(path / "publication.json", 5),
    ],
)
def test_a_damaged_publication_is_told_with_the_command_that_helps(settings, damage):
    """Catches a night built on rotten bytes, and a rollback that needs the very file that is gone."""
    publish_with_hashes(settings, "2026-01-01.1", "2026-01-02.1")
    publications.verify(settings, "2026-01-02.1")
    damage(settings.builds / "2026-01-02.1")
    with pytest.raises(Damaged, match=r"make rollback TO=2026-01-01\.1 REASON="):
        publications.verify(settings, "2026-01-02.1")
    assert publications.rollback(settings, reason="damaged") == "2026-01-01.1"


def test_nobody_is_sent_to_a_publication_that_is_damaged_too(settings):
    """Catches a message, or a rollback, that leads from one broken publication to the next."""
    publish_with_hashes(settings, "2026-01-01.1", "2026-01-02.1", "2026-01-03.1")
    flip(settings.builds / "2026-01-02.1")
    flip(settings.builds / "2026-01-03.1")
    with pytest.raises(Damaged, match=r"TO=2026-01-01\.1"):
        publications.rollback(settings, reason="x", to="2026-01-02.1")
    assert publications.current_id(settings) == "2026-01-03.1"
    flip(settings.builds / "2026-01-01.1")
    with pytest.raises(Damaged, match="make restore"):
        publications.verify(settings, "2026-01-03.1")
