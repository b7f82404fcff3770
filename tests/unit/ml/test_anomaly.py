"""Models of what is unusual: who stands out, and when such a model is not used."""

import re

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import yaml
from pydantic import ValidationError

from ml import families, scoring, training
from ml import features as columns
from ml.registry import Registry
from ml.scores import deviations, fitting
from ml.scores.config import UseCase
from nightledger.settings import PROJECT
from tests.unit.ml.anomalies import (
    AMOUNT,
    MODEL,
    OFTEN,
    Configure,
    allow,
    customers,
    genuine,
    night,
    plant,
    score,
    told,
)
from tests.unit.ml.bank import FEATURES, LAST, Bank


def test_planted_behaviour_ranks_first_and_is_named_with_what_it_is_compared_with(
    bank: Bank, few_trees: Configure
) -> None:
    """Catches a forest that sets the usual apart, and reasons that name other features than what was done."""
    allow(bank)
    few_trees()
    spender, busy = customers(bank, "wallet", 2)
    plant(bank, spender, AMOUNT, 5000)
    plant(bank, busy, OFTEN, 95)
    found, _ = score(bank)
    scores = found["scores"].sort_values(["score", "margin"], ascending=False)
    assert set(scores["entity_id"].head(2)) == {spender, busy}
    assert set(scores["band"].head(2)) == {"unusual"}
    assert scores["score"].max() == 1
    first = found["reasons"][found["reasons"]["rank"] == 1].set_index("entity_id")
    for customer, feature, value in ((spender, AMOUNT, "5,000"), (busy, OFTEN, "95")):
        deviation, basis, typical = told(bank, customer, feature)
        row = first.loc[customer]
        assert row["feature"] == feature
        assert row["contribution"] == pytest.approx(deviation, rel=1e-5)
        times = f"{deviation:.1f}" if deviation <= 99 else "more than 99"
        label = feature.replace("_", " ")
        assert row["text"].startswith(f"{label} {value}: {times} deviations above {basis} (typical: ")
        assert f"{typical:g}" in row["text"]


