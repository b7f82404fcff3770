"""What a client says about next best actions is checked before a night reads it."""

import hashlib
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml
from pydantic import ValidationError

from nightledger import actions
from nightledger.actions import Action, NextBestAction
from nightledger.clients import Client, ClientError, load_clients
from nightledger.settings import PROJECT, Settings

SOUND: dict[str, Any] = {"model": "churn", "amount": "10", "response": "0.1", "cost": "1"}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"model": ""}, "for whom"),
        ({"model": "", "event": "car", "bands": ["high"]}, "name its `model`"),
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


def test_the_message_names_the_file(tmp_path: Path) -> None:
    """An error that says what is wrong and not where."""
    rules = {"name": "Bank", "base_currency": "EUR", "next_best_action": {"consnet": "x"}}
    (tmp_path / "bank.yml").write_text(yaml.safe_dump(rules))
    with pytest.raises(ClientError, match=r"bank\.yml.*\n.*consnet"):
        load_clients(Settings(clients=tmp_path, _env_file=None))
    rules["next_best_action"] = {"switched_off": ["chrun"]}
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
    assert (rules["sparkov"]["consent"], rules["demo_bank"]["contact_pause_days"]) == ("marketing", 45)
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
