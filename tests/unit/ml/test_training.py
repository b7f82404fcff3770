"""Training on a real temporary warehouse: what it reads, what it makes, what it decides."""

import json
from collections.abc import Callable
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ml import config, datasets, training
from ml import dates as calendar
from ml import features as columns
from ml.registry import Registry
from ml.scores import baselines, boosted, fitting, metrics
from ml.scores.config import Baseline
from nightledger import warehouse
from tests.unit.ml.bank import Bank


def read(bank: Bank) -> tuple[datasets.Rows, calendar.Split, tuple[columns.Feature, ...]]:
    use_case = config.load("churn")
    features = columns.read_features(bank.build, use_case)
    with warehouse.connect(bank.build, settings=bank.settings) as connection:
        pairs = calendar.matured_days(connection, bank.settings, use_case)
        dates = calendar.split([day for _, day in pairs], use_case)
        assert dates is not None
        rows = datasets.read_rows(connection, bank.settings, use_case, features, pairs)
    return rows, dates, features


def test_what_became_known_later_changes_no_training_row(bank: Bank) -> None:
    """Catches a label or a population that looks past the instant at which it was judged."""
    before = read(bank)[0].table
    bank.run("""
        insert into intermediate.int_transactions
        select l.client_id, l.customer_id, b.business_date, a.cutoff_at, null, true, 1
        from (select distinct client_id, customer_id from features.features_customers) as l
        cross join (values (date '2025-06-15'), (date '2025-09-15')) as b(business_date)
        cross join (select max(cutoff_at) as cutoff_at from ops.as_of_dates) as a
    """)
    assert read(bank)[0].table.equals(before)


def test_a_version_counts_until_it_was_superseded(bank: Bank) -> None:
    """Catches labels made from current rows: what is superseded now was an act until that was known."""
    before = read(bank)[0].table
    bank.run("update intermediate.int_transactions set superseded_at = timestamp '2030-01-01'")
    assert read(bank)[0].table.equals(before)
    bank.run("update intermediate.int_transactions set superseded_at = known_at")
    assert len(read(bank)[0].table) == 0


def test_label_is_one_only_without_an_act_inside_the_horizon(bank: Bank) -> None:
    """Catches a window that is off by a day, or that counts money the customer did not move."""
    bank.run("delete from intermediate.int_transactions where customer_id in ('c0000', 'c0001', 'c0002')")
    bank.run("""
        insert into intermediate.int_transactions
        select 'tester', c, d, d + interval 25 hour, null, acted, 1 from (values
            ('c0000', date '2025-03-31', true), ('c0000', date '2025-05-30', true),
            ('c0001', date '2025-01-01', true), ('c0001', date '2025-05-31', true),
            ('c0002', date '2024-12-31', true), ('c0002', date '2025-04-30', false)
        ) as t(c, d, acted)
    """)
    table = read(bank)[0].table.to_pylist()
    found = {r["entity_id"]: r["label"] for r in table if r["as_of_date"] == date(2025, 3, 31)}
    assert (found["c0000"], found["c0001"], found.get("c0002")) == (0, 1, None)


def test_every_training_label_was_known_at_the_test_date(bank: Bank) -> None:
    """Catches a lost gap: a model that has seen outcomes from the time it is tested on."""
    _, dates, _ = read(bank)
    assert dates.test == (date(2025, 9, 30),)
    assert dates.training == tuple(
        date(2025, month, day) for month, day in ((3, 31), (4, 30), (5, 31), (6, 30))
    )


def test_a_client_whose_data_stops_does_not_mature(bank: Bank) -> None:
    """Catches a silent feed that would make every customer a leaver."""
    bank.run("delete from intermediate.int_transactions where business_date > '2025-11-01'")
    assert read(bank)[1].test == (date(2025, 8, 31),)


