"""A whole night on a small simulated bank: backfilled, killed, run again, watched by a reader."""

import signal
import subprocess
import sys
import threading
from datetime import date, timedelta

import duckdb
import pytest

from nightledger import publications, warehouse
from nightledger.night import lock
from nightledger.settings import Settings
from tests.helpers import steps
from tests.helpers.steps import LAST, run_night, settings_of, unmeasured

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


def test_a_past_date_backfilled_gives_the_rows_its_night_wrote(copy_of_home, first_home, undisturbed_home):
    """Catches late news that rewrites what was decided, and scores by a model that came later."""
    settings = copy_of_home(undisturbed_home)
    day = LAST - timedelta(days=1)
    before = tables_at(settings_of(first_home), day)
    assert all(before.values())
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


def test_a_night_killed_twice_ends_as_if_nothing_had_happened(copy_of_home, undisturbed_home):
    """Catches half a night that readers see, files lost or loaded twice, a lock nobody takes; and, as it is
    the same night from the same base, any use of the clock, of row order or of unordered sums."""
    settings = copy_of_home()
    base = publications.current_id(settings)
    reader = Reader(settings)
    reader.start()
    environment = unmeasured() | {
        "NIGHTLEDGER_HOME": str(settings.home),
        "NIGHTLEDGER_INBOX": str(settings.inbox),
    }
    worker = [sys.executable, steps.__file__, "nightly/killed", str(LAST), "nightly"]
    for fault in ("in_dbt", "before_pointer"):
        killed = subprocess.run(
            [*worker, fault], env=environment, capture_output=True, text=True, check=False
        )
        assert killed.returncode == -signal.SIGKILL, f"{fault}: {killed.stderr[-2000:]}"
        assert publications.current_id(settings) == base
    again = subprocess.run(worker, env=environment, capture_output=True, text=True, check=False)
    reader.stopping.set()
    reader.join()
    assert again.returncode == 0, again.stderr[-2000:]
    path, undisturbed = (warehouse.publication_path(one) for one in (settings, settings_of(undisturbed_home)))
    assert path and undisturbed
    assert publications.describe(path)["content_hash"] == publications.describe(undisturbed)["content_hash"]
    assert reader.problems == []
    allowed = {(base, str(LAST - timedelta(days=1))), (path.name, str(LAST))}
    assert reader.seen <= allowed
    assert (base, str(LAST - timedelta(days=1))) in reader.seen
