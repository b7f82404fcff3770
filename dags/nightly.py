"""
### What
Builds one business date from whatever the banks have sent, scores it and publishes it. A night works on a
copy of the last publication, so a failed or killed one has changed nothing that anybody reads.

### Inputs and outputs
Inputs: the inbox (files matched by `sources/*.yml`), the current publication, the champions of the registry.
Output: a publication under `builds/`, and the asset event `publication`. A champion that has lost more than a
client's `loss_limits` allow, by the labels that this publication knows, is taken back (`make decisions`).
Incidents (drift, deliveries, performance) with the change that they are blamed on, on the page *Incidents*;
one above its threshold gives the asset event `retrain`, from which `train` makes a challenger. A failed task
opens the incident of the night. People are told by mail or webhook where `NIGHTLEDGER_ALERT_*` says so.
Which date: `as_of_date` of a run by hand; the first day of the interval of a scheduled one. Dates between the
last publication and that one are built as well, oldest first: after a pause, the schedule starts one run, for
the last date that is over. After months without nights, `month_ends` builds only the month-ends between them.

### What it waits for
Before it begins: until the cutoffs of all clients have passed, and until each required source with a
`deadline` has delivered for each date that is to be built, or its deadline has passed; then the run fails and
names the source. A file that was waited for past the cutoff moves the cutoff of its client and date. A date
that is published already waits for nothing.

### When it is urgent
Readers keep the last publication, so a failure is urgent by the time the business needs today's numbers. The
run's tab *dbt nodes and files* names the failing test or file; the logs of `audit` and `dbt_*` say the same.
The page *Nights* says what to do. People are told before a night misses `NIGHTLEDGER_PUBLISH_BY`.

### How to run it again
Trigger a new run for the date, with `force` if it is published already; what a failed run left is moved to
`builds/abandoned/` by the next. Or mend the cause and clear the failed task of the same run: it goes on from
there as long as no other run has started. Many dates: `make backfill FROM=D TO=D`. Rather not by
`airflow backfill`: it ignores `max_active_runs` (its runs do wait for the lock) and breaks SQLite metadata.

### What it tests
dbt's tests read the business days and as-of dates that the night touches, and whole tables on Sundays, after
a changed definition and with `full_tests`. The audit's conservation laws always hold for everything.

### Tasks
Errors are tried again; failed tests, a failed audit and a refused publication fail at once.

| task | retries | timeout | what a retry overwrites |
|---|---|---|---|
| wait_for_sources | 2 | 72 h of waiting | nothing; it lands what lies in the inbox |
| take_lock | 2 | 12 h of waiting | nothing; the lock is the run's own |
| open | 2 | 30 min | a half-made copy; a whole one is resumed |
| ingest | 2 | 2 h | nothing; a file is loaded whole or not at all, and once |
| dbt_merchants, dbt_features, dbt_marts | 2 | 2 h | the nodes that broke, and what hangs on them |
| enrich | 2 | 1 h | its own result |
| score | 2 | 2 h | the partition of each model and as-of date |
| audit | 2 | 1 h | `audit.json` of the build |
| publish | 2 | 30 min | nothing; it goes on from the step it had reached |
| watch_losses | 2 | 30 min | nothing; a champion is demoted once |
| incidents | 2 | 15 min | nothing; an incident is opened and told of once; it runs whatever failed before |
| retrain | 2 | 5 min | nothing; an incident asks for one training |
| warm_dashboards | 0 | 20 min | answers in the cache; it never fails a night |
"""

from datetime import UTC, datetime, time, timedelta
from functools import partial
from typing import Any

from airflow.sdk import CronDataIntervalTimetable, chain, dag, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException

from nightledger.airflow import tasks as steps
from nightledger.airflow.deadline import deadlines_of_a_night
from nightledger.settings import Settings

SETTINGS = Settings()


