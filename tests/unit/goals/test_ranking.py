"""What the learned order of life events makes of labels that say nothing."""

from datetime import date

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from ml import config
from ml.goals import ranking
from ml.goals.cases import Cases
from ml.goals.config import Goals

EVENTS = ("car", "child", "home", "job", "marriage")
EACH = 3000


def cases(seed: int, *, shuffled: bool) -> Cases:
    """One event in each case: that of the strongest evidence, or of another case's."""
    rng = np.random.default_rng(seed)
    strength = np.round(rng.random((EACH, len(EVENTS))), 2) * (rng.random((EACH, len(EVENTS))) < 0.6)
    happened = np.eye(len(EVENTS))[strength.argmax(axis=1)]
    return Cases(
        names=np.array([f"C{number:04d}" for number in range(EACH)], dtype=object),
        day=np.array([date(2025, 6, 30)] * EACH, dtype=object),
        segment=np.array([f"segment {number % 3}" for number in range(EACH)], dtype=object),
        strength=strength,
        evidence=(strength > 0).astype(float),
        happened=rng.permutation(happened) if shuffled else happened,
        events=EVENTS,
    )


@pytest.mark.parametrize("shuffled", [True, False])
def test_events_that_say_nothing_teach_no_order(shuffled: bool) -> None:
    """Catches a ranker that has seen the events it is judged by, and a judgement that would not notice."""
    rules = config.read("life_events")
    assert isinstance(rules, Goals)
    later = cases(2, shuffled=shuffled)
    scores = ranking.fit(rules, cases(1, shuffled=shuffled)).scores(later)
    # Ranks within a case: what trees say of two cases is not comparable.
    ranks = scores.argsort(axis=1).argsort(axis=1)
    found = roc_auc_score(later.happened.ravel(), ranks.ravel())
    assert found == pytest.approx(0.5, abs=0.03) if shuffled else found > 0.95
