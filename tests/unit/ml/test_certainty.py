"""How sure a score is: intervals, support and range on rows whose truth is known."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from ml.artefacts import SIDECAR
from ml.registry import Registry
from ml.scores import boosted, certainty, receipts
from ml.scores.certainty import Ground
from ml.scores.model import Model
from ml.training import TrainingOutcome
from tests.unit.ml.bank import FEATURES, Bank

Vector = NDArray[np.float64]
SLOPE, SHIFT = 0.8, -1.5
"""Of the simulated truth: log-odds = 0.8 * margin - 1.5."""


def model_of(ground: Ground | None, calibration: tuple[float, float] = (SLOPE, SHIFT)) -> Model:
    """A model without trees, of two features."""
    nothing: Any = None
    known: dict[str, tuple[float, float] | None] = {"one": (0.0, 1.0), "two": (0.0, 1.0)}
    return Model(nothing, calibration, ("one", "two"), {}, "", {}, known, {}, {}, ground=ground)


def said(model: Model, margins: Any, matrix: Any = None) -> dict[str, list[Any]]:
    """What is said of rows with these margins."""
    margins = np.asarray(margins, dtype=np.float64)
    matrix = np.full((len(margins), 2), 0.5) if matrix is None else np.asarray(matrix)
    found = certainty.columns(model, matrix.astype(np.float32), margins)
    assert [column.type for column in found.values()] == certainty.COLUMNS.types
    return {name: column.to_pylist() for name, column in found.items()}


def draw(rng: np.random.Generator, customers: int, each: int) -> tuple[Vector, Vector, NDArray[np.int64]]:
    """Margins, labels and customers: all rows of a customer have the same margin and the same outcome."""
    margins = rng.normal(0, 1.5, customers)
    chance = 1 / (1 + np.exp(-(SLOPE * margins + SHIFT)))
    labels = (rng.random(customers) < chance).astype(np.float64)
    return np.repeat(margins, each), np.repeat(labels, each), np.repeat(np.arange(customers), each)


def ground_of(margins: Vector, labels: Vector, customers: NDArray[np.int64]) -> Model:
    scale = boosted.platt(margins, labels)
    spread = certainty.covariance(margins, labels, scale, customers)
    return model_of(Ground.of(pa.table({}), (), margins, spread), scale)


@pytest.mark.parametrize("each", [1, 4])
def test_an_interval_covers_the_true_probability_about_as_often_as_it_says(each: int) -> None:
    """Catches a wrong sign, a forgotten cross term, or rows of one customer counted as so many pieces of
    evidence: with four equal rows each, intervals would be half as wide and cover about 68 %."""
    at = np.array([-3.0, -1.0, 0.0, 1.0, 3.0])
    truth = 1 / (1 + np.exp(-(SLOPE * at + SHIFT)))
    rng = np.random.default_rng(7)
    covered = np.zeros(len(at))
    draws = 400
    for _ in range(draws):
        found = said(ground_of(*draw(rng, 500, each)), at)
        covered += (np.array(found["score_lo"]) <= truth) & (truth <= np.array(found["score_hi"]))
    # Three standard errors of a share of 400 draws, and a point for so few rows.
    assert np.all(np.abs(covered / draws - certainty.LEVEL) < 0.043), covered / draws


def test_more_customers_make_an_interval_narrower_as_the_root_of_their_number() -> None:
    """Catches a variance that is not divided by anything, or by the rows of all models."""
    rng = np.random.default_rng(3)
    widths = []
    for customers in (1000, 16000):
        found = said(ground_of(*draw(rng, customers, 1)), [0.0])
        widths.append(found["score_hi"][0] - found["score_lo"][0])
    assert widths[0] / widths[1] == pytest.approx(4, rel=0.15)


def test_support_counts_the_fitted_rows_with_a_score_in_the_interval() -> None:
    """Catches support in margins where the interval is in log-odds, and a score beyond all that was seen
    which looks as well founded as any other."""
    fitted = np.random.default_rng(5).normal(0, 1, 20_000)
    ground = Ground.of(pa.table({}), (), fitted, (0.01, 0.002, 0.04))
    found = said(model_of(ground), [-0.5, 0.0, 1.0, 6.0])
    odds = SLOPE * fitted + SHIFT
    for low, high, support in zip(*(found[n] for n in ("score_lo", "score_hi", "support")), strict=True):
        ends = [np.log(end / (1 - end)) for end in (low, high)]
        counted = int(((odds >= ends[0]) & (odds <= ends[1])).sum())
        assert support == pytest.approx(counted, abs=25)
    assert found["support"][0] > 5_000
    assert found["support"][3] == 0


@pytest.mark.parametrize(
    ("row", "is_out"),
    [
        ((0.0, 5.0), False),
        ((2.0, -5.0), False),
        ((2.0001, 0.0), True),
        ((-0.0001, 0.0), True),
        ((np.nan, 0.0), False),
    ],
)
def test_only_features_that_the_trees_use_can_lie_out_of_range(
    row: tuple[float, float], is_out: bool
) -> None:
    """Catches an alarm about a feature that no tree asks for, about a missing value, or about the ends."""
    table = pa.table(
        {"one": pa.array([0.0, None, 2.0], pa.float32()), "two": pa.array([0.0, 1, 1], pa.float32())}
    )
    ground = Ground.of(table, {"one"}, np.arange(3.0), (1.0, 0.0, 1.0))
    assert said(model_of(ground), [0.0], [row])["is_out_of_range"] == [is_out]


@pytest.mark.parametrize(
    ("ages", "row", "is_out", "confidence"),
    [
        ({}, (9.0, 0.5), True, 0.5),
        ({"one": "up"}, (9.0, 0.5), False, 1.0),
        ({"one": "up"}, (-9.0, 0.5), True, 0.5),
        ({"one": "down"}, (-9.0, 0.5), False, 1.0),
        ({"one": "up"}, (np.nan, 0.5), False, 0.5),
    ],
)
def test_what_time_alone_moves_has_no_end_on_that_side(
    ages: dict[str, str], row: tuple[float, float], is_out: bool, confidence: float
) -> None:
    """Catches an alarm about everybody who has been a customer for longer than anybody in the training had,
    one that is silent on the other side too, and a missing value that counts as known."""
    ground = Ground.of(pa.table({"one": [0.0, 1.0], "two": [0.0, 1.0]}), {"one"}, np.arange(2.0), None)
    model = replace(model_of(ground), use_case={"confidence": {"ages": ages}})
    found = said(model, [0.0], [row])
    assert (found["is_out_of_range"], found["confidence"]) == ([is_out], [confidence])


def test_features_that_never_had_a_value_are_not_asked_for() -> None:
    """Catches a confidence that no row can ever reach, because a feed has never told a feature."""
    model = replace(model_of(None), ranges={"one": (0.0, 1.0), "two": None})
    assert said(model, [0.0, 0.0], [(0.5, np.nan), (2.0, 0.5)])["confidence"] == [1.0, 0.0]


def test_a_version_from_before_still_scores_and_says_nothing() -> None:
    """Catches an upgrade after which the champion cannot be read, and figures made up for it."""
    found = said(model_of(None), [0.0])
    assert found.pop("confidence") == [1.0]
    assert set(map(tuple, found.values())) == {(None,)}
    old = {"role": "champion", "score": 0.5, "margin": 0.0, "band": "low", "confidence": 1.0}
    assert receipts.Record.of("archive", old, [], []).said["support"] is None


def test_a_score_without_a_probability_has_no_interval() -> None:
    """Catches an interval around a rank, which nothing was calibrated for."""
    ground = Ground.of(pa.table({"one": [0.0, 1.0]}), {"one"}, np.arange(2.0), None)
    found = said(model_of(ground), [0.0, 0.0], [(0.5, 0.5), (3.0, 0.5)])
    assert found["score_lo"] == found["score_hi"] == found["support"] == [None, None]
    assert found["is_out_of_range"] == [False, True]


def test_what_a_model_stands_on_is_kept_with_it(trained: tuple[Bank, TrainingOutcome]) -> None:
    """Catches a ground of other rows or features than the trees', one that is lost in the file, and a model
    from before that cannot be read."""
    bank, outcome = trained
    registry = Registry(bank.settings)
    model = registry.load("churn", str(outcome.version))
    assert model.ground is not None and model.ground.covariance is not None
    files = registry.files("churn", str(outcome.version))
    assert model.files() == files
    # Each customer that was active in 90 days, on each of the three fitted month-ends.
    (rows, least, most) = bank.ask("""
        select count(*), min(days_since_last_transaction), max(days_since_last_transaction)
        from features.features_customers where days_since_last_transaction < 90
        and as_of_date in (date '2025-03-31', date '2025-04-30', date '2025-05-31')
    """)[0]
    assert model.ground.rows == rows
    assert model.ground.extents["days_since_last_transaction"] == (least, most)
    assert "never_filled" not in model.ground.extents
    assert set(model.ground.extents) <= set(FEATURES)
    sidecar = json.loads(files[SIDECAR])
    del sidecar["ground"]
    assert Model.from_files({**files, SIDECAR: json.dumps(sidecar).encode()}).ground is None
