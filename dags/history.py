"""
### What
Loads a bank's past in one night: features at every month-end since its first business date and at
`as_of_date`, without scores, since no model existed then. It is the first run of an installation; training
needs what it makes.

### Inputs and outputs
Inputs: the inbox, `sources/*.yml`, and the current publication if there is one.
Output: a publication, and the asset event `publication`.

### When it is urgent
Never by itself: it is run by hand, and readers keep the last publication until it is through.

### How to run it again
Trigger it for the date. Every month-end is built again from what was known then; those of a period only:
`make features FROM=D TO=D`. What a failed run left is moved to `builds/abandoned/`; clearing its failed task
instead goes on from there.

### Tasks
Errors are tried again; failed tests, a failed audit and a refused publication fail at once.

| task | retries | timeout | what a retry overwrites |
|---|---|---|---|
| take_lock | 2 | 12 h of waiting | nothing; the lock is the run's own |
| open | 2 | 30 min | a half-made copy; a whole one is resumed |
| ingest | 2 | 2 h | nothing; a file is loaded whole or not at all, and once |
| dbt_merchants, dbt_features, dbt_marts | 2 | 2 h | the nodes that broke, and what hangs on them |
| enrich | 2 | 1 h | its own result |
| audit | 2 | 1 h | `audit.json` of the build |
| publish | 2 | 30 min | nothing; it goes on from the step it had reached |
| warm_dashboards | 0 | 20 min | answers in the cache; it never fails the run |
"""

from airflow.sdk import chain, dag

from nightledger.airflow import tasks as steps


@dag(
    schedule=None,
    catchup=False,
    max_active_runs=1,
    default_args=steps.DEFAULT_ARGS,
    params={"as_of_date": steps.AS_OF_DATE, "force": steps.FORCE, "since": steps.SINCE},
    doc_md=__doc__,
    tags=["night"],
)
def history() -> None:
    """Order of the steps."""
    chain(
        steps.take_lock(),
        steps.open_night("history"),
        steps.ingest(),
        steps.dbt.override(task_id="dbt_merchants")("merchants"),
        steps.enrich(),
        steps.dbt.override(task_id="dbt_features")("features"),
        steps.dbt.override(task_id="dbt_marts")("marts"),
        steps.audit(),
        steps.publish(),
        steps.warm_dashboards(),
    )


history()
