"""A seeded bank of a few hundred customers, published as far as `ml` reads a publication."""

import copy
import json
import shutil
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ml import config
from ml.scores.config import UseCase
from nightledger import warehouse
from nightledger.settings import Settings

LAST = date(2025, 12, 31)
FIRST = date(2024, 12, 1)
FEATURES = ("days_since_last_transaction", "transactions_90d", "max_transaction_amount_90d", "never_filled")
UNITS = dict(zip(FEATURES, ("days", "count", "base_currency", "ratio"), strict=True))


def cutoff(day: date) -> datetime:
    """First moment that is too late for an as-of date."""
    return datetime.combine(day + timedelta(days=1), datetime.min.time()) + timedelta(hours=2)


def month_ends(first: date, last: date) -> list[date]:
    days = (first + timedelta(days=n) for n in range((last - first).days + 1))
    return [day for day in days if (day + timedelta(days=1)).day == 1]


@dataclass
class Bank:
    """An installation whose current publication can be changed by SQL."""

    settings: Settings
    columns: dict[str, dict[str, Any]] = field(
        default_factory=lambda: {
            name: {
                "name": name,
                "data_type": "float",
                "config": {
                    "meta": {
                        "allowed_in": ["churn"],
                        "label": name.replace("_", " "),
                        "unit": UNITS[name],
                        "group": "all",
                    }
                },
            }
            for name in FEATURES
        }
    )

    @property
    def build(self) -> Path:
        """The current publication."""
        return self.settings.builds / "2025-12-31.1"

    def run(self, sql: str) -> None:
        """Change the warehouse."""
        with warehouse.connect(self.build, read_only=False, settings=self.settings) as connection:
            connection.execute(sql)

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """Read from the warehouse."""
        with warehouse.connect(self.build, settings=self.settings) as connection:
            return connection.execute(sql).fetchall()

    def write_manifest(self) -> None:
        """Write `columns` as dbt would."""
        columns = {
            "client_id": {"name": "client_id", "data_type": "varchar", "config": {"meta": {}}},
            **self.columns,
        }
        node = {"resource_type": "model", "name": "features_customers", "columns": columns}
        manifest = {"nodes": {"model.nightledger.features_customers": node}}
        (self.build / "manifest.json").write_text(json.dumps(manifest))

    def pin(self, version: str, day: date = LAST) -> None:
        """Open the night of `day`, scored by `version`."""
        self.run("update ops.as_of_dates set is_tonight = false")
        self.run(f"update ops.as_of_dates set is_tonight = true where as_of_date = '{day}'")
        self.run(f"insert into ops.model_pins values ('churn', '{day}', '{version}', 'champion')")

    def move(self, home: Path) -> "Bank":
        """The same bank after its home was copied elsewhere."""
        shutil.copytree(self.settings.home, home, symlinks=True)
        settings = Settings(home=home, clients=self.settings.clients, _env_file=None)
        return Bank(settings, copy.deepcopy(self.columns))


def transactions(seed: int = 3, customers: int = 500) -> pd.DataFrame:
    """Customers who act now and then, some of whom leave: mostly those whose purchases are of middling size.

    So the same silence means different things, and neither recency nor anything linear sees which.
    """
    rng = np.random.default_rng(seed)
    days = (LAST - FIRST).days + 1
    frames = []
    for customer in range(customers):
        size = rng.choice([10.0, 30.0, 90.0])
        leaves = rng.exponential(250 if size == 30 else 5000)
        acts = np.flatnonzero((rng.random(days) < rng.uniform(0.05, 0.12)) & (np.arange(days) < leaves))
        frames.append(pd.DataFrame({"customer_id": f"c{customer:04d}", "offset": acts, "spend_amount": size}))
    frame = pd.concat(frames, ignore_index=True)
    frame["client_id"] = "tester"
    frame["business_date"] = pd.Timestamp(FIRST) + pd.to_timedelta(frame.pop("offset"), "D")
    frame["known_at"] = frame["business_date"] + pd.Timedelta(hours=25)
    return frame


