"""Campaigns whose effect is known: assigned, measured and told by the real SQL, many times over."""

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from nightledger import actions
from nightledger.clients import Client
from nightledger.settings import Settings
from nightledger.target_lists import TargetError, write_targets
from tests.dbt.factory import Warehouse

BANKS, CUSTOMERS = 300, 600
"""Each bank is one campaign with a split and customers of its own."""
CONTROL, LEAST, GREATEST, KEPT = 0.25, 0.2, 0.6, 0.2
"""Scores are spread evenly, and true. Every second bank keeps this share of those who would leave."""
UPLIFT = KEPT * (LEAST + GREATEST) / 2
SPEND_LOG, SPEND_SPREAD = 3.0, 0.6
ASSIGNED, NEXT, KNOWN = date(2026, 6, 28), date(2026, 6, 30), date(2026, 8, 6)
ACTION = {"model": "churn", "value": "at_risk", "response": str(KEPT), "cost": "1", "control": str(CONTROL)}
SHORT = ACTION | {"window_days": 1}
OTHERS: dict[str, dict[str, Any]] = {
    "off": {"actions": {"keep": ACTION}},
    "strict": {"actions": {"keep": ACTION | {"least_score": 0.5}}},
    "poor": {"actions": {"keep": ACTION | {"budget": "100"}}},
    "fallback": {"actions": {"keep": ACTION | {"budget": "100"}, "sell": ACTION | {"cost": "2"}}},
    "paused": {"contact_pause_days": 2, "actions": {"keep": SHORT, "sell": SHORT | {"cost": "2"}}},
    "eager": {"contact_pause_days": 1, "actions": {"keep": SHORT, "sell": SHORT | {"cost": "2"}}},
}
"""Clients with rules of their own, and as many customers."""
GIVEN = {
    "intermediate.int_customers": "client_id varchar, customer_id varchar, birth_year integer,"
    " consents varchar, closed_on date, known_at timestamp, superseded_at timestamp",
    "intermediate.int_revenue": "client_id varchar, customer_id varchar, category varchar,"
    " is_customer_initiated boolean, spend_amount decimal(18, 4), revenue decimal(18, 4), business_date date,"
    " known_at timestamp, superseded_at timestamp",
    "staging.stg_events": "client_id varchar, customer_id varchar, event_type varchar, business_date date",
    "staging.categories": "category varchar, is_sensitive boolean",
    "staging.life_events": "event varchar, is_sensitive boolean",
}
TOLD = ("fct_scores", "fct_score_reasons", "fct_risk_assessment", "fct_life_events", "fct_segments")
MODELS = (
    *("stg_clients", "stg_as_of_dates", "stg_horizon", "stg_base_horizon", "stg_client_rules"),
    *("stg_client_actions", "int_contactable_customers", "int_action_candidates", "fct_next_best_actions"),
    *("int_campaign_customers", "fct_campaign_outcomes"),
)
DECISIONS = "select * from marts.fct_next_best_actions order by client_id, customer_id, as_of_date"


def client(name: str, rules: dict[str, Any]) -> Client:
    """A client as its file would say it; nothing is known of its customers' ages and consents."""
    asked = {"consent": "", "least_age": 0} | rules
    used = {"models": {"churn": {"enabled": name != "off"}}}
    return Client.model_validate(
        {"client_id": name, "name": name, "base_currency": "EUR", "next_best_action": asked} | used
    )


