"""Scoring an open night with a registered model."""

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from ml import config, scoring
from ml import features as columns
from ml.artefacts import sha256
from ml.registry import Registry, RegistryError, version_id
from ml.scores import reasons, receipts
from ml.scores.boosted import BoostedTrees
from ml.training import TrainingOutcome
from nightledger import warehouse
from tests.unit.ml.bank import FEATURES, LAST, Bank

Trained = tuple[Bank, TrainingOutcome]


def night(trained: Trained) -> tuple[Bank, str]:
    bank, outcome = trained
    assert outcome.version is not None
    bank.pin(outcome.version)
    return bank, outcome.version


def parts(bank: Bank) -> dict[str, Path]:
    return {
        path.relative_to(bank.build / "lake").parts[0]: path
        for path in bank.build.glob("lake/*/*/*/*/*.parquet")
    }


def test_each_active_customer_gets_a_score_with_its_reasons(trained: Trained) -> None:
    """Catches a lake that dbt cannot read, a score outside the population, reasons without cause."""
    bank, version = night(trained)
    said = scoring.score_night(bank.settings, bank.build)
    active = bank.ask(f"""
        select count(distinct customer_id) from intermediate.int_transactions
        where business_date between date '{LAST}' - 89 and '{LAST}'
    """)[0][0]
    assert said["scored"] == active
    assert said["pins"] == [
        {
            "model": "churn",
            "version": version,
            "role": "champion",
            "as_of_date": LAST.isoformat(),
            "rows": active,
        }
    ]
    found = {kind: pq.read_table(path) for kind, path in parts(bank).items()}
    for kind in warehouse.SCORE_KINDS:
        assert found[kind].schema.equals(warehouse.LAKE_SCHEMAS[kind])
    scores = found["scores"].to_pandas()
    assert scores["score"].between(0, 1).all()
    assert scores["confidence"].between(0, 1).all()
    assert (scores["score_lo"] < scores["score"]).all() and (scores["score"] < scores["score_hi"]).all()
    assert scores["support"].between(0, 500 * 12).all() and (scores["support"] > 0).any()
    assert not scores["is_out_of_range"].all()
    assert set(scores["band"]) <= {"low", "medium", "high"}
    at_stake = dict(
        bank.ask(f"""
            select customer_id, sum(revenue) from intermediate.int_revenue
            where business_date between date '{LAST}' - 364 and '{LAST}' group by customer_id
        """)
    )
    for row in scores.itertuples():
        assert float(row.exposure) == pytest.approx(float(at_stake[row.entity_id]), abs=1e-4)
        assert float(row.expected_value) == pytest.approx(
            row.score * float(at_stake[row.entity_id]), abs=1e-4
        )
    told = found["reasons"].to_pandas()
    assert (told["contribution"] > 0).all()
    assert told.groupby("entity_id")["rank"].apply(lambda r: list(r) == list(range(1, len(r) + 1))).all()
    assert told["text"].str.contains("typical").all()
    assert list(found["vectors"].column_names)[-len(FEATURES) :] == list(FEATURES)


def test_a_rerun_writes_the_same_bytes(trained: Trained) -> None:
    """Catches a clock, a process id or an unordered read in what is archived."""
    bank, _ = night(trained)
    scoring.score_night(bank.settings, bank.build)
    first = {path: path.read_bytes() for path in parts(bank).values()}
    scoring.score_night(bank.settings, bank.build)
    assert {path: path.read_bytes() for path in parts(bank).values()} == first
    assert not list(bank.build.glob("lake/**/*.part"))


