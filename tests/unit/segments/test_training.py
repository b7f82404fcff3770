"""How segments are fitted: how many there are, what is refused, when the champion stays."""

import json
from contextlib import redirect_stdout
from dataclasses import replace
from datetime import date, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from ml import config
from ml.evaluate import Asked
from ml.families import Refused, TooLittle
from ml.features import DatasetError, Feature
from ml.promotion import KEPT as STAYS
from ml.promotion import PROMOTED
from ml.segments import choice, fitting, rows, steps
from ml.segments.choice import Candidate
from ml.segments.config import Segments
from ml.segments.model import Segmentation
from nightledger import warehouse
from nightledger.settings import Settings
from tests.unit.segments.bank import COLUMNS, DAYS, KINDS, PER_KIND, job, publish, small


def test_four_kinds_of_customers_are_four_segments(settings: Settings) -> None:
    """Numbers by silhouette alone, names that say nothing, no judgement, or one of a wrong number of rows."""
    trained = steps.train(job(settings, small()), "bank", None)
    own = Segmentation.from_files(trained.files)
    assert trained.verdict == PROMOTED
    assert "4 segments" in trained.reason
    assert [segment.id for segment in own.segments] == [1, 2, 3, 4]
    assert len({segment.name for segment in own.segments}) == 4
    kinds: dict[int, set[str]] = {}
    for row in trained.heldout.to_pylist():
        kinds.setdefault(row["segment_id"], set()).add(row["customer_id"][:4])
        assert row["as_of_date"] == DAYS[-1]
    assert sorted(map(len, kinds.values())) == [1, 1, 1, 1]
    (name,) = [segment.name for segment in own.segments if kinds[segment.id] == {"gone"}]
    assert set(name.lower().removeprefix("very ").split(", ")) & {"quiet", "rarely active", "low spend"}
    assert {row["metric"] for row in trained.metrics} >= {"mean_agreement", "silhouette", "share_psi"}
    fitted = [row for row in trained.metrics if row["dataset"] == "fitted"]
    counts = {row["n"] for row in fitted if not row["metric"].endswith("_agreement")}
    assert counts == {len(KINDS) * PER_KIND * 3} == {trained.params["training_rows"]}
    assert "| 4 |" in trained.documents["model_card.md"]


def test_the_same_rows_give_the_same_bytes(settings: Settings) -> None:
    """A version for each run of the same training, because threads or starts differ."""
    one, two = (steps.train(job(settings, small()), "bank", None).files for _ in range(2))
    assert one == two
    assert Segmentation.from_files(one).files() == one


def test_a_training_before_the_refit_is_due_keeps_the_champion(settings: Settings, registered: Any) -> None:
    """Segments that change every month, though the centres are promised to stay a quarter."""
    then, now = job(settings, small(), DAYS[-1] - timedelta(days=89)), job(settings, small())
    champion = registered.keep(then, steps.train(then, "bank", None).files)
    early = steps.train(now, "bank", champion)
    assert early.verdict == STAYS
    assert "due from 2026-04-01 on" in early.reason
    other_numbers = job(settings, small(refit_after_days=30))
    assert steps.train(other_numbers, "bank", champion).verdict == PROMOTED


def test_a_second_training_of_a_publication_finds_itself(settings: Settings, registered: Any) -> None:
    """A champion that becomes its own predecessor, and a new version each time the task is run again."""
    this = job(settings, small())
    trained = steps.train(this, "bank", None)
    champion = registered.keep(this, trained.files)
    assert steps.train(this, "bank", champion).files == trained.files


def candidate(k: int, silhouette: float, *broken: str) -> Candidate:
    return Candidate(k, np.zeros((k, 1)), 1.0, 1.0, 0.2, silhouette, broken)


@pytest.mark.parametrize(
    ("found", "before", "chosen"),
    [
        ([(3, 0.40), (4, 0.36), (5, 0.38)], None, 5),
        ([(3, 0.44), (4, 0.36), (5, 0.38)], None, 3),
        ([(3, 0.40)], None, 3),
        ([(3, 0.40), (4, 0.36), (5, 0.38)], 4, 4),
        ([(3, 0.40), (4, 0.36), (5, 0.42)], 4, 5),
        ([(3, 0.40), (5, 0.38)], 4, 5),
        ([], 4, None),
    ],
)
def test_the_number_is_the_best_separated_that_people_can_live_with(
    found: list[tuple[int, float]], before: int | None, chosen: int | None
) -> None:
    """Three segments because fewer are always further apart, or another number at each refit."""
    taken = choice.choose(
        small().clusters, [candidate(6, 0.9, "unstable"), *(candidate(*one) for one in found)], before
    )
    assert (taken.k if taken else None) == chosen


