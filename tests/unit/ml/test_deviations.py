"""Why something is unusual: deviations from the own past and from the peers, in words."""

from datetime import date
from types import SimpleNamespace

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from ml import features as columns
from ml.scores import deviations
from tests.unit.ml.anomalies import (
    AMOUNT,
    OFTEN,
    Configure,
    allow,
    customers,
    genuine,
    night,
    plant,
    robust,
    score,
    told,
)
from tests.unit.ml.bank import LAST, Bank


def test_each_reason_is_the_greater_deviation_computed_again(bank: Bank, few_trees: Configure) -> None:
    """Catches a scale, a median or a group that is another one than documented, in either direction."""
    allow(bank)
    few_trees(estimator={"quota": 0.6})
    low, high, *_ = customers(bank, "neobank", 3)
    plant(bank, low, OFTEN, 0)
    plant(bank, high, AMOUNT, 300)
    found, _ = score(bank)
    rows = found["reasons"]
    assert set(rows["entity_id"]) <= set(
        found["scores"].loc[found["scores"]["band"] == "unusual", "entity_id"]
    )
    bases = set()
    for row in rows.sample(60, random_state=1).itertuples():
        deviation, basis, _ = told(bank, row.entity_id, row.feature)
        assert row.contribution == pytest.approx(deviation, rel=1e-4)
        assert abs(row.contribution) >= 2
        assert basis in row.text
        assert ("above" if row.contribution > 0 else "below") in row.text
        bases.add(basis)
    assert bases == {"the own past", "the peers"}
    assert (rows["contribution"] < 0).any(), "far below is as unusual as far above"
    ranked = rows.assign(size=rows["contribution"].abs()).sort_values(["entity_id", "rank"])
    assert ranked.groupby("entity_id")["size"].apply(lambda size: size.is_monotonic_decreasing).all()


def test_the_own_past_holds_neither_the_row_nor_what_came_later(bank: Bank, few_trees: Configure) -> None:
    """Catches reasons that know the future, or that compare a row with itself."""
    allow(bank)
    few_trees(estimator={"quota": 0.9})
    day = date(2025, 10, 31)
    before, version = score(bank, day)
    bank.run(f"""
        update features.features_customers set {AMOUNT} = 1e6, {OFTEN} = 1e6 where as_of_date > '{day}';
        insert into features.features_customers
        select * replace (date '2025-10-15' as as_of_date, 1e6 as {AMOUNT})
        from features.features_customers where as_of_date = '{day}';
        insert into features.features_customers
        select * replace (date '2024-09-30' as as_of_date, 1e6 as {AMOUNT})
        from features.features_customers where as_of_date = '{day}';
        insert into features.features_customers
        select * replace (date '2025-09-29' as as_of_date, 'other' as _definition_hash, 1e6 as {AMOUNT})
        from features.features_customers where as_of_date = '{day}'
    """)
    pd.testing.assert_frame_equal(night(bank, version, day)["reasons"], before["reasons"])
    assert before["reasons"]["text"].str.contains("the own past").any()
    bank.run(
        f"update features.features_customers set {AMOUNT} = 1e6"
        " where as_of_date between '2025-03-31' and '2025-09-30'"
    )
    assert not night(bank, version, day)["reasons"].equals(before["reasons"]), "the months before count"


def test_a_past_of_three_values_is_no_past(bank: Bank, few_trees: Configure) -> None:
    """Catches a new customer who is measured by two or three months."""
    allow(bank)
    few_trees(estimator={"quota": 0.9, "past": 93})
    found, version = score(bank)
    assert not found["reasons"]["text"].str.contains("the own past").any()
    few_trees(estimator={"quota": 0.9, "past": 365})
    longer, other = score(bank)
    assert other != version
    assert longer["reasons"]["text"].str.contains("the own past").any()


def test_peers_are_a_client_and_its_group_and_all_of_it_where_those_are_few() -> None:
    """Catches a median over clients, and a group of three that says what is usual."""
    with duckdb.connect() as connection:
        connection.execute("""
            create temp table _rows as
            select 'a' as client_id, 'travel' as peers, range::float as amount from range(25)
            union all select 'a', 'cash', 1000 from range(3)
            union all select 'a', null, 1000
            union all select 'b', 'travel', 7 from range(30)
        """)
        model = SimpleNamespace(features=("amount",))
        found = deviations._peers(connection, model, "peers")  # type: ignore[arg-type]
    why = deviations.Deviations(
        genuine("anomaly_transactions"),
        [columns.Feature("amount", "amount", "base_currency", "")],
        model,  # type: ignore[arg-type]
        {},
        found,
        "peers",
    )
    whole = robust(np.array([*range(25), 1000, 1000, 1000, 1000], float))
    for group, expected in (("travel", robust(np.arange(25.0))), ("cash", whole), (None, whole)):
        spread = why.peers_of("a", group)
        assert (spread.median[0], spread.scale[0]) == pytest.approx(expected, rel=1e-6)
    assert (why.peers_of("b", "cash").median[0], why.peers_of("b", "cash").scale[0]) == (7, 0)


