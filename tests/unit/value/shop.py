"""A shop whose customers come and leave as BG/NBD says, published as far as lifetime value reads it."""

import json
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ml import config
from ml.datasets import read_publication
from ml.families import Job
from ml.lifetime_value.config import LifetimeValue
from nightledger import warehouse
from nightledger.settings import Settings

FIRST, LAST = date(2024, 7, 1), date(2025, 12, 31)
CLIENT = "shop"


def cutoff(day: date) -> datetime:
    """First moment that is too late for an as-of date."""
    return datetime.combine(day + timedelta(days=1), datetime.min.time()) + timedelta(hours=2)


@dataclass(frozen=True)
class Shop:
    """An installation whose current publication can be changed by SQL."""

    settings: Settings

    @property
    def build(self) -> Path:
        """The current publication."""
        return self.settings.builds / "2025-12-31.1"

    def run(self, sql: str) -> None:
        """Change the warehouse."""
        with warehouse.connect(self.build, read_only=False, settings=self.settings) as connection:
            connection.execute(sql)


def purchases(customers: int, *, alike: bool = False, seed: int = 5) -> pd.DataFrame:
    """What customers bought, a day and an amount each.

    Args:
        customers: how many; each begins on a day of the first two months.
        alike: all come at one rate, spend the same and never leave.
        seed: of the chance.
    """
    rng = np.random.default_rng(seed)
    days = (LAST - FIRST).days
    frames = []
    for number in range(customers):
        rate = 1 / 8 if alike else rng.gamma(1.5, 1 / 12)
        leaves = 0.0 if alike else rng.beta(1.0, 9.0)
        size = 20.0 if alike else 20.0 / rng.gamma(3.0, 1 / 2)
        at, bought = float(rng.uniform(0, 60)), []
        while at < days:
            bought.append((int(at), size * rng.gamma(4.0, 1 / 4)))
            if rng.random() < leaves:
                break
            at += rng.exponential(1 / rate)
        frame = pd.DataFrame(bought, columns=["day", "amount"])
        frames.append(frame.assign(customer_id=f"c{number:04d}"))
    found = pd.concat(frames, ignore_index=True)
    found["business_date"] = pd.Timestamp(FIRST) + pd.to_timedelta(found.pop("day"), "D")
    return found


def publish(home: Path, frame: pd.DataFrame, revenue_share: float) -> Shop:
    """Write the tables and the description of a publication.

    Args:
        home: of the installation.
        frame: what was bought; everything is known a day later.
        revenue_share: what the client earns of it.
    """
    (home / "clients").mkdir(parents=True)
    (home / "clients" / f"{CLIENT}.yml").write_text("name: Shop\nbase_currency: EUR\n")
    shop = Shop(Settings(home=home, clients=home / "clients", threads=1, _env_file=None))
    shop.build.mkdir(parents=True)
    (shop.settings.builds / "current").symlink_to(shop.build.name)
    with warehouse.connect(shop.build, read_only=False, settings=shop.settings) as connection:
        connection.register("frame", frame)
        connection.execute(f"""
            create schema ops; create schema intermediate;
            create table ops.as_of_dates (
                client_id varchar, as_of_date date, cutoff_at timestamp, is_tonight boolean);
            create table ops.horizon (client_id varchar, as_of_date date, cutoff_at timestamp);
            create table intermediate.int_revenue as
            select '{CLIENT}' as client_id, customer_id, business_date::date as business_date,
                business_date::timestamp + interval 25 hours as known_at, null::timestamp as superseded_at,
                true as is_customer_initiated, amount::decimal(18, 4) as spend_amount,
                (amount * {revenue_share})::decimal(18, 4) as revenue
            from frame;
            create table intermediate.int_customers as
            select client_id, customer_id, min(known_at) as known_at, null::timestamp as superseded_at,
                null::date as closed_on
            from intermediate.int_revenue group by client_id, customer_id;
        """)
        connection.execute("insert into ops.as_of_dates values (?, ?, ?, true)", [CLIENT, LAST, cutoff(LAST)])
        connection.execute("insert into ops.horizon values (?, ?, ?)", [CLIENT, LAST, cutoff(LAST)])
    described = {"id": shop.build.name, "content_hash": "c0ffee", "code_revision": "abc123"}
    (shop.build / "publication.json").write_text(json.dumps(described))
    return shop


def described(**changes: Any) -> LifetimeValue:
    """The project's own file, with fewer draws and other changes."""
    told = config.read("lifetime_value")
    assert isinstance(told, LifetimeValue)
    values = told.model_dump() | {"evaluation": {"bootstrap_draws": 60, "interval": 0.95}} | changes
    return LifetimeValue(**values)


def job(shop: Shop, told: LifetimeValue) -> Job[LifetimeValue]:
    """The training of the shop's model on its publication."""
    return Job(shop.settings, f"lifetime_value.{CLIENT}", told, read_publication(shop.settings), ())
