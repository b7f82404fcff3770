"""Lifetime value on the path: what a date knew, what is held out, what is decided, what the night writes."""

import json
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from ml import config, families
from ml.artefacts import ModelError
from ml.datasets import read_publication
from ml.evaluate import Asked
from ml.families import Job, Refused, TooLittle, Trained
from ml.lifetime_value import steps
from ml.lifetime_value.config import LifetimeValue
from ml.lifetime_value.customers import Customers, longest_silence, read_customers, read_outcome
from ml.lifetime_value.frequency import Frequency
from ml.lifetime_value.model import DAYS_A_MONTH, ValueModel
from ml.lifetime_value.spend import Spend
from ml.partitions import Pin, folder
from ml.promotion import KEPT, PROMOTED, REFUSED
from ml.registry import Registered
from nightledger import warehouse
from tests.unit.value.shop import CLIENT, LAST, Shop, cutoff, publish, purchases

DAY = date(2025, 3, 31)
MODEL = ValueModel(
    frequency=Frequency(0.9, 4.0, 1.3, 9.0),
    spend=Spend(4.0, 3.0, 20.0),
    measure="revenue",
    visit_days=7,
    horizon_months=3,
    discount_rate=0.1,
    bands={"low": 0.0, "medium": 10.0, "high": 50.0},
)


def described(**changes: Any) -> LifetimeValue:
    """The project's own file, with fewer draws and other changes."""
    told = config.read("lifetime_value")
    assert isinstance(told, LifetimeValue)
    values = told.model_dump() | {"evaluation": {"bootstrap_draws": 60, "interval": 0.95}} | changes
    return LifetimeValue(**values)


def job(shop: Shop, told: LifetimeValue) -> Job[LifetimeValue]:
    return Job(shop.settings, f"lifetime_value.{CLIENT}", told, read_publication(shop.settings), ())


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """600 customers, a year and a half; the shop earns 2 % of what they spend."""
    return publish(tmp_path_factory.mktemp("shop") / "home", purchases(600), 0.02)


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """2,000 others, so that chance matters less."""
    return publish(tmp_path_factory.mktemp("crowd") / "home", purchases(2000, seed=8), 0.02)


@pytest.fixture(scope="module")
def trained(shop: Shop) -> Trained:
    """A first version."""
    return steps.train(job(shop, described()), CLIENT, None)


@pytest.fixture
def ledger() -> duckdb.DuckDBPyConnection:
    """An empty warehouse; `pay` fills it."""
    connection = duckdb.connect()
    connection.execute("""
        create schema intermediate; create schema ops;
        create table intermediate.int_revenue (
            client_id varchar default 'a', customer_id varchar default 'c', business_date date,
            known_at timestamp, superseded_at timestamp, is_customer_initiated boolean default true,
            spend_amount decimal(18, 4), revenue decimal(18, 4));
        create table intermediate.int_customers (
            client_id varchar, customer_id varchar, known_at timestamp, superseded_at timestamp,
            closed_on date);
        create table ops.as_of_dates (
            client_id varchar, as_of_date date, cutoff_at timestamp, is_tonight boolean);
    """)
    return connection


def pay(connection: duckdb.DuckDBPyConnection, day: date, spend: float = 100, **changes: Any) -> None:
    """A transaction that was known a day later; the client earns 1 %."""
    row = {
        "business_date": day,
        "known_at": datetime.combine(day, datetime.min.time()) + timedelta(hours=25),
        "spend_amount": spend,
        "revenue": spend / 100,
        **changes,
    }
    names = ", ".join(row)
    marks = ", ".join("?" for _ in row)
    connection.execute(f"insert into intermediate.int_revenue ({names}) values ({marks})", list(row.values()))


def seen(connection: duckdb.DuckDBPyConnection, **changes: Any) -> Customers:
    wanted = {"measure": "spend", "visit_days": 7, **changes}
    return read_customers(connection, "a", DAY, cutoff(DAY), **wanted)


