"""What a night writes of a version of lifetime value, and what an evaluation says."""

import json
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from ml import families
from ml.evaluate import Asked
from ml.families import Refused, TooLittle, Trained
from ml.lifetime_value import steps
from ml.partitions import Pin, folder
from nightledger import warehouse
from tests.unit.value.shop import CLIENT, LAST, Shop, described, publish, purchases


@pytest.fixture
def night(shop: Shop, trained: Trained, tmp_path: Path) -> Callable[[str], pa.Table]:
    """What a night writes of a version on the last date."""

    def written(role: str = "champion", member: str = CLIENT) -> pa.Table:
        pin = Pin(f"lifetime_value.{member}", LAST, "v1", role)
        with warehouse.connect(shop.build, settings=shop.settings) as connection:
            rows = steps.score(connection, shop.settings, tmp_path, pin, described(), trained.files)
        found = pq.read_table(folder(tmp_path / "lake", "lifetime_values", pin) / "part.parquet")
        assert rows == len(found)
        return found

    return written


def test_a_night_values_each_open_customer_once(shop: Shop, night: Callable[..., pa.Table]) -> None:
    """A closed customer with a value, a customer twice, or columns that dbt does not expect."""
    everybody = night()
    assert everybody.schema.equals(warehouse.LAKE_SCHEMAS["lifetime_values"])
    shop.run("update intermediate.int_customers set closed_on = '2025-12-01' where customer_id = 'c0007'")
    try:
        rest = night("challenger")
    finally:
        shop.run("update intermediate.int_customers set closed_on = null")
    assert sorted(everybody["customer_id"].to_pylist()) == everybody["customer_id"].to_pylist()
    assert set(everybody["customer_id"].to_pylist()) - set(rest["customer_id"].to_pylist()) == {"c0007"}
    assert len(set(everybody["customer_id"].to_pylist())) == len(everybody) == 600
    assert (set(everybody["role"].to_pylist()), set(rest["role"].to_pylist())) == (
        {"champion"},
        {"challenger"},
    )
    values = everybody.to_pandas()
    assert values["probability_alive"].between(0, 1).all()
    assert (values["lifetime_value"] >= 0).all()
    assert values.groupby("band").size().to_dict() == pytest.approx(
        {"low": 300, "medium": 240, "high": 60}, abs=75
    )


def test_a_repeated_night_writes_the_same_bytes(night: Callable[..., pa.Table], tmp_path: Path) -> None:
    """A publication whose hash changes although nothing else has."""
    night()
    (path,) = (tmp_path / "lake").rglob("*.parquet")
    before = path.read_bytes()
    night()
    assert path.read_bytes() == before


def test_a_client_whose_night_it_is_not_gets_no_rows(night: Callable[..., pa.Table]) -> None:
    """Values of a date that the client does not have, made with another client's cutoff."""
    assert len(night(member="somebody_else")) == 0


def test_a_build_without_the_columns_is_told_so(
    shop: Shop, trained: Trained, ledger: duckdb.DuckDBPyConnection
) -> None:
    """A night that ends in an SQL error instead of a sentence."""
    with warehouse.connect(shop.build, settings=shop.settings) as connection:
        assert steps.why_not(connection, shop.build, described(), LAST, trained.files) == ""
    ledger.execute("alter table intermediate.int_revenue drop column revenue")
    assert "int_revenue.revenue" in steps.why_not(ledger, shop.build, described(), LAST, trained.files)


def test_an_evaluation_works_on_purchases_only(tmp_path: Path) -> None:
    """A stranger with customer, date and amount, who gets no answer, or one in somebody else's words."""
    stranger = publish(tmp_path / "home", purchases(300), 0.0)
    console = Console(record=True, width=160)
    asked = Asked(f"lifetime_value.{CLIENT}", date(2025, 7, 1), date(2025, 12, 31), folder=tmp_path / "out")
    families.of(described()).evaluate(stranger.settings, asked, console)
    text = console.export_text()
    assert "values are in spend" in text
    assert "a first version would be promoted" in text
    assert "WAPE" in text
    assert "last year" in text
    told = json.loads((tmp_path / "out" / "metrics.json").read_text())
    (own,) = (
        row
        for row in told["metrics"]
        if (row["metric"], row["baseline"], row["dataset"]) == ("wape", "", "out_of_time")
    )
    table = pq.read_table(tmp_path / "out" / "predictions.parquet").to_pandas()
    errors = (table["expected"] - table["brought"]).abs().sum() / table["brought"].abs().sum()
    assert own["value"] == pytest.approx(errors)
    assert own["lo"] < own["value"] < own["hi"]
    assert "## Limits" in (tmp_path / "out" / "model_card.md").read_text()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"last": date(2026, 1, 31)}, "publication's last day"),
        ({"last": date(2025, 7, 20)}, "at least 28 days"),
        ({"model": "lifetime_value.nobody"}, "no client 'nobody'"),
        ({"model": "lifetime_value"}, "ask for lifetime_value.<client>"),
        ({"label_delay": 3}, "LABEL_DELAY"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(shop: Shop, changes: Mapping[str, Any], words: str) -> None:
    """An answer to another question than the one that was asked."""
    given = {"model": f"lifetime_value.{CLIENT}", "first": date(2025, 7, 1), "last": date(2025, 12, 31)}
    with pytest.raises(Refused, match=words):
        steps.evaluate(shop.settings, Asked(**{**given, **changes}), Console(quiet=True))


def test_fewer_days_to_learn_from_are_fewer(shop: Shop) -> None:
    """TRAIN_DAYS that changes nothing."""
    asked = Asked(f"lifetime_value.{CLIENT}", date(2025, 7, 1), date(2025, 12, 31), train_days=100)
    with pytest.raises(TooLittle, match="days of history: 100 of 120"):
        steps.evaluate(shop.settings, asked, Console(quiet=True))
