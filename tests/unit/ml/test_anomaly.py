"""Models of what is unusual: who stands out, why, and when such a model is not used."""

import re
from collections.abc import Callable
from datetime import date, datetime
from types import SimpleNamespace
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from pydantic import ValidationError

from ml import config, families, scoring, training
from ml import features as columns
from ml.models import anomaly_transactions
from ml.registry import Registry
from ml.scores import deviations, fitting
from nightledger.settings import PROJECT
from tests.unit.ml.bank import FEATURES, LAST, Bank, cutoff

MODEL = "anomaly.tester"
AMOUNT = "max_transaction_amount_90d"
OFTEN = "transactions_90d"
Configure = Callable[..., config.UseCase]
genuine = config.read
"""Use cases as their files have them: every test runs under a changed one."""


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Configure:
    """The anomaly use case with fewer trees; a dict changes single keys of a section."""

    def use(**changes: Any) -> config.UseCase:
        values = genuine("anomaly").model_dump(exclude={"bands"})
        few: dict[str, Any] = {"estimator": {"trees": 60, "sample": 256}, "confidence": {"ages": {}}}
        for key, value in (few | changes).items():
            base = values[key]
            if key == "estimator":
                base = base | {"trees": 60, "sample": 256}
            values[key] = {**base, **value} if isinstance(value, dict) else value
        use_case = config.UseCase(**values)
        monkeypatch.setattr(config, "read", lambda _model, _folder=None: use_case)
        return use_case

    return use


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


def test_planted_behaviour_ranks_first_and_is_named_with_what_it_is_compared_with(
    bank: Bank, small: Configure
) -> None:
    """Catches a forest that sets the usual apart, and reasons that name other features than what was done."""
    allow(bank)
    small()
    spender, busy = customers(bank, "wallet", 2)
    plant(bank, spender, AMOUNT, 5000)
    plant(bank, busy, OFTEN, 95)
    found, _ = score(bank)
    scores = found["scores"].sort_values(["score", "margin"], ascending=False)
    assert set(scores["entity_id"].head(2)) == {spender, busy}
    assert set(scores["band"].head(2)) == {"unusual"}
    assert scores["score"].max() == 1
    first = found["reasons"][found["reasons"]["rank"] == 1].set_index("entity_id")
    for customer, feature, value in ((spender, AMOUNT, "5,000"), (busy, OFTEN, "95")):
        deviation, basis, typical = told(bank, customer, feature)
        row = first.loc[customer]
        assert row["feature"] == feature
        assert row["contribution"] == pytest.approx(deviation, rel=1e-5)
        times = f"{deviation:.1f}" if deviation <= 99 else "more than 99"
        label = feature.replace("_", " ")
        assert row["text"].startswith(f"{label} {value}: {times} deviations above {basis} (typical: ")
        assert f"{typical:g}" in row["text"]


def test_each_reason_is_the_greater_deviation_computed_again(bank: Bank, small: Configure) -> None:
    """Catches a scale, a median or a group that is another one than documented, in either direction."""
    allow(bank)
    small(estimator={"quota": 0.6})
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


def test_the_own_past_holds_neither_the_row_nor_what_came_later(bank: Bank, small: Configure) -> None:
    """Catches reasons that know the future, or that compare a row with itself."""
    allow(bank)
    small(estimator={"quota": 0.9})
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


def test_a_past_of_three_values_is_no_past(bank: Bank, small: Configure) -> None:
    """Catches a new customer who is measured by two or three months."""
    allow(bank)
    small(estimator={"quota": 0.9, "past": 93})
    found, version = score(bank)
    assert not found["reasons"]["text"].str.contains("the own past").any()
    small(estimator={"quota": 0.9, "past": 365})
    longer, other = score(bank)
    assert other != version
    assert longer["reasons"]["text"].str.contains("the own past").any()


