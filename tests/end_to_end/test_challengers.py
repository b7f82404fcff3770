"""Champion, challenger and demotion over real nights of a small simulated bank."""

import io

import numpy as np
import pytest
from rich.console import Console

from ml import stability
from nightledger import report_models, warehouse
from nightledger.governance import ledger
from nightledger.governance.demotion import NONE, demote
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


def compared_as_told(settings: Settings, champion: str, challenger: str) -> None:
    """The night's mart and page say what the scores themselves say of how the two differ."""
    path = warehouse.publication_path(settings)
    assert path
    with warehouse.connect(path, settings=settings) as connection:
        told = connection.execute(
            "select * exclude (model) from marts.mart_shadow_scores order by client_id"
        ).fetchall()
        clients = connection.execute(
            "select distinct client_id from marts.fct_scores where role = 'challenger' order by 1"
        ).fetchall()
        assert [(row[0],) for row in told] == clients
        for client, *versions, n, ranks, shift, noise, same, mean, other_mean, day in told:
            assert (versions, day) == ([champion, challenger], LAST)
            pairs = connection.execute(
                "select own.score, other.score, own.band = other.band from marts.fct_scores as own"
                " inner join marts.fct_scores as other using (client_id, model, entity_id, as_of_date)"
                " where own.role = 'champion' and other.role = 'challenger' and client_id = ?",
                [client],
            ).fetchall()
            first, second, bands = (np.array(values, dtype=np.float64) for values in zip(*pairs, strict=True))
            expected = stability.psi(first, second)
            assert n == len(pairs)
            assert [shift, noise] == pytest.approx([expected.psi, expected.noise], abs=1e-5)
            assert ranks == pytest.approx(stability.rank_correlation(first, second), abs=1e-5)
            assert [same, mean, other_mean] == pytest.approx([bands.mean(), first.mean(), second.mean()])
    printed = io.StringIO()
    report_models.details(settings, Console(file=printed, width=200), {})
    assert "In the shadow of the champion" in printed.getvalue()
    assert challenger in printed.getvalue().split("In the shadow of the champion")[1]


def test_a_challenger_scores_the_same_rows_and_a_demotion_leaves_the_past_alone(copy_of_home):
    """Catches a challenger that is never compared, and a rebuilt date that obeys what was decided later."""
    settings = copy_of_home()
    champion = ledger.champions(settings)["churn"]
    challenger = train_churn(settings, "train/second", verdict="kept_as_challenger", seed=8)
    assert challenger not in (None, champion)
    run_night(settings, "nightly/both", LAST)
    before = scores(settings)
    assert before.keys() == {("champion", champion), ("challenger", challenger)}
    of_champion, of_challenger = before["champion", champion], before["challenger", challenger]
    assert [row[:2] for row in of_champion] == [row[:2] for row in of_challenger]
    assert of_champion != of_challenger
    compared_as_told(settings, champion, challenger)

    demote(settings, "churn", reason="a test", by="ada", run_id="demote/1", to=NONE)
    run_night(settings, "nightly/again", LAST, force=True, tests=False)
    assert scores(settings) == before
