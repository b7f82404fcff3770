"""Champion and challenger looked back on: the nights that both have scored, once outcomes are known."""

from collections.abc import Callable
from typing import Any

import pytest
from sklearn.metrics import average_precision_score

from ml import config, training
from ml.scores import shadow
from nightledger import warehouse
from tests.unit.ml.bank import Bank

NIGHT, LATER = "2025-10-15", "2025-11-15"
"""63 days before the horizon, 2025-12-31, lies 2025-10-29: what comes later nobody knows yet."""


def plant(bank: Bank, champion: str, *, roles: tuple[str, ...] = ("champion", "challenger")) -> None:
    """Scores of two nights: the champion by purchase size the wrong way round, the challenger better."""
    bank.run(f"""
        create schema if not exists marts;
        create or replace table marts.fct_scores as
        select 'tester' as client_id, 'churn' as model, of_role.version as model_version,
            'customer' as entity, customer_id as entity_id, of_role.role, night.as_of_date,
            (case when (spend = 30) = (role = 'challenger') then 0.6 else 0.2 end
                + hash(customer_id) % 100 / 1000.0)::float as score
        from (
            select customer_id, max(spend_amount) as spend from intermediate.int_transactions group by all
        ),
        (values ('champion', '{champion}'), ('challenger', 'second')) as of_role (role, version),
        (values (date '{NIGHT}'), (date '{LATER}')) as night (as_of_date)
        where list_contains({list(roles)}, of_role.role)
    """)


def look(bank: Bank, champion: str) -> shadow.Shadow | None:
    with warehouse.connect(bank.build, settings=bank.settings) as connection:
        return shadow.look_back(connection, bank.settings, config.load("churn"), champion)


def test_both_are_judged_on_the_same_rows_whose_outcome_is_known(bank: Bank) -> None:
    """Catches rows of a night that nobody can judge yet, rows that one of them never scored, labels of
    another day, and a gain with the wrong sign."""
    plant(bank, "first")
    bank.run("delete from marts.fct_scores where role = 'champion' and hash(entity_id) % 7 = 0")
    found = look(bank, "first")
    assert found is not None
    assert (found.challenger, found.first_day, found.last_day) == ("second", NIGHT, NIGHT)
    rows = bank.ask(f"""
        select any_value(scores.score) filter (where role = 'champion'),
            any_value(scores.score) filter (where role = 'challenger'),
            (count(*) filter (where acts.business_date > date '{NIGHT}'
                and acts.business_date <= date '{NIGHT}' + 60) = 0)::integer as has_left
        from marts.fct_scores as scores
        inner join intermediate.int_transactions as acts on acts.customer_id = scores.entity_id
        where scores.as_of_date = '{NIGHT}' group by scores.entity_id
        having count(distinct role) = 2 and count(*) filter (
            where acts.business_date > date '{NIGHT}' - 90 and acts.business_date <= date '{NIGHT}') > 0
    """)
    assert found.evaluated.n == len(rows) > 100
    its, own, label = map(list, zip(*rows, strict=True))
    expected = [average_precision_score(label, scores) for scores in (own, its)]
    assert expected[0] > expected[1] + 0.1
    by_scorer = found.evaluated.metrics
    measured = [by_scorer[name]["average_precision"].value for name in ("", "champion")]
    assert measured == pytest.approx(expected)
    assert found.evaluated.gains["champion"].value == pytest.approx(expected[0] - expected[1])
    assert {row["baseline"] for row in found.rows()} == {"champion", "challenger"}


@pytest.mark.parametrize("roles", [("champion",), ("challenger",)])
def test_nothing_is_said_of_one_alone(bank: Bank, roles: tuple[str, ...]) -> None:
    """Catches a champion that is compared with nothing, and a shadow of another champion's nights."""
    assert look(bank, "first") is None, "no scores are published yet"
    plant(bank, "first", roles=roles)
    assert look(bank, "first") is None


def test_the_next_training_says_what_the_nights_have_shown(
    trained: tuple[Bank, training.TrainingOutcome], configure: Callable[..., Any]
) -> None:
    """Catches a comparison that no decision ever mentions."""
    bank, first = trained
    plant(bank, str(first.version))
    configure(seed=8)
    outcome = training.train(bank.settings, "churn", champion=first.version)
    assert "In the nights, challenger second had 0." in outcome.reason
    assert f"and champion {first.version} 0." in outcome.reason
    assert f"({NIGHT} to {NIGHT}, base rate" in outcome.reason
    assert {row["baseline"] for row in outcome.metrics if row["dataset"] == shadow.DATASET} == {
        "champion",
        "challenger",
    }
