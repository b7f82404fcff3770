"""Which recorded change an incident is blamed on: the first upstream one that can explain it.

What a change does shows in its own time. A release, a change to dbt or a client's setting moves a feature at
once, a file that is missing within days, a column that came to be empty only as the window of the feature
fills with such days. So each kind has its own reach backwards, and a jump from one date to the next is first
asked of what changed on that very date.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from nightledger.incidents.changes import EVERYTHING, Change
from nightledger.incidents.lineage import Lineage

CUSTOMERS = "customers"
NOTHING_OF_OURS = "No change of ours was found."
SOON = 7
"""Days within which what acts at once is seen, if at all."""
JUMP_DAYS = 3
WINDOW = re.compile(r"_(\d+)d$")
USUAL_WINDOW = 90


@dataclass(frozen=True)
class Sighting:
    """A drift that is to be explained.

    Attributes:
        about: the feature, or `score of <model>`.
        model: which it moves most.
        started_on: first as-of date above the threshold.
        is_jump: on the date before it was less than half of what it is.
        behind: what it comes from, see `Lineage.behind_feature`.
    """

    client_id: str
    about: str
    model: str
    started_on: date
    is_jump: bool
    behind: Collection[str]

    def window(self) -> int:
        """Days that the feature looks back, by its name."""
        found = WINDOW.search(self.about)
        return int(found[1]) if found else USUAL_WINDOW


def candidates(sighting: Sighting, changes: Sequence[Change]) -> list[Change]:
    """Changes that can explain a drift, the blamed one first, the others oldest first."""
    fitting = [change for change in changes if _touches(change, sighting) and _reaches(change, sighting)]
    if sighting.is_jump:
        since = sighting.started_on - timedelta(days=JUMP_DAYS)
        if sudden := [change for change in fitting if change.as_of_date > since]:
            rest = [change for change in fitting if change not in sudden]
            return _in_order(sudden) + _in_order(rest)
    return _in_order(fitting)


def _in_order(changes: Sequence[Change]) -> list[Change]:
    return sorted(changes, key=lambda change: (change.as_of_date, _RANK.get(change.kind, 9), change.about))


_RANK = {
    kind: rank
    for rank, kind in enumerate(
        (
            "layout",
            "missing file",
            "refused file",
            "late file",
            "corrected file",
            "rules",
            "dbt",
            "client",
            "model",
        )
    )
}
"""Of changes of one date, the one that lies further upstream comes first."""


def _touches(change: Change, sighting: Sighting) -> bool:
    if change.client_id not in ("", sighting.client_id):
        return False
    if change.kind == "model":
        return f"model {sighting.model.partition('.')[0]}" in change.touches
    return EVERYTHING in change.touches or any(name in sighting.behind for name in change.touches)


def _reaches(change: Change, sighting: Sighting) -> bool:
    """Whether a change lies in the days from which it can be seen on the date of a drift."""
    is_slow = change.kind == "layout" and any(name.count(".") == 2 for name in change.touches)
    days = sighting.window() if is_slow else SOON
    return sighting.started_on - timedelta(days=days) <= change.as_of_date <= sighting.started_on


def behind(lineage: Lineage, about: str, features: Collection[str]) -> frozenset[str]:
    """What an alert comes from: of a score, all features of its model."""
    if not about.startswith("score of "):
        return lineage.behind_feature(about)
    return frozenset().union(*(lineage.behind_feature(feature) for feature in features))
