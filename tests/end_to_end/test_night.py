"""A whole night on a small simulated bank: replayed, backfilled, killed, watched by a reader."""

import os
import shutil
import signal
import subprocess
import sys
import threading
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pytest

from nightledger import lock, publications, warehouse
from nightledger.settings import Settings
from tests.helpers import steps
from tests.helpers.steps import LAST, run_night, settings_of

pytestmark = pytest.mark.slow


def tables_at(settings: Settings, day: date) -> dict[str, list[tuple]]:
    """Every row that was decided for a date, in order."""
    path = warehouse.publication_path(settings)
    assert path
    with warehouse.connect(path, settings=settings) as connection:
        return {
            table: connection.execute(f"from {table} where as_of_date = ? order by all", [day]).fetchall()
            for table in ("features.features_customers", "marts.fct_scores", "marts.fct_score_reasons")
        }


@pytest.fixture(scope="session")
def undisturbed(first_home: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Content hash of the night of LAST when nothing goes wrong."""
    home = tmp_path_factory.mktemp("undisturbed") / "home"
    shutil.copytree(first_home, home, symlinks=True)
    published = run_night(settings_of(home), "nightly/undisturbed", LAST)
    assert published
    return published["content_hash"]


def test_the_same_night_replayed_from_the_same_base_has_the_same_content(copy_of_home, undisturbed):
    """Catches any use of the clock, of row order or of unordered floating point sums."""
    published = run_night(copy_of_home(), "nightly/again", LAST)
    assert published
    assert published["content_hash"] == undisturbed


def test_a_past_date_backfilled_gives_the_rows_its_night_wrote(copy_of_home):
    """Catches late news that rewrites what was decided, and scores by a model that came later."""
    settings = copy_of_home()
    day = LAST - timedelta(days=1)
    before = tables_at(settings, day)
    assert all(before.values())
    run_night(settings, "nightly/next", LAST)
    published = run_night(settings, "nightly/backfill", day, force=True)
    assert published
    assert published["publication_id"].startswith(str(LAST)), "the newest date must stay the newest"
    assert tables_at(settings, day) == before


def test_a_published_date_without_new_files_is_left_alone(copy_of_home):
    """Catches a scheduled run that publishes the same night again."""
    settings = copy_of_home()
    day = LAST - timedelta(days=1)
    for path in settings.inbox.iterdir():
        if str(LAST) in path.name:
            path.unlink()
    assert run_night(settings, "nightly/idle", day) is None
    assert lock.holder(settings) is None


class Reader(threading.Thread):
    """Polls the current publication as a dashboard would, and keeps what it saw."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(daemon=True)
        self.settings, self.seen, self.problems, self.stopping = settings, set(), [], threading.Event()

    def run(self) -> None:
        """Poll until told to stop."""
        while not self.stopping.wait(0.05):
            try:
                path = warehouse.publication_path(self.settings)
                with warehouse.connect(path, settings=self.settings) as connection:
                    newest = connection.execute("select max(as_of_date) from features.features_customers")
                    self.seen.add((path.name, str(newest.fetchone()[0])))
            except (duckdb.Error, OSError) as error:
                self.problems.append(repr(error))


@pytest.mark.parametrize("fault", ["in_dbt", "before_pointer"])
def test_a_killed_night_run_again_ends_as_if_nothing_had_happened(copy_of_home, undisturbed, fault):
    """Catches half a night that readers see, files lost or loaded twice, and a lock nobody can take."""
    settings = copy_of_home()
    base = publications.current_id(settings)
    reader = Reader(settings)
    reader.start()
    environment = os.environ | {
        "NIGHTLEDGER_HOME": str(settings.home),
        "NIGHTLEDGER_INBOX": str(settings.inbox),
    }
    worker = [
        sys.executable,
        steps.__file__,
        "nightly/killed",
        str(LAST),
        "nightly",
    ]
    killed = subprocess.run([*worker, fault], env=environment, capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr[-2000:]
    assert publications.current_id(settings) == base
    again = subprocess.run(worker, env=environment, capture_output=True, text=True, check=False)
    reader.stopping.set()
    reader.join()
    assert again.returncode == 0, again.stderr[-2000:]
    path = warehouse.publication_path(settings)
    assert path
    assert publications.describe(path)["content_hash"] == undisturbed
    assert reader.problems == []
    allowed = {(base, str(LAST - timedelta(days=1))), (path.name, str(LAST))}
    assert reader.seen <= allowed
    assert (base, str(LAST - timedelta(days=1))) in reader.seen
