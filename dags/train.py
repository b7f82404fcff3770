"""
### What
Trains every model of `ml/models/`, or the one that is named, on the current publication: judges it on later
dates beside its baselines and the champion, and registers it. What becomes of it (champion, challenger,
refused) is decided by the rules in the model's YAML. It runs each month, by hand, and for the models that
an incident of a night asks for (asset event `retrain`): that gives a challenger, and the same rules decide.
Where a client's settings ask for it (`approval`), a
version that the rules would promote waits for a person.

### Inputs and outputs
Inputs: the current publication, leased against pruning until the run is over, for a day at most;
`ml/models/<model>.yml`; the clients' `approval`.
Outputs: registered versions, their metrics and the decisions with who, when and why in `operations.db`
(`make decisions`); the asset event `champion` when there is a new one. Nights score with it from their next
as-of date on.

### When it is urgent
Never: nights go on with the champions they have, or publish without scores. An approval that waits shows
under *Required Actions*; after seven days without an answer the version keeps waiting and the run ends.

### How to run it again
Trigger it again. The same publication gives the same models; a refusal is a result, not a failure: where
nothing was promoted, `champions` is skipped and its log says why. One model that fails does not hold up the
others. A champion that should go: `make demote MODEL=… REASON=…`.

### Tasks
`train` runs once for each model, `approve` and `settle` once for each version that waits for a person.

| task | retries | timeout | what a retry overwrites |
|---|---|---|---|
| publication | 2 | 5 min | nothing; a retry keeps the lease of the first try |
| train | 1 | 3 h | nothing; judged against the champion of the run's start, recorded once |
| complete | – | – | nothing; it fails the run when a training failed |
| champions | 2 | 5 min | nothing; it tells what was decided |
| awaiting | 2 | 5 min | nothing; it reads what was decided |
| approve | 2 | 168 h of waiting | nothing; the first answer counts |
| settle | 2 | 5 min | nothing; an answer is recorded once a run |
| release | 2 | 5 min | nothing; the lease is the run's own |
"""

from datetime import timedelta
from typing import Any

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import (
    AssetOrTimeSchedule,
    CronTriggerTimetable,
    Param,
    chain,
    dag,
    get_current_context,
    task,
)
from airflow.sdk.exceptions import AirflowSkipException

from nightledger.airflow import tasks
from nightledger.airflow.approval import PromotionApproval
from nightledger.settings import Settings

SETTINGS = Settings()


@task(execution_timeout=timedelta(minutes=5))
def publication() -> list[dict[str, Any]]:
    """What is to be trained, on what, and against which champions: all that the run is pinned to."""
    from ml import config, training
    from nightledger import leases, publications
    from nightledger.clients import load_clients
    from nightledger.governance import ledger, promotion

    settings = Settings()
    promotion.check_clients(load_clients(settings), config.names())
    current = publications.current_id(settings)
    if current is None:
        raise publications.PublicationError("Nothing is published yet: run the DAG history first.")
    leased = leases.lease(settings, tasks.run_name(), current)
    wanted = _wanted(get_current_context())
    members = training.members(settings, leased)
    models = [model for model in members if wanted is None or {model, model.partition(".")[0]} & wanted]
    if not models:
        named = ", ".join(sorted(wanted or ()))
        raise config.ConfigError(f"no model {named!r}; there are: {', '.join(members) or 'none'}")
    champions = ledger.champions(settings)
    return [{"model": name, "publication_id": leased, "champion": champions.get(name)} for name in models]


def _wanted(context: Any) -> set[str] | None:
    """The models that a run is for: named by a person, or by the incidents that asked for it; None: all."""
    if named := context["params"]["model"]:
        return {named}
    asked = {
        model
        for events in context["triggering_asset_events"].values()
        for event in events
        for model in (event.extra or {}).get("models", [])
    }
    return asked or None


# One after another: each uses all the threads there are.
@task(execution_timeout=timedelta(hours=3), retries=1, max_active_tis_per_dagrun=1)
def train_model(job: dict[str, Any]) -> None:
    """Train, judge and register; keep what was measured and decided, or that a person is to decide."""
    from ml import training
    from nightledger import operations
    from nightledger.clients import load_clients
    from nightledger.governance import promotion

    settings, model, run = Settings(), job["model"], tasks.run_name()
    with operations.stage(settings, run, f"train {model}") as detail:
        outcome = training.train(settings, model, job["publication_id"], job["champion"]).as_dict()
        detail.update(verdict=outcome["verdict"], version=outcome["version"])
        promotion.record_training(
            settings,
            outcome,
            run,
            compared_with=job["champion"],
            approvers=promotion.who_approves(load_clients(settings), model),
        )
        _align(settings, model)