def publish(home: Path) -> Bank:
    """Write the tables, manifest and description of a publication."""
    clients = home / "clients"
    clients.mkdir(parents=True)
    (clients / "tester.yml").write_text("name: Tester\nbase_currency: EUR\n")
    bank = Bank(Settings(home=home, clients=clients, _env_file=None))
    bank.build.mkdir(parents=True)
    (bank.settings.builds / "current").symlink_to(bank.build.name)
    dates = [("tester", day, cutoff(day), day == LAST) for day in month_ends(FIRST, LAST)]
    frame = transactions()
    with warehouse.connect(bank.build, read_only=False, settings=bank.settings) as connection:
        connection.register("frame", frame)
        connection.execute("""
            create schema ops; create schema features; create schema intermediate;
            create table ops.as_of_dates (
                client_id varchar, as_of_date date, cutoff_at timestamp, is_tonight boolean);
            create table ops.horizon (client_id varchar, as_of_date date, cutoff_at timestamp);
            create table ops.model_pins (
                model varchar, as_of_date date, model_version varchar, role varchar);
            create table intermediate.int_transactions as
            select client_id, customer_id, business_date::date as business_date,
                known_at::timestamp as known_at,
                null::timestamp as superseded_at, true as is_customer_initiated, spend_amount
            from frame;
            create table intermediate.int_revenue as
            select client_id, customer_id, business_date, known_at, superseded_at,
                (spend_amount / 100)::decimal(18, 4) as revenue
            from intermediate.int_transactions;
            create table intermediate.int_customers as
            select client_id, customer_id, min(known_at) as known_at, null::timestamp as superseded_at,
                case when hash(customer_id) % 3 = 0 then 'neobank' else 'wallet' end as vertical,
                case when hash(customer_id) % 2 = 0 then 'F' else 'M' end as gender,
                null::varchar as region, 1950 + (hash(customer_id) % 50)::integer as birth_year
            from intermediate.int_transactions group by client_id, customer_id;
        """)
        connection.executemany("insert into ops.as_of_dates values (?, ?, ?, ?)", dates)
        connection.execute("insert into ops.horizon values ('tester', ?, ?)", [LAST, cutoff(LAST)])
        connection.execute("""
            create table features.features_customers as
            select t.client_id, t.customer_id, d.as_of_date,
                (d.as_of_date - max(t.business_date))::float as days_since_last_transaction,
                (count(*) filter (where t.business_date > d.as_of_date - 90))::float as transactions_90d,
                (max(t.spend_amount) filter (where t.business_date > d.as_of_date - 90))::float
                    as max_transaction_amount_90d,
                null::float as never_filled,
                'definition-1' as _definition_hash
            from ops.as_of_dates as d
            inner join intermediate.int_transactions as t
                on t.client_id = d.client_id and t.business_date <= d.as_of_date and t.known_at < d.cutoff_at
            group by t.client_id, t.customer_id, d.as_of_date
        """)
    bank.write_manifest()
    description = {"id": bank.build.name, "content_hash": "c0ffee", "code_revision": "abc123"}
    (bank.build / "publication.json").write_text(json.dumps(description))
    return bank


def use_config(patch: pytest.MonkeyPatch, **changes: Any) -> UseCase:
    """The churn use case for a small bank, with changes; a dict changes single keys of a section."""
    load = config.read
    while hasattr(load, "genuine"):
        load = load.genuine
    values = load("churn").model_dump()
    small = {
        "dates": {"training": 4},
        "minimums": {"events": 5, "others": 5},
        "evaluation": {"bootstrap_draws": 60},
        "confidence": {"ages": {}},
        "estimator": {"rounds": 40, "params": values["estimator"]["params"] | {"eta": 0.3}, "search": None},
        "promotion": {
            "over_baselines": {"recency": "measured", "logistic_regression": "measured"},
            "guardrails": values["promotion"]["guardrails"] | {"most_calibration_error": 0.1},  # few rows
        },
    }
    for change in (small, changes):
        for key, value in change.items():
            values[key] = {**values[key], **value} if isinstance(value, dict) else value
    use_case = UseCase(**values)

    def changed(_model: str, _folder: Path | None = None) -> UseCase:
        return use_case

    changed.genuine = load  # type: ignore[attr-defined]
    patch.setattr(config, "read", changed)
    return use_case
