"""How a new version of a model comes to score: by the promotion rules, or by a person's approval."""

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from nightledger.clients import Client, ClientError
from nightledger.governance.ledger import (
    APPROVED,
    AWAITING,
    DEMOTED,
    KEPT,
    PROMOTED,
    REJECTED,
    UNCHANGED,
    WITHDRAWN,
    Decision,
    GovernanceError,
    append,
    appending,
    decisions,
    from_now_on,
    keep_measured,
    metrics_of,
    standing,
)
from nightledger.settings import Settings

BY_RULES = "promotion rules"


def who_approves(clients: Mapping[str, Client], model: str) -> list[str]:
    """Clients whose settings ask for a person's approval before a version of the model scores."""
    return [name for name, client in clients.items() if client.approval.asks_for(model)]


def check_clients(clients: Mapping[str, Client], models: Collection[str]) -> None:
    """Refuse settings that name a model which does not exist: a slip would switch a safeguard off.

    Raises:
        ClientError: names client and model.
    """
    for name, client in clients.items():
        named = {*client.loss_limits, *([] if client.approval.models == "all" else client.approval.models)}
        if unknown := sorted(named - set(models)):
            raise ClientError(
                f"{name}.yml: approval or loss_limits names {', '.join(unknown)}; there are: "
                f"{', '.join(sorted(models))}"
            )


def record_training(
    settings: Settings,
    outcome: Mapping[str, Any],
    run_id: str,
    *,
    compared_with: str | None = None,
    approvers: Sequence[str] = (),
) -> Decision:
    """Append what a training decided and measured; a second call for the same run changes nothing.

    What the run judged counts as of when it began. If another version has become champion since, that one
    stays and this one is its challenger: nothing that was decided meanwhile is undone.

    Args:
        settings: of the installation.
        outcome: `ml.training.TrainingOutcome.as_dict()`.
        run_id: the training run.
        compared_with: the champion when the run began, against which it judged.
        approvers: clients that ask for a person's approval.

    Returns:
        The decision.
    """
    model, version = outcome["model"], outcome["version"]
    with appending(settings, model) as (connection, rows):
        if mine := [row for row in rows if row["run_id"] == run_id]:
            return mine[0]
        decision, reason = _decide(rows, outcome, compared_with, approvers)
        now = standing(rows)
        row = append(
            connection,
            model=model,
            version=version,
            decision=decision,
            reason=reason,
            decided_by=BY_RULES,
            run_id=run_id,
            publication_id=outcome["publication_id"],
            trained_on_as_of=date.fromisoformat(str(outcome["trained_on_as_of"])),
            artefact_sha256=outcome["artefact_sha256"],
            compared_with=compared_with,
            champion_after=version if decision == PROMOTED else now.champion,
            applies_after=date.fromisoformat(str(outcome["trained_on_as_of"])),
            evidence=json.dumps(outcome["guardrails"]),
            known_at=datetime.fromisoformat(str(outcome["known_at"])),
        )
        keep_measured(connection, outcome, row)
    return row


def _decide(
    rows: Sequence[Decision], outcome: Mapping[str, Any], compared_with: str | None, approvers: Sequence[str]
) -> tuple[str, str]:
    """What becomes of a version that was judged, and why."""
    version, reason = outcome["version"], outcome["reason"]
    judged = outcome["standing"] if outcome["verdict"] == UNCHANGED else outcome["verdict"]
    before = [row for row in rows if version and row["version"] == version and row["decision"] != UNCHANGED]
    now = standing(rows)
    if judged != PROMOTED:
        return (UNCHANGED if before else judged), reason
    if version == now.champion:
        return UNCHANGED, f"It is the champion already. {reason}"
    if before and before[-1]["decision"] in (REJECTED, DEMOTED, WITHDRAWN):
        last = before[-1]
        return UNCHANGED, (
            f"This very version was {last['decision']} by {last['decided_by']}: {last['reason']} Rules do "
            f"not bring it back. {reason}"
        )
    if now.champion != compared_with:
        return KEPT, (
            f"It was judged against {compared_with or 'no champion'}, and {now.champion or 'nothing'} has "
            f"taken that place since, which stays: the next training compares the two. {reason}"
        )
    if now.is_withdrawn:
        return AWAITING, f"{reason} The model was withdrawn, so a person must let it score again."
    if approvers:
        return AWAITING, f"{reason} Approval is asked for by {', '.join(approvers)}."
    return PROMOTED, reason