def test_what_no_bootstrap_finds_again_is_refused(tmp_path: Path) -> None:
    """Segments cut through a cloud that has none; the words must hold the figures."""
    described = small(clusters={"mean_agreement": 0.99, "least_agreement": 0.99, "most": 4, "starts": 1})
    cloudy = publish(tmp_path / "home", {name: (10.0, 10.0, 10.0) for name in KINDS})
    with pytest.raises(
        TooLittle, match=r"No number of segments keeps the rules: 3 segments: agreement 0\.\d+"
    ):
        steps.train(job(cloudy, described), "bank", None)


def test_too_few_customers_or_dates_are_refused(settings: Settings) -> None:
    """Eight segments of thirty customers, or a judgement on the rows that were fitted."""
    with pytest.raises(TooLittle, match="240 active ones at a month-end"):
        steps.train(job(settings, small(least_customers=241)), "bank", None)
    with pytest.raises(TooLittle, match="0 month-ends"):
        steps.train(job(settings, small()), "nobody", None)
    unknown = small(
        scaling={"columns": [*COLUMNS[:2], "tenure_days"], "weights": {}},
        names={"words": {}},
    )
    with pytest.raises(DatasetError, match="no feature tenure_days"):
        steps.train(job(settings, unknown), "bank", None)


def test_spend_without_merchants_is_refused_as_such() -> None:
    """A client of purchases only that is told it has 0 active customers."""
    import yaml

    spend = Segments(
        name="segments_spend", **yaml.safe_load((config.MODELS / "segments_spend.yml").read_text())
    )
    names = ("client_id", "customer_id", "as_of_date", *spend.columns)
    features = [Feature(name, name, "share", "d1") for name in spend.columns]
    nobody = rows.Rows(pa.table({name: pa.array([], pa.float32()) for name in names}), spend.columns, "")
    with pytest.raises(TooLittle, match=r"No merchant or category .* segments_rfm needs none"):
        fitting.fit(spend, features, nobody, DAYS[-1], None, "")


def test_a_sample_is_of_customers_with_all_their_dates(settings: Settings) -> None:
    """Half of a customer's months in the sample, and so draws that are no draws of customers."""
    described = small(clusters={"most_customers": 100})
    with warehouse.connect(settings.builds / "current", settings=settings) as connection:
        found = rows.read(connection, described, "bank", DAYS)
    assert len(found) == 100 * len(DAYS)
    assert np.array_equal(np.bincount(found.customers), np.full(100, len(DAYS)))


def test_drift_is_told(settings: Settings, first: Segmentation) -> None:
    """Shares that have moved since the fit while the figure stays at nothing."""
    same, moved = np.array([0.25] * 4), np.array([0.55, 0.15, 0.15, 0.15])
    assert fitting.share_psi(same, same) == 0
    assert fitting.share_psi(same, moved) == pytest.approx(
        0.3 * np.log(0.55 / 0.25) - 3 * 0.1 * np.log(0.15 / 0.25)
    )


def test_an_evaluation_follows_the_months_after_the_fit(settings: Settings, tmp_path: Path) -> None:
    """Months of the judgement among those that were fitted, or files that say nothing of the months."""
    said = StringIO()
    asked = Asked("segments_rfm.bank", DAYS[2], DAYS[3], folder=tmp_path / "out")
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(said):
        patch.setattr(config, "read", lambda name, folder=None: small())
        steps.evaluate(settings, asked, Console(file=said, width=200))
        with pytest.raises(Refused, match="0 month-ends before 2025-12-01"):
            steps.evaluate(settings, replace(asked, first=date(2025, 12, 1)), Console(file=said))
    told = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert told["fitted"] == "2025-12-31 to 2026-01-31"
    stayed = [row for row in told["metrics"] if row["metric"] == "stayed"]
    assert [row["window_label"] for row in stayed] == ["2026-03-31"]
    assert stayed[0]["value"] == 1
    assert pq.read_table(tmp_path / "out" / "predictions.parquet").num_rows == 2 * 4 * PER_KIND
    assert "where they were a month before" in said.getvalue()
    assert "# segments_rfm.bank" in (tmp_path / "out" / "model_card.md").read_text()


@pytest.mark.parametrize(
    "changes",
    [
        {"names": {"words": {"tenure_days": {"high": "old"}}}},
        {"scaling": {"weights": {"tenure_days": 2.0}}},
        {"scaling": {"weights": {"transactions_90d": 0.0}}},
        {"clusters": {"least": 7, "most": 6}},
        {"names": {"words": {"transactions_90d": {"high": "50 %; often"}}}},
    ],
)
def test_numbers_that_do_not_fit_are_refused(changes: dict[str, Any]) -> None:
    """A misspelt column in the YAML that silently changes nothing."""
    with pytest.raises(ValueError, match=r"words|weights|clusters"):
        small(**changes)
