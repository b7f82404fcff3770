"""How DuckDB would run each model: what compares every row with every other is seen on few rows already."""

import json
from collections.abc import Iterator
from typing import Any

from tests.dbt.factory import Warehouse

FEW = {
    "features_customers": "the eight days from an income on",
    "int_paydays_windowed": "the eight days from an income on",
    "int_payments_seen": "a payment and a visit",
    "int_accounts": "stated and closed",
    "int_customer_statements": "stated and closed",
    "int_customers": "stated and closed",
    "int_loan_statements": "stated and changed",
    "int_loans": "stated and changed",
    "int_descriptors": "the marks of intermediaries",
    "int_merchant_keys": "the countries of clients",
    "int_merchant_matches": "the rules with a phrase",
    "int_merchants_corrected": "the corrections with a pattern",
    "int_months": "the as-of dates of a night",
    **dict.fromkeys(
        (
            *("mart_cash_flow", "mart_category_affinity", "mart_cohorts", "mart_lifestyle_tags"),
            *("mart_portfolio", "mart_risk_appetite", "mart_segment_profiles", "mart_segment_spend"),
            "mart_trends",
        ),
        "the first month of each client",
    ),
}
"""Models that compare every row with each of a few, and what these are."""


def joins(plan: dict[str, Any]) -> Iterator[str]:
    """Joins of a plan that no hash and no order helps: each row is compared with each."""
    if plan["name"] == "ANY_JOIN":
        yield str(plan["extra_info"].get("Condition", ""))
    for child in plan["children"]:
        yield from joins(child)


def test_no_model_compares_every_pair_of_rows(built: Warehouse) -> None:
    """An `or` between the two sides of an outer join: seconds on a test's rows, hours on ten million."""
    built.dbt("compile", "--select", "resource_type:model", "--indirect-selection", "empty", "--full-refresh")
    found: dict[str, list[str]] = {}
    with built.connect() as connection:
        connection.execute("set explain_output = 'optimized_only'")
        for node in built.manifest["nodes"].values():
            if node["resource_type"] != "model" or node["path"].startswith("staging/ml"):
                continue
            path = built.path / "target" / "compiled" / "nightledger" / node["original_file_path"]
            ((_, plan),) = connection.execute(f"explain (format json) {path.read_text()}").fetchall()
            for condition in joins(json.loads(plan)[0]):
                found.setdefault(node["name"], []).append(condition)
    surprising = {name: conditions for name, conditions in found.items() if name not in FEW}
    assert not surprising, "\n" + "\n".join(f"{name}: {what}" for name, what in surprising.items())
