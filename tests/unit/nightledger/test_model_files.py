"""Models that stand under `variants` in another model's file."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from ml import config
from ml.scores.config import Boosted, UseCase
from nightledger.clients import load_clients, uses
from nightledger.settings import Settings

CREDIT = yaml.safe_load((config.MODELS / "credit.yml").read_text())
OWN = CREDIT["variants"]["application_fraud"]


def write(folder: Path, **changes: Any) -> Path:
    """A file with the variants of credit under the name borrowing, one of them changed."""
    variants = {"false_names": {key: value for key, value in (OWN | changes).items() if value is not None}}
    (folder / "borrowing.yml").write_text(yaml.safe_dump(CREDIT | {"variants": variants}, sort_keys=False))
    return folder


def test_a_variant_trains_the_named_baseline_of_its_model(tmp_path: Path) -> None:
    """Catches numbers or columns of the published model that are not those its model compares itself with."""
    case = config.load("false_names", write(tmp_path))
    published = CREDIT["baselines"]["published"]
    assert isinstance(case.estimator, Boosted)
    assert case.only == published["features"]
    assert case.estimator == Boosted(
        **{key: published[key] for key in ("kind", "params", "rounds", "early_stopping_rounds")}
    )
    assert (case.entity, case.seed) == ("customer", CREDIT["seed"])
    assert case.evaluation == config.load("borrowing", tmp_path).evaluation


def test_a_variant_says_itself_what_its_score_leads_to(tmp_path: Path) -> None:
    """Catches frauds that are told in the words of a declined credit, or are held to its directions."""
    case = config.load("false_names", write(tmp_path))
    assert (case.reasons.catalogue, case.reasons.texts, case.boosted.monotone) == (None, {}, {})
    assert (list(case.bands), list(case.baselines)) == (
        ["low", "medium", "high"],
        ["logistic_regression", "best_rule"],
    )
    for key in ("label", "promotion", "bands", "reasons"):
        with pytest.raises(config.ConfigError, match=r"borrowing.yml: variants.false_names: "):
            config.read("false_names", write(tmp_path, **{key: None}))


def test_what_a_variant_does_not_say_is_its_models(tmp_path: Path) -> None:
    """Catches another label of the same question that must repeat whom it is about, and how it is read."""
    case = config.load("false_names", write(tmp_path, module=None, dates=None))
    model = config.load("borrowing", tmp_path)
    assert (case.module, case.dates, case.minimums) == ("borrowing", model.dates, model.minimums)


def test_a_model_knows_nothing_of_its_variants(tmp_path: Path) -> None:
    """Catches versions of a model that change with a variant's numbers: they are part of what is hashed."""
    before = config.read("borrowing", write(tmp_path))
    assert before == config.read("borrowing", write(tmp_path, seed=8))
    assert config.read("false_names", tmp_path).seed == 8


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"baseline": None}, "baseline: None is none of the baselines of kind xgboost: published"),
        ({"baseline": "scorecard"}, "baseline: 'scorecard' is none of the baselines of kind xgboost"),
        ({"only": ["total_balance"]}, "only: a variant has them from its baseline published"),
        ({"estimator": {"rounds": 5}}, "estimator: a variant has them from its baseline published"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_variant_that_cannot_be_is_named_with_its_key(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    """Catches a slip that a person would look for in a file of the variant's name."""
    with pytest.raises(config.ConfigError, match=r"^borrowing.yml: variants.false_names: ") as refused:
        config.read("false_names", write(tmp_path, **changes))
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("model", "variants", "message"),
    [
        ("borrowing", ["false_names"], "borrowing.yml: variants must be models by name"),
        ("borrowing", {"false names": OWN}, "borrowing.yml: variants: 'false names' must be a name"),
        ("borrowing", {"borrowing": OWN}, "two files describe the model borrowing"),
        ("false_names", {"false_names": "published"}, "borrowing.yml: variants.false_names: it must hold"),
    ],
)
def test_variants_are_models_by_name(tmp_path: Path, model: str, variants: Any, message: str) -> None:
    """Catches a variant that takes the name of another model, and a list where names are needed."""
    (tmp_path / "borrowing.yml").write_text(yaml.safe_dump(CREDIT | {"variants": variants}, sort_keys=False))
    with pytest.raises(config.ConfigError) as refused:
        config.read(model, tmp_path)
    assert message in str(refused.value)


def test_no_variants_are_none(tmp_path: Path) -> None:
    """Catches a key that was left empty and stops its model, and with it every client."""
    (tmp_path / "borrowing.yml").write_text(yaml.safe_dump(CREDIT | {"variants": None}, sort_keys=False))
    assert config.names(tmp_path) == ["borrowing"]
    assert config.read("borrowing", tmp_path).name == "borrowing"


def test_a_file_that_is_no_yaml_keeps_nobody_from_the_others(tmp_path: Path) -> None:
    """Catches one slip in a stranger's file that stops every model of the installation."""
    write(tmp_path)
    (tmp_path / "broken.yml").write_text("features: [a\n")
    (tmp_path / "latin.yml").write_bytes("description: variants für später\n".encode("latin-1"))
    (tmp_path / "listed.yml").write_text("variants: [one]\n")
    assert config.names(tmp_path) == ["borrowing", "broken", "false_names", "latin", "listed"]
    assert config.read("false_names", tmp_path).name == "false_names"
    for name in ("broken", "latin", "listed"):
        with pytest.raises(config.ConfigError, match=rf"^{name}.yml: "):
            config.read(name, tmp_path)


def test_a_client_switches_a_variant_off_by_its_name(tmp_path: Path) -> None:
    """Catches a variant that clients cannot name, and one that goes when its model does."""
    settings = Settings(clients=tmp_path, _env_file=None)
    told: dict[str, Any] = {"name": "Bank", "base_currency": "EUR"}
    for off, used in (("application_fraud", "credit"), ("credit", "application_fraud")):
        told["models"] = {off: {"enabled": False}}
        (tmp_path / "bank.yml").write_text(yaml.safe_dump(told))
        clients = load_clients(settings)
        assert uses(settings, clients, used) and not uses(settings, clients, off)


def test_every_model_of_the_project_can_be_read() -> None:
    """Catches a variant of the project that only a training would find wrong."""
    found = {name: config.read(name) for name in config.names(config.MODELS)}
    variants = {name: model.variant_of for name, model in found.items() if model.variant_of}
    assert variants == {"application_fraud": "credit"}
    assert isinstance(found["application_fraud"], UseCase)
