"""What the registry tells of a version, also to who looks at it with MLflow's own pages."""

import json

import mlflow
import pytest

from ml import training
from ml.registry import Registry, RegistryError
from nightledger import revision
from tests.unit.ml.bank import FEATURES, Bank

Trained = tuple[Bank, training.TrainingOutcome]


def test_a_version_says_what_it_was_made_from(trained: Trained) -> None:
    """Catches a version of which nobody can tell later from what, by which code and how well it was made."""
    bank, outcome = trained
    client = mlflow.MlflowClient(bank.settings.registry_uri, bank.settings.registry_uri)
    version = client.get_model_version_by_alias("churn", "champion")
    assert version.tags["version"] == outcome.version
    assert version.tags["artefact_sha256"] == outcome.artefact_sha256
    assert version.creation_timestamp
    run = client.get_run(version.run_id)
    told = run.data.params
    assert told["publication_id"] == bank.build.name
    assert told["publication_code_revision"] == "abc123"
    assert told["code_revision"] == revision.of(bank.settings) != "abc123"
    assert told["data_fingerprint"].startswith(f"{told['training_rows']} rows, ")
    assert int(told["feature_count"]) == len(FEATURES)
    assert json.loads(told["hyper_parameters"])["max_depth"]
    for end in ("", ".lo", ".hi"):
        assert f"out_of_time.average_precision{end}" in run.data.metrics


def test_mlflows_pages_show_the_card_and_the_features(trained: Trained) -> None:
    """Catches documents beside the version only: the pages show the artefacts of runs, and no others."""
    bank, outcome = trained
    shelf = Registry(bank.settings)
    client = mlflow.MlflowClient(bank.settings.registry_uri, bank.settings.registry_uri)
    run = client.get_run(client.get_model_version_by_alias("churn", "champion").run_id)
    folder = bank.settings.registry / run.info.artifact_uri.removeprefix("mlflow-artifacts:/")
    for name in ("model_card.md", "features.json"):
        assert (folder / name).read_text() == shelf.document("churn", str(outcome.version), name)
    features = json.loads((folder / "features.json").read_text())
    model = shelf.load("churn", str(outcome.version))
    assert {feature["name"]: feature["definition"] for feature in features} == model.definitions


def test_a_document_or_version_that_is_gone_is_named(trained: Trained) -> None:
    """Catches a stack trace where a person needs to know what is gone."""
    bank, outcome = trained
    shelf = Registry(bank.settings)
    with pytest.raises(RegistryError, match="no version x"):
        shelf.document("churn", "x", "features.json")
    with pytest.raises(RegistryError, match=r"nothing\.md is gone"):
        shelf.document("churn", str(outcome.version), "nothing.md")
