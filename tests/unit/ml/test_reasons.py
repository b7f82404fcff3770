"""Reasons for scores: every feature has words for each value that it can have."""

import pytest
import yaml

from ml import config, datasets
from ml.scores import reasons
from nightledger.dbt import reference
from nightledger.settings import PROJECT

DEFINITIONS = [
    one for one in reference.read_definitions(PROJECT / reference.DEFINITIONS) if "churn" in one.allowed_in
]


@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda one: one.name)
def test_every_allowed_feature_has_words_for_every_value(definition: reference.Definition) -> None:
    """Catches a new feature that a person reads as a label and a number, or as "unknown" where it is null."""
    use_case = config.load("churn")
    text = use_case.reasons.texts[definition.name]
    feature = datasets.Feature(definition.name, "its label", definition.unit, "")
    assert "{value}" in text.text and "{typical}" in text.text
    if "null" in definition.null_rule and definition.null_rule != "never null":
        assert text.missing, definition.null_rule
        missing = reasons.words(use_case, feature, float("nan"), 3.0)[1]
        assert use_case.reasons.unknown not in missing
    if definition.unit in ("count", "days"):
        said = reasons.words(use_case, feature, 1.0, 2.0)[1]
        assert not said.startswith(("1 days", "1 transactions", "1 different", "1 recurring payments")), said


def test_no_words_are_left_of_features_that_are_gone() -> None:
    """Catches a text that nobody reads any more, because its feature was renamed."""
    names = {definition.name for definition in DEFINITIONS}
    assert set(config.load("churn").reasons.texts) <= names


def test_codes_are_called_what_they_stand_for() -> None:
    """Catches "way of paying: 4", and a mode that the seed has got and the words have not."""
    folder = PROJECT / "dbt_project"
    modes = [row.split(",")[0] for row in (folder / "seeds/payment_modes.csv").read_text().split()[1:]]
    models = yaml.safe_load((folder / "models/features/_features__models.yml").read_text())["models"]
    (meta,) = [
        column["config"]["meta"]
        for model in models
        for column in model["columns"]
        if column["name"] == "payment_mode"
    ]
    assert meta["values"] == [mode.replace("_", " ") for mode in modes]
    feature = datasets.Feature("mode", meta["label"], meta["unit"], "", values=tuple(meta["values"]))
    said = reasons.words(config.load("fraud"), feature, 4.0, 1.0)[1]
    assert said == "way of paying: transfer (typical: card)"


def test_sensitive_features_are_never_reasons_in_credit() -> None:
    """Catches health and transfers to people in a decision on credit."""
    sensitive = {"share_health", "share_people_transfers"}
    found = {one.name for one in DEFINITIONS if "credit" not in one.allowed_in and one.entity == "customer"}
    assert found == sensitive


@pytest.mark.parametrize(
    ("value", "unit", "said"),
    [
        (12.0, "seconds", "12 s"),
        (90.0, "seconds", "1.5 min"),
        (61_867.0, "seconds", "17.2 h"),
        (2_700_000.0, "seconds", "31.2 days"),
        (0.25, "share", "25 %"),
        (12_300.0, "money", "12,300"),
    ],
)
def test_numbers_are_written_as_people_write_them(value: float, unit: str, said: str) -> None:
    """Catches a reason such as "time since a new device: 2,700,175"."""
    assert reasons.number(value, unit) == said
