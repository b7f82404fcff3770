"""Versions of lifetime value: how a value is made, what is held out, what is decided."""

import json
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from ml.artefacts import ModelError
from ml.families import TooLittle, Trained
from ml.lifetime_value import steps
from ml.lifetime_value.customers import Customers
from ml.lifetime_value.frequency import Frequency
from ml.lifetime_value.model import DAYS_A_MONTH, ValueModel
from ml.lifetime_value.spend import Spend
from ml.promotion import KEPT, PROMOTED, REFUSED
from ml.registry import Registered
from tests.unit.value.shop import CLIENT, LAST, Shop, described, job, publish, purchases

MODEL = ValueModel(
    frequency=Frequency(0.9, 4.0, 1.3, 9.0),
    spend=Spend(4.0, 3.0, 20.0),
    measure="revenue",
    visit_days=7,
    horizon_months=3,
    discount_rate=0.1,
    bands={"low": 0.0, "medium": 10.0, "high": 50.0},
)


def customers(*rows: tuple[float, float, float, float]) -> Customers:
    """Customers by visits, last visit, age and what each brought."""
    visits, last, age, each = (np.array(column, float) for column in zip(*rows, strict=True))
    n = len(rows)
    ids, none = pa.array([str(k) for k in range(n)]), np.zeros(n)
    return Customers(ids, visits, last, age, each, none, none, np.zeros(n, bool))


def test_a_value_is_the_discounted_sum_of_its_months() -> None:
    """A rate that is taken for a month's, months that are counted twice, or a discount from the first day."""
    who = customers((5, 20, 24, 3.0), (0, 0, 3, 0.0))
    found = MODEL.forecast(who)
    each = MODEL.spend.expected(who.visits, who.each)
    until = [MODEL.frequency.expected(*who.shape, m * DAYS_A_MONTH / 7) for m in (0, 1, 2, 3)]
    months = [(until[m] - until[m - 1]) * each / 1.1 ** (m / 12) for m in (1, 2, 3)]
    assert found.value == pytest.approx(sum(months))
    assert found.visits == pytest.approx(until[3])
    assert (found.value < found.visits * found.each).all()


def test_a_band_begins_at_its_value() -> None:
    """A customer between two bands because of a rounded threshold."""
    assert MODEL.bands_of(np.array([0.0, 9.99994, 9.99996, 49.9, 50.0])).tolist() == [
        "low",
        "low",
        "medium",
        "medium",
        "high",
    ]


def test_an_artefact_is_read_as_it_was_written(trained: Trained) -> None:
    """Parameters that lose digits, or an artefact of another family taken for one."""
    model = ValueModel.from_files(trained.files)
    assert model.files() == trained.files
    with pytest.raises(ModelError, match="no model of lifetime value"):
        ValueModel.from_files({"model.json": b'{"family": "scores"}'})


def test_a_version_predicts_days_it_has_not_seen_and_becomes_champion(crowd: Shop) -> None:
    """A model that is no better than plain ways on customers made after its own assumptions is broken."""
    trained = steps.train(job(crowd, described()), CLIENT, None)
    assert trained.verdict == PROMOTED, trained.reason
    rows = {
        (row["baseline"], row["metric"]): row for row in trained.metrics if row["dataset"] == "out_of_time"
    }
    assert rows["", "wape"]["value"] < rows["last_year", "wape"]["value"] - 0.05
    assert rows["", "wape"]["value"] < rows["client_mean", "wape"]["value"] - 0.05
    assert abs(rows["", "bias"]["value"]) < 0.1
    assert 0 < rows["", "alive_gap"]["value"] < 0.25, "who is still there need not come within half a year"
    tenths = [row for row in trained.metrics if row["dataset"].startswith("expected: tenth")]
    came_in = [row["value"] for row in tenths if row["metric"] == "brought_a_customer"]
    expected = [row["value"] for row in tenths if row["metric"] == "expected_a_customer"]
    assert len(came_in) == 10
    assert came_in[-1] == pytest.approx(expected[-1], rel=0.25)
    assert came_in[-1] > 5 * came_in[5]
    assert set(trained.metrics[0]) >= {"client_id", "window_label", "lo", "hi", "n", "base_rate"}


def test_of_very_many_customers_an_even_sample_is_fitted_and_all_are_judged(crowd: Shop) -> None:
    """A sample of the first ones only, or one that is all that gets a value."""
    whole, part = (
        steps.train(job(crowd, described(most_fitted=most)), CLIENT, None) for most in (100_000, 1000)
    )
    one, other = (ValueModel.from_files(found.files) for found in (whole, part))
    assert one.frequency != other.frequency
    assert other.frequency.r / other.frequency.alpha == pytest.approx(
        one.frequency.r / one.frequency.alpha, rel=0.15
    )
    assert part.heldout["customer_id"] == whole.heldout["customer_id"]