def test_a_customer_is_told_by_visits_of_a_week(ledger: duckdb.DuckDBPyConnection) -> None:
    """Counting each purchase of a shopping day, or dividing the first visit's money among the others."""
    first = date(2025, 1, 1)
    for after, spend in ((0, 500), (6, 50), (7, 10), (9, 20), (30, 40)):
        pay(ledger, first + timedelta(days=after), spend)
    pay(ledger, first + timedelta(days=20), 5, is_customer_initiated=False)
    who = seen(ledger)
    assert who.ids.to_pylist() == ["c"]
    assert (who.visits[0], who.last_visit[0]) == (2, 4)
    assert who.age[0] == pytest.approx((DAY - first).days / 7)
    assert who.each[0] == pytest.approx((10 + 20 + 5 + 40) / 2)
    assert who.last_year[0] == 625
    assert who.days[0] == 90
    by_day = seen(ledger, visit_days=1)
    assert (by_day.visits[0], by_day.last_visit[0], by_day.age[0]) == (4, 30, 89)


@pytest.mark.parametrize(
    ("changes", "counts"),
    [
        ({}, True),
        ({"known_at": cutoff(DAY)}, False),
        ({"known_at": cutoff(DAY) - timedelta(seconds=1)}, True),
        ({"superseded_at": cutoff(DAY) - timedelta(seconds=1)}, False),
        ({"superseded_at": cutoff(DAY)}, True),
        ({"client_id": "b"}, False),
        ({"business_date": DAY + timedelta(days=1)}, False),
    ],
    ids=["plain", "known too late", "just known", "superseded", "not yet", "other client", "tomorrow's"],
)
def test_a_date_knows_what_was_known_then(
    ledger: duckdb.DuckDBPyConnection, changes: Mapping[str, Any], counts: bool
) -> None:
    """News of later days in the inputs of a past date: a value that looks better than it is."""
    pay(ledger, date(2025, 1, 1))
    pay(ledger, date(2025, 2, 1), 30, **changes)
    assert seen(ledger).visits[0] == (1 if counts else 0)
    assert seen(ledger).each[0] == (30 if counts else 0)


def test_money_given_back_is_no_negative_visit(ledger: duckdb.DuckDBPyConnection) -> None:
    """A logarithm of a negative mean, and with it no model at all."""
    pay(ledger, date(2025, 1, 1))
    pay(ledger, date(2025, 2, 1), 10)
    pay(ledger, date(2025, 3, 1), -30, is_customer_initiated=False)
    assert (seen(ledger).each[0], seen(ledger).last_year[0]) == (0, 80)


def test_a_closed_customer_is_known_as_closed_from_the_day_on(ledger: duckdb.DuckDBPyConnection) -> None:
    """Value promised of somebody who has left by letter; or a closing that was told later."""
    for customer, closed_on, known in (
        ("closed", DAY, DAY - timedelta(days=3)),
        ("later", DAY + timedelta(days=1), DAY),
        ("told later", DAY, DAY + timedelta(days=3)),
    ):
        pay(ledger, date(2025, 1, 1), customer_id=customer)
        ledger.execute(
            "insert into intermediate.int_customers values ('a', ?, ?, null, ?)", [customer, known, closed_on]
        )
    who = seen(ledger)
    assert dict(zip(who.ids.to_pylist(), who.is_closed.tolist(), strict=True)) == {
        "closed": True,
        "later": False,
        "told later": False,
    }


