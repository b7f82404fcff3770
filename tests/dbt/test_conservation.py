"""The laws of conservation hold on what dbt built, and find a row that is lost, doubled or without a type."""

import json
from collections.abc import Callable

import pytest

from nightledger.dbt.runner import WHOLE_TABLES
from tests.dbt.factory import RUN, Warehouse

CopyOf = Callable[[Warehouse], Warehouse]
RETOLD = "transaction_key = (select min(transaction_key) from staging.stg_transactions_retold)"
FAULTS = {
    "raw_equals_staging_plus_duplicates": [
        f"update staging.stg_transactions_retold set is_new = false where {RETOLD}",
        f"update staging.stg_transactions_retold set is_new = true where {RETOLD}",
    ],
    "movements_add_up_to_the_transactions": [
        "update intermediate.int_movements set movement = 'gift' where transaction_key = 'uk000010'",
        "delete from intermediate.int_movements where transaction_key = 'uk000010'",
        "insert into intermediate.int_movements from intermediate.int_movements where version = 1 limit 1",
    ],
    "legs_of_transfers_cancel": [
        "insert into intermediate.int_matches by name"
        " select transaction_key, version, client_id, business_date, valid_from as row_from, movement,"
        " category, subcategory, category_tier, 'nobody' as paired_key, valid_from as known_at"
        " from intermediate.int_movements where movement = 'own_transfer' limit 1",
    ],
    "mart_says_what_the_files_told": [
        "delete from intermediate.int_movements where transaction_key = 'uk000010'",
        "update intermediate.int_movements set amount = amount + 0.01 where transaction_key = 'uk000010'",
        "insert into intermediate.int_movements select * replace ('invented' as transaction_key)"
        " from intermediate.int_movements where transaction_key = 'uk000010'",
        # Faults that cancel in counts and sums: a cent moved between two rows, a row under another key.
        "update intermediate.int_movements set amount = amount"
        " + if(transaction_key = 'uk000010', 0.01, -0.01) where transaction_key in ('uk000010', 'uk000011')",
        "update intermediate.int_movements set transaction_key = 'other' where transaction_key = 'uk000010'",
    ],
    "balances_roll_forward": [
        "delete from marts.fct_balance_breaks; insert into marts.fct_balance_breaks by name"
        " select client_id, source, account_id, transaction_key, business_date, business_date as broken_date"
        " from marts.fct_transactions limit 1",
    ],
}

CASES = [(name, number) for name, faults in FAULTS.items() for number in range(len(faults))]


@pytest.mark.parametrize("name", [name for name in FAULTS if name != "balances_roll_forward"])
def test_what_was_delivered_is_conserved(built: Warehouse, name: str) -> None:
    """A law that cries wolf on rows told twice, posted, corrected or in another currency."""
    assert built.violations(name) == []


@pytest.mark.parametrize(("name", "number"), CASES)
def test_a_law_finds_what_breaks_it(built: Warehouse, copy_of: CopyOf, name: str, number: int) -> None:
    """A law that can only hold: a sum compared with itself, a join that loses the broken row."""
    warehouse = copy_of(built)
    warehouse.execute(FAULTS[name][number])
    assert len(warehouse.violations(name)) == 1


def test_days_that_the_night_does_not_touch_are_audited_with_whole_tables_only(
    built: Warehouse, copy_of: CopyOf
) -> None:
    """Catches an audit that reads all there is each night, and one that never reads it again."""
    name, warehouse = "mart_says_what_the_files_told", copy_of(built)
    for fault in ("delete from ops.touched_days", FAULTS[name][0]):
        warehouse.execute(fault)
    assert warehouse.violations(name) == []
    detail = json.dumps({"selector": "marts", "tests": WHOLE_TABLES})
    warehouse.insert("operations.stages", [{"run_id": RUN, "detail": detail}])
    assert len(warehouse.violations(name)) == 1
