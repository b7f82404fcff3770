"""The queue of fraud alerts, night after night on a real warehouse."""

import hashlib
import json
import re
from datetime import date
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pytest

from ml import config, outcomes
from ml.dates import register_dates
from ml.models import fraud
from ml.statements import parameters
from nightledger import cases, operations
from nightledger.settings import PROJECT, Settings
from tests.dbt.factory import Warehouse
from tests.dbt.payments import CLIENT, DATES, KINDS, LAST, make_payments

ONLY = ("--resource-type", "model", "--resource-type", "seed")
FEATURES = ("+features_movements", "+features_transactions", "+features_velocity")
MARTS = (
    *("run", "--select", "int_dates_to_build", "stg_scores", "stg_score_reasons", "stg_model_metrics"),
    *("fct_scores", "fct_score_reasons", "fct_transactions", "mart_fraud_alerts"),
)
DAYS = [*DATES[:3], LAST]
FIRST = DAYS[-2]
BUDGET = 2


def queue(warehouse: Warehouse, day: date) -> pd.DataFrame:
    """The queue of a date, from its top."""
    return warehouse.frame(
        f"select * from marts.mart_fraud_alerts where as_of_date = date '{day}' order by rank"
    )


def score(warehouse: Warehouse, version: str, day: date) -> pd.DataFrame:
    """Score what a date knows first, as ml would; returns transaction, amount to lose, score and loss."""
    scored = warehouse.frame(
        "with dates as (select client_id, as_of_date, cutoff_at from ops.as_of_dates"
        f" where client_id = '{CLIENT}' and as_of_date = date '{day}')"
        f" select entity_id as transaction_key, exposure as amount from ({fraud.EXPOSURE})"
        " where exposure is not null order by 1"
    )
    digests = [hashlib.sha256(f"{version}{key}".encode()).digest()[0] for key in scored.transaction_key]
    scored["score"] = [digest / 256 for digest in digests]
    scored["loss"] = [
        (Decimal(digest) / 256 * Decimal(f"{amount:.2f}")).quantize(Decimal("0.0001"))
        for digest, amount in zip(digests, scored.amount, strict=True)
    ]
    keys = [(CLIENT, key) for key in scored.transaction_key]
    warehouse.write_scores(
        *(version, day, dict(zip(keys, scored.score, strict=True))),
        **{"model": "fraud", "entity": "transaction", "values": dict(zip(keys, scored.loss, strict=True))},
    )
    return scored


def expected(scored: pd.DataFrame, alert_cost: int) -> list[tuple[str, Decimal, bool]]:
    """Transactions worth an alert, greatest loss first."""
    worth = scored[scored.loss > alert_cost].sort_values(
        ["loss", "score", "transaction_key"], ascending=[False, False, True]
    )
    rows = zip(worth.transaction_key, worth.loss, strict=True)
    return [(key, loss, number < BUDGET) for number, (key, loss) in enumerate(rows)]


@pytest.fixture(scope="module")
def first_night(home: Path) -> tuple[Warehouse, pd.DataFrame]:
    """A history whose last date is scored."""
    warehouse = Warehouse(home, "fraud_alerts")
    make_payments().write(warehouse)
    warehouse.execute(f"update ops.clients set alert_cost = 5, alerts_per_day = {BUDGET}")
    warehouse.set_dates([], tonight=DAYS[:-1])
    warehouse.dbt("build", "--select", *FEATURES, *ONLY)
    scored = score(warehouse, "v1", FIRST)
    warehouse.dbt(*MARTS)
    return warehouse, scored


def test_a_night_ranks_what_is_worth_an_alert(first_night: tuple[Warehouse, pd.DataFrame]) -> None:
    """A queue by score, one that lets losses below their cost in, a budget over all clients or dates."""
    warehouse, scored = first_night
    found = queue(warehouse, FIRST)
    rows = list(zip(found.transaction_key, found.expected_loss, found.is_within_budget, strict=True))
    assert [(key, Decimal(str(loss)), within) for key, loss, within in rows] == expected(scored, 5)
    assert BUDGET < len(found) < len(scored), "neither everything nor only what the budget allows"
    amounts = scored.set_index("transaction_key").amount
    assert found.amount.tolist() == pytest.approx(amounts[found.transaction_key].tolist())
    assert found.reason_1.eq("because of v1").all() and found.customer_id.notna().all()


def test_only_what_others_get_can_be_an_alert(first_night: tuple[Warehouse, pd.DataFrame]) -> None:
    """Catches a salary, a fee or a transfer to an own account in the queue, however high it scores."""
    warehouse, scored = first_night
    kinds = {payment.key: payment.kind for payment in make_payments().payments}
    assert {kinds[key] for key in scored.transaction_key} == set(KINDS), "all are scored"
    assert {kinds[key] for key in scored[scored.amount > 0].transaction_key} == {"card", "upi", "debit"}
    assert {kinds[key] for key in queue(warehouse, FIRST).transaction_key} == {"card", "upi", "debit"}
    assert scored[scored.amount == 0].score.max() > 0.9, "not for want of a score"