def test_the_outcome_is_of_the_days_held_out_and_in_the_customers_order(
    ledger: duckdb.DuckDBPyConnection,
) -> None:
    """Money of other days or other customers in the judgement; who never came brought nothing."""
    for customer, day in (("c", 1), ("b", 1), ("b", 2), ("b", 30)):
        pay(ledger, date(2025, 4, day), customer_id=customer)
    pay(ledger, date(2025, 4, 3), customer_id="auto", is_customer_initiated=False)
    brought, came = read_outcome(
        ledger,
        "a",
        date(2025, 4, 2),
        date(2025, 4, 29),
        datetime(2025, 5, 5),
        "spend",
        pa.array(["c", "b", "auto", "nobody"]),
    )
    assert brought.tolist() == [0, 100, 100, 0]
    assert came.tolist() == [False, True, False, False]


def customers(*rows: tuple[float, float, float, float]) -> Customers:
    """Customers by visits, last visit, age and what each brought."""
    visits, last, age, each = (np.array(column, float) for column in zip(*rows, strict=True))
    n = len(rows)
    ids, none = pa.array([str(k) for k in range(n)]), np.zeros(n)
    return Customers(ids, visits, last, age, each, none, none, np.zeros(n, bool))


def test_a_value_is_the_discounted_sum_of_its_months() -> None:
    """A rate that is taken for a month's, months that are counted twice, or a discount from the first day."""
    who = customers((5, 20, 24, 3.0), (0, 0, 3, 0.0))
    found = MODEL.forecast(who)
    each = MODEL.spend.expected(who.visits, who.each)
    until = [MODEL.frequency.expected(*who.shape, m * DAYS_A_MONTH / 7) for m in (0, 1, 2, 3)]
    months = [(until[m] - until[m - 1]) * each / 1.1 ** (m / 12) for m in (1, 2, 3)]
    assert found.value == pytest.approx(sum(months))
    assert found.visits == pytest.approx(until[3])
    assert (found.value < found.visits * found.each).all()


def test_a_band_begins_at_its_value() -> None:
    """A customer between two bands because of a rounded threshold."""
    assert MODEL.bands_of(np.array([0.0, 9.99994, 9.99996, 49.9, 50.0])).tolist() == [
        "low",
        "low",
        "medium",
        "medium",
        "high",
    ]


def test_an_artefact_is_read_as_it_was_written(trained: Trained) -> None:
    """Parameters that lose digits, or an artefact of another family taken for one."""
    model = ValueModel.from_files(trained.files)
    assert model.files() == trained.files
    with pytest.raises(ModelError, match="no model of lifetime value"):
        ValueModel.from_files({"model.json": b'{"family": "scores"}'})


def test_a_version_predicts_days_it_has_not_seen_and_becomes_champion(crowd: Shop) -> None:
    """A model that is no better than plain ways on customers made after its own assumptions is broken."""
    trained = steps.train(job(crowd, described()), CLIENT, None)
    assert trained.verdict == PROMOTED, trained.reason
    rows = {
        (row["baseline"], row["metric"]): row for row in trained.metrics if row["dataset"] == "out_of_time"
    }
    assert rows["", "wape"]["value"] < rows["last_year", "wape"]["value"] - 0.05
    assert rows["", "wape"]["value"] < rows["client_mean", "wape"]["value"] - 0.05
    assert abs(rows["", "bias"]["value"]) < 0.1
    assert 0 < rows["", "alive_gap"]["value"] < 0.25, "who is still there need not come within half a year"
    tenths = [row for row in trained.metrics if row["dataset"].startswith("expected: tenth")]
    came_in = [row["value"] for row in tenths if row["metric"] == "brought_a_customer"]
    expected = [row["value"] for row in tenths if row["metric"] == "expected_a_customer"]
    assert len(came_in) == 10
    assert came_in[-1] == pytest.approx(expected[-1], rel=0.25)
    assert came_in[-1] > 5 * came_in[5]
    assert set(trained.metrics[0]) >= {"client_id", "window_label", "lo", "hi", "n", "base_rate"}


