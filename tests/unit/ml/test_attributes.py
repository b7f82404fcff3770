"""Tables of attributes as features, and labels of any kind, without any code of a use case's own."""

from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from ml import attributes, config, datasets, families, statements
from ml import dates as calendar
from ml.features import DatasetError, read_features
from ml.scores import fitting
from ml.scores.config import UseCase
from ml.scores.reasons import words
from nightledger import warehouse
from tests.unit.ml.bank import Bank, cutoff
from tests.unit.ml.loans import LAST, told, use_case

ONE = "L0000"


def read(bank: Bank, **changes: Any) -> pa.Table:
    """All labelled rows that can be judged, texts as texts."""
    case = use_case(**({"attributes": {"exclude": ["note"]}} | changes))
    features = read_features(bank.build, case)
    with warehouse.connect(bank.build, settings=bank.settings) as connection:
        pairs = calendar.matured_days(connection, bank.settings, case)
        return datasets.read_rows(connection, bank.settings, case, features, pairs).table


SNAPSHOTS: dict[str, Any] = {"dates": {"every": "month_end", "training": 4, "calibration": 1, "test": 1}}


@pytest.mark.parametrize("changes", [{}, SNAPSHOTS], ids=["events", "snapshots"])
def test_rows_from_the_future_change_nothing(lender: Bank, changes: dict[str, Any]) -> None:
    """Catches attributes of after the as-of date, or known after its cutoff, in a vector of before."""
    before = read(lender, **changes)
    for loan in before["entity_id"].to_pylist()[:200]:
        told(lender, loan, LAST + timedelta(days=1), datetime(2024, 1, 1))  # of a day to come
        told(lender, loan, date(2024, 2, 1), cutoff(LAST))  # of the past, told afterwards
    assert before.num_rows > 500
    assert read(lender, **changes).equals(before)


def test_an_event_keeps_the_row_that_was_known_first(lender: Bank) -> None:
    """Catches a correction that changes what a decision of the day could know."""
    before = read(lender)
    for loan in before["entity_id"].to_pylist()[:200]:
        told(lender, loan, LAST - timedelta(days=5), datetime(2025, 3, 28))
    assert read(lender).equals(before)


def test_a_snapshot_is_the_latest_row_that_was_known(lender: Bank) -> None:
    """Catches a customer who keeps the first row for ever, or one that is older than the YAML allows."""
    day = date(2024, 3, 10)
    later = day + timedelta(days=70)
    lender.run(
        f"update raw.attributes_loans set business_date = '{day}', known_at = '{day}', purpose = 'car'"
        f" where entity_id = '{ONE}'"
    )
    lender.run(f"delete from staging.stg_labels where entity_id = '{ONE}'")
    lender.run(
        f"insert into staging.stg_labels select 'lender', 'loan', '{ONE}', 'default', 'paid', 'x',"
        " 99, as_of_date + interval 5 day, as_of_date + interval 5 day from ops.as_of_dates"
    )
    told(lender, ONE, later, datetime.combine(later, datetime.min.time()))
    changes = {**SNAPSHOTS, "label": {"horizon_days": 30, "delay_days": 0}}
    rows = [row for row in read(lender, **changes).to_pylist() if row["entity_id"] == ONE]
    assert {row["purpose"] for row in rows if row["as_of_date"] >= later} == {"boat"}
    assert "boat" not in {row["purpose"] for row in rows if row["as_of_date"] < later}
    fresh = {"exclude": ["note"], "max_age_days": 31}
    days = {
        row["as_of_date"]
        for row in read(lender, **changes, attributes=fresh).to_pylist()
        if row["entity_id"] == ONE
    }
    assert days
    assert all(0 <= (at - day).days < 31 or 0 <= (at - later).days < 31 for at in days)