def test_the_rule_may_be_of_any_feature_of_the_model() -> None:
    """Catches a table of features that the model has and the queue does not read: no rule on it fires."""
    query = (PROJECT / "dbt_project/models/marts/mart_fraud_alerts.sql").read_text()
    (vectors,) = re.findall(r"set vectors = (\[.*?\])", query)
    assert json.loads(vectors) == config.load("fraud").features


def test_a_past_queue_stays_and_tonights_is_written_again(
    first_night: tuple[Warehouse, pd.DataFrame], home: Path
) -> None:
    """A past night cut again by today's settings or postings; a repeated night that doubles its queue."""
    before, _ = first_night
    night = Warehouse(home, "fraud_alerts_next", before)
    night.execute("update ops.clients set alert_cost = 20")
    night.set_dates(DAYS[:-1], tonight=[LAST])
    night.dbt("build", "--select", *FEATURES, *ONLY)
    score(night, "v2", LAST)
    night.dbt(*MARTS)
    night.empty_lake()  # as opening the night again leaves it
    scored = score(night, "v3", LAST)
    night.dbt(*MARTS, "--full-refresh")
    pd.testing.assert_frame_equal(queue(night, FIRST), queue(before, FIRST))
    found = queue(night, LAST)
    rows = list(zip(found.transaction_key, found.expected_loss, found.is_within_budget, strict=True))
    assert [(key, Decimal(str(loss)), within) for key, loss, within in rows] == expected(scored, 20)
    assert set(found.model_version) == {"v3"} and found.alert_cost.eq(20).all()
    # Some were pending when they were scored, and are posted or corrected by the last date.
    moved = night.frame(
        "select count(*) as n from marts.mart_fraud_alerts as a join marts.fct_transactions as t"
        f" using (client_id, transaction_key) where a.as_of_date = date '{FIRST}' and not t.is_current"
    )
    assert moved.n[0] > 0


def labelled(night: Warehouse, settings: Settings, day: date) -> dict[str, int]:
    """Labels that a training on this warehouse gives the payments of an as-of date."""
    case = config.load("fraud")
    with night.connect() as connection:
        register_dates(connection, settings, case, [(CLIENT, day)])
        rows = connection.execute(fraud.LABEL, parameters(case, fraud.LABEL)).to_arrow_table()
    return dict(zip(*(rows[name].to_pylist() for name in ("entity_id", "label")), strict=True))


def test_a_closed_case_is_a_label_that_training_and_outcomes_use_from_the_next_night_on(
    first_night: tuple[Warehouse, pd.DataFrame],
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Catches verdicts that nobody learns from, that rewrite what a date knew, or outlive their reopening."""
    before, _ = first_night
    (tmp_path / "pay.yml").write_text("name: Pay\nbase_currency: GBP\ntimezone: Europe/London\ncountry: GB\n")
    settings = Settings(home=tmp_path / "home", clients=tmp_path, _env_file=None)

    def night(number: int, day: date, *events: tuple[str, str]) -> Warehouse:
        """The next night, after people have done this."""
        for key, do in events:
            seen = cases.read_case(settings, CLIENT, key).version
            action = "reopen" if do == "reopen" else "close"
            cases.act(settings, CLIENT, key, action=action, verdict=do, note="why", who="mia", seen=seen)
        warehouse = Warehouse(home, f"fraud_cases_{number}", before)
        warehouse.execute("""
            delete from ops.base_horizon; insert into ops.base_horizon from ops.horizon;
            delete from ops.changed_facts
        """)
        with warehouse.connect() as connection:
            cases.take_up(settings, connection)
            operations.snapshot(settings, connection)
        warehouse.set_dates(DAYS[:-1], tonight=[day])
        warehouse.dbt("run", "--select", "stg_case_labels", "int_fraud_reports")
        return warehouse

    published = labelled(before, settings, FIRST)
    control = labelled(night(0, LAST), settings, FIRST)
    alerts = [key for key in queue(before, FIRST).transaction_key if key in control]
    found, withdrawn, *_ = [key for key in alerts if not control[key]]
    cleared = next(key for key, label in published.items() if label and control[key])

    told = night(1, LAST, (found, "fraud"), (cleared, "genuine"), (withdrawn, "fraud"))
    assert labelled(told, settings, FIRST) == control | {found: 1, cleared: 0, withdrawn: 1}
    noted = told.frame("select distinct business_date as day from ops.changed_facts").day
    days = before.frame(
        f"select business_date as day from marts.mart_fraud_alerts where transaction_key = '{found}'"
    )
    assert set(days.day) <= set(noted), "or nobody would judge the scores of that day again"
    monkeypatch.setattr(config, "names", lambda: ["fraud"])
    with told.connect() as connection:
        assert outcomes.write(connection, settings, told.path) > 0
        judged = connection.execute(
            "select label, label_now, matured_on from read_parquet($files) where entity_id = $found",
            {"files": str(told.path / "lake/outcomes/model=fraud/*/*/*.parquet"), "found": found},
        ).fetchall()
    assert [row[:2] for row in judged] == [(1, 1)]

    # The published date, built again after the closings: it sees none of them.
    assert labelled(night(2, FIRST), settings, FIRST) == published
    now = labelled(night(3, LAST, (withdrawn, "reopen"), (cleared, "reopen")), settings, FIRST)
    assert now == control | {found: 1}, "the bank's own word holds again, or none"
