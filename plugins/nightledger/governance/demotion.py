"""Going back to a version that has been champion before: a person says so, or the champion loses too much."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nightledger.governance.ledger import (
    DEMOTED,
    REINSTATED,
    UNCHANGED,
    WITHDRAWN,
    Decision,
    GovernanceError,
    append,
    appending,
    decisions,
    from_now_on,
    standing,
)
from nightledger.settings import Settings

BY_LOSS = "loss limit"
NONE = "none"
"""As the target of a demotion: score with nothing."""


def demote(
    settings: Settings,
    model: str,
    *,
    reason: str,
    by: str,
    run_id: str,
    to: str | None = None,
    only: str | None = None,
    why_not: Callable[[str], str] = lambda _version: "",
    evidence: Mapping[str, Any] | None = None,
) -> Decision:
    """Go back to a version that has been champion before, from the next as-of date on.

    Args:
        settings: of the installation.
        model: whose champion goes.
        reason: why.
        by: who says so.
        run_id: of the run or command that says so.
        to: a version, or `NONE`: score with nothing; default: the last champion before this one that nobody
            has demoted and that can still score.
        only: the champion that is meant; another one is left alone.
        why_not: why a version cannot score any more; empty when it can.
        evidence: figures behind it.

    Returns:
        The decision.

    Raises:
        GovernanceError: there is no such version or none at all to go back to, or no reason is given.
    """
    if not reason.strip():
        raise GovernanceError(f'say why: make demote MODEL={model} REASON="..."')
    if not decisions(settings, model):
        raise GovernanceError(f"nothing was ever decided about a model {model}")
    with appending(settings, model) as (connection, rows):
        champion = standing(rows).champion
        if only not in (None, champion):
            raise GovernanceError(f"{only} is no longer the champion of {model}")
        target = None if to == NONE else _target(model, rows, champion, to, why_not)
        if champion is None and target is None:
            raise GovernanceError(f"{model} has no champion: nothing scores, and nothing can be withdrawn")
        subject = champion or target
        trained = {row["version"]: row for row in rows if row["version"]}
        return append(
            connection,
            model=model,
            version=subject,
            decision=WITHDRAWN if target is None else DEMOTED if champion else REINSTATED,
            reason=reason.strip(),
            decided_by=by,
            run_id=run_id,
            trained_on_as_of=trained[subject]["trained_on_as_of"],
            artefact_sha256=trained[subject]["artefact_sha256"],
            compared_with=champion,
            champion_after=target,
            evidence=json.dumps(evidence) if evidence else None,
            **from_now_on(settings, trained[target or subject]["trained_on_as_of"]),
        )


def _target(
    model: str, rows: Sequence[Decision], champion: str | None, to: str | None, why_not: Callable[[str], str]
) -> str:
    """The version to go back to."""
    crowned, gone = _champions(rows)
    earlier = [version for version in crowned if version != champion]
    if to is not None:
        if to not in earlier:
            there = ", ".join(earlier) or "none"
            raise GovernanceError(
                f"{to} is no earlier champion of {model}, and only what was promoted or approved once can "
                f"be gone back to. There are: {there}"
            )
        if problem := why_not(to):
            raise GovernanceError(f"{to} cannot score any more: {problem}")
        return to
    problems = [f"{version} was demoted, so name it if you mean it" for version in earlier if version in gone]
    for version in sorted(set(earlier) - gone, key=lambda name: -crowned[name]):
        if not (problem := why_not(version)):
            return version
        problems.append(f"{version} cannot score any more: {problem}")
    without = (
        f'To score with nothing: make demote MODEL={model} TO={NONE} REASON="..."'
        if champion
        else "Nothing scores now."
    )
    raise GovernanceError(
        f"{model} has no earlier champion to go back to"
        f"{''.join(f'; {problem}' for problem in problems)}. {without}"
    )


def _champions(rows: Sequence[Decision]) -> tuple[dict[str, int], set[str]]:
    """Row that made each champion one, the last time; and those of them that were demoted since."""
    crowned: dict[str, int] = {}
    demoted: dict[str, int] = {}
    champion = None
    for number, row in enumerate(rows):
        if row["champion_after"] != champion:
            champion = row["champion_after"]
            if champion:
                crowned[champion] = number
        if row["decision"] in (DEMOTED, WITHDRAWN):
            demoted[row["version"]] = number
    return crowned, {version for version, number in demoted.items() if number > crowned.get(version, -1)}


def demote_for_loss(
    settings: Settings, breach: Mapping[str, Any], run_id: str, why_not: Callable[[str], str]
) -> Decision:
    """Go back because the champion loses more than a client allows; said once if there is nowhere to go.

    Args:
        settings: of the installation.
        breach: model, version, reason, and the figures of each client (`ml.scores.losses.breaches`).
        run_id: of the run that found it.
        why_not: see `demote`.
    """
    model = breach["model"]
    try:
        return demote(
            settings,
            model,
            reason=breach["reason"],
            by=BY_LOSS,
            run_id=run_id,
            only=breach["version"],
            why_not=why_not,
            evidence=breach,
        )
    except GovernanceError as error:
        with appending(settings, model) as (connection, rows):
            champion = standing(rows).champion
            said = [row for row in rows if row["decided_by"] == BY_LOSS and row["version"] == champion]
            if said or champion != breach["version"]:
                return [*rows, *said][-1]
            of = next(row for row in reversed(rows) if row["version"] == champion)
            return append(
                connection,
                model=model,
                version=champion,
                decision=UNCHANGED,
                reason=f"{breach['reason']} It stays all the same: {error}",
                decided_by=BY_LOSS,
                run_id=run_id,
                trained_on_as_of=of["trained_on_as_of"],
                artefact_sha256=of["artefact_sha256"],
                compared_with=champion,
                champion_after=champion,
                evidence=json.dumps(breach),
                **from_now_on(settings, of["trained_on_as_of"]),
            )
