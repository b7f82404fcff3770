"""
### What
Draws Evidently's reports on a publication, for people who want to look closer: for every champion the drift
and quality of its features, the drift of what it says, and its performance as far as outcomes have matured.
The dashboards' figures (`fct_drift`, `mart_realised_performance`) are the record; nothing waits for these
pages.

### Inputs and outputs
Inputs: the publication that has just come out (by hand: `publication`, or the current one), leased against
pruning until the run is over; the archive of what its models said; the registry.
Outputs: `reports/<publication>/<model>/<kind>.html` and `.json`, which Airflow shows under *Drift reports*
and `make evidently` in Evidently's own pages. They go when their publication is pruned.

### When it is urgent
Never. The night is published before this run begins, and this run gives way to it: it has a low priority.

### How to run it again
Trigger it. Reports that are there stay as they are, byte for byte; what a killed run left is overwritten.
To draw them anew, delete the folder of the publication first.

### Tasks
| task | retries | timeout | what a retry overwrites |
|---|---|---|---|
| draw | 1 | 2 h | nothing; the folder gets its name when it is whole |
"""

from datetime import timedelta

from airflow.sdk import Param, dag, get_current_context, task

from nightledger.airflow import tasks
from nightledger.settings import Settings

SETTINGS = Settings()


# One process for all models: importing Evidently takes longer than many a report.
@task(retries=1, execution_timeout=timedelta(hours=2))
def draw() -> str:
    """Draw what is not there yet, and let the publication go."""
    import os

    from ml.datasets import read_publication
    from ml.reports import writing
    from nightledger import leases, operations

    os.nice(10)  # a night that begins meanwhile goes first
    settings, run = Settings(), tasks.run_name()
    context = get_current_context()
    events = context["triggering_asset_events"].get(tasks.PUBLICATION, [])
    told = [event.extra["publication_id"] for event in events if "publication_id" in event.extra]
    wanted = context["params"]["publication"] or (told[-1] if told else None)
    leased = leases.lease(settings, run, read_publication(settings, wanted).id)
    try:
        with operations.stage(settings, run, "draw") as detail:
            index = writing.write(settings, leased)
            drawn = [row for row in index["reports"] if not row["why_not"]]
            detail.update(publication=leased, reports=len(drawn), bytes=sum(row["bytes"] for row in drawn))
    finally:
        leases.release(settings, run)
    return leased


@dag(
    schedule=[tasks.PUBLICATION] if SETTINGS.schedule else None,
    catchup=False,
    max_active_runs=1,
    default_args=tasks.DEFAULT_ARGS,
    params={
        "publication": Param(
            None,
            type=["null", "string"],
            title="Publication",
            description="Its id; none: the one that has just come out, else the current one.",
        )
    },
    doc_md=__doc__,
    tags=["models"],
)
def reports() -> None:
    """The only step."""
    draw()


reports()
