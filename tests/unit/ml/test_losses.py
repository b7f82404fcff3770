"""What a champion has lost, computed by hand on a handful of rows."""

import json
from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest

from ml import config
from ml.scores import losses
from nightledger import publications, warehouse
from nightledger.settings import Settings

LAST = date(2026, 4, 30)
"""Last as-of date. Fraud matures in 30 days: 31 March is the last matured day, 4 March the first of 28."""


def cutoff(day: date) -> datetime:
    return datetime.combine(day + timedelta(days=1), datetime.min.time()) + timedelta(hours=2)


@pytest.fixture(autouse=True)
def configure() -> None:
    """These tests are about the use cases as they are shipped."""


@pytest.fixture
def publish(tmp_path: Path) -> Callable[..., Settings]:
    """Makes a publication of tables given as SQL, for a client with this limit."""

    def make(limit: str, *statements: str) -> Settings:
        clients = tmp_path / "clients"
        clients.mkdir()
        (clients / "bank.yml").write_text(f"name: Bank\nbase_currency: GBP\nloss_limits: {limit}\n")
        settings = Settings(home=tmp_path / "home", clients=clients, _env_file=None)
        path = settings.builds / f"{LAST}.1"
        path.mkdir(parents=True)
        (path / "publication.json").write_text(
            json.dumps({"id": path.name, "content_hash": "0", "code_revision": "0"})
        )
        with warehouse.connect(path, read_only=False, settings=settings) as connection:
            for schema in ("ops", "marts", "features", "intermediate"):
                connection.execute(f"create schema {schema}")
            connection.execute(
                "create table ops.horizon (client_id varchar, as_of_date date, cutoff_at timestamp);"
                "create table ops.as_of_dates (client_id varchar, as_of_date date, cutoff_at timestamp);"
                "create table marts.fct_scores (client_id varchar, model varchar, model_version varchar,"
                " entity_id varchar, as_of_date date, role varchar, band varchar)"
            )
            connection.execute("insert into ops.horizon values ('bank', ?, ?)", [LAST, cutoff(LAST)])
            for statement in statements:
                connection.execute(statement)
        publications.point(settings, "current", path.name)
        return settings

    return make


TRANSACTIONS = [
    # key, day, amount, days until it was reported (none: genuine), in the queue, version
    # Of the last three nothing can be lost, whoever reports them.
    *((f"g{day}", date(2026, 3, day), 100, None, False, "v1") for day in range(10, 20)),
    ("caught", date(2026, 3, 10), 400, 5, True, "v1"),
    ("missed", date(2026, 3, 11), 50, 30, False, "v1"),
    ("first day", date(2026, 3, 4), 7, 1, False, "v1"),
    ("last day", date(2026, 3, 31), 3, 1, False, "v1"),
    ("too early", date(2026, 3, 3), 9999, 1, False, "v1"),
    ("not matured", date(2026, 4, 1), 9999, 1, False, "v1"),
    ("reported too late", date(2026, 3, 12), 140, 31, False, "v1"),
    ("of another version", date(2026, 3, 13), 9999, 1, False, "v0"),
    ("what came in", date(2026, 3, 12), -9999, 1, False, "v1"),
    ("fee", date(2026, 3, 12), 9999, 1, False, "v1"),
    ("own_transfer", date(2026, 3, 12), 9999, 1, False, "v1"),
]


def fraud_tables() -> list[str]:
    statements = [
        "create table features.features_movements (client_id varchar, transaction_key varchar,"
        " as_of_date date, version integer)",
        "create table intermediate.int_transactions (client_id varchar, transaction_key varchar,"
        " customer_id varchar, version integer, business_date date, base_amount decimal(18, 4),"
        " known_at timestamp, superseded_at timestamp, card_token varchar,"
        " account_id varchar, payment_mode varchar, movement varchar)",
        "create table intermediate.int_fraud_reports (client_id varchar, transaction_key varchar,"
        " is_fraud boolean, known_at timestamp, superseded_at timestamp)",
        "create table marts.mart_fraud_alerts (client_id varchar, transaction_key varchar,"
        " model_version varchar, is_within_budget boolean, as_of_date date)",
    ]
    for key, day, amount, reported, is_queued, version in TRANSACTIONS:
        statements += [
            f"insert into features.features_movements values ('bank', '{key}', '{day}', 1)",
            f"insert into intermediate.int_transactions values ('bank', '{key}', 'c', 1, '{day}', {-amount},"
            f" '{cutoff(day) - timedelta(hours=1)}', '{cutoff(day)}', null, 'a', 'card', '{key}')",
            # Understood anew later: the version stands twice, and counts once.
            f"insert into intermediate.int_transactions values ('bank', '{key}', 'c', 1, '{day}', {-amount},"
            f" '{cutoff(day)}', null, null, 'a', 'card', '{key}')",
            f"insert into marts.fct_scores values ('bank', 'fraud', '{version}', '{key}', '{day}',"
            " 'champion', 'low')",
            # The challenger sees the same rows and would have pointed out all of them.
            f"insert into marts.fct_scores values ('bank', 'fraud', 'v2', '{key}', '{day}',"
            " 'challenger', 'high')",
            f"insert into marts.mart_fraud_alerts values"
            f" ('bank', '{key}', '{version}', {is_queued}, '{day}')",
        ]
        if reported is not None:
            at = cutoff(day + timedelta(days=reported)) - timedelta(seconds=1)
            statements.append(
                f"insert into intermediate.int_fraud_reports values ('bank', '{key}', true, '{at}', null)"
            )
    return statements