@task(execution_timeout=timedelta(minutes=5), trigger_rule="all_done", outlets=[tasks.CHAMPION])
def champions() -> None:
    """Tell whoever waits for new champions which there are by the rules; skipped when there is none."""
    from nightledger.governance import ledger, promotion

    decided = ledger.decisions_of(Settings(), tasks.run_name())
    _tell([decision for decision in decided if promotion.is_new_champion(decision)], decided)


@task(execution_timeout=timedelta(minutes=5), trigger_rule="all_done")
def awaiting() -> list[dict[str, Any]]:
    """What people are to be asked."""
    from nightledger.governance import ledger, promotion

    settings = Settings()
    decided = ledger.decisions_of(settings, tasks.run_name())
    return [promotion.request(settings, row) for row in decided if promotion.is_awaiting(row)]


@task(execution_timeout=timedelta(minutes=5), outlets=[tasks.CHAMPION])
def settle(asked: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """Keep what a person answered, and tell of the new champion; skipped when it is none."""
    from nightledger.governance import promotion

    settings, (request, answer) = Settings(), asked
    starter = get_current_context()["dag_run"].triggering_user_name
    run = tasks.run_name()
    decision = promotion.settle(settings, run, request["model"], answer, started_by=starter)
    _align(settings, request["model"])
    _tell([decision] if promotion.is_new_champion(decision) else [], [decision])


@task(execution_timeout=timedelta(minutes=5))
def release() -> None:
    """Let the publication go, whatever became of the models."""
    from nightledger import leases

    leases.release(Settings(), tasks.run_name())


def _align(settings: Settings, model: str) -> None:
    """Let the registry's aliases follow the decisions."""
    from ml import standing
    from nightledger.governance import ledger

    now = ledger.standing(ledger.decisions(settings, model))
    standing.align(settings, model, now.champion, now.challenger)


def _tell(new: list[dict[str, Any]], decided: list[dict[str, Any]]) -> None:
    """Hand the new champions to those who wait for them, or say why there is none."""
    if not new:
        why = "\n".join(
            f"{row['model']}: {row['decision'].replace('_', ' ')}. {row['reason']}" for row in decided
        )
        raise AirflowSkipException(f"No new champion.\n{why}")
    told = [{key: row[key] for key in ("model", "version", "publication_id")} for row in new]
    get_current_context()["outlet_events"][tasks.CHAMPION].extra = {"models": told}


@dag(
    # Monthly, and when an incident asks. Without a start date, switching it on waits for the next month
    # instead of running the last one.
    schedule=AssetOrTimeSchedule(
        timetable=CronTriggerTimetable("0 6 1 * *", timezone="UTC"), assets=tasks.RETRAIN
    )
    if SETTINGS.schedule
    else None,
    catchup=False,
    max_active_runs=1,
    default_args=tasks.DEFAULT_ARGS,
    params={
        "model": Param(
            None,
            type=["null", "string"],
            title="Model",
            description="A file in ml/models, without .yml, or a variant in one; none: all of them.",
        )
    },
    doc_md=__doc__,
    tags=["models"],
)
def train() -> None:
    """Order of the steps."""
    pinned = publication()
    trained = train_model.override(task_id="train").expand(job=pinned)
    asked = awaiting()
    approve = PromotionApproval.partial(
        task_id="approve",
        # Without an answer nothing changes: what is chosen by the clock is told from what a person chose.
        defaults=PromotionApproval.REJECT,
        response_timeout=timedelta(days=7),
        params={"comment": Param(None, type=["null", "string"], title="Why")},
    ).expand_kwargs(asked.map(_question))
    settled = settle.expand(asked=asked.zip(approve.output))
    # The lease is needed for training only; an approval may take a week.
    trained >> release().as_teardown(setups=pinned)
    chain(trained, [champions(), asked, EmptyOperator(task_id="complete")])
    chain(asked, approve, settled)


def _question(request: dict[str, Any]) -> dict[str, Any]:
    return {"subject": request["subject"], "body": request["body"]}


train()
