"""The rules that decide what becomes of a version; a person may still have to approve."""

from ml.lifetime_value.config import LifetimeValue
from ml.lifetime_value.holdout import CHAMPION, Judged
from ml.promotion import KEPT, PROMOTED, REFUSED, leads
from ml.registry import Registered


def verdict(
    described: LifetimeValue, judged: Judged, champion: Registered | None, incomparable: str
) -> tuple[str, str]:
    """What becomes of a version, in the words of `ml.promotion`, and why in one sentence.

    Args:
        described: its rules.
        judged: the version, its baselines and the champion on the same days.
        champion: the present one, if it could be compared.
        incomparable: why it could not, in a sentence; empty when it could or there is none.
    """
    rules, own = described.promotion, judged.errors[""]
    found = f"WAPE {own.value:.3f} ({own.lo:.3f} to {own.hi:.3f}) of the days held out"
    unbeaten = [
        f"{name.replace('_', ' ')} has {judged.errors[name].value:.3f}, {_saved(judged, name)}"
        for name, lead in rules.over_baselines.items()
        if not leads(judged.gains[name], lead)
    ]
    if unbeaten:
        return REFUSED, f"{found}; not surely better than its baselines: {'; '.join(unbeaten)}."
    rival = min(rules.over_baselines, key=lambda name: judged.gains[name].value)
    found += (
        f"; the best baseline, {rival.replace('_', ' ')}, has {judged.errors[rival].value:.3f}, "
        f"{_saved(judged, rival)}"
    )
    if incomparable:
        return PROMOTED, f"{found}. {incomparable}"
    if champion is None:
        return PROMOTED, f"{found}. It is the first champion."
    gain = judged.gains[CHAMPION]
    better = gain.value > 0 and gain.lo > rules.over_champion
    return PROMOTED if better else KEPT, (
        f"{found}. Champion {champion.version} has {judged.errors[CHAMPION].value:.3f} on the same "
        f"days, {_saved(judged, CHAMPION)}: it {'is' if better else 'must be'} positive with a lower bound "
        f"above {rules.over_champion:g}."
    )


def _saved(judged: Judged, name: str) -> str:
    gain = judged.gains[name]
    return f"a difference of {gain.value:+.3f} ({gain.lo:+.3f} to {gain.hi:+.3f})"