@pytest.fixture(scope="module")
def assigned(home: Path) -> Warehouse:
    """A night on which every customer with a churn score may be contacted, and the night after it."""
    bank = Warehouse(home, "campaigns")
    clients = [client(f"bank{number:03d}", {"actions": {"keep": ACTION}}) for number in range(BANKS)]
    clients += [client(name, rules) for name, rules in OTHERS.items()]
    rng = np.random.default_rng(7)
    scored = pd.DataFrame(
        {
            "client_id": np.repeat([one.client_id for one in clients], CUSTOMERS),
            "customer_id": [f"C{number:04d}" for number in range(CUSTOMERS)] * len(clients),
            "score": rng.uniform(LEAST, GREATEST, CUSTOMERS * len(clients)).astype(np.float32),
            "exposure": rng.uniform(60, 180, CUSTOMERS * len(clients)).round(2),
        }
    )
    columns = {
        node["name"]: ", ".join(f"{name} {column['data_type']}" for name, column in node["columns"].items())
        for node in DbtManifest(bank).models()
    }
    tables = GIVEN | {f"marts.{name}": columns[name] for name in (*TOLD, "fct_lifetime_value")}
    with bank.connect() as connection:
        connection.register("scored", scored)
        for schema in ("staging", "intermediate", "marts"):
            connection.execute(f"create schema if not exists {schema}")
        for table, types in tables.items():
            connection.execute(f"create table {table} ({types})")
        connection.execute(
            "insert into ops.clients (client_id, base_currency, timezone) select client_id, 'EUR', 'UTC'"
            " from (select distinct client_id from scored)"
        )
        connection.execute(
            "insert into intermediate.int_customers by name"
            " select client_id, customer_id, timestamp '2026-01-01' as known_at from scored"
        )
        connection.execute(
            "create table marts.planted as select client_id, customer_id, exposure from scored"
        )
        connection.execute(
            "insert into marts.fct_scores by name select client_id, 'churn' as model, 'v1' as model_version,"
            " 'customer' as entity, customer_id as entity_id, 'champion' as role, 'high' as band, score,"
            " exposure::decimal(18, 4) as exposure, round(score * exposure, 4) as expected_value,"
            " d.as_of_date"
            f" from scored, (values (date '{ASSIGNED}'), (date '{NEXT}')) as d(as_of_date)"
        )
        actions.write(connection, clients)
    for built, tonight in (([], ASSIGNED), ([ASSIGNED], NEXT)):
        bank.set_dates(built, tonight=[tonight])
        bank.dbt("run", "--select", *MODELS)
    return bank


class DbtManifest:
    """Models of the project, which the warehouse has parsed."""

    def __init__(self, bank: Warehouse) -> None:
        bank.list_nodes("--select", "stg_clients")
        self.nodes = bank.manifest["nodes"].values()

    def models(self) -> list[dict[str, Any]]:
        """Those with a contract, whose columns have types."""
        return [node for node in self.nodes if node["config"].get("contract", {}).get("enforced")]


@pytest.fixture(scope="module")
def measured(home: Path, assigned: Warehouse) -> Warehouse:
    """The same, once it is known who left: of the treated fewer, and `saved` says what those bring."""
    bank = Warehouse(home, "campaigns_measured", assigned)
    rows = bank.frame(
        "select a.client_id, a.customer_id, a.assignment, s.score, p.exposure"
        " from marts.fct_next_best_actions as a join marts.planted as p using (client_id, customer_id)"
        " join marts.fct_scores as s on s.client_id = a.client_id and s.entity_id = a.customer_id"
        " and s.as_of_date = a.as_of_date where a.client_id like 'bank%' order by 1, 2"
    )
    rng = np.random.default_rng(11)
    works = rows.client_id.str[4:].astype(int) % 2 == 0
    drawn = rng.random(len(rows))
    leaves = drawn < rows.score
    is_kept = leaves & (drawn < KEPT * rows.score) & works & (rows.assignment == "treatment")
    saved = rows.exposure.where(is_kept, 0.0).groupby(rows.client_id).sum().rename("saved").reset_index()
    acts = rows[~leaves | is_kept].copy()
    acts["spend_amount"] = np.exp(rng.normal(SPEND_LOG, SPEND_SPREAD, len(acts))).round(2)
    acts["business_date"] = [ASSIGNED + timedelta(days=int(days)) for days in rng.integers(1, 31, len(acts))]
    with bank.connect() as connection:
        connection.register("acts", acts)
        connection.register("saved", saved)
        connection.execute("create table marts.saved as from saved")
        connection.execute(
            "insert into intermediate.int_revenue by name"
            " select client_id, customer_id, 'groceries' as category, true as is_customer_initiated,"
            " spend_amount, spend_amount / 10 as revenue, business_date,"
            " business_date + interval 26 hour as known_at from acts"
        )
    bank.set_dates([ASSIGNED, NEXT, KNOWN - timedelta(days=1)], tonight=[])
    bank.dbt("run", "--select", *MODELS)
    states = bank.frame("select state from marts.fct_campaign_outcomes where client_id like 'bank%'").state
    assert set(states) == {"open"}
    bank.set_dates([ASSIGNED, NEXT, KNOWN - timedelta(days=1)], tonight=[KNOWN])
    bank.dbt("run", "--select", *MODELS)
    return bank


