"""The published model of four bureau columns, on frauds that a client reports of its customers."""

import json
from datetime import timedelta

import pytest

from ml import config, datasets, families, training
from ml.features import DatasetError, read_features
from ml.registry import Registry
from ml.scores import fitting
from ml.scores.config import UseCase
from tests.unit.ml.bank import LAST, Bank, month_ends

BUREAU = ("total_balance", "total_credit_limit", "number_of_open_accounts", "number_of_accounts_in_arrears")


@pytest.fixture
def lender(bank: Bank, monkeypatch: pytest.MonkeyPatch) -> Bank:
    """A bank with bureau reports. Whoever has many accounts in arrears defaults; frauds have much debt."""
    columns = ", ".join(f"{name} float" for name in (*BUREAU, "days_past_due"))
    days = [day for day in month_ends(LAST - timedelta(days=600), LAST) if day.year == 2025]
    bank.run(f"""
        create schema staging;
        create table ops.clients as select 'tester' as client_id, 'UTC' as timezone;
        create table features.features_credit (
            client_id varchar, customer_id varchar, as_of_date date, {columns}, _definition_hash varchar);
        insert into features.features_credit
        select 'tester', c.customer_id, d.day,
            (hash(c.customer_id, 1) % 100) * 100, 10000, hash(c.customer_id, 2) % 9,
            hash(c.customer_id, 3) % 5, hash(c.customer_id, 4) % 30, '1'
        from (select distinct customer_id from intermediate.int_transactions) as c
        cross join (select unnest({[str(day) for day in days]})::date as day) as d;
        create table staging.stg_labels as
        select 'tester' as client_id, 'customer' as entity, customer_id as entity_id, label, 'TRUE' as value,
            'x' as _load_id, 1::bigint as _record, said_on as event_at,
            said_on + interval 2 day as known_at
        from (
            select customer_id, 'fraud' as label,
                timestamp '2025-02-01' + to_days((hash(customer_id, 5) % 300)::integer) as said_on
            from features.features_credit where total_balance > 6000 and hash(customer_id, 6) % 3 > 0
            union
            select customer_id, 'default', timestamp '2025-06-01' from features.features_credit
            where number_of_accounts_in_arrears > 2
        )
    """)
    meta = {"label": "x", "unit": "count", "group": "bureau"}
    allowed = {name: ["credit", "application_fraud"] for name in BUREAU} | {"days_past_due": ["credit"]}
    node = {
        "resource_type": "model",
        "name": "features_credit",
        "columns": {
            name: {"name": name, "data_type": "float", "config": {"meta": meta | {"allowed_in": models}}}
            for name, models in allowed.items()
        },
    }
    (bank.build / "manifest.json").write_text(json.dumps({"nodes": {"features_credit": node}}))
    values = config.read.genuine("application_fraud").model_dump()  # type: ignore[attr-defined]
    values["label"] |= {"horizon_days": 60, "delay_days": 3}
    values["dates"] |= {"training": 4}
    values["evaluation"] |= {"bootstrap_draws": 60}
    values["promotion"] |= {"over_baselines": {"best_rule": "measured", "logistic_regression": "measured"}}
    use_case = UseCase(**values)
    monkeypatch.setattr(config, "read", lambda _model, _folder=None: use_case)
    return bank


def test_four_columns_of_a_bureau_find_the_frauds_and_not_the_defaults(lender: Bank) -> None:
    """Catches a model that learns from another label of the same customers, or reads other columns."""
    outcome = training.train(lender.settings, "application_fraud")
    assert outcome.verdict == "promoted", outcome.reason
    model = Registry(lender.settings).load("application_fraud", str(outcome.version))
    assert model.features == BUREAU
    strongest = max(outcome.importances, key=lambda row: row["importance"])
    assert strongest["feature"] == "total_balance"


def test_without_frauds_of_customers_the_model_says_that_there_are_none(lender: Bank) -> None:
    """Catches a model that takes silence for honesty where nobody reports frauds of customers."""
    lender.run("delete from staging.stg_labels where label = 'fraud'")
    outcome = training.train(lender.settings, "application_fraud")
    assert (outcome.verdict, outcome.version) == ("refused", None)
    assert outcome.reason.startswith("Too few matured dates")


def test_rows_that_one_table_lacks_are_of_no_other_definition(lender: Bank) -> None:
    """Catches a training that is refused because of rows without a match, and one that mixes definitions."""
    manifest = json.loads((lender.build / "manifest.json").read_text())
    columns = {
        name: {**column, "config": {"meta": column["config"]["meta"] | {"allowed_in": ["application_fraud"]}}}
        for name, column in lender.columns.items()
    }
    manifest["nodes"]["features_customers"] = {
        "resource_type": "model",
        "name": "features_customers",
        "columns": columns,
    }
    (lender.build / "manifest.json").write_text(json.dumps(manifest))
    lender.run("delete from features.features_credit where hash(customer_id) % 2 = 0")
    case = config.read("application_fraud").model_copy(
        update={"features": ["features_customers", "features_credit"]}
    )
    assert isinstance(case, UseCase)

    def rows() -> datasets.Rows:
        publication = datasets.read_publication(lender.settings)
        features = read_features(lender.build, case)
        job = families.Job(lender.settings, "application_fraud", case, publication, features)
        return fitting.training_rows(job)[0]

    found = rows()
    assert 100 < found.table["total_balance"].null_count < len(found) - 100
    assert found.definition_hash == "definition-1 1"
    lender.run("update features.features_credit set _definition_hash = '2' where as_of_date >= '2025-05-01'")
    with pytest.raises(DatasetError, match=r"features_credit mixes rows of 2 definitions \(1, 2\)"):
        rows()
