"""Reasons, what-ifs and bands of a night's scores."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ml import config, scoring, training
from ml.registry import Registry
from ml.training import TrainingOutcome
from tests.unit.ml.bank import FEATURES, LAST, Bank

Trained = tuple[Bank, TrainingOutcome]


def read(bank: Bank, kind: str, version: str) -> Any:
    path = (
        bank.build / "lake" / kind / "model=churn" / f"version={version}" / f"as_of={LAST}" / "part.parquet"
    )
    return pq.read_table(path).to_pandas()


def scored(trained: Trained) -> tuple[Bank, str]:
    bank, outcome = trained
    version = str(outcome.version)
    bank.pin(version)
    scoring.score_night(bank.settings, bank.build)
    return bank, version


def test_a_what_if_is_the_models_own_answer(trained: Trained) -> None:
    """Catches a what-if that moves another feature, another row, or to another median."""
    bank, version = scored(trained)
    found = read(bank, "what_if", version)
    reasons = read(bank, "reasons", version)
    assert len(found) == len(reasons)
    vectors = read(bank, "vectors", version).set_index("entity_id")
    peers = dict(bank.ask("select customer_id, vertical from intermediate.int_customers"))
    vectors["vertical"] = vectors.index.map(peers)
    medians = vectors.groupby("vertical")[list(FEATURES)].median()
    model = Registry(bank.settings).load("churn", version)
    for row in found.sample(40, random_state=1).itertuples():
        typical = medians.loc[peers[row.entity_id], row.feature]
        assert row.typical == pytest.approx(typical, nan_ok=True)
        vector = vectors.loc[row.entity_id, list(FEATURES)].astype("float32")
        vector[row.feature] = np.float32(row.typical)
        table = pa.table(
            {name: pa.array([vector[name]], pa.float32(), from_pandas=True) for name in FEATURES}
        )
        assert model.scores(table, 1)[0] == pytest.approx(row.score_without, abs=1e-6)


def test_a_customer_of_a_segment_is_compared_with_that_segment(trained: Trained) -> None:
    """Catches peers by tonight's segments, which nobody has yet, by an old one, or of another model."""
    bank, outcome = trained
    earlier = ("2025-11-30", "2025-12-30", str(LAST))
    rows = [
        f"select 'tester' as client_id, '{model}' as model, customer_id, date '{day}' as as_of_date,"
        f" {name} as name from intermediate.int_customers where hash(customer_id) % 4 > 0"
        for model, day, name in (
            ("segments_rfm", earlier[0], "'old'"),
            ("segments_rfm", earlier[1], "if(hash(customer_id) % 4 = 1, 'one', 'two')"),
            ("segments_rfm", earlier[2], "'tonight'"),
            ("segments_spend", earlier[1], "'other'"),
        )
    ]
    bank.run(f"create schema marts; create table marts.fct_segments as {' union all '.join(rows)}")
    bank.pin(str(outcome.version))
    scoring.score_night(bank.settings, bank.build)
    vectors = read(bank, "vectors", str(outcome.version)).set_index("entity_id")
    groups = dict(
        bank.ask(
            "select c.customer_id, coalesce(s.name, c.vertical) from intermediate.int_customers as c"
            " left join marts.fct_segments as s on s.customer_id = c.customer_id"
            f" and s.as_of_date = '{earlier[1]}' and s.model = 'segments_rfm'"
        )
    )
    medians = vectors.groupby(vectors.index.map(groups))[list(FEATURES)].median()
    assert {"one", "two", "neobank", "wallet"} == set(medians.index)
    for row in read(bank, "what_if", str(outcome.version)).itertuples():
        typical = medians.loc[groups[row.entity_id], row.feature]
        assert row.typical == pytest.approx(typical, nan_ok=True)


def test_rows_below_the_asked_band_are_scored_and_not_explained(
    trained: Trained, configure: Callable[..., Any]
) -> None:
    """Catches explanations of all where only alerts are looked at, and scores that are lost with them."""
    bank, version = scored(trained)
    whole = read(bank, "scores", version)
    told = read(bank, "reasons", version)
    configure(reasons={"from_band": "high"})
    scoring.score_night(bank.settings, bank.build)
    some = read(bank, "scores", version)
    assert some["score"].equals(whole["score"])
    high = set(some.loc[some["band"] == "high", "entity_id"])
    few = read(bank, "reasons", version)
    assert 0 < len(high) < len(some)
    assert set(few["entity_id"]) == high
    same = told[told["entity_id"].isin(high)].reset_index(drop=True)
    assert few[["entity_id", "rank", "text"]].equals(same[["entity_id", "rank", "text"]])


