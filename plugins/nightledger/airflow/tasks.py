"""The steps of a night as Airflow tasks: each calls the library function of the same name.

What the DAGs share stands here, because nothing imports from `dags/`. Heavy imports are inside the bodies:
the DAG files are parsed every few minutes.
"""

from datetime import date, timedelta
from typing import Any

from airflow.sdk import Asset, Context, Param, RetryDecision, RetryPolicy, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException

from nightledger.airflow.dates import as_of_date
from nightledger.airflow.environment import WRITER_POOL
from nightledger.settings import Settings

PUBLICATION = Asset("publication", uri="nightledger://publication")
CHAMPION = Asset("champion", uri="nightledger://champion")
RETRAIN = Asset("retrain", uri="nightledger://retrain")

HOPELESS = frozenset(
    {
        "nightledger.airflow.dates.NoAsOfDate",
        "nightledger.night.audit.AuditFailed",
        "nightledger.clients.ClientError",
        "nightledger.dbt.runner.TestsFailed",
        "nightledger.night.lock.NightError",
        "nightledger.governance.ledger.GovernanceError",
        "nightledger.publications.PublicationError",
    }
)
"""Errors that another try cannot mend, with all that derive from them."""


class FailAtOnce(RetryPolicy):
    """Spends no retry on an error that is hopeless.

    Errors are told by name: Airflow's own `ExceptionRetryPolicy` imports each class, and DuckDB with it,
    whenever a DAG file is parsed, which every task begins with.
    """

    def evaluate(
        self,
        exception: BaseException,
        try_number: int,
        max_tries: int,
        context: Context | None = None,
    ) -> RetryDecision:
        """Decide about a failed try."""
        names = {f"{kind.__module__}.{kind.__qualname__}" for kind in type(exception).__mro__}
        return RetryDecision.fail("another try cannot help") if names & HOPELESS else RetryDecision.default()


DEFAULT_ARGS = {
    "owner": "nightledger",
    "retries": 2,
    "retry_delay": timedelta(seconds=30),
    "retry_policy": FailAtOnce(),
}

AS_OF_DATE = Param(
    None,
    type=["null", "string"],
    format="date",
    title="As-of date",
    description="Business date to build. A run started by hand must name it.",
)

FORCE = Param(
    False,
    type="boolean",
    title="Force",
    description="Build the date even if it is published and no new file has come.",
)

SINCE = Param(
    None,
    type=["null", "string"],
    format="date",
    title="Since",
    description="First date whose month-end is built; none: the first business date.",
)

FULL_TESTS = Param(
    False,
    type="boolean",
    title="Test everything",
    description="Let the tests of dbt read whole tables, as the nights of Sundays do.",
)

MONTH_ENDS = Param(
    False,
    type="boolean",
    title="Only month-ends",
    description="Of the dates since the last publication, build only month-ends and this date: after months "
    "without nights.",
)


def run_name() -> str:
    """Name of the current run in the lock and in `operations.db`: `<dag_id>/<run_id>`."""
    ti = get_current_context()["ti"]
    return f"{ti.dag_id}/{ti.run_id}"


def is_alive(name: str) -> bool:
    """Whether a run, by its name in the lock, may still write. A run that was deleted may not."""
    dag_id, _, run_id = name.partition("/")
    ti = get_current_context()["ti"]
    return ti.get_dr_count(dag_id, run_ids=[run_id], states=["queued", "running"]) > 0


@task.sensor(mode="reschedule", poke_interval=60, timeout=timedelta(days=3).total_seconds())
def wait_for_sources() -> bool:
    """Wait, holding no slot, for the clients' cutoffs and for files of required sources with a deadline."""
    from nightledger.night import steps

    context = get_current_context()
    month_ends = bool(context["params"].get("month_ends"))
    return steps.may_begin(Settings(), as_of_date(context), run_name(), month_ends=month_ends)


@task.sensor(mode="reschedule", poke_interval=15, timeout=timedelta(hours=12).total_seconds())
def take_lock() -> bool:
    """Wait, holding no slot, until no other run has a night open."""
    from nightledger.night import steps

    return steps.take_lock(Settings(), run_name(), is_alive=is_alive)


@task(task_id="open", pool=WRITER_POOL, execution_timeout=timedelta(minutes=30))
def open_night(kind: str) -> dict[str, Any]:
    """Copy the current publication and pin what the night works with."""
    from nightledger.night import steps

    context = get_current_context()
    day = as_of_date(context)
    asked = {name: bool(context["params"].get(name, False)) for name in ("force", "full_tests", "month_ends")}
    since = context["params"].get("since")
    first = date.fromisoformat(since) if since else None
    opened = steps.open_night(Settings(), run_name(), day, kind, since=first, **asked)
    if opened is None:
        raise AirflowSkipException(
            f"Nothing to do for {day}: it is published already and no new file has come. "
            "Trigger with force to build it again."
        )
    return opened


@task(pool=WRITER_POOL, execution_timeout=timedelta(hours=2))
def ingest() -> dict[str, Any]:
    """Land and load the files of the inbox."""
    from nightledger.night import steps

    return steps.ingest(Settings(), run_name())


@task(pool=WRITER_POOL, execution_timeout=timedelta(hours=2))
def dbt(selector: str) -> dict[str, Any]:
    """Build and test the models of a selector; a retry takes up only those that broke."""
    from nightledger.night import steps

    resume = get_current_context()["ti"].try_number > 1
    return steps.run_dbt(Settings(), run_name(), selector, resume=resume)


@task(pool=WRITER_POOL, execution_timeout=timedelta(hours=1))
def enrich() -> dict[str, Any]:
    """Resolve what dbt cannot."""
    from nightledger.night import steps

    return steps.enrich(Settings(), run_name())


@task(pool=WRITER_POOL, execution_timeout=timedelta(hours=1))
def audit() -> dict[str, Any]:
    """Judge the build."""
    from nightledger.night import steps

    return steps.audit(Settings(), run_name())


@task(pool=WRITER_POOL, execution_timeout=timedelta(minutes=30), outlets=[PUBLICATION])
def publish() -> dict[str, Any]:
    """Make the build the current publication."""
    from nightledger.night import steps

    published = steps.publish(Settings(), run_name())
    get_current_context()["outlet_events"][PUBLICATION].extra = published
    return published


def night_failed(context: Context) -> None:
    """Callback of a failed task: opens the incident of the night and tells people; it never fails itself.

    What fails after the publication (a demotion, warm dashboards) is no failed night: readers have their
    numbers.
    """
    import logging

    from nightledger import incidents, publications
    from nightledger.monitoring import notifying

    settings = Settings()
    run = context["dag_run"]
    name = f"{run.dag_id}/{run.run_id}"
    try:
        if publications.published_by(settings, name) is None:
            incidents.night_failed(settings, name, as_of_date(context))
            notifying.announce(settings)
    except Exception:
        logging.getLogger(__name__).exception("the failure of %s could not be kept as an incident", name)


# Nothing stale is served without it: the key of an answer holds its publication.
@task(retries=0, execution_timeout=timedelta(minutes=20))
def warm_dashboards() -> str:
    """Compute the answers of the dashboards, if there are any here, before people ask."""
    import logging

    from nightledger.servers import superset_pages

    try:
        return superset_pages.refresh(Settings(), seconds=900)
    except superset_pages.PagesError as error:
        logging.getLogger(__name__).warning("the first reader of each page waits a little longer: %s", error)
        return "not warmed"