def test_of_very_many_customers_an_even_sample_is_fitted_and_all_are_judged(crowd: Shop) -> None:
    """A sample of the first ones only, or one that is all that gets a value."""
    whole, part = (
        steps.train(job(crowd, described(most_fitted=most)), CLIENT, None) for most in (100_000, 1000)
    )
    one, other = (ValueModel.from_files(found.files) for found in (whole, part))
    assert one.frequency != other.frequency
    assert other.frequency.r / other.frequency.alpha == pytest.approx(
        one.frequency.r / one.frequency.alpha, rel=0.15
    )
    assert part.heldout["customer_id"] == whole.heldout["customer_id"]


def test_nothing_of_the_days_held_out_is_learnt_from(shop: Shop, trained: Trained, tmp_path: Path) -> None:
    """A fit that has seen what it is judged by: other days held out, and the same parameters."""
    other = publish(tmp_path / "home", purchases(600), 0.02)
    first = LAST - timedelta(days=179)
    other.run(f"delete from intermediate.int_revenue where business_date > '{first}'")
    again = steps.train(job(other, described(max_silent_days=365)), CLIENT, None)
    fitted, refitted = (ValueModel.from_files(found.files) for found in (trained, again))
    assert (refitted.frequency, refitted.spend) == (fitted.frequency, fitted.spend)
    assert again.metrics[0]["value"] > 2 * trained.metrics[0]["value"]


def test_the_same_publication_gives_the_same_version(shop: Shop, trained: Trained) -> None:
    """A version whose name changes although nothing else has."""
    assert steps.train(job(shop, described()), CLIENT, None).files == trained.files


def test_customers_who_are_all_alike_need_no_model(tmp_path: Path) -> None:
    """A version that is promoted because it is not much worse than saying the same of everybody."""
    alike = publish(tmp_path / "home", purchases(300, alike=True), 0.02)
    found = steps.train(job(alike, described()), CLIENT, None)
    assert found.verdict == REFUSED
    assert "client mean has" in found.reason


def champion_of(patch: pytest.MonkeyPatch, files: Mapping[str, bytes]) -> Registered:
    """A registry that holds one version."""

    class Shelf:
        def __init__(self, _settings: object) -> None: ...

        def files(self, _model: str, _version: str) -> Mapping[str, bytes]:
            return files

    patch.setattr(steps, "Registry", Shelf)
    return Registered("lifetime_value.shop", "2025-06-30-champion", "", "", "", "1")


