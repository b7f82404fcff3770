"""Nights: repeated, resumed, scored."""

from collections.abc import Callable

from tests.dbt.bank import LAST, Bank
from tests.dbt.factory import Warehouse

CopyOf = Callable[[Warehouse], Warehouse]


def test_the_same_night_again_gives_the_same_content(built: Warehouse, copy_of: CopyOf) -> None:
    """Rows that a second run adds again, the clock, sums that depend on the order of rows."""
    again = copy_of(built)
    again.dbt("build", "--exclude-resource-type", "unit_test", "--exclude-resource-type", "test")
    assert again.content_hash() == built.content_hash()


def test_scores_outlive_their_files_and_a_second_scoring_replaces_the_first(
    built: Warehouse, copy_of: CopyOf
) -> None:
    """Scores lost when the lake moves to the archive, or counted twice when a night is scored again; a table
    of an older version that cannot take what is scored now."""
    night = copy_of(built)
    night.empty_lake()
    night.dbt("run", "--selector", "marts", "--full-refresh")
    assert len(night.frame("select * from marts.fct_scores")) == 2
    # As a publication from before these columns has it.
    for column in ("score_lo", "score_hi", "support", "is_out_of_range", "exposure"):
        night.execute(f"alter table staging.stg_scores drop column {column}")
    night.write_scores("v2", LAST, {("uk", "C0"): 0.5})
    night.dbt("run", "--selector", "marts")
    scores = night.frame("select entity_id, model_version, score, currency from marts.fct_scores")
    assert scores.values.tolist() == [["C0", "v2", 0.5, "GBP"]]
    assert night.frame("select * from marts.fct_scores where score_lo is not null").empty
    overview = night.frame(
        "select churn_score, churn_reason_1 from marts.mart_customer_overview"
        " where client_id = 'uk' and customer_id = 'C0'"
    )
    assert overview.values.tolist() == [[0.5, "because of v2"]]


def test_money_in_another_currency_is_listed_and_counted_nowhere(built: Warehouse, bank: Bank) -> None:
    """Foreign amounts added up with the base currency, or dropped without a trace."""
    excluded = built.frame("select currency, count(*) as n from marts.fct_movements_excluded group by all")
    assert set(excluded.currency) == {"USD"}
    current = [fact for fact in bank.facts if fact.superseded_at is None]
    assert excluded.n.sum() == sum(fact.amount is None for fact in current)
    counted = built.frame(
        "select sum(abs(spend_amount)) + sum(income_amount) as n"
        " from marts.fct_transactions where not has_base_amount"
    )
    assert counted.n.tolist() == [0]


def test_the_selectors_are_disjoint_and_together_the_project(built: Warehouse) -> None:
    """A model or test that no step of the night builds, or that two of them do."""
    content = built.manifest
    runnable = {name.split(".", 2)[2] for kind in ("nodes", "unit_tests") for name in content[kind]}
    found: list[str] = []
    for selector in ("merchants", "features", "marts"):
        listed = built.list_nodes("--selector", selector)
        assert listed
        found += listed
    assert sorted(found) == sorted(runnable)
