"""What a client's YAML may say, and which models its nights use."""

from datetime import date, datetime
from decimal import Decimal

import pytest
from pydantic import ValidationError

from nightledger.clients import Client, ClientError, load_clients, uses


@pytest.mark.parametrize(
    ("rules", "used"),
    [
        ("", ["churn", "segments_rfm.c", "forecast_spend.c"]),
        ("models: {churn: {enabled: false}, segments_rfm: {enabled: false}}", ["forecast_spend.c"]),
        ("models: {churn: {scope: client}}", ["churn", "churn.c", "segments_rfm.c", "forecast_spend.c"]),
        (
            "models: {churn: {scope: vertical}}",
            ["churn", "churn.c.wallet", "segments_rfm.c", "forecast_spend.c"],
        ),
        (
            "models: {churn: {scope: segment}}",
            ["churn", "churn.c.segment_2", "segments_rfm.c", "forecast_spend.c"],
        ),
    ],
)
def test_nights_use_what_the_client_asks_for(settings, tmp_path, rules, used):
    """Catches a version that goes on after its client gave it up, and one whose YAML says no scope lost."""
    (tmp_path / "c.yml").write_text(f"name: C\nbase_currency: EUR\n{rules}")
    own = settings.model_copy(update={"clients": tmp_path})
    there = ["churn", "churn.c", "churn.c.wallet", "churn.c.segment_2", "segments_rfm.c", "forecast_spend.c"]
    clients = load_clients(own)
    assert [model for model in there if uses(own, clients, model)] == used


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ("models: {chrun: {enabled: false}}", "there is no chrun; known are .*churn"),
        ("models: {churn: {enabled: false, scope: client}}", "`scope` is of a model that is used"),
        ("models: {segments_rfm: {scope: segment}}", "its versions are of one client each"),
        ("models: {churn: {scope: city}}", "'client', 'vertical' or 'segment'"),
        (
            "models: {segments_rfm: {enabled: false}}\nnext_best_action: {excluded_segments: [A]}",
            "protects nobody",
        ),
    ],
)
def test_a_slip_in_the_use_of_models_is_refused(settings, tmp_path, rules, message):
    """Catches a model that stays on because its name was spelt wrongly."""
    (tmp_path / "c.yml").write_text(f"name: C\nbase_currency: EUR\n{rules}")
    with pytest.raises(ClientError, match=message):
        load_clients(settings.model_copy(update={"clients": tmp_path}))


def test_the_cutoff_follows_the_clients_clock_through_summer_time():
    """Catches a cutoff that is an hour off for half of the year."""
    client = Client(client_id="c", name="C", timezone="Europe/London", base_currency="GBP")
    assert client.cutoff_at(date(2026, 1, 10)) == datetime(2026, 1, 11, 2)
    assert client.cutoff_at(date(2026, 7, 10)) == datetime(2026, 7, 11, 1)


def test_an_interchange_rate_is_a_share_not_a_percentage():
    """1.1 written for 1.1 percent: revenue of more than the purchases."""
    client = {"client_id": "c", "name": "C", "base_currency": "GBP"}
    assert Client(**client, interchange_rate="0.011").interchange_rate == Decimal("0.011")
    with pytest.raises(ValidationError, match="interchange_rate"):
        Client(**client, interchange_rate="1.1")


def test_an_alert_has_a_cost_and_a_day_a_number_of_them():
    """A client without these settings whose queue is empty or endless, or that alerts on everything."""
    client = {"client_id": "c", "name": "C", "base_currency": "GBP"}
    assert (Client(**client).alert_cost, Client(**client).alerts_per_day) == (Decimal(5), 50)
    with pytest.raises(ValidationError, match="alert_cost"):
        Client(**client, alert_cost=-1)
    with pytest.raises(ValidationError, match="alerts_per_day"):
        Client(**client, alerts_per_day=-1)


def test_the_weights_of_the_risk_assessment_add_up_to_one():
    """40 for 0.4, a weight forgotten, a negative one: levels that mean nothing."""
    client = {"client_id": "c", "name": "C", "base_currency": "GBP"}
    own = {"credit": "0.1", "fraud": "0.6", "anomaly": "0.2", "churn": "0.1"}
    assert Client(**client, risk_weights=own).risk_weights.fraud == Decimal("0.6")
    assert sum(Client(**client).risk_weights.model_dump().values()) == 1
    for wrong in (
        own | {"fraud": "0.5"},
        own | {"churn": "-0.1", "fraud": "0.8"},
        own | {"other": "0"},
        {"credit": 1},
    ):
        with pytest.raises(ValidationError, match="risk_weights"):
            Client(**client, risk_weights=wrong)