def test_a_version_no_better_than_the_champion_is_kept(
    shop: Shop, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A champion that changes every month without a reason: it expects the same of everybody."""
    champion = trained.files["model.json"].replace(b'"horizon_months": 24', b'"horizon_months": 12')
    found = steps.train(job(shop, described()), CLIENT, champion_of(monkeypatch, {"model.json": champion}))
    assert found.verdict == KEPT
    assert "2025-06-30-champion" in found.reason


def test_a_champion_who_saw_less_is_followed(
    shop: Shop, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A champion that can never be beaten."""
    told = json.loads(trained.files["model.json"])
    told["spend"]["p"] *= 3
    told["spend"]["gamma"] *= 2
    champion = champion_of(monkeypatch, {"model.json": json.dumps(told).encode()})
    assert steps.train(job(shop, described()), CLIENT, champion).verdict == PROMOTED


def test_a_champion_of_another_measure_is_not_compared(
    shop: Shop, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Errors in spend beside errors in revenue."""
    told = trained.files["model.json"].replace(b'"revenue"', b'"spend"')
    champion = champion_of(monkeypatch, {"model.json": told})
    found = steps.train(job(shop, described()), CLIENT, champion)
    assert found.verdict == PROMOTED
    assert "tells spend, this one revenue" in found.reason
    assert not any(row["baseline"] == "champion" for row in found.metrics)


def test_a_client_without_revenue_gets_a_value_in_spend_or_none(tmp_path: Path) -> None:
    """Spend that is silently called revenue, or a model fitted on nothing."""
    poor = publish(tmp_path / "home", purchases(300), 0.0)
    found = steps.train(job(poor, described(without_revenue="spend")), CLIENT, None)
    assert ValueModel.from_files(found.files).measure == "spend"
    with pytest.raises(TooLittle, match=r"interchange_rate in clients/shop\.yml"):
        steps.train(job(poor, described(without_revenue="refuse")), CLIENT, None)


@pytest.mark.parametrize(
    ("minimums", "words"),
    [
        ({"customers": 5000}, "customers with a visit: 600 of 5,000"),
        ({"returning": 5000}, "brought spend"),
        ({"history_days": 5000}, "days of history"),
    ],
)
def test_too_little_is_refused_with_what_is_missing(
    shop: Shop, minimums: Mapping[str, int], words: str
) -> None:
    """A version made of a handful of customers, or a refusal that nobody can act on."""
    least = {"customers": 200, "returning": 100, "history_days": 120, **minimums}
    with pytest.raises(TooLittle, match=words):
        steps.train(job(shop, described(minimums=least)), CLIENT, None)


def test_a_hole_in_the_feed_is_not_taken_for_leaving(tmp_path: Path) -> None:
    """A champion judged by days on which no file came."""
    frame = purchases(300)
    came = ~frame["business_date"].between("2025-11-01", "2025-12-10")
    holey = publish(tmp_path / "home", frame[came], 0.02)
    with pytest.raises(TooLittle, match=r"nothing happened on 4\d days in a row"):
        steps.train(job(holey, described()), CLIENT, None)


def test_silence_is_counted_from_the_first_day_to_the_last(ledger: duckdb.DuckDBPyConnection) -> None:
    """A feed that ends within the days held out, or one row of another client, known later, in the hole."""
    first, last = date(2025, 4, 1), date(2025, 4, 30)

    def silent() -> int:
        return longest_silence(ledger, "a", first, last, datetime(2025, 5, 5))

    assert silent() == 30
    pay(ledger, date(2025, 4, 20), client_id="b")
    pay(ledger, date(2025, 4, 20), known_at=datetime(2025, 5, 5))
    pay(ledger, date(2025, 4, 4))
    pay(ledger, date(2025, 4, 5))
    assert silent() == 25
    pay(ledger, date(2025, 4, 26), is_customer_initiated=False)
    assert silent() == 20
    pay(ledger, date(2025, 4, 16))
    assert silent() == 10


@pytest.fixture
def night(shop: Shop, trained: Trained, tmp_path: Path) -> Callable[[str], pa.Table]:
    """What a night writes of a version on the last date."""

    def written(role: str = "champion", member: str = CLIENT) -> pa.Table:
        pin = Pin(f"lifetime_value.{member}", LAST, "v1", role)
        with warehouse.connect(shop.build, settings=shop.settings) as connection:
            rows = steps.score(connection, shop.settings, tmp_path, pin, described(), trained.files)
        found = pq.read_table(folder(tmp_path / "lake", "lifetime_values", pin) / "part.parquet")
        assert rows == len(found)
        return found

    return written


def test_a_night_values_each_open_customer_once(shop: Shop, night: Callable[..., pa.Table]) -> None:
    """A closed customer with a value, a customer twice, or columns that dbt does not expect."""
    everybody = night()
    assert everybody.schema.equals(warehouse.LAKE_SCHEMAS["lifetime_values"])
    shop.run("update intermediate.int_customers set closed_on = '2025-12-01' where customer_id = 'c0007'")
    try:
        rest = night("challenger")
    finally:
        shop.run("update intermediate.int_customers set closed_on = null")
    assert sorted(everybody["customer_id"].to_pylist()) == everybody["customer_id"].to_pylist()
    assert set(everybody["customer_id"].to_pylist()) - set(rest["customer_id"].to_pylist()) == {"c0007"}
    assert len(set(everybody["customer_id"].to_pylist())) == len(everybody) == 600
    assert (set(everybody["role"].to_pylist()), set(rest["role"].to_pylist())) == (
        {"champion"},
        {"challenger"},
    )
    values = everybody.to_pandas()
    assert values["probability_alive"].between(0, 1).all()
    assert (values["lifetime_value"] >= 0).all()
    assert values.groupby("band").size().to_dict() == pytest.approx(
        {"low": 300, "medium": 240, "high": 60}, abs=75
    )


def test_a_repeated_night_writes_the_same_bytes(night: Callable[..., pa.Table], tmp_path: Path) -> None:
    """A publication whose hash changes although nothing else has."""
    night()
    (path,) = (tmp_path / "lake").rglob("*.parquet")
    before = path.read_bytes()
    night()
    assert path.read_bytes() == before


def test_a_client_whose_night_it_is_not_gets_no_rows(night: Callable[..., pa.Table]) -> None:
    """Values of a date that the client does not have, made with another client's cutoff."""
    assert len(night(member="somebody_else")) == 0


def test_a_build_without_the_columns_is_told_so(
    shop: Shop, trained: Trained, ledger: duckdb.DuckDBPyConnection
) -> None:
    """A night that ends in an SQL error instead of a sentence."""
    with warehouse.connect(shop.build, settings=shop.settings) as connection:
        assert steps.why_not(connection, shop.build, described(), LAST, trained.files) == ""
    ledger.execute("alter table intermediate.int_revenue drop column revenue")
    assert "int_revenue.revenue" in steps.why_not(ledger, shop.build, described(), LAST, trained.files)


def test_an_evaluation_works_on_purchases_only(tmp_path: Path) -> None:
    """A stranger with customer, date and amount, who gets no answer, or one in somebody else's words."""
    stranger = publish(tmp_path / "home", purchases(300), 0.0)
    console = Console(record=True, width=160)
    asked = Asked(f"lifetime_value.{CLIENT}", date(2025, 7, 1), date(2025, 12, 31), folder=tmp_path / "out")
    families.of(described()).evaluate(stranger.settings, asked, console)
    text = console.export_text()
    assert "values are in spend" in text
    assert "a first version would be promoted" in text
    assert "WAPE" in text
    assert "last year" in text
    told = json.loads((tmp_path / "out" / "metrics.json").read_text())
    (own,) = (
        row
        for row in told["metrics"]
        if (row["metric"], row["baseline"], row["dataset"]) == ("wape", "", "out_of_time")
    )
    table = pq.read_table(tmp_path / "out" / "predictions.parquet").to_pandas()
    errors = (table["expected"] - table["brought"]).abs().sum() / table["brought"].abs().sum()
    assert own["value"] == pytest.approx(errors)
    assert own["lo"] < own["value"] < own["hi"]
    assert "## Limits" in (tmp_path / "out" / "model_card.md").read_text()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"last": date(2026, 1, 31)}, "publication's last day"),
        ({"last": date(2025, 7, 20)}, "at least 28 days"),
        ({"model": "lifetime_value.nobody"}, "no client 'nobody'"),
        ({"model": "lifetime_value"}, "ask for lifetime_value.<client>"),
        ({"label_delay": 3}, "LABEL_DELAY"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(shop: Shop, changes: Mapping[str, Any], words: str) -> None:
    """An answer to another question than the one that was asked."""
    given = {"model": f"lifetime_value.{CLIENT}", "first": date(2025, 7, 1), "last": date(2025, 12, 31)}
    with pytest.raises(Refused, match=words):
        steps.evaluate(shop.settings, Asked(**{**given, **changes}), Console(quiet=True))


def test_fewer_days_to_learn_from_are_fewer(shop: Shop) -> None:
    """TRAIN_DAYS that changes nothing."""
    asked = Asked(f"lifetime_value.{CLIENT}", date(2025, 7, 1), date(2025, 12, 31), train_days=100)
    with pytest.raises(TooLittle, match="days of history: 100 of 120"):
        steps.evaluate(shop.settings, asked, Console(quiet=True))