def test_nothing_of_the_days_held_out_is_learnt_from(shop: Shop, trained: Trained, tmp_path: Path) -> None:
    """A fit that has seen what it is judged by: other days held out, and the same parameters."""
    other = publish(tmp_path / "home", purchases(600), 0.02)
    first = LAST - timedelta(days=179)
    other.run(f"delete from intermediate.int_revenue where business_date > '{first}'")
    again = steps.train(job(other, described(max_silent_days=365)), CLIENT, None)
    fitted, refitted = (ValueModel.from_files(found.files) for found in (trained, again))
    assert (refitted.frequency, refitted.spend) == (fitted.frequency, fitted.spend)
    assert again.metrics[0]["value"] > 2 * trained.metrics[0]["value"]


def test_the_same_publication_gives_the_same_version(shop: Shop, trained: Trained) -> None:
    """A version whose name changes although nothing else has."""
    assert steps.train(job(shop, described()), CLIENT, None).files == trained.files


def test_customers_who_are_all_alike_need_no_model(tmp_path: Path) -> None:
    """A version that is promoted because it is not much worse than saying the same of everybody."""
    alike = publish(tmp_path / "home", purchases(300, alike=True), 0.02)
    found = steps.train(job(alike, described()), CLIENT, None)
    assert found.verdict == REFUSED
    assert "client mean has" in found.reason


def champion_of(patch: pytest.MonkeyPatch, files: Mapping[str, bytes]) -> Registered:
    """A registry that holds one version."""

    class Shelf:
        def __init__(self, _settings: object) -> None: ...

        def files(self, _model: str, _version: str) -> Mapping[str, bytes]:
            return files

    patch.setattr(steps, "Registry", Shelf)
    return Registered("lifetime_value.shop", "2025-06-30-champion", "", "", "", "1")


def test_a_version_no_better_than_the_champion_is_kept(
    shop: Shop, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A champion that changes every month without a reason: it expects the same of everybody."""
    champion = trained.files["model.json"].replace(b'"horizon_months": 24', b'"horizon_months": 12')
    found = steps.train(job(shop, described()), CLIENT, champion_of(monkeypatch, {"model.json": champion}))
    assert found.verdict == KEPT
    assert "2025-06-30-champion" in found.reason


def test_a_champion_who_saw_less_is_followed(
    shop: Shop, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A champion that can never be beaten."""
    told = json.loads(trained.files["model.json"])
    told["spend"]["p"] *= 3
    told["spend"]["gamma"] *= 2
    champion = champion_of(monkeypatch, {"model.json": json.dumps(told).encode()})
    assert steps.train(job(shop, described()), CLIENT, champion).verdict == PROMOTED


def test_a_champion_of_another_measure_is_not_compared(
    shop: Shop, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Errors in spend beside errors in revenue."""
    told = trained.files["model.json"].replace(b'"revenue"', b'"spend"')
    champion = champion_of(monkeypatch, {"model.json": told})
    found = steps.train(job(shop, described()), CLIENT, champion)
    assert found.verdict == PROMOTED
    assert "tells spend, this one revenue" in found.reason
    assert not any(row["baseline"] == "champion" for row in found.metrics)


def test_a_client_without_revenue_gets_a_value_in_spend_or_none(tmp_path: Path) -> None:
    """Spend that is silently called revenue, or a model fitted on nothing."""
    poor = publish(tmp_path / "home", purchases(300), 0.0)
    found = steps.train(job(poor, described(without_revenue="spend")), CLIENT, None)
    assert ValueModel.from_files(found.files).measure == "spend"
    with pytest.raises(TooLittle, match=r"interchange_rate in clients/shop\.yml"):
        steps.train(job(poor, described(without_revenue="refuse")), CLIENT, None)


@pytest.mark.parametrize(
    ("minimums", "words"),
    [
        ({"customers": 5000}, "customers with a visit: 600 of 5,000"),
        ({"returning": 5000}, "brought spend"),
        ({"history_days": 5000}, "days of history"),
    ],
)
def test_too_little_is_refused_with_what_is_missing(
    shop: Shop, minimums: Mapping[str, int], words: str
) -> None:
    """A version made of a handful of customers, or a refusal that nobody can act on."""
    least = {"customers": 200, "returning": 100, "history_days": 120, **minimums}
    with pytest.raises(TooLittle, match=words):
        steps.train(job(shop, described(minimums=least)), CLIENT, None)


def test_a_hole_in_the_feed_is_not_taken_for_leaving(tmp_path: Path) -> None:
    """A champion judged by days on which no file came."""
    frame = purchases(300)
    came = ~frame["business_date"].between("2025-11-01", "2025-12-10")
    holey = publish(tmp_path / "home", frame[came], 0.02)
    with pytest.raises(TooLittle, match=r"nothing happened on 4\d days in a row"):
        steps.train(job(holey, described()), CLIENT, None)