def test_columns_become_numbers_by_their_type(lender: Bank) -> None:
    """Catches a boolean or a date that becomes a text, or money that is cut."""
    row = next(row for row in read(lender).to_pylist() if row["entity_id"] == ONE)
    amount, purpose, repeat, since, day = lender.ask(
        "select amount, purpose, is_repeat, employed_since, business_date from raw.attributes_loans"
        f" where entity_id = '{ONE}'"
    )[0]
    assert row["amount"] == pytest.approx(float(amount), rel=1e-6)
    assert (row["is_repeat"], row["employed_since"]) == (float(repeat), (day - since).days)
    assert (row["purpose"], row["day"], row["exposure"]) == (purpose, day, amount)


def test_codes_come_from_the_fitted_rows_and_stay_with_the_model(lender: Bank) -> None:
    """Catches codes that shift with the rows that are scored, and values that only the test has."""
    told(lender, "L9999", date(2025, 1, 10), datetime(2025, 1, 10), purpose="aeroplane")
    lender.run(
        "insert into staging.stg_labels values ('lender', 'loan', 'L9999', 'default', 'paid', 'x', 1,"
        " '2025-01-11', '2025-01-11')"
    )
    case = use_case(attributes={"exclude": ["note"]})
    features = read_features(lender.build, case)
    publication = datasets.read_publication(lender.settings)
    rows, dates = fitting.training_rows(families.Job(lender.settings, "loans", case, publication, features))
    assert rows.categories == {"purpose": ("business", "car", "home")}
    assert date(2025, 1, 10) in dates.test
    by_loan = {row["entity_id"]: row["purpose"] for row in rows.table.to_pylist()}
    assert by_loan["L9999"] is None
    asked = {
        "business": 1.0, "car": 2.0, "home": 3.0,
    }  # fmt: skip
    theirs = dict(lender.ask("select entity_id, purpose from raw.attributes_loans"))
    assert all(code == asked[theirs[loan]] for loan, code in by_loan.items() if loan != "L9999")

    model = fitting.fit(case, features, rows, dates, 2)
    again = type(model).from_files(model.files())
    assert again.categories == rows.categories
    # As a night reads them: in SQL, with the model's codes.
    coded = attributes.coded(features, again.categories)
    with warehouse.connect(lender.build, settings=lender.settings) as connection:
        night = [("lender", day) for day in (date(2025, 1, 31), LAST)]
        calendar.register_dates(connection, lender.settings, case, night)
        statement, values = statements.rows_sql(
            connection, case, coded, statements.module_sql(case, "POPULATION")
        )
        scored = connection.execute(statement, values).to_arrow_table()
    seen = {row["entity_id"]: row["purpose"] for row in scored.to_pylist()}
    assert len(seen) > 300
    assert all(by_loan[loan] == code for loan, code in seen.items() if loan in by_loan)
    assert all(day in (date(2025, 1, 31), LAST) for day in scored["as_of_date"].to_pylist())
    said = words(case, coded[1], 2.0, 1.0)[1]
    assert said == "purpose: car (typical: business)"


def test_a_champion_reads_the_codes_that_it_learnt() -> None:
    """Catches a comparison in which the champion takes one purpose for another."""
    table = pa.table({"purpose": pa.array([1.0, 2.0, 3.0, None], pa.float32())})
    ours, theirs = {"purpose": ("boat", "car", "home")}, {"purpose": ("business", "car", "boat")}
    assert attributes.recode(table, ours, theirs)["purpose"].to_pylist() == [3.0, 2.0, None, None]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"features": ["attributes.card"]},
            r"no source has filled attributes.card; there are: attributes.loans",
        ),
        ({"entity": "customer"}, "attributes.loans tells of loan, and loans is about customers"),
        ({"attributes": {"exclude": ["nte"]}}, "has no column nte; it has amount, purpose, is_repeat"),
        ({"attributes": {"columns": ["note"], "exclude": ["note"]}}, "no column of attributes.loans is left"),
        ({"attributes": {"fairness": ["sexe"]}}, "has no column sexe; it has amount"),
    ],
)
def test_what_cannot_be_used_is_said(lender: Bank, changes: dict[str, Any], message: str) -> None:
    """Catches a typo that ends in the middle of SQL, or in a model of nothing."""
    with pytest.raises(DatasetError, match=message):
        read_features(lender.build, use_case(**changes))