def test_a_rerun_and_other_batches_write_the_same_bytes(
    bank: Bank, few_trees: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches statistics of a batch, sums that depend on threads, and a clock."""
    allow(bank)
    few_trees(estimator={"quota": 0.2})
    whole, version = score(bank)
    files = {path: path.read_bytes() for path in bank.build.glob("lake/**/*.parquet")}
    night(bank, version)
    assert {path: path.read_bytes() for path in files} == files
    monkeypatch.setattr(scoring, "BATCH", 37)
    monkeypatch.setattr(deviations, "_BATCH", 41)
    for kind, frame in night(bank, version).items():
        pd.testing.assert_frame_equal(frame, whole[kind])
    outcome = training.train(bank.settings, MODEL)
    assert (outcome.verdict, outcome.version) == ("unchanged", version)


def test_a_what_if_of_a_forest_is_the_forests_own_answer(bank: Bank, few_trees: Configure) -> None:
    """Catches a what-if by another feature or median, or one that forgets that scores are ranks."""
    allow(bank)
    few_trees()
    spender = customers(bank, "wallet", 1)[0]
    plant(bank, spender, AMOUNT, 5000)
    found, version = score(bank)
    row = found["what_if"].query("entity_id == @spender and feature == @AMOUNT").iloc[0]
    verticals = dict(bank.ask("select customer_id, vertical from intermediate.int_customers"))
    vectors = found["vectors"].set_index("entity_id")
    peers = vectors[vectors.index.map(verticals) == verticals[spender]]
    assert row["typical"] == pytest.approx(peers[AMOUNT].median())
    moved = vectors.loc[[spender], list(FEATURES)].astype("float32").assign(**{AMOUNT: row["typical"]})
    table = pa.Table.from_pandas(moved, preserve_index=False)
    again = Registry(bank.settings).load(MODEL, version).scores(table, 1)[0]
    assert row["score_without"] == pytest.approx(again, abs=1e-6)
    assert row["score_without"] < row["score"] == 1


def test_the_upper_band_holds_the_quota(bank: Bank, few_trees: Configure) -> None:
    """Catches a band and a quota that say different things."""
    allow(bank)
    use_case = few_trees(estimator={"quota": 0.1})
    assert use_case.bands == {"usual": 0.0, "unusual": 0.9}
    found, version = score(bank)
    rows = fitting.training_rows(
        families.Job(
            bank.settings,
            MODEL,
            use_case,
            training.read_publication(bank.settings),
            columns.read_features(bank.build, use_case),
        ),
        "tester",
    )
    fitted = rows[0].of(rows[1].training)
    model = Registry(bank.settings).load(MODEL, version)
    assert (model.scores(fitted.table, 1) >= 0.9).mean() == pytest.approx(0.1, abs=0.005)
    assert (found["scores"]["band"] == "unusual").equals(found["scores"]["score"] >= np.float32(0.9))
    values = genuine("anomaly").model_dump()
    assert UseCase(**values).bands == {"usual": 0.0, "unusual": 0.99}
    with pytest.raises(ValidationError, match=r"follow from estimator\.quota"):
        UseCase(**{**values, "bands": {"usual": 0.0, "unusual": 0.95}})
    with pytest.raises(ValidationError, match="must be unusual"):
        UseCase(**{**values, "reasons": {**values["reasons"], "from_band": None}})


def test_the_feature_that_sets_rows_apart_counts_most(bank: Bank, few_trees: Configure) -> None:
    """Catches a forest without importances, and one in which a feature without values decides."""
    allow(bank)
    few_trees()
    found = {row["feature"]: row["importance"] for row in training.train(bank.settings, MODEL).importances}
    assert set(found) == set(FEATURES)
    assert min(found["days_since_last_transaction"], found["transactions_90d"]) > found["never_filled"] == 0


def test_when_the_seed_decides_the_model_is_refused(bank: Bank, few_trees: Configure) -> None:
    """Catches a forest of a few trees whose list of the unusual is luck."""
    allow(bank)
    few_trees(estimator={"trees": 10, "sample": 64, "least_stability": 0.995})
    outcome = training.train(bank.settings, MODEL)
    assert outcome.verdict == "refused"
    assert "under another seed" in outcome.reason
    assert "Needed is an agreement of 0.995" in outcome.reason


def test_when_the_world_has_moved_the_model_is_refused(bank: Bank, few_trees: Configure) -> None:
    """Catches a quota that would be everybody: the last month is unlike those that were learnt from."""
    allow(bank)
    few_trees()
    bank.run(f"update features.features_customers set {AMOUNT} = 40 * {AMOUNT} where as_of_date = '{LAST}'")
    outcome = training.train(bank.settings, MODEL)
    assert outcome.verdict == "refused"
    assert "say little about tonight" in outcome.reason


def test_one_permission_lets_both_models_read_a_feature(bank: Bank) -> None:
    """Catches a second model of what is unusual that needs every feature allowed again, or reads others'."""
    names = [column["name"] for column in bank.columns.values()]
    bank.columns[names[0]]["config"]["meta"]["allowed_in"] = ["anomaly", "fraud"]
    bank.columns[names[1]]["config"]["meta"]["allowed_in"] = ["anomaly_transactions"]
    bank.write_manifest()
    of_transactions = genuine("anomaly_transactions").model_copy(update={"features": ["features_customers"]})
    for use_case in (genuine("anomaly"), of_transactions):
        assert [f.name for f in columns.read_features(bank.build, use_case)] == [names[0]]


def test_what_exceeds_everything_learnt_is_set_apart_by_its_distance(
    bank: Bank, few_trees: Configure
) -> None:
    """Catches a forest whose cuts end where its rows end: a hundred times the largest is the largest."""
    allow(bank)
    few_trees()
    _, version = score(bank)
    model = Registry(bank.settings).load(MODEL, version)
    rows = {name: [median or 0.0] * 4 for name, median in model.medians.items()}
    rows[AMOUNT] = [90.0, 170.0, 8000.0, 8e9]
    table = pa.table({name: pa.array(values, pa.float32()) for name, values in rows.items()})
    largest, beyond, far, absurd = model.margins(table, 1)
    assert largest < beyond < far == absurd < 1
    again = type(model).from_files(model.files())
    assert np.array_equal(again.margins(table, 1), model.margins(table, 1))


def test_the_committed_page_counts_what_a_person_said() -> None:
    """Catches a precision that was written by hand, or a list whose judgements are others'."""
    page = (PROJECT / "docs" / "reference" / "anomalies-birmingham.md").read_text()
    judged = yaml.safe_load((PROJECT / "benchmarks" / "anomalies_judged.yml").read_text())
    for title, said in judged.items():
        part = page.split(f"## The twenty most unusual {title}")[1].split("\n## ")[0]
        rows = [line for line in part.splitlines() if re.match(r"\| \d+ \|", line)]
        why = {one["why"]: one["plausible"] for one in said.values()}
        told = [re.fullmatch(r".*\| (\*\*yes\*\*|no): (.*) \|", line) for line in rows]
        answers = [(found[1] == "**yes**", found[2]) for found in told if found]
        assert len(answers) == 20
        assert all(why[words] == answer for answer, words in answers)
        assert f"**{sum(answer for answer, _ in answers)} of 20 are worth" in part
