"""Planted behaviour for models of what is unusual, and what its reasons should say, computed another way."""

from collections.abc import Callable
from datetime import date

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from ml import config, scoring, training
from ml.scores.config import UseCase
from tests.unit.ml.bank import LAST, Bank

MODEL = "anomaly.tester"
AMOUNT = "max_transaction_amount_90d"
OFTEN = "transactions_90d"
Configure = Callable[..., UseCase]
genuine = config.read
"""Use cases as their files have them: every test runs under a changed one."""


def allow(bank: Bank) -> None:
    for column in bank.columns.values():
        column["config"]["meta"]["allowed_in"] = ["anomaly"]
    bank.write_manifest()


def plant(bank: Bank, customer: str, feature: str, value: float, day: date = LAST) -> None:
    bank.run(
        f"update features.features_customers set {feature} = {value}"
        f" where customer_id = '{customer}' and as_of_date = '{day}'"
    )


def score(bank: Bank, day: date = LAST) -> tuple[dict[str, pd.DataFrame], str]:
    """Train, score `day`, and read what was written."""
    outcome = training.train(bank.settings, MODEL)
    assert outcome.verdict == "promoted", outcome.reason
    return night(bank, str(outcome.version), day), str(outcome.version)


def night(bank: Bank, version: str, day: date = LAST) -> dict[str, pd.DataFrame]:
    bank.run("delete from ops.model_pins")
    bank.pin(version, day)
    bank.run(f"update ops.model_pins set model = '{MODEL}'")
    scoring.score_night(bank.settings, bank.build)
    return {
        path.relative_to(bank.build / "lake").parts[0]: pq.read_table(path).to_pandas()
        for path in bank.build.glob(f"lake/*/*/version={version}/as_of={day}/*.parquet")
    }


def customers(bank: Bank, vertical: str, n: int) -> list[str]:
    """Customers with a vector on each of the last thirteen month-ends, and active on the last."""
    return [
        customer
        for (customer,) in bank.ask(f"""
            select customer_id from features.features_customers
            inner join intermediate.int_customers using (client_id, customer_id)
            where vertical = '{vertical}' group by customer_id
            having count(*) = 13
                and bool_and({AMOUNT} is not null)
                and max({OFTEN}) filter (where as_of_date = '{LAST}') > 2
            order by customer_id limit {n}
        """)
    ]


def robust(values: np.ndarray) -> tuple[float, float]:
    """Median and scale, by another way than SQL."""
    known = values[~np.isnan(values)].astype(float)
    middle = float(np.median(known))
    low, high = np.quantile(known, [0.25, 0.75])
    spread = max(1.4826 * float(np.median(np.abs(known - middle))), 0.7413 * float(high - low))
    return middle, spread if spread > 0 else float(known.std())


def told(bank: Bank, customer: str, feature: str, day: date = LAST) -> tuple[float, str, float]:
    """Deviation, basis and typical value of a customer's feature, computed here."""
    frame = pd.DataFrame(
        bank.ask(f"""
            select customer_id, as_of_date, {feature}, vertical from features.features_customers
            inner join intermediate.int_customers using (client_id, customer_id)
        """),
        columns=["customer", "day", "value", "vertical"],
    )
    frame["day"] = pd.to_datetime(frame["day"]).dt.date
    mine = frame[frame["customer"] == customer]
    value = float(mine.loc[mine["day"] == day, "value"].iloc[0])
    active = {
        one
        for (one,) in bank.ask(f"""
            select distinct customer_id from intermediate.int_transactions
            where business_date between date '{day}' - 89 and date '{day}'
        """)
    }
    peers = frame[
        (frame["day"] == day)
        & (frame["vertical"] == mine["vertical"].iloc[0])
        & frame["customer"].isin(active)
    ]
    middle, scale = robust(peers["value"].to_numpy(float))
    among = (value - middle) / scale
    before = mine[
        (mine["day"] < day) & (pd.to_datetime(mine["day"]) >= pd.Timestamp(day) - pd.Timedelta(days=365))
    ]
    if before["value"].notna().sum() < 4:
        return among, "the peers", middle
    own, own_scale = robust(before["value"].to_numpy(float))
    alone = (value - own) / max(own_scale, scale / 4)
    return (alone, "the own past", own) if abs(alone) >= abs(among) else (among, "the peers", middle)