def test_the_control_is_a_random_share_that_stays(assigned: Warehouse) -> None:
    """A split by what also makes customers leave, one that is drawn again each night, a second contact."""
    decided = assigned.frame(
        "select a.*, s.score from marts.fct_next_best_actions as a join marts.fct_scores as s"
        " on s.client_id = a.client_id and s.entity_id = a.customer_id and s.as_of_date = a.as_of_date"
    )
    banks = decided[decided.client_id.str.startswith("bank")]
    assert len(banks) == BANKS * CUSTOMERS and set(banks.as_of_date.dt.date) == {ASSIGNED}
    of_two = decided.groupby(["client_id", "action"]).as_of_date.agg(["count", "min", "max"])
    assert ("paused", "sell") not in of_two.index, "a control of one action is left alone by the other"
    for action, day in (("keep", ASSIGNED), ("sell", NEXT)):
        count, first, last = of_two.loc[("eager", action)]
        assert count == CUSTOMERS and first.date() == last.date() == day, "once for each campaign"
    is_control = banks.assignment == "control"
    error = np.sqrt(CONTROL * (1 - CONTROL) / len(banks))
    assert abs(is_control.mean() - CONTROL) < 3 * error
    by_bank = is_control.groupby(banks.client_id).mean()
    assert by_bank.std() == pytest.approx(np.sqrt(CONTROL * (1 - CONTROL) / CUSTOMERS), rel=0.15)
    difference = banks.score[is_control].mean() - banks.score[~is_control].mean()
    spread = banks.score.std() / np.sqrt(len(banks) * CONTROL * (1 - CONTROL))
    assert abs(difference) < 3 * spread


def test_a_client_switches_models_off_and_sets_thresholds_and_budgets(assigned: Warehouse) -> None:
    """A setting that nobody asks: scores of a model that is off, all scores alike, money without end."""
    decided = assigned.frame(DECISIONS).groupby("client_id")
    scores = assigned.frame(f"select * from marts.fct_scores where as_of_date = date '{ASSIGNED}'").set_index(
        ["client_id", "entity_id"]
    )
    assert "off" not in decided.groups
    strict = decided.get_group("strict")
    assert set(strict.customer_id) == set(scores.loc["strict"].query("score >= 0.5").index)
    poor = decided.get_group("poor")
    assert (poor.assignment == "treatment").sum() == 100, "a contact costs 1, and 100 may be spent"
    fallback = decided.get_group("fallback")
    kept, sold = (fallback[fallback.action == action] for action in ("keep", "sell"))
    assert (kept.assignment == "treatment").sum() == 100 and set(kept.as_of_date.dt.date) == {ASSIGNED}
    assert set(sold.as_of_date.dt.date) == {NEXT}, "spent money stands in no other action's way"
    assert len(kept) + len(sold) == CUSTOMERS
    assert len(poor) - 100 == pytest.approx(100 * CONTROL / (1 - CONTROL), abs=15), "controls cost nothing"