@pytest.mark.parametrize(
    ("fault", "left_out"),
    [
        ("delete from {t} where business_date between '2025-05-03' and '2025-05-16'", False),
        ("delete from {t} where business_date between '2025-05-03' and '2025-05-17'", True),
        ("update {t} set known_at = '2025-09-01' where month(business_date) = 5", True),
    ],
)
def test_an_outcome_with_a_hole_in_the_feed_is_left_out(bank: Bank, fault: str, left_out: bool) -> None:
    """Catches an outage, or a file that came after the judgement, taken for customers who left."""
    bank.run(fault.format(t="intermediate.int_transactions"))
    with warehouse.connect(bank.build, settings=bank.settings) as connection:
        pairs = calendar.matured_days(connection, bank.settings, config.load("churn"))
    assert (("tester", date(2025, 4, 30)) not in pairs) == left_out
    assert ("tester", date(2025, 5, 31)) in pairs


def test_shuffled_labels_teach_nothing(bank: Bank) -> None:
    """Catches a leak that no shuffling takes away: a feature that names the customer's outcome."""
    rows, dates, features = read(bank)
    rng = np.random.default_rng(5)
    labels = pa.array(rng.permutation(rows.table["label"].to_numpy()))
    shuffled = rows.table.drop_columns(["label"]).append_column("label", labels)
    rows = datasets.Rows(shuffled, rows.features, rows.definition_hash)
    test = rows.of(dates.test)
    margins = fitting.fit(config.load("churn"), features, rows, dates, 2).margins(test.table, 2)
    found = metrics.average_precision(test.labels(), margins, np.ones(len(margins)))
    assert found == pytest.approx(test.labels().mean(), abs=0.08)


def test_the_linear_baseline_survives_long_tails() -> None:
    """Catches a straw man: on raw amounts a few large rows bend the line, and any booster beats it."""
    rng = np.random.default_rng(2)
    logs = rng.normal(0, 2, (4000, 2))
    truth = logs.sum(axis=1) / 2 - 2
    table = pa.table(
        {
            **{name: np.exp(logs[:, i]).astype(np.float32) for i, name in enumerate(("spend", "count"))},
            "label": (rng.random(4000) < 1 / (1 + np.exp(-truth))).astype(np.int32),
        }
    )
    use_case = config.load("churn").model_copy(update={"baselines": {"linear": Baseline(kind="logistic")}})
    rows = datasets.Rows(table, ("spend", "count"), "")
    found = baselines.predict(use_case, rows, rows, rows)["linear"].scores
    reached, best = (metrics.average_precision(rows.labels(), s, np.ones(4000)) for s in (found, truth))
    assert reached > best - 0.03


def test_same_inputs_give_the_same_bytes_on_one_or_two_threads(bank: Bank) -> None:
    """Catches anything unordered or unseeded on the way to the artefact."""
    rows, dates, features = read(bank)
    one, two = (fitting.fit(config.load("churn"), features, rows, dates, n).files() for n in (1, 2))
    assert one == two


def test_the_booster_ends_at_its_best_round(bank: Bank, configure: Callable[..., Any]) -> None:
    """Catches rounds after the best one: XGBoost keeps them, and predicts with them."""
    params = config.load("churn").boosted.params | {"eta": 0.5}
    configure(estimator={"rounds": 300, "early_stopping_rounds": 5, "params": params})
    rows, dates, features = read(bank)
    model = fitting.fit(config.load("churn"), features, rows, dates, 2)
    assert model.estimator.booster.num_boosted_rounds() < 50


def test_calibration_finds_the_numbers_that_made_the_labels() -> None:
    """Catches a calibration that does not converge, or converges elsewhere."""
    rng = np.random.default_rng(1)
    margins = rng.normal(-2, 2, 200_000)
    labels = (rng.random(200_000) < 1 / (1 + np.exp(-(0.7 * margins + 0.3)))).astype(np.float64)
    assert boosted.platt(margins, labels) == pytest.approx((0.7, 0.3), abs=0.03)