def answer(
    settings: Settings, run_id: str, model: str, *, is_approved: bool, by: str, said: str = ""
) -> Decision:
    """Append what a person answered about the version that a run asked about; the first answer counts.

    Approval takes effect only if the champion is still the one that the person saw beside it.

    Args:
        settings: of the installation.
        run_id: the training run that asked.
        model: which model it asked about.
        is_approved: let it score, or not.
        by: who answered.
        said: their words.

    Returns:
        The decision.

    Raises:
        GovernanceError: the run has asked nothing about the model.
    """
    with appending(settings, model) as (connection, rows):
        asked = next((row for row in rows if (row["run_id"], row["decision"]) == (run_id, AWAITING)), None)
        if asked is None:
            raise GovernanceError(f"{run_id} awaits no approval of {model}")
        if answered := [row for row in rows if row["run_id"] == run_id and row["decision"] != AWAITING]:
            return answered[0]
        now = standing(rows)
        decision, reason = (APPROVED if is_approved else REJECTED), said.strip() or asked["reason"]
        if is_approved and now.champion != asked["compared_with"]:
            decision = KEPT
            reason = (
                f"Approved beside {asked['compared_with'] or 'no champion'}, and "
                f"{now.champion or 'nothing'} has taken that place since, which stays: the next training "
                f"compares the two. {reason}"
            )
        kept = ("version", "trained_on_as_of", "artefact_sha256", "compared_with", "evidence")
        return append(
            connection,
            model=model,
            **{name: asked[name] for name in kept},
            decision=decision,
            reason=reason,
            decided_by=by,
            run_id=run_id,
            champion_after=asked["version"] if decision == APPROVED else now.champion,
            **from_now_on(settings, asked["trained_on_as_of"]),
        )


def settle(
    settings: Settings,
    run_id: str,
    model: str,
    answered: Mapping[str, Any] | None,
    *,
    started_by: str | None = None,
) -> Decision:
    """What a run has decided about a model in the end.

    Nobody lets a version score that they had trained themselves; taking it back is always allowed.

    Args:
        settings: of the installation.
        run_id: the training run.
        model: which model.
        answered: what Airflow says of a person's answer; None: nobody was asked. Where time ran out nobody
            has answered, and the version keeps waiting.
        started_by: who started the run, as Airflow names them; None: nobody did.

    Raises:
        GovernanceError: the run has decided nothing about the model, or who started it approved it.
    """
    person = answered["responded_by_user"] if answered else None
    if answered and person:
        by, is_approved = person["name"] or person["id"], answered["chosen_options"] == ["Approve"]
        if is_approved and by == started_by:
            raise GovernanceError(
                f"{by} started the training of {model}, so somebody else must say whether it may score: "
                "an administrator clears the task `approve` of this run, which asks again."
            )
        return answer(
            settings,
            run_id,
            model,
            is_approved=is_approved,
            by=by,
            said=(answered["params_input"] or {}).get("comment") or "",
        )
    mine = [row for row in decisions(settings, model) if row["run_id"] == run_id]
    if not mine:
        raise GovernanceError(f"{run_id} has decided nothing about {model}")
    return mine[-1]


def is_new_champion(decision: Mapping[str, Any]) -> bool:
    """Whether a decision lets another version score than before."""
    return decision["decision"] in (PROMOTED, APPROVED)


def is_awaiting(decision: Mapping[str, Any]) -> bool:
    """Whether a person is to be asked."""
    return bool(decision["decision"] == AWAITING)


def request(settings: Settings, decision: Mapping[str, Any]) -> dict[str, str]:
    """What a person is asked about a version, as Markdown; JSON-able.

    Args:
        settings: of the installation.
        decision: of `record_training`, that waits for a person.

    Returns:
        model, subject and body.
    """
    model, version = decision["model"], decision["version"]
    measured = metrics_of(settings, model, version)
    beside = sorted({row["baseline"] for row in measured} - {""})
    overall = {
        (row["metric"], row["baseline"]): row
        for row in measured
        if row["dataset"] == "out_of_time" and not row["client_id"]
    }
    lines = [("metric", model, *(name.replace("_", " ") for name in beside))]
    lines.append(tuple("---" for _ in lines[0]))
    lines += [
        (metric.replace("_", " "), *(_estimate(overall.get((metric, name))) for name in ("", *beside)))
        for metric in dict.fromkeys(metric for metric, _ in overall)
    ]
    broken = json.loads(decision["evidence"] or "[]")
    card = settings.registry / "models" / model / str(version) / "model_card.md"
    return {
        "model": model,
        "subject": f"Shall {model} {version} score instead of {decision['compared_with'] or 'nothing'}?",
        "body": "\n\n".join(
            (
                decision["reason"],
                "\n".join("| " + " | ".join(line) + " |" for line in lines),
                "Guardrails: " + ("; ".join(map(str, broken)) or "none is broken") + ".",
                f"Model card: `{card}`",
            )
        ),
    }


def _estimate(row: Mapping[str, Any] | None) -> str:
    if row is None or row["value"] is None:
        return "–"
    if row["lo"] is None or row["hi"] is None:
        return f"{row['value']:.3f}"
    return f"{row['value']:.3f} ({row['lo']:.3f} to {row['hi']:.3f})"
