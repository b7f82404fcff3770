"""Profiles of training rows, and a night's rows counted beside them."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ml import profiles, scoring, stability
from ml.registry import Registry
from ml.training import TrainingOutcome
from nightledger import warehouse
from tests.unit.ml.bank import FEATURES, LAST, Bank

Trained = tuple[Bank, TrainingOutcome]


def table(values: dict[str, list[float | None]], clients: list[str], days: list[date]) -> pa.Table:
    columns = {name: pa.array(column, pa.float32()) for name, column in values.items()}
    return pa.table({"client_id": clients, "day": pa.array(days, pa.date32()), **columns})


def test_each_client_has_deciles_of_its_own() -> None:
    """Catches bins over all clients: one of larger amounts would lie in one bin, and nothing could move."""
    day = date(2026, 1, 31)
    rows = table(
        {"f": [*map(float, range(100)), *(1000.0 * n for n in range(49)), None]},
        ["a"] * 100 + ["b"] * 50,
        [day] * 150,
    )
    scored = table({"score": [0.5] * 150}, ["a"] * 100 + ["b"] * 50, [day] * 150)
    found = json.loads(profiles.reference(rows, ["f"], {}, scored))
    assert found["a"]["f"]["counts"] == [10] * 10 + [0]
    assert sum(found["b"]["f"]["counts"]) == 50 and found["b"]["f"]["counts"][-1] == 1
    assert found["b"]["f"]["edges"][0] >= 3000
    assert sum(found[profiles.EVERYBODY]["f"]["counts"]) == 150
    assert found["a"]["score"]["counts"] == [100, 0, 0], "one value is one bin"


def test_codes_of_texts_have_bins_of_their_own() -> None:
    """Catches deciles of codes: categories that are neighbours in the alphabet would hide each other."""
    rows = table({"f": [1.0, 1.0, 2.0, 3.0, None]}, ["a"] * 5, [date(2026, 1, 31)] * 5)
    found = json.loads(
        profiles.reference(rows, ["f"], {"f": ["x", "y", "z"]}, rows.append_column("score", rows["f"]))
    )
    assert found["a"]["f"] == {"edges": [1.0, 2.0], "counts": [2, 1, 1, 1], "usual": 0.0}


def test_what_the_training_days_did_is_usual() -> None:
    """Catches a threshold without it: a feature that rises each month would be an alert every night."""
    rng = np.random.default_rng(1)
    days = [date(2026, month, 1) for month in range(1, 7) for _ in range(500)]
    same = rng.normal(size=3000)
    rising = same + np.repeat(np.arange(6), 500)
    rows = table({"same": list(same), "rising": list(rising)}, ["a"] * 3000, days)
    found = json.loads(
        profiles.reference(rows, ["same", "rising"], {}, rows.append_column("score", rows["same"]))
    )
    assert found["a"]["same"]["usual"] < 0.02
    assert found["a"]["rising"]["usual"] > 0.5


def test_chance_alone_leaves_hardly_anything() -> None:
    """Catches an index that is not corrected: 200 rows of the same distribution would have .05 on average."""
    rng = np.random.default_rng(2)
    before = rng.normal(size=5000)
    edges = stability.edges(before)
    was = stability.counts(before, edges)
    plain, less = [], []
    for _ in range(200):
        some = rng.normal(size=200)
        plain.append(stability.psi(before, some).psi)
        less.append(profiles.excess(was, stability.counts(some, edges)))
    assert np.mean(plain) > 0.04
    assert np.median(less) < 0.005
    assert np.quantile(less, 0.99) < 0.08
    moved = [profiles.excess(was, stability.counts(rng.normal(0.5, 1, 200), edges)) for _ in range(20)]
    assert min(moved) > 0.1, "half a standard deviation is seen in each of them"


def counted(trained: Trained, **where: Any) -> list[dict[str, Any]]:
    bank, outcome = trained
    bank.pin(str(outcome.version))
    scoring.score_night(bank.settings, bank.build)
    (path,) = bank.build.glob("lake/profiles/model=churn/*/*/part.parquet")
    found = pq.read_table(path)
    assert found.schema.equals(warehouse.LAKE_SCHEMAS["profiles"])
    return [row for row in found.to_pylist() if all(row[name] == value for name, value in where.items())]


def test_a_night_counts_every_scored_row_in_the_bins_of_the_training(trained: Trained) -> None:
    """Catches another edge than the training's (below, not up to), a lost row, missing values in a bin."""
    bank, _ = trained
    rows = counted(trained)
    (vectors,) = bank.build.glob("lake/vectors/*/*/*/part.parquet")
    scored = pq.read_table(vectors)
    profile = json.loads(
        Registry(bank.settings).document("churn", rows[0]["model_version"], profiles.DOCUMENT)
    )
    assert {row["feature"] for row in rows} == {*FEATURES, "score"}
    for feature in FEATURES:
        own = [row for row in rows if row["feature"] == feature]
        edges = np.array(profile["tester"][feature]["edges"], dtype=np.float32)
        expected = stability.counts(scored[feature].to_numpy().astype(np.float64), edges.astype(np.float64))
        assert [row["rows"] for row in own] == [*expected, 0]
        assert [row["training_rows"] for row in own[:-1]] == profile["tester"][feature]["counts"]
        assert [row["bin_kind"] for row in own][-2:] == ["missing", "new"]
    (place,) = bank.build.glob("lake/scores/model=churn/*/*/part.parquet")
    scores = pq.read_table(place)["score"].to_numpy().astype(np.float64)
    expected = stability.counts(scores, np.array(profile["tester"]["score"]["edges"]))
    assert [row["rows"] for row in rows if row["feature"] == "score"] == [*expected, 0]
    assert [row["rows"] for row in rows if row["feature"] == "never_filled"] == [0, len(scored), 0]