def test_the_first_model_that_beats_its_baselines_becomes_champion(
    trained: tuple[Bank, training.TrainingOutcome],
) -> None:
    """Catches a champion without metrics or predictions: the night and the report need both."""
    bank, outcome = trained
    assert outcome.verdict == "promoted", outcome.reason
    registry = Registry(bank.settings)
    assert registry.known("churn", str(outcome.version)).verdict == "promoted"
    told = outcome.as_dict()
    assert json.loads(json.dumps(told)) == told
    assert told["trained_on_as_of"] == "2025-12-31"
    assert outcome.version == f"2025-12-31-{outcome.artefact_sha256[:8]}"
    rows = {(row["baseline"], row["metric"]) for row in told["metrics"]}
    assert {("", "average_precision"), ("recency", "brier"), ("logistic_regression", "roc_auc")} <= rows
    path = bank.settings.registry / "predictions" / "churn" / f"{outcome.version}.parquet"
    predictions = pq.read_table(path)
    assert predictions.column_names == [
        *("client_id", "entity_id", "as_of_date", "day", "customer_id", "exposure", "label", "score")
    ]
    assert len(predictions) == told["metrics"][0]["n"]


def test_training_again_on_the_same_publication_changes_nothing(
    trained: tuple[Bank, training.TrainingOutcome],
) -> None:
    """Catches a retried task that makes a second version or a second decision."""
    bank, first = trained
    again = training.train(bank.settings, "churn", champion=first.version)
    assert (again.verdict, again.version) == ("unchanged", first.version)
    assert again.standing == "promoted"


def test_a_challenger_that_is_no_better_does_not_replace_the_champion(
    trained: tuple[Bank, training.TrainingOutcome], configure: Callable[..., Any]
) -> None:
    """Catches promotion by novelty."""
    bank, first = trained
    configure(promotion={"over_champion": 0.5})
    second = training.train(bank.settings, "churn", champion=first.version)
    assert (second.verdict, second.champion) == ("kept_as_challenger", first.version), second.reason
    champion = Registry(bank.settings).champion("churn")
    assert champion is not None
    assert champion.version == first.version, "the registry follows decisions, not trainings"


def test_a_champion_with_other_features_is_replaced_and_the_features_are_named(
    trained: tuple[Bank, training.TrainingOutcome],
) -> None:
    """Catches a comparison of scores made from columns that mean something else now."""
    bank, first = trained
    bank.columns["max_transaction_amount_90d"]["config"]["meta"]["unit"] = "count"
    bank.write_manifest()
    outcome = training.train(bank.settings, "churn", champion=first.version)
    assert outcome.verdict == "promoted"
    assert "defined differently: max_transaction_amount_90d" in outcome.reason


@pytest.mark.parametrize("has_champion", [False, True])
def test_probabilities_that_are_far_off_are_refused_without_a_champion_to_compare_with(
    trained: tuple[Bank, training.TrainingOutcome], configure: Callable[..., Any], has_champion: bool
) -> None:
    """Catches a first champion, or one after a champion that cannot score any more, that ranks well and
    whose probabilities are wrong."""
    bank, first = trained
    if has_champion:
        bank.columns["max_transaction_amount_90d"]["config"]["meta"]["unit"] = "count"
        bank.write_manifest()
    rails = {"calibration_error": 0.5, "most_calibration_error": 0.001, "score_psi": 25.0}
    configure(seed=9, promotion={"guardrails": rails})
    outcome = training.train(bank.settings, "churn", champion=first.version if has_champion else None)
    assert outcome.verdict == "refused", outcome.reason
    assert "for certain more than the 0.001 that any version may have" in outcome.reason
    assert len(outcome.guardrails) == 1


def test_too_few_matured_dates_are_refused_with_figures(bank: Bank, configure: Callable[..., Any]) -> None:
    """Catches a model made from two months of a new bank."""
    configure(dates={"training": 11})
    outcome = training.train(bank.settings, "churn")
    assert (outcome.verdict, outcome.version, outcome.metrics) == ("refused", None, ())
    assert outcome.reason.startswith("Too few matured dates: 10 month-ends")


