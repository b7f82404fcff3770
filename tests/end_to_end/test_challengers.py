"""Champion, challenger and demotion over real nights of a small simulated bank."""

import pytest

from nightledger import model_ledger, warehouse
from nightledger.model_demotion import NONE, demote
from nightledger.settings import Settings
from tests.helpers.steps import LAST, run_night, train_churn

pytestmark = pytest.mark.slow


def scores(settings: Settings) -> dict[tuple[str, str], list[tuple]]:
    """Scores of the night of LAST by role and version, in order."""
    path = warehouse.publication_path(settings)
    assert path
    found: dict[tuple[str, str], list[tuple]] = {}
    with warehouse.connect(path, settings=settings) as connection:
        for role, version, *row in connection.execute(
            "select role, model_version, client_id, entity_id, score, receipt_id from marts.fct_scores"
            " where as_of_date = ? order by all",
            [LAST],
        ).fetchall():
            found.setdefault((role, version), []).append(tuple(row))
    return found


def test_a_challenger_scores_the_same_rows_and_a_demotion_leaves_the_past_alone(copy_of_home):
    """Catches a challenger that is never compared, and a rebuilt date that obeys what was decided later."""
    settings = copy_of_home()
    champion = model_ledger.champions(settings)["churn"]
    challenger = train_churn(settings, "train/second", verdict="kept_as_challenger", seed=8)
    assert challenger not in (None, champion)
    run_night(settings, "nightly/both", LAST)
    before = scores(settings)
    assert before.keys() == {("champion", champion), ("challenger", challenger)}
    of_champion, of_challenger = before["champion", champion], before["challenger", challenger]
    assert [row[:2] for row in of_champion] == [row[:2] for row in of_challenger]
    assert of_champion != of_challenger

    demote(settings, "churn", reason="a test", by="ada", run_id="demote/1", to=NONE)
    run_night(settings, "nightly/again", LAST, force=True)
    assert scores(settings) == before