def test_a_planted_uplift_lies_within_its_interval(measured: Warehouse) -> None:
    """An interval that is too narrow, one arm taken for the other, outcomes of other customers or days."""
    found = measured.frame(
        "select * from marts.fct_campaign_outcomes where client_id like 'bank%' order by client_id"
    )
    assert len(found) == BANKS and set(found.state) == {"closed"}
    assert set(found.measured_on.dt.date) == {KNOWN}
    planted = np.where(np.arange(BANKS) % 2 == 0, UPLIFT, 0.0)
    each = np.exp(SPEND_LOG + SPEND_SPREAD**2 / 2)
    for measure, truth in (
        ("uplift", planted),
        ("spend_uplift", planted * each),
        ("revenue_uplift", planted * each / 10),
    ):
        told, low, high = (found[measure + end].astype(float) for end in ("", "_lo", "_hi"))
        covered = ((low <= truth) & (truth <= high)).mean()
        assert 0.92 <= covered <= 0.98, f"{measure}: {covered:.3f} of {BANKS} intervals hold the truth"
        error = (told - truth).std() / np.sqrt(BANKS)
        assert abs((told - truth).mean()) < 3 * error, f"{measure} is off on average"
    assert (found.uplift_lo > 0)[planted > 0].mean() > 0.3, "a campaign that works is often seen to work"


def test_the_return_is_the_money_that_was_saved(measured: Warehouse) -> None:
    """A chance counted twice, a worth that is no money, a return that forgets the cost or counts controls."""
    found = measured.frame(
        "select o.*, s.saved from marts.fct_campaign_outcomes as o join marts.saved as s using (client_id)"
        " order by client_id"
    )
    number = [
        "saved",
        "cost",
        *(f"return_{name}" for name in ("assumed", "realised", "realised_lo", "realised_hi")),
    ]
    money = found[number].astype(float)
    truth = money.saved - money.cost
    error = (money.return_realised - truth).std() / np.sqrt(BANKS)
    assert abs((money.return_realised - truth).mean()) < 3 * error
    covered = ((money.return_realised_lo <= truth) & (truth <= money.return_realised_hi)).mean()
    assert 0.92 <= covered <= 0.98, f"{covered:.3f} of {BANKS} intervals hold what was saved"
    # Where the campaign works, what is assumed is what is planted, and so is what is promised.
    assert money.return_assumed[::2].mean() == pytest.approx(truth[::2].mean(), rel=0.02)
    assert money.saved.mean() / 2 > 3 * error, "a return that is half as great would be seen"


def test_returns_stand_beside_what_was_assumed(measured: Warehouse) -> None:
    """Counts and money of another campaign, or of the controls."""
    row = measured.frame("select * from marts.fct_campaign_outcomes where client_id = 'bank000'").iloc[0]
    treated = measured.frame(f"select * from ({DECISIONS}) where client_id = 'bank000'")
    treated = treated[treated.assignment == "treatment"]
    assert row.treated == len(treated) and row.controls == CUSTOMERS - len(treated)
    assert row.cost == len(treated)
    assert float(row.return_in_window) == pytest.approx(
        len(treated) * (float(row.revenue_uplift) - 1), abs=0.1
    )