@pytest.mark.parametrize(("who", "kind"), [("leavers", "events"), ("stayers", "others")])
def test_too_few_outcomes_are_refused_with_figures(
    bank: Bank, configure: Callable[..., Any], who: str, kind: str
) -> None:
    """Catches a model, and metrics, made from a handful of events."""
    configure(minimums={kind: 10_000})
    outcome = training.train(bank.settings, "churn")
    assert (outcome.verdict, outcome.version) == ("refused", None)
    assert f"{who} in the fitted rows" in outcome.reason
    assert "10000" in outcome.reason


def test_a_model_no_better_than_its_baselines_is_refused_but_reported(
    trained: tuple[Bank, training.TrainingOutcome], configure: Callable[..., Any]
) -> None:
    """Catches a complicated model that a simple rule would replace."""
    bank, _ = trained
    configure(estimator={"rounds": 1})
    outcome = training.train(bank.settings, "churn")
    assert outcome.verdict == "refused"
    assert "no better than its baselines: recency has" in outcome.reason
    assert outcome.metrics


def test_rows_of_two_definitions_are_not_mixed(bank: Bank) -> None:
    """Catches training on a feature table that was rebuilt only in part."""
    bank.run("update features.features_customers set _definition_hash = '2' where as_of_date = '2025-05-31'")
    with pytest.raises(columns.DatasetError, match="2 definitions"):
        training.train(bank.settings, "churn")


def test_an_unknown_model_is_answered_with_the_known_ones() -> None:
    """Catches a typo in the DAG's parameter that ends in a stack trace."""
    with pytest.raises(config.ConfigError, match=r"there are: .*churn, "):
        config.read.genuine("chum")  # type: ignore[attr-defined]


def test_a_feature_from_the_future_is_found_and_named(bank: Bank) -> None:
    """Catches a leak that would look like an excellent model: what came after the date, taken for known."""
    bank.run("alter table features.features_customers add column transactions_next_60d float")
    bank.run("""
        update features.features_customers as f set transactions_next_60d = (
            select count(*) from intermediate.int_transactions as t
            where t.customer_id = f.customer_id
                and t.business_date > f.as_of_date and t.business_date <= f.as_of_date + 60
        )
    """)
    meta = {"allowed_in": ["churn"], "label": "planted", "unit": "count", "group": "all"}
    bank.columns["transactions_next_60d"] = {
        "name": "transactions_next_60d",
        "data_type": "float",
        "config": {"meta": meta},
    }
    bank.write_manifest()
    outcome = training.train(bank.settings, "churn")
    assert outcome.verdict == "refused"
    assert "Feature transactions_next_60d alone ranks the outcome" in outcome.reason


def test_a_feature_that_is_filled_in_afterwards_is_found_and_named(bank: Bank) -> None:
    """Catches the usual leak of own data: a recovery or a closing date that only those who left have."""
    bank.run("alter table features.features_customers add column recovered float")
    bank.run("""
        update features.features_customers as f set recovered = 1 where not exists (
            select 1 from intermediate.int_transactions as t where t.customer_id = f.customer_id
            and t.business_date > f.as_of_date and t.business_date <= f.as_of_date + 60
        )
    """)
    meta = {"allowed_in": ["churn"], "label": "planted", "unit": "count", "group": "all"}
    bank.columns["recovered"] = {"name": "recovered", "data_type": "float", "config": {"meta": meta}}
    bank.write_manifest()
    outcome = training.train(bank.settings, "churn")
    assert outcome.verdict == "refused"
    assert "Feature recovered being filled in alone ranks the outcome" in outcome.reason


def test_the_model_card_says_what_was_measured(trained: tuple[Bank, training.TrainingOutcome]) -> None:
    """Catches a card of other numbers than those that decided."""
    bank, outcome = trained
    folder = bank.settings.registry / "models" / "churn" / str(outcome.version)
    card = (folder / "model_card.md").read_text()
    own = next(
        row
        for row in outcome.metrics
        if (row["metric"], row["baseline"], row["client_id"]) == ("average_precision", "", "")
    )
    assert f"| average_precision | {own['value']:.4g} |" in card
    assert "recency" in card
    assert "How it treats groups" in card
    assert {row["feature"] for row in outcome.importances} == set(bank.columns)
