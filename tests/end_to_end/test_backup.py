"""A home that is gone is made again from its backup: the same nights publish the same content."""

from datetime import timedelta
from pathlib import Path

import pytest

from nightledger import backup, operations, publications
from tests.helpers.steps import LAST, run_night, settings_of

pytestmark = pytest.mark.slow


def test_a_restored_home_publishes_what_the_lost_one_had_published(
    copy_of_home, undisturbed_home, tmp_path: Path
):
    """Catches state that no backup holds: files, times of arrival, cutoffs, models, the token key."""
    lost = copy_of_home(undisturbed_home)
    before = {row["publication_id"]: row["content_hash"] for row in operations.publication_log(lost)}
    backup.make(lost, tmp_path / "backups", operations.clock())

    restored = settings_of(tmp_path / "restored")  # without the bank: nothing but the backup is there
    backup.restore(restored, tmp_path / "backups")
    assert publications.current_id(restored) is None
    run_night(restored, "history/again", LAST - timedelta(days=2), "history", tests=False)
    run_night(restored, "nightly/again-1", LAST - timedelta(days=1), tests=False)
    run_night(restored, "nightly/again-2", LAST, tests=False)
    made = [row for row in operations.publication_log(restored) if row["publication_id"] not in before]
    assert [row["content_hash"] for row in made] == list(before.values())