def test_missed_fraud_is_what_nobody_was_shown_as_a_share_of_spend(publish):
    """Catches labels from the future, days that are not over, alerts nobody read, and other versions."""
    settings = publish("{fraud: {share: 0.03}}", *fraud_tables())
    with warehouse.connect(settings.builds / "current", settings=settings) as connection:
        (found,) = losses.realised(connection, settings, config.load("fraud"), "v1")
    assert found == losses.Loss(
        client_id="bank",
        first_day=date(2026, 3, 4),
        last_day=date(2026, 3, 31),
        days=12,
        missed=60.0,  # 50 + 7 + 3
        exposure=1600.0,  # and 1000 genuine, 400 caught, 140 that counts as genuine
    )
    (breach,) = losses.breaches(settings, {"fraud": "v1", "churn": "v7"})
    assert (breach["model"], breach["version"]) == ("fraud", "v1")
    assert breach["clients"][0]["share"] == pytest.approx(60 / 1600)
    assert (
        "bank lost 3.750% by what was not pointed out, above its limit of 3.000%: 60 of 1,600 GBP"
        in (breach["reason"])
    )
    json.dumps(breach)


def test_a_loss_within_the_limit_is_no_breach(publish):
    """Catches a champion that goes although the client allows what it loses."""
    settings = publish("{fraud: {share: 0.0375}}", *fraud_tables())
    assert losses.breaches(settings, {"fraud": "v1"}) == []


def test_a_champion_of_a_few_days_is_not_judged_yet(publish):
    """Catches a new champion that one bad day throws out."""
    few = [statement for statement in fraud_tables() if "'2026-03-1" not in statement]
    settings = publish("{fraud: {share: 0.001}}", *few)
    assert losses.breaches(settings, {"fraud": "v1"}) == []
    assert losses.breaches(settings, {"fraud": "v0"}) == []


def test_a_default_below_the_band_that_people_act_on_is_missed_credit(publish):
    """Catches a loan book whose losses are judged by everything but the band that people act on."""
    days = [LAST - timedelta(days=config.load("credit").matures_after + ago) for ago in range(10)]
    borrowers = {
        "safe": (900, "low", False),
        "seen": (40, "high", True),
        "foreseen": (20, "very_high", True),
        "unseen": (40, "medium", True),
    }
    statements = [
        "create table features.features_credit (client_id varchar, customer_id varchar, as_of_date date,"
        " is_in_default boolean, open_loans integer, outstanding_principal float, own_credit_limit float,"
        " total_balance float)",
        "create table intermediate.int_defaults (client_id varchar, customer_id varchar, defaulted_on date,"
        " known_at timestamp, superseded_at timestamp)",
    ]
    for name, (principal, band, has_defaulted) in borrowers.items():
        for day in days:
            statements += [
                f"insert into features.features_credit values ('bank', '{name}', '{day}', false, 1,"
                f" {principal}, null, null)",
                f"insert into marts.fct_scores values ('bank', 'credit', 'v1', '{name}', '{day}',"
                f" 'champion', '{band}')",
            ]
        if has_defaulted:
            on = days[0] + timedelta(days=20)
            statements.append(
                "insert into intermediate.int_defaults values"
                f" ('bank', '{name}', '{on}', '{cutoff(on)}', null)"
            )
    settings = publish("{credit: {share: 0.03}}", *statements)
    (breach,) = losses.breaches(settings, {"credit": "v1"})
    assert breach["clients"][0]["days"] == 10
    assert breach["clients"][0]["share"] == pytest.approx(0.04)