def test_a_flags_scale_is_its_standard_deviation() -> None:
    """Catches a division by a median deviation of 0, and sums that depend on the order of rows."""
    flags = np.array([1.0] * 3 + [0.0] * 27)
    with duckdb.connect() as connection:
        connection.register("flags", pa.table({"flag": flags.astype(np.float32)}))
        connection.execute(
            "create temp table _rows as select 'a' as client_id, 'x' as peers, flag from flags"
        )
        found = deviations._peers(connection, SimpleNamespace(features=("flag",)), "peers")  # type: ignore[arg-type]
    assert (found["a", "x"].median[0], found["a", "x"].scale[0]) == pytest.approx((0, flags.std()), rel=1e-6)


def test_only_the_farthest_off_of_a_group_of_features_is_told(few_trees: Configure) -> None:
    """Catches three reasons that are one fact: spend of 30 days, of 90 and of a year."""
    named = [columns.Feature(name, name, "count", "", group=name[0]) for name in ("a1", "a2", "b1")]
    group = deviations.Spread(np.zeros(3, np.float32), np.ones(3, np.float32))
    model = SimpleNamespace(margins=lambda table, _threads: np.zeros(table.num_rows))
    why = deviations.Deviations(few_trees(), named, model, {}, {("a", None): group}, "vertical")  # type: ignore[arg-type]
    table = pa.table({"client_id": ["a"], "entity_id": ["t"], "as_of_date": [LAST], "vertical": [None]})
    assert why(table, np.array([[4, -9, 3]], np.float32), 1).contributions.tolist() == [[0, -9, 3]]


def test_codes_have_no_distance() -> None:
    """Catches "way of paying 7: 3 deviations above", which says nothing."""
    use_case = genuine("anomaly_transactions")
    spread = deviations.Spread(np.array([1, 1], np.float32), np.array([1, 1], np.float32))
    named = [
        columns.Feature("payment_mode", "way of paying", "code", ""),
        columns.Feature("amount", "amount", "base_currency", ""),
    ]

    model = SimpleNamespace(margins=lambda table, _threads: np.zeros(table.num_rows))
    why = deviations.Deviations(use_case, named, model, {}, {("a", None): spread}, "peers")  # type: ignore[arg-type]
    table = pa.table({"client_id": ["a"], "entity_id": ["t"], "as_of_date": [LAST], "peers": ["travel"]})
    causes = why(table, np.array([[9, 9]], np.float32), 1)
    assert causes.contributions.tolist() == [[0, 8]]
    assert causes.words(0, 1)[1] == "amount 9: 8.0 deviations above the peers (typical: 1)"


def test_what_is_missing_or_never_varied_says_nothing(few_trees: Configure) -> None:
    """Catches infinite deviations, and a missing value that is called far off."""
    use_case = few_trees()
    nan = np.float32("nan")
    group = deviations.Spread(np.array([1, 1, 1, nan], np.float32), np.array([2, 0, 1, nan], np.float32))
    own = deviations.Spread(np.array([0, 0, 0, 5], np.float32), np.array([0, 0, 0, 0.5], np.float32))
    named = [columns.Feature(name, name, "count", "") for name in "abcd"]

    model = SimpleNamespace(margins=lambda table, _threads: np.zeros(table.num_rows))
    why = deviations.Deviations(
        use_case,
        named,
        model,
        {("a", "t", LAST): own},
        {("a", None): group},
        "vertical",  # type: ignore[arg-type]
    )
    table = pa.table({"client_id": ["a"], "entity_id": ["t"], "as_of_date": [LAST], "vertical": [None]})
    causes = why(table, np.array([[4, 4, nan, 9]], np.float32), 1)
    # A past that never varied is measured by a quarter of the peers' scale; without peers by itself.
    assert causes.contributions.tolist() == [[8, 0, 0, 8]]
    assert causes.words(0, 0)[1].endswith("above the own past (typical: 0)")