@task(execution_timeout=timedelta(hours=2))
def score() -> dict[str, Any]:
    """Score tonight's dates with the pinned models. It only reads the warehouse, so it needs no pool."""
    from ml import scoring
    from nightledger import operations
    from nightledger.night import steps as night

    settings, run = Settings(), steps.run_name()
    with operations.stage(settings, run, "score") as detail:
        detail.update(scoring.score_night(settings, build=night.current_build(settings, run)))
    return detail


# After every night, since each one knows more labels; after publish, since it reads a publication only, and
# what it finds concerns the next as-of date.
@task(execution_timeout=timedelta(minutes=30))
def watch_losses() -> list[dict[str, Any]]:
    """Go back from champions that have lost more than a client allows."""
    from ml import standing
    from ml.scores import losses
    from nightledger.governance import demotion, ledger

    settings, run = Settings(), steps.run_name()
    champions = ledger.champions(settings)
    breaches = losses.breaches(settings, champions)
    for breach in breaches:
        model = breach["model"]
        why_not = partial(standing.why_not, settings, model)
        demotion.demote_for_loss(settings, breach, run, why_not)
        now = ledger.standing(ledger.decisions(settings, model))
        standing.align(settings, model, now.champion, now.challenger)
    return breaches


# After watch_losses, so that a champion taken back is one of tonight's incidents; whatever failed before,
# so that people are told.
@task(task_id="incidents", trigger_rule="all_done", execution_timeout=timedelta(minutes=15))
def watch_incidents() -> list[str]:
    """Find tonight's incidents with their cause, tell people, and name the models to be trained again."""
    from nightledger import incidents, operations, publications
    from nightledger.monitoring import notifying

    settings, run = Settings(), steps.run_name()
    if publications.published_by(settings, run) is None:
        notifying.announce(settings)
        return []
    with operations.stage(settings, run, "incidents") as detail:
        detail.update(incidents.watch(settings, run))
        # A night that catches up with month-ends is followed by others: the last dates decide.
        is_catching_up = get_current_context()["params"].get("month_ends")
        models = [] if is_catching_up else incidents.ask_training(settings, run)
        detail.update(messages=notifying.announce(settings), models=models)
    return models


@task(execution_timeout=timedelta(minutes=5), outlets=[steps.RETRAIN])
def retrain(models: list[str]) -> None:
    """Ask the DAG train for challengers; skipped when no incident asks for one."""
    if not models:
        raise AirflowSkipException("No incident asks for a training.")
    get_current_context()["outlet_events"][steps.RETRAIN].extra = {"models": models}


@dag(
    schedule=CronDataIntervalTimetable(SETTINGS.schedule, timezone="UTC") if SETTINGS.schedule else None,
    start_date=datetime.combine(SETTINGS.schedule_from, time(), UTC),
    catchup=False,
    max_active_runs=1,
    default_args=steps.DEFAULT_ARGS | {"on_failure_callback": steps.night_failed},
    deadline=deadlines_of_a_night(),
    params={
        "as_of_date": steps.AS_OF_DATE,
        "force": steps.FORCE,
        "full_tests": steps.FULL_TESTS,
        "month_ends": steps.MONTH_ENDS,
    },
    doc_md=__doc__,
    tags=["night"],
)
def nightly() -> None:
    """Order of the steps."""
    losses, asked, warm = watch_losses(), watch_incidents(), steps.warm_dashboards()
    chain(
        steps.wait_for_sources(),
        steps.take_lock(),
        steps.open_night("nightly"),
        steps.ingest(),
        steps.dbt.override(task_id="dbt_merchants")("merchants"),
        steps.enrich(),
        steps.dbt.override(task_id="dbt_features")("features"),
        score(),
        steps.dbt.override(task_id="dbt_marts")("marts"),
        steps.audit(),
        steps.publish(),
        losses,
        asked,
        [retrain(asked), warm],
    )
    # What failed before it fails the run, although the incidents are looked for all the same.
    losses >> warm


nightly()
