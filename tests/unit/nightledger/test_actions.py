"""What a client says about next best actions is checked before a night reads it."""

import hashlib
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml
from pydantic import ValidationError

from ml import config
from ml.scores.config import UseCase
from nightledger import actions
from nightledger.actions import Action, NextBestAction
from nightledger.clients import Client, ClientError, load_clients
from nightledger.model_files import model_files
from nightledger.settings import PROJECT, Settings

SOUND: dict[str, Any] = {"model": "churn", "amount": "10", "response": "0.1", "cost": "1"}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"model": ""}, "for whom"),
        ({"model": "", "event": "car", "bands": ["high"]}, "name its `model`"),
        ({"model": "", "event": "car", "greatest_score": 0.2}, "name its `model`"),
        ({"model": "", "event": "car", "value": "at_risk", "amount": None}, "name its `model`"),
        ({"model": "", "event": "divorce"}, "there is no divorce; known are new_home"),
        ({"value": "at_risk"}, "only there"),
        ({"amount": None}, "only there"),
        ({"outcome": "category"}, "only with it"),
        ({"outcome": "category", "outcome_category": "cars"}, "there is no cars"),
        ({"control": "0"}, "greater than or equal to 0.05"),
        ({"response": "1.1"}, "less than or equal to 1"),
        ({"budgte": "5"}, "Extra inputs"),
    ],
)
def test_what_contradicts_itself_is_refused(changed: dict[str, Any], message: str) -> None:
    """A night that contacts nobody, or everybody, because of a word that was spelt wrongly."""
    with pytest.raises(ValidationError, match=message):
        Action.model_validate(SOUND | changed)


def test_events_that_do_not_exist_cannot_be_excluded() -> None:
    """An exclusion that protects nobody."""
    with pytest.raises(ValidationError, match="there is no mariage"):
        NextBestAction(excluded_events=["mariage"])


@pytest.mark.parametrize("key", ["consent", "opted_out"])
def test_entries_of_consents_are_read_as_sql_looks_them_up(key: str) -> None:
    """Customers who opted out and are contacted, because the client's file writes it in capitals."""
    assert getattr(NextBestAction.model_validate({key: " No_Profiling "}), key) == "no_profiling"
    assert getattr(NextBestAction.model_validate({key: "By E-Mail"}), key) == "bye-mail"
    for several in ("marketing;phone", "marketing, phone", "%"):
        with pytest.raises(ValidationError, match=f"{key}(.|\n)*must be one entry"):
            NextBestAction.model_validate({key: several})


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"model": "fraud"}, "actions.keep: fraud gives customers no scores"),
        ({"model": "lifetime_value"}, "actions.keep: lifetime_value gives customers no scores"),
        ({"model": "segments_rfm"}, "actions.keep: segments_rfm gives customers no scores"),
        ({"model": "churm"}, "there is no model churm"),
        ({"bands": ["high", "highest"]}, "actions.keep: churn has no band highest; it has low, medium, high"),
        (
            {"model": "anomaly", "bands": ["high"]},
            "actions.keep: anomaly has no band high; it has usual, unusual",
        ),
    ],
)
def test_a_model_or_band_that_leads_to_nothing_is_refused(
    tmp_path: Path, changed: dict[str, Any], message: str
) -> None:
    """A campaign that contacts nobody for months, and nobody knows why."""
    told: dict[str, Any] = {"name": "Bank", "base_currency": "EUR"}
    told["next_best_action"] = {"actions": {"keep": SOUND | {"bands": ["high"]}}}
    (tmp_path / "bank.yml").write_text(yaml.safe_dump(told))
    assert list(load_clients(Settings(clients=tmp_path, _env_file=None))) == ["bank"]
    told["next_best_action"] = {"actions": {"keep": SOUND | changed}}
    (tmp_path / "bank.yml").write_text(yaml.safe_dump(told))
    with pytest.raises(ClientError, match=f"bank.yml: next_best_action: {message}"):
        load_clients(Settings(clients=tmp_path, _env_file=None))


def test_bands_are_read_as_the_models_themselves_read_them() -> None:
    """Bands of a model whose file leaves them to its quota, or a family that has come to score customers."""
    files = model_files([config.MODELS])
    for name in config.names(config.MODELS):
        model = config.read(name, config.MODELS)
        scores_customers = isinstance(model, UseCase) and model.entity == "customer"
        bands = list(model.bands) if isinstance(model, UseCase) and scores_customers else []
        assert actions.bands_of_customers(files[name]) == bands, name


def test_no_window_is_longer_than_the_pause() -> None:
    """A control whom another action contacts while its outcome still counts: the difference tells of both."""
    of_two_months = {"keep": SOUND | {"window_days": 60}}
    assert NextBestAction.model_validate({"contact_pause_days": 60, "actions": of_two_months}).actions
    with pytest.raises(ValidationError, match="`window_days` of keep is 60, `contact_pause_days` is 59"):
        NextBestAction.model_validate({"contact_pause_days": 59, "actions": of_two_months})
    assert NextBestAction.model_validate({"actions": {"keep": SOUND}}).actions, "the defaults fit"