def test_a_published_date_keeps_its_decisions(assigned: Warehouse, home: Path) -> None:
    """A list that was sent, and a night that is run again by other settings: others are in control then."""
    again = Warehouse(home, "campaigns_again", assigned)
    sent = again.frame(DECISIONS)
    assert set(sent[sent.as_of_date.dt.date == NEXT].client_id) == {"eager", "fallback"}
    changed = {"actions": {"sell": SHORT, "keep": SHORT | {"cost": "2"}}, "contact_pause_days": 1, "seed": 8}
    with again.connect() as connection:
        actions.write(connection, [client(name, changed) for name in OTHERS])
    later = NEXT + timedelta(days=2)
    again.execute(
        f"insert into ops.base_horizon select client_id, date '{NEXT}', null from ops.clients;"
        "insert into marts.fct_scores by name"
        f" select * replace (date '{later}' as as_of_date) from marts.fct_scores"
        f" where as_of_date = date '{NEXT}'"
    )
    for built, tonight in (([ASSIGNED], NEXT), ([ASSIGNED, NEXT], later)):
        again.set_dates(built, tonight=[tonight])
        again.dbt("run", "--select", "int_action_candidates", "fct_next_best_actions")
        kept = again.frame(DECISIONS)
        pd.testing.assert_frame_equal(
            kept[kept.as_of_date.dt.date <= NEXT].reset_index(drop=True), sent.reset_index(drop=True)
        )
        assert (kept.as_of_date.dt.date == later).any() == (tonight == later), "the next night decides anew"


def test_what_was_measured_stays_whatever_comes_to_be_known(measured: Warehouse, home: Path) -> None:
    """A campaign measured anew each night, until it looks as somebody likes it."""
    later = Warehouse(home, "campaigns_later", measured)
    later.execute("delete from intermediate.int_revenue")
    later.execute(f"insert into ops.base_horizon select client_id, date '{KNOWN}', null from ops.clients")
    later.set_dates([ASSIGNED, NEXT, KNOWN], tonight=[KNOWN + timedelta(days=1)])
    later.dbt("run", "--select", *MODELS)
    query = "select * from marts.fct_campaign_outcomes order by client_id"
    pd.testing.assert_frame_equal(later.frame(query), measured.frame(query))


def test_a_list_holds_the_treatment_that_may_still_be_contacted(assigned: Warehouse, tmp_path: Path) -> None:
    """A control on the list of those to call, or somebody who has closed, opted out or withdrawn since."""
    settings = Settings(home=tmp_path, clients=tmp_path / "clients", _env_file=None)
    settings.clients.mkdir()
    asked = {"consent": "marketing", "actions": {"keep": ACTION}}
    (settings.clients / "bank000.yml").write_text(
        yaml.safe_dump({"name": "Bank", "base_currency": "EUR", "next_best_action": asked})
    )
    publication = Warehouse(settings.builds, "published", assigned)
    treated = assigned.frame(f"select * from ({DECISIONS}) where client_id = 'bank000'")
    treated = treated[treated.assignment == "treatment"].sort_values("priority").customer_id.tolist()
    told = dict.fromkeys(treated[4:], "service;marketing") | {
        treated[0]: "service",
        treated[1]: "marketing; no_profiling",
        treated[2]: "Marketing",
        treated[3]: "marketing",
    }
    now = pd.DataFrame({"customer_id": list(told), "consents": list(told.values())})
    with publication.connect() as connection:
        connection.register("now", now)
        connection.execute(
            "create table marts.dim_customers as select 'bank000' as client_id, *,"
            f" customer_id = '{treated[3]}' as is_closed from now;"
            "update marts.fct_next_best_actions set is_sensitive = true"
            f" where client_id = 'bank000' and customer_id = '{treated[4]}';"
            f"update marts.fct_next_best_actions set reason = '=1+1' where customer_id = '{treated[5]}'"
        )
    (settings.builds / "current").symlink_to("published")
    made = write_targets(settings, "bank000", "keep")
    listed = pd.read_csv(made.file)
    assert made.day == ASSIGNED and made.left_out == 4
    assert listed.customer_id.tolist() == [treated[2], *treated[5:]]
    assert listed.reason[1] == "'=1+1", "no spreadsheet runs it"
    for client_id, action, day in (
        ("none", "keep", None),
        ("bank000", "none", None),
        ("bank000", "keep", NEXT),
    ):
        with pytest.raises(TargetError):
            write_targets(settings, client_id, action, day)