def test_another_clients_rows_are_no_training_of_this_one(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches an alert every night about a client of which the version has seen no row."""
    write = profiles.write

    def without_the_client(*arguments: Any) -> int:
        *others, profile = arguments
        known = json.loads(profile)
        del known["tester"]
        return write(*others, json.dumps(known))

    monkeypatch.setattr(profiles, "write", without_the_client)
    rows = counted(trained, feature="transactions_90d")
    assert {(row["training_rows"], row["usual_psi"]) for row in rows} == {(0, None)}
    assert sum(row["rows"] for row in rows) > 0 and sum(row["last_year_rows"] for row in rows) > 0


def test_the_same_month_a_year_before_stands_beside(trained: Trained) -> None:
    """Catches last year's date of another month, and rows that the model would not have scored then."""
    bank, _ = trained
    rows = counted(trained, feature="transactions_90d")
    assert {row["last_year_date"] for row in rows} == {date(LAST.year - 1, LAST.month, 31)}
    active = bank.ask(f"""
        select count(distinct customer_id) from intermediate.int_transactions
        where business_date between date '{LAST}' - interval 1 year - interval 89 days
            and date '{LAST}' - interval 1 year
            and known_at < date '{LAST}' - interval 1 year + interval 26 hours
    """)[0][0]
    assert sum(row["last_year_rows"] for row in rows) == active
    assert {row["last_year_rows"] for row in counted(trained, feature="score")} == {None}, (
        "nobody was scored then"
    )


def test_a_version_of_before_has_no_profile_and_still_scores(trained: Trained) -> None:
    """Catches a night that fails on the champions of an older release."""
    bank, outcome = trained
    registered = Registry(bank.settings).known("churn", str(outcome.version))
    for path in bank.settings.registry.glob(f"models/churn/{registered.version}/{profiles.DOCUMENT}"):
        path.unlink()
    bank.pin(str(outcome.version))
    assert scoring.score_night(bank.settings, bank.build)["scored"] > 0
    assert not list(bank.build.glob("lake/profiles/model=churn/**/*.parquet"))


@pytest.fixture
def texts() -> Callable[..., Any]:
    """A table of attributes with a text, as `ml.profiles` asks the warehouse about it."""
    from ml import config
    from ml.features import Feature

    def asked(values: list[str | None], known: tuple[str, ...]) -> dict[tuple[str, str], int]:
        import duckdb

        feature = Feature("kind", "kind", "code", "", "attributes.card", "card", "VARCHAR", known)
        use_case = replace_features(config.load("churn"))
        connection = duckdb.connect()
        connection.execute("create schema raw")
        connection.register("given", pa.table({"kind": pa.array(values, pa.string())}))
        connection.execute("""
            create table raw.attributes_card as
            select 'a' as client_id, 'card' as source, 'customer' as entity,
                'c' || row_number() over () as entity_id,
                date '2026-01-31' as business_date, timestamp '2026-01-31' as known_at, kind,
                'l' as _load_id, row_number() over () as _record
            from given
        """)
        connection.execute(
            "create table dates as select 'a' as client_id, date '2026-01-31' as as_of_date,"
            " timestamp '2026-02-01' as cutoff_at"
        )
        connection.execute(
            "create table _chosen as select client_id, entity_id, business_date as as_of_date"
            " from raw.attributes_card"
        )
        return profiles._strange(connection, use_case, [feature])

    def replace_features(use_case: Any) -> Any:
        return use_case.model_copy(update={"features": ["attributes.card"]})

    return asked


def test_a_category_that_nobody_knew_is_not_a_missing_value(texts: Callable[..., Any]) -> None:
    """Catches new categories that are counted as missing: the alert would send people to the wrong place."""
    assert texts(["x", "y", "new", "newer", None, "x"], ("x", "y")) == {("a", "kind"): 2}


def test_equal_rows_give_equal_profiles(trained: Trained) -> None:
    """Catches a clock or an order in what drift is measured against."""
    bank, outcome = trained
    first = counted(trained)
    for path in bank.build.glob("lake/**/*.parquet"):
        path.unlink()
    assert counted((bank, replace(outcome))) == first