def test_a_rerun_and_other_batches_write_the_same_bytes(
    bank: Bank, small: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches statistics of a batch, sums that depend on threads, and a clock."""
    allow(bank)
    small(estimator={"quota": 0.2})
    whole, version = score(bank)
    files = {path: path.read_bytes() for path in bank.build.glob("lake/**/*.parquet")}
    night(bank, version)
    assert {path: path.read_bytes() for path in files} == files
    monkeypatch.setattr(scoring, "BATCH", 37)
    monkeypatch.setattr(deviations, "_BATCH", 41)
    for kind, frame in night(bank, version).items():
        pd.testing.assert_frame_equal(frame, whole[kind])
    outcome = training.train(bank.settings, MODEL)
    assert (outcome.verdict, outcome.version) == ("unchanged", version)


def test_a_what_if_of_a_forest_is_the_forests_own_answer(bank: Bank, small: Configure) -> None:
    """Catches a what-if by another feature or median, or one that forgets that scores are ranks."""
    allow(bank)
    small()
    spender = customers(bank, "wallet", 1)[0]
    plant(bank, spender, AMOUNT, 5000)
    found, version = score(bank)
    row = found["what_if"].query("entity_id == @spender and feature == @AMOUNT").iloc[0]
    verticals = dict(bank.ask("select customer_id, vertical from intermediate.int_customers"))
    vectors = found["vectors"].set_index("entity_id")
    peers = vectors[vectors.index.map(verticals) == verticals[spender]]
    assert row["typical"] == pytest.approx(peers[AMOUNT].median())
    moved = vectors.loc[[spender], list(FEATURES)].astype("float32").assign(**{AMOUNT: row["typical"]})
    table = pa.Table.from_pandas(moved, preserve_index=False)
    again = Registry(bank.settings).load(MODEL, version).scores(table, 1)[0]
    assert row["score_without"] == pytest.approx(again, abs=1e-6)
    assert row["score_without"] < row["score"] == 1


def test_the_upper_band_holds_the_quota(bank: Bank, small: Configure) -> None:
    """Catches a band and a quota that say different things."""
    allow(bank)
    use_case = small(estimator={"quota": 0.1})
    assert use_case.bands == {"usual": 0.0, "unusual": 0.9}
    found, version = score(bank)
    rows = fitting.training_rows(
        families.Job(
            bank.settings,
            MODEL,
            use_case,
            training.read_publication(bank.settings),
            columns.read_features(bank.build, use_case),
        ),
        "tester",
    )
    fitted = rows[0].of(rows[1].training)
    model = Registry(bank.settings).load(MODEL, version)
    assert (model.scores(fitted.table, 1) >= 0.9).mean() == pytest.approx(0.1, abs=0.005)
    assert (found["scores"]["band"] == "unusual").equals(found["scores"]["score"] >= np.float32(0.9))
    values = genuine("anomaly").model_dump()
    assert config.UseCase(**values).bands == {"usual": 0.0, "unusual": 0.99}
    with pytest.raises(ValidationError, match=r"follow from estimator\.quota"):
        config.UseCase(**{**values, "bands": {"usual": 0.0, "unusual": 0.95}})
    with pytest.raises(ValidationError, match="must be unusual"):
        config.UseCase(**{**values, "reasons": {**values["reasons"], "from_band": None}})


def test_the_feature_that_sets_rows_apart_counts_most(bank: Bank, small: Configure) -> None:
    """Catches a forest without importances, and one in which a feature without values decides."""
    allow(bank)
    small()
    found = {row["feature"]: row["importance"] for row in training.train(bank.settings, MODEL).importances}
    assert set(found) == set(FEATURES)
    assert min(found["days_since_last_transaction"], found["transactions_90d"]) > found["never_filled"] == 0


def test_when_the_seed_decides_the_model_is_refused(bank: Bank, small: Configure) -> None:
    """Catches a forest of a few trees whose list of the unusual is luck."""
    allow(bank)
    small(estimator={"trees": 10, "sample": 64, "least_stability": 0.995})
    outcome = training.train(bank.settings, MODEL)
    assert outcome.verdict == "refused"
    assert "under another seed" in outcome.reason
    assert "Needed is an agreement of 0.995" in outcome.reason


def test_when_the_world_has_moved_the_model_is_refused(bank: Bank, small: Configure) -> None:
    """Catches a quota that would be everybody: the last month is unlike those that were learnt from."""
    allow(bank)
    small()
    bank.run(f"update features.features_customers set {AMOUNT} = 40 * {AMOUNT} where as_of_date = '{LAST}'")
    outcome = training.train(bank.settings, MODEL)
    assert outcome.verdict == "refused"
    assert "say little about tonight" in outcome.reason


def test_one_permission_lets_both_models_read_a_feature(bank: Bank) -> None:
    """Catches a second model of what is unusual that needs every feature allowed again, or reads others'."""
    names = [column["name"] for column in bank.columns.values()]
    bank.columns[names[0]]["config"]["meta"]["allowed_in"] = ["anomaly", "fraud"]
    bank.columns[names[1]]["config"]["meta"]["allowed_in"] = ["anomaly_transactions"]
    bank.write_manifest()
    of_transactions = genuine("anomaly_transactions").model_copy(update={"features": ["features_customers"]})
    for use_case in (genuine("anomaly"), of_transactions):
        assert [f.name for f in columns.read_features(bank.build, use_case)] == [names[0]]


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


def test_only_the_farthest_off_of_a_group_of_features_is_told(small: Configure) -> None:
    """Catches three reasons that are one fact: spend of 30 days, of 90 and of a year."""
    named = [columns.Feature(name, name, "count", "", group=name[0]) for name in ("a1", "a2", "b1")]
    group = deviations.Spread(np.zeros(3, np.float32), np.ones(3, np.float32))
    model = SimpleNamespace(margins=lambda table, _threads: np.zeros(table.num_rows))
    why = deviations.Deviations(small(), named, model, {}, {("a", None): group}, "vertical")  # type: ignore[arg-type]
    table = pa.table({"client_id": ["a"], "entity_id": ["t"], "as_of_date": [LAST], "vertical": [None]})
    assert why(table, np.array([[4, -9, 3]], np.float32), 1).contributions.tolist() == [[0, -9, 3]]


def test_what_exceeds_everything_learnt_is_set_apart_by_its_distance(bank: Bank, small: Configure) -> None:
    """Catches a forest whose cuts end where its rows end: a hundred times the largest is the largest."""
    allow(bank)
    small()
    _, version = score(bank)
    model = Registry(bank.settings).load(MODEL, version)
    rows = {name: [median or 0.0] * 4 for name, median in model.medians.items()}
    rows[AMOUNT] = [90.0, 170.0, 8000.0, 8e9]
    table = pa.table({name: pa.array(values, pa.float32()) for name, values in rows.items()})
    largest, beyond, far, absurd = model.margins(table, 1)
    assert largest < beyond < far == absurd < 1
    again = type(model).from_files(model.files())
    assert np.array_equal(again.margins(table, 1), model.margins(table, 1))


def test_the_committed_page_counts_what_a_person_said() -> None:
    """Catches a precision that was written by hand, or a list whose judgements are others'."""
    page = (PROJECT / "docs" / "reference" / "anomalies-birmingham.md").read_text()
    judged = yaml.safe_load((PROJECT / "benchmarks" / "anomalies_judged.yml").read_text())
    for title, said in judged.items():
        part = page.split(f"## The twenty most unusual {title}")[1].split("\n## ")[0]
        rows = [line for line in part.splitlines() if re.match(r"\| \d+ \|", line)]
        why = {one["why"]: one["plausible"] for one in said.values()}
        told = [re.fullmatch(r".*\| (\*\*yes\*\*|no): (.*) \|", line) for line in rows]
        answers = [(found[1] == "**yes**", found[2]) for found in told if found]
        assert len(answers) == 20
        assert all(why[words] == answer for answer, words in answers)
        assert f"**{sum(answer for answer, _ in answers)} of 20 are worth" in part


DAY = date(2026, 1, 10)


@pytest.fixture
def payments() -> duckdb.DuckDBPyConnection:
    """One customer's payments, as a night knows them; `unusual` names the one that is explained."""
    connection = duckdb.connect()
    connection.execute("""
        create schema features; create schema intermediate;
        create table intermediate.int_transactions (
            client_id varchar, transaction_key varchar, customer_id varchar, category varchar,
            business_date date, known_at timestamp, superseded_at timestamp);
        create table features.features_transactions (
            client_id varchar, transaction_key varchar, as_of_date date);
    """)
    early, late = datetime(2026, 1, 9, 1), cutoff(DAY)
    versions = [
        ("row", "c", DAY, early, None),
        ("earlier", "c", date(2026, 1, 9), early, None),
        ("first day", "c", date(2025, 12, 31), early, None),
        ("too old", "c", date(2025, 12, 30), early, None),
        ("same day", "c", DAY, early, None),
        ("later", "c", date(2026, 1, 11), early, None),
        ("unknown yet", "c", date(2026, 1, 8), late, None),
        ("taken back", "c", date(2026, 1, 8), early, early),
        ("of another", "d", date(2026, 1, 9), early, None),
        ("posted", "c", date(2026, 1, 7), datetime(2026, 1, 7), early),
        ("posted", "c", date(2026, 1, 8), early, None),
        ("never described", "c", date(2026, 1, 9), early, None),
    ]
    connection.executemany(
        "insert into intermediate.int_transactions values ('a', ?, ?, 'travel', ?, ?, ?)", versions
    )
    described = {(key, DAY) for key, *_ in versions if key not in ("never described", "posted")}
    described |= {("posted", date(2026, 1, 7)), ("posted", date(2026, 1, 9)), ("posted", date(2026, 1, 20))}
    connection.executemany("insert into features.features_transactions values ('a', ?, ?)", sorted(described))
    dates = pa.table({"client_id": ["a"], "as_of_date": [DAY], "cutoff_at": [late]})
    connection.register("dates", dates)
    return connection


def test_the_past_of_a_transaction_is_the_customers_own_and_over(
    payments: duckdb.DuckDBPyConnection,
) -> None:
    """Catches the row itself, its day, later days, other people and what was not known in its own past."""
    payments.register(
        "unusual",
        pa.table(
            {
                "client_id": ["a"],
                "entity_id": ["row"],
                "as_of_date": [DAY],
                "day": [DAY],
                "customer_id": ["c"],
            }
        ),
    )
    found = payments.execute(anomaly_transactions.PAST, {"past": 10}).fetchall()
    assert {row[:3] for row in found} == {("a", "row", DAY)}
    assert sorted(row[3:] for row in found) == [
        ("earlier", DAY),
        ("first day", DAY),
        ("posted", date(2026, 1, 9)),
    ]


def test_the_pending_row_of_a_transaction_is_not_its_own_past(
    payments: duckdb.DuckDBPyConnection,
) -> None:
    """Catches a posting that is compared with itself as it was pending the day before."""
    payments.register(
        "unusual",
        pa.table(
            {
                "client_id": ["a"],
                "entity_id": ["posted"],
                "as_of_date": [DAY],
                "day": [DAY],
                "customer_id": ["c"],
            }
        ),
    )
    found = payments.execute(anomaly_transactions.PAST, {"past": 10}).fetchall()
    assert sorted(row[3] for row in found) == ["earlier", "first day"]


def test_each_transaction_of_a_night_is_scored_once_among_its_category(
    payments: duckdb.DuckDBPyConnection,
) -> None:
    """Catches a posted transaction that doubles, and one that was taken back."""
    found = payments.execute(anomaly_transactions.POPULATION).fetchall()
    keys = [row[1] for row in found]
    assert len(keys) == len(set(keys))
    assert "taken back" not in keys and "unknown yet" not in keys
    assert {row[-1] for row in found} == {"travel"}
    assert {row[3] for row in found if row[1] == "earlier"} == {date(2026, 1, 9)}


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
    table = pa.table({"client_id": ["a"], "entity_id": ["t"], "as_of_date": [DAY], "peers": ["travel"]})
    causes = why(table, np.array([[9, 9]], np.float32), 1)
    assert causes.contributions.tolist() == [[0, 8]]
    assert causes.words(0, 1)[1] == "amount 9: 8.0 deviations above the peers (typical: 1)"


def test_what_is_missing_or_never_varied_says_nothing(small: Configure) -> None:
    """Catches infinite deviations, and a missing value that is called far off."""
    use_case = small()
    nan = np.float32("nan")
    group = deviations.Spread(np.array([1, 1, 1, nan], np.float32), np.array([2, 0, 1, nan], np.float32))
    own = deviations.Spread(np.array([0, 0, 0, 5], np.float32), np.array([0, 0, 0, 0.5], np.float32))
    named = [columns.Feature(name, name, "count", "") for name in "abcd"]

    model = SimpleNamespace(margins=lambda table, _threads: np.zeros(table.num_rows))
    why = deviations.Deviations(
        use_case,
        named,
        model,
        {("a", "t", DAY): own},
        {("a", None): group},
        "vertical",  # type: ignore[arg-type]
    )
    table = pa.table({"client_id": ["a"], "entity_id": ["t"], "as_of_date": [DAY], "vertical": [None]})
    causes = why(table, np.array([[4, 4, nan, 9]], np.float32), 1)
    # A past that never varied is measured by a quarter of the peers' scale; without peers by itself.
    assert causes.contributions.tolist() == [[8, 0, 0, 8]]
    assert causes.words(0, 0)[1].endswith("above the own past (typical: 0)")
