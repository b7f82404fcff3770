"""
### What
Trains a model on the current publication, judges it on later dates beside its baselines, and registers it.
What becomes of it (champion, challenger, refused) is decided by the rules in the model's YAML; the first
champion needs no person.

### Inputs and outputs
Inputs: the current publication; `ml/models/<model>.yml`.
Outputs: a registered version, its metrics and the decision with its reason in `operations.db`; the asset
event `champion` when there is a new one. Nights score with it from their next as-of date on.

### When it is urgent
Never: nights go on with the champion they have, or publish without scores.

### How to run it again
Trigger it again with the same `model`. The same publication gives the same model; a refusal is a result,
not a failure: `champion` is skipped and its log says why.

### Tasks
| task | retries | timeout | what a retry overwrites |
|---|---|---|---|
| publication | 2 | 5 min | nothing, it reads |
| train | 1 | 3 h | nothing; a version that the first try registered stays without a decision |
| record | 2 | 5 min | nothing; a decision is recorded once a run |
| champion | 2 | 5 min | nothing; it announces |
"""

from datetime import timedelta
from typing import Any

from airflow.sdk import CronTriggerTimetable, Param, chain, dag, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException

from nightledger import airflow_tasks
from nightledger.settings import Settings


@task(execution_timeout=timedelta(minutes=5))
def publication() -> str:
    """Id of what the model is to learn from."""
    from nightledger import publications

    current = publications.current_id(Settings())
    if current is None:
        raise publications.PublicationError("Nothing is published yet: run the DAG history first.")
    return current


@task(execution_timeout=timedelta(hours=3), retries=1)
def train_model(model: str, publication_id: str) -> dict[str, Any]:
    """Train, judge and register."""
    from ml import training
    from nightledger import operations

    settings = Settings()
    with operations.stage(settings, airflow_tasks.run_name(), "train") as detail:
        outcome = training.train(settings, model, publication_id).as_dict()
        detail.update(verdict=outcome["verdict"], version=outcome["version"])
    return outcome


@task(execution_timeout=timedelta(minutes=5))
def record(outcome: dict[str, Any]) -> None:
    """Keep what was measured and decided."""
    from nightledger import operations

    operations.record_training(Settings(), outcome, airflow_tasks.run_name())


@task(execution_timeout=timedelta(minutes=5), outlets=[airflow_tasks.CHAMPION])
def champion(outcome: dict[str, Any]) -> None:
    """Tell whoever waits for a new champion; skipped when there is none."""
    if outcome["verdict"] != "promoted":
        raise AirflowSkipException(f"No new champion: {outcome['verdict']}. {outcome['reason']}")
    extra = {key: outcome[key] for key in ("model", "version", "publication_id")}
    get_current_context()["outlet_events"][airflow_tasks.CHAMPION].extra = extra


@dag(
    # Without a start date, switching it on waits for the next month instead of running the last one.
    schedule=CronTriggerTimetable("0 6 1 * *", timezone="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args=airflow_tasks.DEFAULT_ARGS,
    params={
        "model": Param(
            "churn", type="string", title="Model", description="A file in ml/models, without .yml."
        )
    },
    doc_md=__doc__,
    tags=["models"],
)
def train() -> None:
    """Order of the steps."""
    pinned = publication()
    outcome = train_model.override(task_id="train")("{{ params.model }}", pinned)
    chain(pinned, outcome, record(outcome), champion(outcome))


train()
