"""A seeded lender with attributes and labels only, published as far as `ml` reads a publication."""

import json
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ml.scores.config import UseCase
from nightledger import warehouse
from nightledger.settings import Settings
from tests.unit.ml.bank import Bank, cutoff, month_ends

FIRST, LAST = date(2024, 1, 1), date(2025, 3, 31)
LOANS = 3000
DELAY = 60
"""Days after which every outcome is told."""

USE_CASE: dict[str, Any] = {
    "description": "A loan that is not paid back.",
    "module": "labelled",
    "entity": "loan",
    "features": ["attributes.loans"],
    "parameters": {"label": "default", "positive": ["DEFAULT"], "exposure": "amount"},
    "label": {"event": "defaulter", "other": "payer", "horizon_days": 0, "delay_days": DELAY},
    "dates": {"every": "day", "training": 200, "calibration": 50, "test": 60},
    "minimums": {"events": 5, "others": 20},
    "seed": 7,
    "estimator": {
        "kind": "xgboost",
        "params": {"objective": "binary:logistic", "eval_metric": "logloss", "max_depth": 3, "eta": 0.3},
        "rounds": 30,
        "early_stopping_rounds": 5,
    },
    "baselines": {"logistic_regression": {"kind": "logistic"}},
    "evaluation": {"budget_share": 0.1, "calibration_bins": 5, "bootstrap_draws": 50, "interval": 0.95},
    "promotion": {
        "over_baselines": {"logistic_regression": "measured"},
        "over_champion": 0.0,
        "guardrails": {"calibration_error": 0.1, "most_calibration_error": 0.5, "score_psi": 0.25},
    },
    "bands": {"low": 0.0, "high": 0.3},
    "reasons": {"top": 2},
}


def use_case(**changes: Any) -> UseCase:
    """The lender's use case with changes; a dict changes single keys of a section."""
    values = dict(USE_CASE)
    for key, value in changes.items():
        values[key] = {**values[key], **value} if isinstance(values.get(key), dict) else value
    return UseCase(name="loans", **values)


def applications(seed: int = 11) -> pd.DataFrame:
    """Loans whose purpose and amount decide who defaults, one row an application."""
    rng = np.random.default_rng(seed)
    days = (LAST - FIRST).days + 1
    frame = pd.DataFrame(
        {
            "entity_id": [f"L{number:04d}" for number in range(LOANS)],
            "business_date": [FIRST + timedelta(days=int(at)) for at in rng.integers(0, days, LOANS)],
            "amount": np.round(rng.lognormal(8, 0.6, LOANS), 2),
            "purpose": rng.choice(["business", "car", "home"], LOANS),
            "is_repeat": rng.random(LOANS) < 0.4,
            "note": [f"n{number}" for number in range(LOANS)],
        }
    )
    risk = 1.6 * (frame["purpose"] == "business") + 0.8 * np.log(frame["amount"] / 3000)
    frame["defaults"] = rng.random(LOANS) < 1 / (1 + np.exp(2.2 - risk))
    frame["employed_since"] = [
        day - timedelta(days=int(ago))
        for day, ago in zip(frame["business_date"], rng.integers(30, 3000, LOANS), strict=True)
    ]
    return frame


def publish(home: Path) -> Bank:
    """Write the tables, manifest and description of a publication."""
    clients = home / "clients"
    clients.mkdir(parents=True)
    (clients / "lender.yml").write_text("name: Lender\nbase_currency: EUR\n")
    bank = Bank(Settings(home=home, clients=clients, _env_file=None))
    bank.build.mkdir(parents=True)
    (bank.settings.builds / "current").symlink_to(bank.build.name)
    days = [*month_ends(FIRST, LAST)]
    with warehouse.connect(bank.build, read_only=False, settings=bank.settings) as connection:
        connection.register("frame", applications())
        connection.execute("""
            create schema ops; create schema raw; create schema staging; create schema features;
            create table ops.as_of_dates (
                client_id varchar, as_of_date date, cutoff_at timestamp, is_tonight boolean);
            create table ops.horizon (client_id varchar, as_of_date date, cutoff_at timestamp);
            create table ops.clients (client_id varchar, timezone varchar);
            insert into ops.clients values ('lender', 'UTC');
            create table raw.attributes_loans as
            select 'lender' as client_id, 'loans' as source, 'loan' as entity, entity_id,
                business_date::date as business_date, business_date::timestamp as known_at,
                'first' as _load_id, row_number() over (order by entity_id)::bigint as _record,
                amount::decimal(18, 4) as amount, purpose, is_repeat, employed_since::date as employed_since,
                note
            from frame;
            create table staging.stg_labels as
            select 'lender' as client_id, 'loan' as entity, entity_id, 'default' as label,
                if(defaults, 'default', 'paid') as value, 'x' as _load_id, _record,
                (business_date + 30)::timestamp as event_at, (business_date + 40)::timestamp as known_at
            from (select *, row_number() over (order by entity_id) as _record from frame);
        """)
        connection.executemany(
            "insert into ops.as_of_dates values ('lender', ?, ?, false)", [(day, cutoff(day)) for day in days]
        )
        connection.execute("insert into ops.horizon values ('lender', ?, ?)", [LAST, cutoff(LAST)])
    (bank.build / "manifest.json").write_text(json.dumps({"nodes": {}}))
    description = {"id": bank.build.name, "content_hash": "c0ffee", "code_revision": "abc123"}
    (bank.build / "publication.json").write_text(json.dumps(description))
    return bank


def told(bank: Bank, entity_id: str, day: date, known_at: datetime, **columns: object) -> None:
    """Tell something more of a loan."""
    values = {"amount": 1, "purpose": "boat", "is_repeat": True, "employed_since": day, "note": "n"} | columns
    with warehouse.connect(bank.build, read_only=False, settings=bank.settings) as connection:
        connection.execute(
            "insert into raw.attributes_loans by name select 'lender' as client_id, 'loans' as source,"
            " 'loan' as entity, $entity_id as entity_id, $day::date as business_date, $known_at as known_at,"
            " 'later' as _load_id, 1 as _record, $amount::decimal(18, 4) as amount, $purpose as purpose,"
            " $is_repeat::boolean as is_repeat, $employed_since::date as employed_since, $note as note",
            {"entity_id": entity_id, "day": day, "known_at": known_at} | values,
        )
