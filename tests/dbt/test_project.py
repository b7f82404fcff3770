"""What readers of the tables are promised: types, documentation, definitions, and tests that can fail."""

import re
import shutil
from pathlib import Path

import pytest

from tests.dbt.factory import DBT_PROJECT, Warehouse, compiled_hash, manifest

META = ["allowed_in", "entity", "group", "label", "null_rule", "unit", "why_no_leak", "window"]
READ_BY_OTHERS = r"^(features_|dim_|fct_|agg_|mart_|metrics$)"

FAULTS = {
    "unique_combination_features_customers": "insert into features.features_customers"
    " select * from features.features_customers where customer_id = 'C0'",
    "not_null_combination_features_customers": "insert into features.features_customers"
    " (client_id, customer_id) values ('uk', 'C0')",
    "are_finite_features_customers": "update features.features_customers set spend_slope_180d = 'nan'"
    " where customer_id = 'C1'",
    "each_existing_customer_has_features": "delete from features.features_customers where customer_id = 'C3'",
    "staging_says_what_the_files_told": "insert into raw.transactions by name"
    " select * replace (amount + 0.01 as amount, 'z' as _load_id) from raw.transactions limit 1",
    "staging_equals_fct_transactions": "update intermediate.int_transactions set amount = amount + 0.01"
    " where transaction_key = 'uk000010'",
    "fct_transactions_name_known_customers": "delete from marts.dim_customers where customer_id = 'C4'",
    "overview_spend_equals_features": "update marts.mart_customer_overview set spend_90d = spend_90d + 1",
}
"""Own data tests, and what is done to a built warehouse that each of them must find."""

# What duck-findings lists as DuckDB's own; a dispatched macro may say it, a model may not.
DUCKDB_ONLY = (
    r"\bqualify\b|\bexclude\s*\(|\bexcept\s*\(|\barg_(min|max)\b|\blist\s*\(|\bentropy\b|\bmode\s*\("
    r"|\bquantile|\bmedian\s*\(|\basof\b|\bby name\b|\bunnest\b|\bgroup by all\b|::"
    r"|\bfirst\s*\(|\bread_parquet\b|\bstrptime\b"
)


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


def test_models_are_portable_sql() -> None:
    """DuckDB's own syntax in a model, which would keep the project from running on another engine."""
    models = (DBT_PROJECT / "models").rglob("*.sql")
    found = {
        path.stem: re.findall(DUCKDB_ONLY, re.sub(r"--.*|{{.*?}}", "", path.read_text())) for path in models
    }
    assert {name: words for name, words in found.items() if words} == {}


def test_no_published_column_is_double(built: Warehouse) -> None:
    """A DOUBLE sum differs from run to run in its last bits, and with it the content hash."""
    doubles = built.frame(
        "select table_schema, table_name, column_name from information_schema.columns"
        " where table_catalog = 'warehouse' and data_type = 'DOUBLE'"
        " and table_schema not in ('operations', 'ops')"
    )
    assert doubles.values.tolist() == []


def test_dbt_leaves_no_relation_that_its_manifest_does_not_know(built: Warehouse) -> None:
    """Temporary or renamed relations that would stop the publication."""
    nodes = manifest(built.home)["nodes"].values()
    known = {(node["schema"], node["name"]) for node in nodes if node["resource_type"] in ("model", "seed")}
    found = built.frame(
        "select table_schema, table_name from information_schema.tables"
        " where table_catalog = 'warehouse' and table_schema not in ('raw', 'operations', 'ops')"
    )
    assert set(found.itertuples(index=False, name=None)) == known


def test_what_others_read_has_a_contract_and_says_what_each_column_is(built: Warehouse) -> None:
    """A model for ml or Superset whose columns can change unnoticed, or that nobody can look up."""
    for node in manifest(built.home)["nodes"].values():
        if node["resource_type"] != "model":
            continue
        assert re.search(r"One row per [^.]+\.$", node["description"].strip()), node["name"]
        if re.match(READ_BY_OTHERS, node["name"]):
            assert node["config"]["contract"]["enforced"], node["name"]
            assert all(column["description"] for column in node["columns"].values()), node["name"]


def test_each_feature_carries_its_definition(built: Warehouse) -> None:
    """A feature that ml cannot place, or whose meaning stands in a second list."""
    columns = manifest(built.home)["nodes"]["model.nightledger.features_customers"]["columns"]
    features = {
        name: column["config"]["meta"] for name, column in columns.items() if column["data_type"] == "float"
    }
    assert len(features) == 21
    assert {name: sorted(meta) for name, meta in features.items()} == dict.fromkeys(features, META)
    groups = [meta["group"] for meta in features.values()]
    assert {group: groups.count(group) for group in groups} == {
        "recency": 3,
        "frequency": 7,
        "monetary": 7,
        "trend": 4,
    }
    assert len({meta["label"] for meta in features.values()}) == 21


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
    change(project, "intermediate/int_transactions_latest.sql", "latest as (", "-- A comment.\nlatest  as (")
    assert {compiled_hash(project)} == published
    change(project, "intermediate/int_transactions_latest.sql", "income_amount > 0", "income_amount > 1")
    assert compiled_hash(project) not in published
