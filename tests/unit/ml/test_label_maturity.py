"""What `mart_label_maturity` counts as leaving, beside what model churn learns."""

import re

import yaml

from ml import config
from nightledger.settings import PROJECT


def test_the_mart_counts_leavers_by_the_numbers_of_the_model() -> None:
    """Catches a horizon, a delay or a population that is changed in the YAML and not in the mart."""
    churn = yaml.safe_load((config.MODELS / "churn.yml").read_text())
    sql = (PROJECT / "dbt_project/models/marts/int_churn_outcomes.sql").read_text()
    found = re.search(r"set active_days, horizon_days, matures_after = (\d+), (\d+), (\d+)", sql)
    assert found is not None
    label = churn["label"]
    assert [int(number) for number in found.groups()] == [
        churn["parameters"]["active_days"],
        label["horizon_days"],
        label["horizon_days"] + label["delay_days"],
    ]