def test_what_is_missing_is_a_reason_only_where_asked(
    trained: Trained, configure: Callable[..., Any]
) -> None:
    """Catches an alert for what nobody knows of a payment, and one that lost its other reasons with it."""
    bank, _ = trained
    for name in FEATURES:
        bank.run(
            f"update features.features_customers set {name} = null where hash(customer_id, '{name}') % 3 = 0"
        )
    bank, version = scored(trained)
    before = read(bank, "reasons", version)
    assert before["value"].isna().any()
    configure(reasons={"of_missing": False})
    scoring.score_night(bank.settings, bank.build)
    after = read(bank, "reasons", version)
    assert after["value"].notna().all()
    left = before[before["value"].notna()][["entity_id", "feature"]]
    assert len(left.merge(after)) == len(left)


def test_what_is_worth_an_alert_is_explained_whatever_its_band(
    trained: Trained, configure: Callable[..., Any]
) -> None:
    """Catches an alert without a reason: a small chance of a large loss, below the band that is explained."""
    bank, _ = trained
    configure(reasons={"from_band": "high"}, evaluation={"loss_share": 1.0})
    bank.run("create table ops.clients as select 'tester' as client_id, 1.0::decimal(18, 4) as alert_cost")
    bank, version = scored(trained)
    scores = read(bank, "scores", version)
    worth = scores["expected_value"].astype(float) > 1.0
    asked = set(scores.loc[worth | (scores["band"] == "high"), "entity_id"])
    told = set(read(bank, "reasons", version)["entity_id"])
    assert told <= asked
    assert len(asked - told) <= 3, "a row for which nothing speaks has no reason"
    assert told & set(scores.loc[worth & (scores["band"] != "high"), "entity_id"])


def test_a_challenger_is_scored_beside_the_champion(trained: Trained, configure: Callable[..., Any]) -> None:
    """Catches a shadow that replaces the champion's scores, or that scores other rows."""
    bank, first = trained
    configure(promotion={"over_champion": 0.9})
    second = training.train(bank.settings, "churn", champion=first.version)
    assert second.verdict == "kept_as_challenger", second.reason
    bank.pin(str(first.version))
    bank.run(f"insert into ops.model_pins values ('churn', '{LAST}', '{second.version}', 'challenger')")
    said = scoring.score_night(bank.settings, bank.build)
    assert sorted(pin["role"] for pin in said["pins"]) == ["challenger", "champion"]
    one, two = (read(bank, "scores", str(outcome.version)) for outcome in (first, second))
    assert one["entity_id"].equals(two["entity_id"])
    assert (set(one["role"]), set(two["role"])) == ({"champion"}, {"challenger"})


def test_a_model_of_each_client_scores_its_own_rows(bank: Bank, configure: Callable[..., Any]) -> None:
    """Catches a model of one vertical that learns from, or scores, the rows of another."""
    configure(scope="vertical")
    assert training.members(bank.settings) != []
    outcome = training.train(bank.settings, "churn.wallet")
    assert outcome.verdict == "promoted", outcome.reason
    with pytest.raises(config.ConfigError, match="ask for churn"):
        training.train(bank.settings, "churn")
    bank.pin(str(outcome.version))
    bank.run("update ops.model_pins set model = 'churn.wallet'")
    scoring.score_night(bank.settings, bank.build)
    path = next((bank.build / "lake" / "scores").glob("model=churn.wallet/*/*/part.parquet"))
    found = set(pq.read_table(path)["entity_id"].to_pylist())
    wallets = bank.ask("select customer_id from intermediate.int_customers where vertical = 'wallet'")
    assert found and found <= {customer for (customer,) in wallets}


def test_a_client_has_its_own_bands(trained: Trained, tmp_path: Path) -> None:
    """Catches thresholds of a client that are ignored, or that change scores."""
    bank, version = scored(trained)
    before = read(bank, "scores", version)
    own = shutil.copytree(bank.settings.clients, tmp_path / "clients") / "tester.yml"
    settings = bank.settings.model_copy(update={"clients": own.parent})
    own.write_text(own.read_text() + "bands: {churn: {medium: 0.01, high: 0.02}}\n")
    scoring.score_night(settings, bank.build)
    after = read(bank, "scores", version)
    assert after["score"].equals(before["score"])
    expected = np.select([after["score"] >= 0.02, after["score"] >= 0.01], ["high", "medium"], "low")
    assert (after["band"] == expected).all()
    assert not after["band"].equals(before["band"])
    own.write_text(own.read_text().replace("high", "highest"))
    with pytest.raises(config.ConfigError, match=r"clients/tester\.yml: bands\.churn names highest"):
        scoring.score_night(settings, bank.build)