@pytest.mark.parametrize("name", ["age", "applicant_age", "SEX", "customer_region", "age_band", "birth_year"])
def test_a_column_that_says_who_somebody_is_becomes_no_feature_by_itself(lender: Bank, name: str) -> None:
    """Catches a model that learns from age or sex because a table has such a column."""
    lender.run(f"alter table raw.attributes_loans add column {name} varchar")
    with pytest.raises(DatasetError, match=f"has {name}: what says who somebody is may be no feature"):
        read_features(lender.build, use_case())
    with pytest.raises(DatasetError, match="may be no feature"):
        read_features(lender.build, use_case(attributes={"columns": ["amount", name]}))
    told = read_features(lender.build, use_case(attributes={"fairness": [name]}))
    assert name not in {feature.name for feature in told}
    with pytest.raises(ValueError, match=r"which attributes\.columns makes features of"):
        use_case(attributes={"columns": [name], "fairness": [name]})


def test_what_may_stand_in_for_it_is_pointed_out_and_other_ages_are_not(lender: Bank) -> None:
    """Catches a postcode that nobody notices, and a loan's age that is taken for a person's."""
    lender.run(
        "alter table raw.attributes_loans add column postcode varchar;"
        " alter table raw.attributes_loans add column loan_age integer"
    )
    told = read_features(lender.build, use_case())
    assert "loan_age" in {feature.name for feature in told}
    assert attributes.warning(told).startswith("postcode may stand in for who somebody is")
    assert attributes.warning([feature for feature in told if feature.name != "postcode"]) == ""


def test_a_column_named_as_a_rows_own_is_refused(lender: Bank) -> None:
    """Catches a table with a column `label`, which would be learnt as the outcome."""
    lender.run("alter table raw.attributes_loans add column label integer")
    with pytest.raises(DatasetError, match="has a column label, as the rows of every model have"):
        read_features(lender.build, use_case())


def test_a_text_that_names_things_is_refused(lender: Bank) -> None:
    """Catches an id as a feature: thousands of codes that mean nothing."""
    case = use_case(attributes={"most_values": 100})
    publication = datasets.read_publication(lender.settings)
    job = families.Job(lender.settings, "loans", case, publication, read_features(lender.build, case))
    with pytest.raises(families.TooLittle, match=r"note of attributes.loans has \d+ different values"):
        fitting.training_rows(job)


def test_a_definition_is_a_name_and_a_type() -> None:
    """Catches a model that scores a column of another type than it learnt from."""
    assert attributes.definition("a", "BIGINT") != attributes.definition("a", "VARCHAR")
    assert attributes.definition("a", "BIGINT") != attributes.definition("b", "BIGINT")
    assert attributes.definition("a", "BIGINT") == attributes.definition("a", "BIGINT")


def labels(table: pa.Table) -> dict[str, int]:
    return dict(zip(table["entity_id"].to_pylist(), table["label"].to_pylist(), strict=True))


def test_a_label_counts_from_when_it_was_known(lender: Bank) -> None:
    """Catches an outcome that was told after the judgement, and a first statement that hides a later one."""
    before = labels(read(lender))
    late, changed, both = list(before)[:3]
    lender.run(
        "update staging.stg_labels set known_at = (select max(business_date) + 61 from raw.attributes_loans"
        f" where entity_id = '{late}') + interval 1 day where entity_id = '{late}'"
    )
    for loan, value, days in ((changed, "default", 50), (both, "paid", 50)):
        lender.run(
            "insert into staging.stg_labels select client_id, entity, entity_id, label,"
            f" '{value}', 'y', 1, event_at, known_at + interval {days - 40} day"
            f" from staging.stg_labels where entity_id = '{loan}'"
        )
    after = labels(read(lender))
    assert late not in after
    assert (after[changed], after[both]) == (1, 0)