def test_batches_do_not_change_scores(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches anything computed over a batch instead of a row."""
    bank, _ = night(trained)
    scoring.score_night(bank.settings, bank.build)
    whole = pq.read_table(parts(bank)["scores"])
    monkeypatch.setattr(scoring, "BATCH", 64)
    scoring.score_night(bank.settings, bank.build)
    assert pq.read_table(parts(bank)["scores"]).equals(whole)


def test_scores_alone_are_the_same_scores(trained: Trained, configure: Callable[..., Any]) -> None:
    """Catches a night without reasons that scores otherwise, or that still explains somebody."""
    bank, _ = night(trained)
    scoring.score_night(bank.settings, bank.build)
    whole = pq.read_table(parts(bank)["scores"])
    assert pq.read_table(parts(bank)["reasons"]).num_rows
    configure(reasons={"top": 0})
    scoring.score_night(bank.settings, bank.build)
    assert pq.read_table(parts(bank)["scores"]).equals(whole)
    assert [pq.read_table(parts(bank)[kind]).num_rows for kind in ("reasons", "what_if")] == [0, 0]


def test_rows_are_scored_in_the_order_of_their_keys(trained: Trained) -> None:
    """Catches rows that are written as they lie: the same night in a table of another order is the same."""
    bank, _ = night(trained)
    scoring.score_night(bank.settings, bank.build)
    first = {path: path.read_bytes() for path in parts(bank).values()}
    bank.run("""
        create table features.turned as from features.features_customers order by hash(customer_id);
        drop table features.features_customers; alter table features.turned rename to features_customers
    """)
    scoring.score_night(bank.settings, bank.build)
    assert {path: path.read_bytes() for path in parts(bank).values()} == first


def test_without_a_pin_nothing_is_written(trained: Trained) -> None:
    """Catches a night without a champion that fails, or that scores by itself."""
    bank, _ = trained
    said = scoring.score_night(bank.settings, bank.build)
    assert said["scored"] == 0
    assert "pinned" in said["why"]
    assert not (bank.build / "lake").exists()


def test_only_tonights_dates_are_scored(trained: Trained) -> None:
    """Catches old pins that are scored again every night."""
    bank, version = night(trained)
    bank.run(f"insert into ops.model_pins values ('churn', '2025-11-30', '{version}', 'champion')")
    assert len(scoring.score_night(bank.settings, bank.build)["pins"]) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("unit", "defined differently: max_transaction_amount_90d"),
        ("gone", "gone: max_transaction_amount_90d"),
        ("new", "new: another"),
        ("order", "in another order: transactions_90d, days_since_last_transaction"),
        ("sql", "SQL of the feature table.*definition-1 then, definition-2 now"),
    ],
)
def test_other_features_are_refused_and_named(trained: Trained, change: str, message: str) -> None:
    """Catches a model that reads columns which mean something else than those it learned from."""
    bank, _ = night(trained)
    columns = bank.columns
    if change == "unit":
        columns["max_transaction_amount_90d"]["config"]["meta"]["unit"] = "count"
    elif change == "gone":
        del columns["max_transaction_amount_90d"]
    elif change == "new":
        columns["another"] = {**columns["max_transaction_amount_90d"], "name": "another"}
    elif change == "order":
        first, second, *rest = columns.values()
        columns.clear()
        columns.update({column["name"]: column for column in (second, first, *rest)})
    else:
        bank.run("update features.features_customers set _definition_hash = 'definition-2'")
    bank.write_manifest()
    with pytest.raises(scoring.ScoringRefused, match=message):
        scoring.score_night(bank.settings, bank.build)


def test_a_stale_challenger_stays_away_and_the_champion_scores(trained: Trained) -> None:
    """Catches a night that fails for its shadow, or one that scores features it did not learn from."""
    bank, version = night(trained)
    registry = Registry(bank.settings)
    model = registry.load("churn", version)
    files = replace(model, definitions=model.definitions | {FEATURES[0]: "another"}).files()
    stale = version_id(LAST, sha256(files))
    registry.save("churn", stale, files, pa.table({"score": [0.0]}), {}, {}, {})
    bank.run(f"insert into ops.model_pins values ('churn', '{LAST}', '{stale}', 'challenger')")
    said = {pin["role"]: pin for pin in scoring.score_night(bank.settings, bank.build)["pins"]}
    assert said["champion"]["rows"] > 300
    assert (said["challenger"]["version"], said["challenger"]["rows"]) == (stale, 0)
    assert f"defined differently: {FEATURES[0]}" in said["challenger"]["why"]
    scored = list(bank.build.glob("lake/scores/model=churn/*"))
    assert [path.name for path in scored] == [f"version={version}"]


def test_an_open_builds_own_manifest_counts(trained: Trained) -> None:
    """Catches reading the manifest that was copied from the last publication."""
    bank, _ = night(trained)
    (bank.build / "target").mkdir()
    (bank.build / "manifest.json").rename(bank.build / "target" / "manifest.json")
    (bank.build / "manifest.json").write_text(json.dumps({"nodes": {}}))
    assert scoring.score_night(bank.settings, bank.build)["scored"] > 0


@pytest.mark.parametrize("name", ["model.ubj", "model.json"])
def test_a_changed_artefact_is_refused(trained: Trained, name: str) -> None:
    """Catches a model that is not the one that was judged."""
    bank, version = night(trained)
    path = bank.settings.registry / "models" / "churn" / version / name
    path.write_bytes(path.read_bytes().replace(b"a", b"b", 1))
    with pytest.raises(RegistryError, match=f"hash of {name} differs"):
        scoring.score_night(bank.settings, bank.build)


def test_a_missing_artefact_or_version_is_named(trained: Trained) -> None:
    """Catches a stack trace where a person needs to know what is gone."""
    bank, version = night(trained)
    (bank.settings.registry / "models" / "churn" / version / "model.ubj").unlink()
    with pytest.raises(RegistryError, match=r"model\.ubj is gone"):
        scoring.score_night(bank.settings, bank.build)
    with pytest.raises(RegistryError, match="no version x"):
        Registry(bank.settings).load("churn", "x")


def test_a_moved_home_still_loads_its_models(trained: Trained, tmp_path: Path) -> None:
    """Catches absolute paths in the registry: the files of the old home are gone."""
    bank, version = trained[0], str(trained[1].version)
    moved = bank.move(tmp_path / "elsewhere")
    bank.settings.registry.rename(bank.settings.registry.with_name("gone"))
    assert Registry(moved.settings).known("churn", version).verdict == "promoted"
    assert Registry(moved.settings).load("churn", version).features == FEATURES
    for file in moved.settings.registry.glob("mlflow.db"):
        assert str(bank.settings.home).encode() not in file.read_bytes()


def test_columns_in_another_order_give_the_same_scores(trained: Trained) -> None:
    """Catches XGBoost's trap: it may take Arrow columns by position, and be wrong without a word."""
    bank, outcome = trained
    model = Registry(bank.settings).load("churn", str(outcome.version))
    rng = np.random.default_rng(1)
    table = pa.table({name: rng.gamma(2, 20, 50).astype(np.float32) for name in FEATURES})
    turned = table.select(list(reversed(FEATURES)))
    assert np.array_equal(model.margins(table, 2), model.margins(turned, 2))


def test_contributions_that_do_not_add_up_are_refused(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches reasons that explain another number than the score."""
    bank, outcome = trained
    trees = Registry(bank.settings).load("churn", str(outcome.version)).estimator
    assert isinstance(trees, BoostedTrees)
    table = pa.table({name: np.arange(5, dtype=np.float32) for name in FEATURES})
    parts_of, margins = trees.contributions(table, 1)
    assert np.all(np.isfinite(parts_of)) and parts_of.shape == (5, len(FEATURES))
    true_predict = trees.booster.inplace_predict

    def biased(*args: object, **kwargs: object) -> object:
        return true_predict(*args, **kwargs) + 0.1

    monkeypatch.setattr(trees.booster, "inplace_predict", biased)
    with pytest.raises(ArithmeticError, match="miss the margin"):
        trees.contributions(table, 1)
    assert len(margins) == 5


def test_a_receipt_hashes_key_version_and_vector_only() -> None:
    """Catches a receipt that changes with the machine, the run or the way a missing value was stored."""
    about = ("churn", "customer", "2025-12-31", "v1")
    vector = np.array([[1.5, np.nan, 0.0]], dtype=np.float32)
    odd = vector.copy()
    odd.view(np.uint32)[0, 1] = 0xFFC00001
    odd[0, 2] = np.float32(-0.0)

    def receipt(what: Sequence[str], numbers: NDArray[np.float32]) -> str:
        return str(receipts.receipts(pa.array(["bank"]), pa.array(["c1"]), what, numbers)[0])

    texts = "".join(f"{text}\x1f" for text in ("bank", "c1", *about)).encode()
    expected = hashlib.sha256(texts + np.array([1.5, np.nan, 0.0], dtype="<f4").tobytes()).hexdigest()
    assert receipt(about, vector) == receipt(about, odd) == expected
    assert receipt((*about[:3], "v2"), vector) != expected
    assert receipt(about, vector + 1) != expected


@pytest.mark.parametrize(
    ("name", "unit", "value", "typical", "text"),
    [
        ("days_since_last_transaction", "days", 45, 3, "45 days since the last transaction (typical: 3)"),
        ("days_since_last_transaction", "days", 1, 3, "1 day since the last transaction (typical: 3)"),
        (
            "days_since_last_login",
            "days",
            math.nan,
            2.5,
            "no log-in on record (typical: the last one 2.5 days ago)",
        ),
        ("without_words", "base_currency", 12345.6, 0, "its label: 12,346 (typical: 0)"),
        (
            "spend_volatility_180d",
            "ratio",
            math.nan,
            None,
            "no spend to compare in six months",
        ),
        (
            "transaction_count_trend",
            "log_ratio",
            math.log(0.5),
            0,
            "transactions of 30 days against the 90 days before: -50 % (typical: +0 %)",
        ),
    ],
)
def test_reasons_read_like_sentences(
    name: str, unit: str, value: float, typical: float | None, text: str
) -> None:
    """Catches log ratios, float32 tails and nan in what a person reads."""
    feature = columns.Feature(name, "its label", unit, "")
    assert reasons.words(config.load("churn"), feature, value, typical)[1] == text
