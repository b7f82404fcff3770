"""The rules that decide what becomes of a version; a person may still have to approve."""

from collections.abc import Mapping, Sequence

from ml.config import Lead
from ml.registry import Registered
from ml.scores import metrics
from ml.scores.config import Forest, Promotion, UseCase
from ml.scores.evaluation import Unusual

PROMOTED, KEPT, REFUSED, UNCHANGED = "promoted", "kept_as_challenger", "refused", "unchanged"


def verdict(
    use_case: UseCase,
    evaluated: metrics.Evaluated,
    champion: Registered | None,
    *,
    slope: float,
    incomparable: str,
    broken: Sequence[str],
) -> tuple[str, str]:
    """What becomes of a version, and why in one sentence.

    Args:
        use_case: its rules.
        evaluated: version, baselines and champion on the same matured out-of-time rows.
        champion: the present one, if another.
        slope: of the calibration; not above 0 means that the ranking is the wrong way round.
        incomparable: why the champion cannot score any more; empty when it can.
        broken: guardrails that the version breaks, in words.
    """
    rules = use_case.promotion
    assert rules is not None  # noqa: S101 - a model with labels has rules
    name = rules.metric.replace("_", " ")
    own = evaluated.metrics[""][rules.metric]
    found = (
        f"{name[0].upper()}{name[1:]} {own.value:.3f} ({own.lo:.3f} to {own.hi:.3f}) at a base rate of "
        f"{evaluated.base_rate:.1%}"
    )
    if slope <= 0:
        return REFUSED, f"On the calibration dates the model ranks the wrong way round (slope {slope:.2f})."
    if unbeaten := _unbeaten(evaluated, rules):
        return REFUSED, f"{found}; no better than its baselines: {'; '.join(unbeaten)}."
    rival = min(use_case.baselines, key=lambda other: evaluated.gains[other].value)
    against = (
        f"the best baseline, {rival.replace('_', ' ')}, has {_value(evaluated, rules, rival)}, a difference "
        f"of {_interval(evaluated.gains[rival])}"
    )
    if broken:
        # A shadow of a champion that cannot score would be compared with nothing.
        verdict = KEPT if champion is not None and not incomparable else REFUSED
        return verdict, f"{found}; {against}. It breaks {len(broken)} guardrails: {'; '.join(broken)}."
    if champion is None:
        return PROMOTED, f"{found}; {against}. It is the first champion."
    if incomparable:
        return PROMOTED, (
            f"{found}; {against}. Champion {champion.version} can no longer score, its features differ: "
            f"{incomparable}."
        )
    gain = evaluated.gains["champion"]
    better = _better(gain, rules.over_champion)
    return PROMOTED if better else KEPT, (
        f"{found}; champion {champion.version} has {_value(evaluated, rules, 'champion')} on the same rows. "
        f"The difference is {_interval(gain)}: it {'is' if better else 'must be'} positive with a lower "
        f"bound above {rules.over_champion:g}."
    )


def unusual_verdict(use_case: UseCase, found: Unusual, champion: Registered | None) -> tuple[str, str]:
    """The same for a model without labels: it must set the same rows apart whatever its seed.

    Args:
        use_case: its rules.
        found: what was measured.
        champion: the present one, if another.
    """
    assert isinstance(use_case.estimator, Forest)  # noqa: S101 - the kind without labels
    least, most = use_case.estimator.least_stability, use_case.estimator.most_score_psi
    text = (
        f"Ranks agree by {found.agreement:.3f} under another seed; the scores moved by a PSI of "
        f"{found.psi:.3f} since the training days"
    )
    if found.agreement < least:
        return REFUSED, f"{text}. Needed is an agreement of {least:g}."
    if found.psi > most:
        return REFUSED, f"{text}. Above {most:g} the training rows say little about tonight's."
    after = f"It follows {champion.version}" if champion else "It is the first champion"
    return PROMOTED, f"{text}. {after}: without labels the newer one counts."


def _unbeaten(evaluated: metrics.Evaluated, rules: Promotion) -> list[str]:
    return [
        f"{name.replace('_', ' ')} has {_value(evaluated, rules, name)}, a difference of "
        f"{_interval(evaluated.gains[name])} that must be positive{' for certain' * (lead == 'certain')}"
        for name, lead in rules.over_baselines.items()
        if not leads(evaluated.gains[name], lead)
    ]


def leads(gain: metrics.Estimate, lead: Lead) -> bool:
    """Whether a version is as much better than a baseline as its rules ask (docs/decisions/0021)."""
    return (gain.lo if lead == "certain" else gain.value) > 0


def _better(gain: metrics.Estimate, margin: float) -> bool:
    return gain.value > 0 and gain.lo > margin


def _value(evaluated: metrics.Evaluated, rules: Promotion, scorer: str) -> str:
    found: Mapping[str, metrics.Estimate] = evaluated.metrics[scorer]
    return f"{found[rules.metric].value:.3f}"


def _interval(estimate: metrics.Estimate) -> str:
    return f"{estimate.value:+.3f} ({estimate.lo:+.3f} to {estimate.hi:+.3f})"