def test_silence_is_unknown_unless_only_events_are_told(lender: Bank) -> None:
    """Catches loans that nobody has spoken of yet, taken for good ones; or frauds without any genuine row."""
    everything = labels(read(lender))
    lender.run("delete from staging.stg_labels where value = 'paid'")
    assert set(labels(read(lender)).values()) == {1}
    other = {"parameters": {"silence": "other"}}
    found = labels(read(lender, **other))
    assert found == {loan: label for loan, label in everything.items() if loan in found}
    # Before the first report silence says nothing.
    first = lender.ask("select min(known_at)::date from staging.stg_labels")[0][0]
    assert 0 < len(found) < len(everything)
    assert min(read(lender, **other)["day"].to_pylist()) >= first


def test_an_event_counts_within_the_horizon_and_nobody_is_asked_twice(lender: Bank) -> None:
    """Catches a window that is off by a day, and who has left already among those who may leave."""
    lender.run("delete from staging.stg_labels")
    day = date(2024, 6, 30)
    for at, (loan, event) in enumerate({"L0001": 0, "L0002": 1, "L0003": 30, "L0004": 31}.items()):
        lender.run(f"update raw.attributes_loans set business_date = '2024-05-01' where entity_id = '{loan}'")
        lender.run(
            f"insert into staging.stg_labels values ('lender', 'loan', '{loan}', 'default', 'default', 'x',"
            f" {at}, date '{day}' + {event}, date '{day}' + {event})"
        )
    lender.run(
        "insert into staging.stg_labels values"
        " ('lender', 'loan', 'L0005', 'default', 'default', 'x', 9, '2024-02-01', '2024-02-01')"
    )
    lender.run("update raw.attributes_loans set known_at = '2024-01-01' where entity_id <= 'L0005'")
    changes = {
        **SNAPSHOTS,
        "label": {"horizon_days": 30, "delay_days": 5},
        "parameters": {"silence": "other"},
    }
    table = read(lender, **changes)
    rows = {row["entity_id"]: row["label"] for row in table.to_pylist() if row["as_of_date"] == day}
    assert [rows.get(f"L000{n}") for n in (1, 2, 3, 4, 5)] == [None, 1, 1, 0, None]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"positive": ["x"]}, "parameters.label must name a label"),
        ({"label": "default"}, "parameters.positive must list"),
        ({"label": "default", "positive": ["x"], "silence": "no"}, "silence is unknown or other, not no"),
    ],
)
def test_a_label_that_is_not_described_is_refused(parameters: dict[str, Any], message: str) -> None:
    """Catches a YAML that would learn from nothing."""
    case = use_case().model_copy(update={"parameters": parameters})
    with pytest.raises(config.ConfigError, match=message):
        statements.module_sql(case, "LABEL")


def test_models_may_lie_outside_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, configure: Callable[..., UseCase]
) -> None:
    """Catches a stranger who has to change the code; and two files of one name, of which one is not read."""
    load = config.read.genuine  # type: ignore[attr-defined]
    text = (config.MODELS / "churn.yml").read_text()
    (tmp_path / "leavers.yml").write_text(f"module: churn\nallowed_as: churn\n{text}")
    monkeypatch.setenv("NIGHTLEDGER_MODELS", str(tmp_path))
    assert {"churn", "leavers"} <= set(config.names())
    assert statements.module_sql(load("leavers"), "LABEL") == statements.module_sql(load("churn"), "LABEL")
    (tmp_path / "churn.yml").write_text(text)
    with pytest.raises(config.ConfigError, match="two files describe the model churn"):
        load("churn")


def test_a_module_that_is_not_there_is_named() -> None:
    """Catches a model of a stranger's own that ends in a traceback."""
    with pytest.raises(config.ConfigError, match=r"there is no ml/models/mine.py; name the one it uses"):
        statements.module_sql(use_case(module="mine"), "LABEL")