@pytest.mark.parametrize(
    ("model", "left"),
    [
        ("churn", ["worth", "least", "segment"]),
        ("lifetime_value", ["score", "segment"]),
        ("segments_rfm", ["score", "worth", "least"]),
        ("fraud", ["score", "worth", "least", "segment"]),
    ],
)
def test_what_needs_a_model_that_is_switched_off_is_not_proposed(model: str, left: list[str]) -> None:
    """A model in doubt, switched off, whose values and segments go on choosing customers."""
    event = SOUND | {"model": "", "event": "car"}
    told = {
        "score": SOUND,
        "worth": event | {"value": "lifetime_value", "amount": None},
        "least": event | {"least_lifetime_value": "0"},
        "segment": SOUND | {"model": "", "segments": ["Loyal"]},
    }
    client = Client.model_validate(
        {"client_id": "x", "name": "x", "base_currency": "EUR", "next_best_action": {"actions": told}}
        | {"models": {model: {"enabled": False}}}
    )
    with duckdb.connect() as connection:
        connection.execute("create schema ops")
        actions.create_tables(connection)
        actions.write(connection, [client])
        rows = connection.execute("select action from ops.client_actions order by position").fetchall()
    assert [name for (name,) in rows] == left


def test_the_message_names_the_file(tmp_path: Path) -> None:
    """An error that says what is wrong and not where."""
    rules = {"name": "Bank", "base_currency": "EUR", "next_best_action": {"consnet": "x"}}
    (tmp_path / "bank.yml").write_text(yaml.safe_dump(rules))
    with pytest.raises(ClientError, match=r"bank\.yml.*\n.*consnet"):
        load_clients(Settings(clients=tmp_path, _env_file=None))
    rules["next_best_action"] = {"actions": {"keep": SOUND | {"model": "chrun"}}}
    (tmp_path / "bank.yml").write_text(yaml.safe_dump(rules))
    with pytest.raises(ClientError, match=r"bank\.yml: next_best_action: there is no model chrun.*churn"):
        load_clients(Settings(clients=tmp_path, _env_file=None))


@pytest.mark.parametrize("share", ["0.05", "0.2", "0.5"])
def test_as_many_hashes_sort_below_the_bound_as_the_control_asks(share: str) -> None:
    """A bound of another length or case than hashes have: half of the customers in control, or none."""
    bound = actions.control_below(Decimal(share))
    digests = [hashlib.md5(str(number).encode()).hexdigest() for number in range(20_000)]
    found = sum(digest < bound for digest in digests) / len(digests)
    assert len(bound) == 8 and found == pytest.approx(float(share), abs=0.01)


def test_what_a_file_says_is_what_the_warehouse_is_told() -> None:
    """Values in each other's columns, and rules of yesterday beside today's."""
    clients = load_clients(Settings(clients=PROJECT / "clients", _env_file=None))
    with duckdb.connect() as connection:
        connection.execute("create schema ops")
        actions.create_tables(connection)
        for _ in range(2):
            actions.write(connection, clients.values())
        rules = {
            row["client_id"]: row
            for row in connection.execute("from ops.client_rules").to_arrow_table().to_pylist()
        }
        told = connection.execute(
            "from ops.client_actions where client_id = 'demo_bank' order by position"
        ).to_arrow_table()
    assert sorted(rules) == sorted(clients)
    assert (rules["sparkov"]["consent"], rules["demo_bank"]["contact_pause_days"]) == ("marketing", 60)
    said = clients["demo_bank"].next_best_action
    assert told["action"].to_pylist() == list(said.actions)
    for row, action in zip(told.to_pylist(), said.actions.values(), strict=True):
        for name in ("response", "cost", "budget", "window_days", "outcome"):
            assert row[name] == getattr(action, name), name
        assert (row["model"] or "", row["event"] or "") == (action.model, action.event)
        assert (row["value_kind"], row["control_share"]) == (action.value, action.control)
        assert row["bands"] == (";medium;high;" if action.bands else "")


def test_the_example_of_the_how_to_is_one_that_a_night_would_take() -> None:
    """A page whose example is refused when somebody copies it."""
    page = (PROJECT / "docs" / "how-to" / "run-a-campaign.md").read_text()
    example = yaml.safe_load(page.split("```yaml")[1].split("```")[0])
    client = Client.model_validate({"client_id": "x", "name": "x", "base_currency": "EUR"} | example)
    assert list(client.next_best_action.actions) == ["keep_customer", "talk_about_new_home"]


def test_the_example_of_choosing_models_is_one_that_a_night_would_take(tmp_path: Path) -> None:
    """A page whose example is refused, or names a model that is no longer there."""
    page = (PROJECT / "docs" / "how-to" / "choose-models.md").read_text()
    example = page.split("```yaml")[1].split("```")[0]
    (tmp_path / "bank.yml").write_text(f"name: Bank\nbase_currency: EUR\n{example}")
    bank = load_clients(Settings(clients=tmp_path, _env_file=None))["bank"]
    assert bank.switched_off == {"propensity_home_improvement"}
    assert bank.models["churn"].scope == "segment"
