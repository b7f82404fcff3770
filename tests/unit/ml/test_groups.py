"""Whose the rows of a table of attributes are, and the groups that its columns tell."""

from typing import Any

import pytest

from ml import config, datasets, families
from ml.evaluate import Asked, evaluate
from ml.features import read_features
from ml.scores import fitting
from tests.unit.ml.bank import Bank
from tests.unit.ml.loans import use_case
from tests.unit.ml.test_evaluate import FROM, TO

LOANS_FEED = """
    create schema intermediate;
    create table intermediate.int_loans as
    select client_id, entity_id as loan_id, 'C' || (_record % 900) as customer_id,
        business_date::timestamp + interval 1 hour as known_at, null::timestamp as superseded_at
    from raw.attributes_loans where _record % 10 > 0;
    -- Whose the first one is was told years after, and of the second one otherwise then.
    update intermediate.int_loans set known_at = '2027-01-01' where loan_id = 'L0000';
    update intermediate.int_loans set superseded_at = '2027-01-01' where loan_id = 'L0001';
    insert into intermediate.int_loans values ('lender', 'L0001', 'somebody else', '2027-01-01', null);
    create table intermediate.int_customers as
    select distinct client_id, customer_id, timestamp '2023-01-01' as known_at,
        null::timestamp as superseded_at, 'bank' as vertical, 'F' as gender, 'north' as region,
        1995 as birth_year
    from intermediate.int_loans;
"""
GROUPS = """
    alter table raw.attributes_loans add column age varchar;
    alter table raw.attributes_loans add column sex varchar;
    update raw.attributes_loans set sex = if(_record % 3 = 0, 'm', 'f'),
        age = case _record % 6
            when 0 then '24' when 1 then '34.9' when 2 then '1980' when 3 then '1955-06-01'
            when 4 then 'retired' else ' '
        end;
"""
FAIRNESS = {"groups": ["age_band", "gender"], "min_rows": 1, "outcome": "approved", "band": "high"}


def rows_of(bank: Bank, **attributes: Any) -> datasets.Rows:
    """The rows that a training reads."""
    case = use_case(attributes={"exclude": ["note"], **attributes})
    publication = datasets.read_publication(bank.settings)
    features = read_features(bank.build, case)
    rows, _ = fitting.training_rows(families.Job(bank.settings, "loans", case, publication, features))
    return rows


def test_rows_are_drawn_with_those_of_the_same_customer_where_a_feed_says_whose(lender: Bank) -> None:
    """Catches intervals that take two loans of a customer for two people, or lose those of nobody."""
    alone = rows_of(lender)
    assert len(set(alone.customers())) == len(alone)
    lender.run(LOANS_FEED)
    whose = dict(
        lender.ask("select loan_id, customer_id from intermediate.int_loans where known_at < '2027-01-01'")
    )
    rows = rows_of(lender)
    assert rows.table["entity_id"].equals(alone.table["entity_id"]), "no row more or less"
    told = rows.table.to_pylist()
    assert [row["customer_id"] for row in told] == [whose.get(row["entity_id"]) for row in told]
    known = {row["customer_id"] for row in told} - {None}
    nobodys = sum(row["customer_id"] is None for row in told)
    assert len(known) > 300 and nobodys > 50
    assert len(set(rows.customers())) == len(known) + nobodys < len(rows)
    assert {(row["region"], row["vertical"]) for row in told} == {("north", "bank"), (None, None)}


def test_columns_that_say_groups_are_compared_by_and_never_learnt_from(lender: Bank) -> None:
    """Catches an age as a feature, a year of birth taken for an age, and groups that stay unknown."""
    lender.run(GROUPS)
    rows = rows_of(lender, groups={"age_band": "age", "gender": "sex"})
    assert not {"age", "sex"} & set(rows.features)
    records = dict(lender.ask("select entity_id, _record from raw.attributes_loans"))
    bands = ["under 25", "25 to 34", "35 to 49", "65 and over", "retired", None]
    for row in rows.table.to_pylist():
        record = records[row["entity_id"]]
        assert (row["age_band"], row["gender"]) == (bands[record % 6], "m" if record % 3 == 0 else "f")


def test_the_feed_of_customers_fills_what_the_columns_leave_out(lender: Bank) -> None:
    """Catches a column with holes that hides what is known of the customer."""
    lender.run(LOANS_FEED)
    lender.run(GROUPS)
    rows = rows_of(lender, groups={"age_band": "age"}, fairness=["sex"])
    records = dict(lender.ask("select entity_id, _record from raw.attributes_loans"))
    filled = [
        (row["age_band"], row["gender"])
        for row in rows.table.to_pylist()
        if records[row["entity_id"]] % 6 == 5 and row["customer_id"] is not None
    ]
    assert set(filled) == {("25 to 34", "F")}


def test_an_evaluation_compares_the_groups(
    lender: Bank, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches a model of attributes alone whose treatment of groups is never measured."""
    lender.run(GROUPS)
    case = use_case(
        attributes={"exclude": ["note"], "groups": {"age_band": "age", "gender": "sex"}},
        promotion={
            "guardrails": {
                "calibration_error": 0.1,
                "most_calibration_error": 0.5,
                "score_psi": 0.25,
                "fairness": {**FAIRNESS, "blocks": False},
            }
        },
    )
    monkeypatch.setattr(config, "read", lambda _model, _folder=None: case)
    made = evaluate(lender.settings, Asked("loans", FROM, TO, folder=tmp_path / "out"))
    rates = {row["dataset"]: row for row in made.judged.rows if row["metric"] == "approval_rate"}
    assert {"gender: m", "gender: f", "age_band: under 25", "age_band: retired"} <= set(rates)
    assert all(row["lo"] < row["value"] < row["hi"] for row in rates.values() if 0 < row["value"] < 1)


def test_groups_without_a_table_of_attributes_are_refused() -> None:
    """Catches a mapping that no table could ever fill."""
    with pytest.raises(ValueError, match=r"attributes\.groups needs a table"):
        use_case(entity="customer", features=["features_customers"], attributes={"groups": {"gender": "sex"}})
