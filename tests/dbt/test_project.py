"""What readers of the tables are promised: types, documentation, definitions, and tests that can fail."""

import shutil
from pathlib import Path

import pytest

from tests.dbt.factory import DBT_PROJECT, Warehouse

META = ["allowed_in", "entity", "group", "label", "null_rule", "unit", "why_no_leak", "window"]

FAULTS = {
    "primary_key_features_customers": "insert into features.features_customers"
    " select * from features.features_customers where customer_id = 'C0'",
    "primary_key_features_transactions": "insert into features.features_transactions"
    " (client_id, transaction_key) values ('uk', 'uk000010')",
    "are_finite_features_customers": "update features.features_customers set spend_slope_180d = 'nan'"
    " where customer_id = 'C1'",
    "each_existing_customer_has_features": "delete from features.features_customers where customer_id = 'C3'",
    "staging_says_what_the_files_told": "update staging.stg_transactions_retold set is_new = false"
    " where transaction_key = (select min(transaction_key) from staging.stg_transactions_retold)",
    "staging_equals_fct_transactions": "update intermediate.int_movements set amount = amount + 0.01"
    " where transaction_key = 'uk000010'",
    "fct_transactions_name_known_customers": "delete from marts.dim_customers where customer_id = 'C4'",
    "versions_follow_int_merchants_descriptor": "insert into intermediate.int_merchant_resolutions by name"
    " select * replace (timestamp '2000-01-01' as known_at)"
    " from (from intermediate.int_merchant_resolutions order by descriptor limit 1)",
    "overview_spend_equals_features": "update marts.mart_customer_overview set spend_90d = spend_90d + 1",
    "aggregates_equal_the_ledger": "update marts.agg_weekly set spend = spend + 0.01 where level = 'city'",
    "rolling_windows_equal_their_days": "update marts.agg_rolling set spend_30d = spend_30d + 0.01",
    "cash_flow_equals_the_ledger": "update marts.mart_cash_flow set outflow = outflow + 0.01",
    "revenue_is_the_same_everywhere": "update marts.mart_cohorts set revenue = revenue + 0.01",
}
"""Own data tests, and what is done to a built warehouse that each of them must find."""


@pytest.fixture(scope="module")
def broken(built: Warehouse) -> dict[str, str]:
    """Status of each data test on a warehouse with every fault in it."""
    warehouse = Warehouse(built.home, "broken", built)
    for fault in FAULTS.values():
        warehouse.execute(fault)
    return warehouse.dbt("test", "--select", "test_type:data")


@pytest.mark.parametrize("name", FAULTS)
def test_a_data_test_finds_the_rows_that_must_fail_it(broken: dict[str, str], name: str) -> None:
    """A test that can only pass: a wrong join, a comparison with null."""
    assert [status for test, status in broken.items() if test.startswith(name)] == ["fail"]


def test_what_no_fault_touches_passes(broken: dict[str, str]) -> None:
    """A test that fails for another reason than its own."""
    others = {
        test for test, status in broken.items() if status != "pass" and not test.startswith(tuple(FAULTS))
    }
    assert not others


def test_every_own_test_has_a_fault() -> None:
    """A new generic or singular test without a row that fails it."""
    own = {path.stem for path in (DBT_PROJECT / "tests").rglob("*.sql")}
    assert {name for name in own if not any(fault.startswith(name) for fault in FAULTS)} == set()


def test_no_published_column_is_double(built: Warehouse) -> None:
    """A DOUBLE sum differs from run to run in its last bits, and with it the content hash."""
    doubles = built.frame(
        "select table_schema, table_name, column_name from information_schema.columns"
        " where table_catalog = 'warehouse' and data_type = 'DOUBLE'"
        " and table_schema not in ('operations', 'ops')"
    )
    assert doubles.values.tolist() == []


def test_sensitive_categories_are_shown_with_consent_only(built: Warehouse) -> None:
    """A mart by customer and category that forgets to ask who agreed, or that asks and then shows nobody."""
    marts = built.frame(
        "select table_name from information_schema.columns where table_catalog = 'warehouse'"
        " and table_schema = 'marts' and table_name like 'mart_%'"
        " and column_name in ('customer_id', 'category') group by 1 having count(*) = 2 order by 1"
    ).table_name.tolist()
    assert {"mart_trends", "mart_lifestyle_tags"} <= set(marts)
    shown = " union all ".join(f"select client_id, customer_id, category from marts.{name}" for name in marts)
    consents = built.frame(
        f"select distinct c.consents from ({shown}) as s join marts.dim_customers as c"
        " using (client_id, customer_id)"
        " where s.category in (select category from staging.categories where is_sensitive)"
    ).consents.tolist()
    assert consents == ["service;sensitive"]


def test_dbt_leaves_no_relation_that_its_manifest_does_not_know(built: Warehouse) -> None:
    """Temporary or renamed relations that would stop the publication."""
    nodes = built.manifest["nodes"].values()
    known = {(node["schema"], node["name"]) for node in nodes if node["resource_type"] in ("model", "seed")}
    found = built.frame(
        "select table_schema, table_name from information_schema.tables"
        " where table_catalog = 'warehouse'"
        " and table_schema not in ('raw', 'operations', 'ops', 'enrichment')"
    )
    assert set(found.itertuples(index=False, name=None)) == known


def test_each_feature_carries_its_definition(built: Warehouse) -> None:
    """A feature that ml cannot place, or whose meaning stands in a second list."""
    columns = built.manifest["nodes"]["model.nightledger.features_customers"]["columns"]
    features = {
        name: column["config"]["meta"] for name, column in columns.items() if column["data_type"] == "float"
    }
    assert len(features) == 65
    assert {name: sorted(meta) for name, meta in features.items()} == dict.fromkeys(features, META)
    groups = [meta["group"] for meta in features.values()]
    assert {group: groups.count(group) for group in groups} == {
        "recency": 3,
        "monetary": 17,
        "frequency": 8,
        "behavioural": 7,
        "temporal": 6,
        "trend": 4,
        "category": 20,
    }
    assert len({meta["label"] for meta in features.values()}) == 65


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project, in another place."""
    ignored = shutil.ignore_patterns("target", "logs")
    return Path(shutil.copytree(DBT_PROJECT, tmp_path / "elsewhere", ignore=ignored))


def change(project: Path, file: str, old: str, new: str) -> None:
    path = project / "models" / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def test_the_definition_hash_changes_with_meaning_only(built: Warehouse, project: Path) -> None:
    """Scores refused after a comment was mended or elsewhere, accepted after a definition changed."""
    published = set(built.frame("select _definition_hash from features.features_customers")._definition_hash)
    model = "intermediate/as_of/int_transactions_latest.sql"
    change(project, model, "latest as (", "-- A comment.\nlatest  as (")
    assert {built.compiled_hash(project)} == published
    change(project, model, "income_amount > 0", "income_amount > 1")
    assert built.compiled_hash(project) not in published
