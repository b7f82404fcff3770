"""Every model that learns from labels, on labels that say nothing."""

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import roc_auc_score

from ml import config
from ml.datasets import Rows
from ml.dates import Split
from ml.scores import fitting
from ml.scores.config import UseCase
from nightledger.dbt import reference

PROJECT = Path(__file__).parents[3]
DEFINITIONS = reference.read_definitions(PROJECT / reference.DEFINITIONS)
DAYS = tuple(date(2025, 1, 1) + timedelta(days=n) for n in range(8))
EACH = 2500


def features_of(use_case: UseCase) -> tuple[str, ...]:
    """Names of the columns that the use case may read."""
    allowed = use_case.allowed_as or use_case.name
    found = tuple(one.name for one in DEFINITIONS if allowed in one.allowed_in)
    assert set(use_case.only) <= set(found)
    return tuple(name for name in found if name in (use_case.only or found))


def supervised() -> list[str]:
    """Models with labels."""
    found = [(name, config.read(name)) for name in config.names(config.MODELS)]
    return [name for name, case in found if isinstance(case, UseCase) and case.label is not None]


@pytest.mark.parametrize("model", supervised())
def test_labels_that_say_nothing_teach_nothing(model: str) -> None:
    """Catches a search, a calibration or an undersampling that has seen the labels it is judged by."""
    use_case = config.read.genuine(model)  # type: ignore[attr-defined]
    rng = np.random.default_rng(5)
    n = EACH * len(DAYS)
    names = features_of(use_case)
    columns = {name: rng.lognormal(size=n).astype(np.float32) for name in names}
    table = pa.table(
        {
            "client_id": ["a"] * n,
            "entity_id": [f"{i:05d}" for i in range(n)],
            "as_of_date": [day for day in DAYS for _ in range(EACH)],
            "day": [day for day in DAYS for _ in range(EACH)],
            "customer_id": [f"{i % EACH:05d}" for i in range(n)],
            "label": (rng.random(n) < 0.1).astype(np.int32),
            **columns,
        }
    )
    rows = Rows(table, names, "1")
    dates = Split(fit=DAYS[:4], calibration=DAYS[4:6], test=DAYS[6:])
    test = rows.of(dates.test)
    fitted = fitting.fit(use_case, (), rows, dates, 2)
    assert len(names) > 3
    assert roc_auc_score(test.labels(), fitted.margins(test.table, 2)) == pytest.approx(0.5, abs=0.045)
