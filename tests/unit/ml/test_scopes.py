"""A client has models of its own, and models that it does not use."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ml import config, scopes, scoring, training
from ml.datasets import read_publication
from ml.families import Job
from ml.features import read_features
from ml.scores.fitting import training_rows
from ml.training import TrainingOutcome
from nightledger import warehouse
from nightledger.settings import Settings
from tests.unit.ml.bank import LAST, Bank

Trained = tuple[Bank, TrainingOutcome]
OWN = "churn.tester.segment_1"
SEGMENTED = """
    create schema marts;
    create table marts.fct_segments as
    select client_id, 'segments_rfm' as model, customer_id,
        1 + (hash(customer_id) % 2)::integer as segment_id, 'Of many, many words' as name, as_of_date
    from intermediate.int_customers, (values (date '2024-11-30'), (date '2025-12-31')) as d (as_of_date)
    union all
    select client_id, 'segments_rfm', customer_id, 9, 'Retired', date '2024-11-30'
    from intermediate.int_customers where hash(customer_id) % 10 = 0
"""
"""Two segments; a third one has nobody any more."""


def with_rules(bank: Bank, folder: Path, rules: str) -> Settings:
    """Settings whose client says more."""
    folder.mkdir()
    (folder / "tester.yml").write_text((bank.settings.clients / "tester.yml").read_text() + rules)
    return bank.settings.model_copy(update={"clients": folder})


def of_segment(bank: Bank, number: int) -> set[str]:
    found = bank.ask(
        f"select customer_id from marts.fct_segments where segment_id = {number} and as_of_date = '{LAST}'"
    )
    return {customer for (customer,) in found}


def scored(bank: Bank, model: str) -> set[str]:
    """Customers that a model has scored."""
    paths = list((bank.build / "lake" / "scores").glob(f"model={model}/*/*/part.parquet"))
    assert paths, f"{model} has scored nothing, not even nobody"
    return set(pa.concat_tables(map(pq.read_table, paths))["entity_id"].to_pylist())


def test_a_client_has_a_version_for_each_of_its_segments(trained: Trained, tmp_path: Path) -> None:
    """Catches a segment's model that learns from or scores other customers; customers whom two models score,
    or none; and models of segments that nobody is in any more.
    """
    bank, first = trained
    bank.run(SEGMENTED)
    assert "churn.tester.segment_1" not in training.members(bank.settings), "nobody has asked for it"
    with pytest.raises(config.ConfigError, match=r"ask for churn, not for churn\.tester\.segment_1"):
        training.train(bank.settings, OWN)
    settings = with_rules(bank, tmp_path / "clients", "models: {churn: {scope: segment}}\n")
    of_churn = [model for model in training.members(settings) if model.startswith("churn")]
    assert of_churn == ["churn", OWN, "churn.tester.segment_2"]

    own = training.train(settings, OWN)
    assert own.verdict == "promoted", own.reason
    described = scopes.asked(settings, config.load("churn"), OWN)
    publication = read_publication(settings)
    job = Job(settings, OWN, described, publication, read_features(publication.path, described))
    learnt_from, _ = training_rows(job, "tester.segment_1")
    assert set(learnt_from.table["entity_id"].to_pylist()) <= of_segment(bank, 1)
    assert 0 < len(learnt_from.table) < len(training_rows(job)[0].table)

    bank.pin(str(first.version))
    everybody = scoring.score_night(settings, bank.build)["scored"]
    bank.run(f"insert into ops.model_pins values ('{OWN}', '{LAST}', '{own.version}', 'champion')")
    said = scoring.score_night(settings, bank.build)
    assert said["scored"] == everybody, "each of them once"
    assert scored(bank, OWN) <= of_segment(bank, 1)
    assert scored(bank, "churn") <= of_segment(bank, 2)
    assert scored(bank, OWN) and scored(bank, "churn"), "whom no own version serves is served by the file's"


def test_a_client_that_has_switched_a_model_off_is_neither_learnt_from_nor_scored(
    trained: Trained, tmp_path: Path
) -> None:
    """Catches a switch that keeps actions back and goes on judging people; and one that rewrites the past."""
    bank, first = trained
    settings = with_rules(bank, tmp_path / "clients", "models: {churn: {enabled: false}}\n")
    assert "churn" in training.members(bank.settings)
    assert "churn" not in training.members(settings)
    assert training.train(settings, "churn").reason.startswith("Too few matured dates: 0")
    bank.pin(str(first.version))
    bank.run("create table ops.models_off (client_id varchar, model varchar, as_of_date date)")
    bank.run(f"insert into ops.models_off values ('tester', 'churn', date '{LAST}' + 1)")
    assert scoring.score_night(settings, bank.build)["scored"] > 0, "the date was scored before"
    bank.run(f"insert into ops.models_off values ('tester', 'churn', '{LAST}')")
    assert scoring.score_night(settings, bank.build)["scored"] == 0


def test_verticals_of_a_client_and_names_that_nobody_asked_for(bank: Bank, tmp_path: Path) -> None:
    """Catches a vertical of one client that learns from another's, and a slip that trains on everybody."""
    settings = with_rules(bank, tmp_path / "clients", "models: {churn: {scope: vertical}}\n")
    of_churn = [model for model in training.members(settings) if model.startswith("churn")]
    assert of_churn == ["churn", "churn.tester.neobank", "churn.tester.wallet"]
    churn = config.load("churn")
    assert scopes.asked(settings, churn, "churn.tester.wallet").scope == "client_vertical"
    for name in ("churn.tester", "churn.tester.segment_1", "churn.wallet"):
        with pytest.raises(config.ConfigError, match="ask for churn, not for"):
            scopes.asked(settings, churn, name)
    with warehouse.connect(bank.build, settings=settings) as connection:
        off = with_rules(bank, tmp_path / "off", "models: {churn: {enabled: false}}\n")
        assert scopes.members(connection, off, churn.model_copy(update={"scope": "client"})) == []
