"""Files as banks deliver them, through real nights: late, early, missing, twice, corrected, set aside."""

from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from nightledger import operations
from nightledger.ingestion import holds, load_contracts
from tests.dbt.nights import CARDS, Nights, hour

D1, D2, D3 = (date(2026, 1, day) for day in (5, 6, 7))
STATES = "select business_date, state, rows, amount_sum::int from ops.coverage order by 1"
SPEND = """
    select customer_id, as_of_date, total_spend_30d::int
    from features.features_customers order by as_of_date, customer_id
"""
CURRENT = "select description, amount::int from marts.fct_transactions where is_current order by 1"


@pytest.fixture(scope="module")
def clock() -> Iterator[None]:
    """A day on which all cutoffs have passed."""
    patch = pytest.MonkeyPatch()
    patch.setattr(operations, "clock", lambda: datetime(2026, 2, 1))
    yield
    patch.undo()


@pytest.fixture(scope="module")
def three_nights(tmp_path_factory: pytest.TempPathFactory, clock: None) -> dict[str, Any]:
    """D1 in time; D2 without a file; D3 with that file, a correction of D1 and the first file once more."""
    nights = Nights(tmp_path_factory.mktemp("deliveries") / "home", cards=CARDS)
    first = ("t1,c1,2026-01-05,-10,ONE,C", "t2,c2,2026-01-05,-20,TWO,C")
    nights.file("cards_2026-01-05.csv", *first, known_at=hour(D1))
    said = {D1: nights.run(D1), D2: nights.run(D2)}
    before = {D1: nights.rows(SPEND), D2: nights.rows(STATES)}
    nights.file("cards_2026-01-06.csv", "t3,c1,2026-01-06,-5,THREE,C", known_at=hour(D2, 1.75))
    news = ("t1,c1,2026-01-05,-11,ONE,C", "t4,c2,2026-01-07,-7,FOUR,C")
    nights.file("cards_2026-01-07.csv", *news, known_at=hour(D3, 18, after=0))
    nights.file("cards_2026-01-05_again.csv", *first, known_at=hour(D1))
    said[D3] = nights.run(D3)
    return {"nights": nights, "said": said, "before": before}


def test_each_day_says_whether_its_file_came_and_when(three_nights: dict[str, Any]) -> None:
    """A missing file that nobody notices, or one that stays missing after it has come."""
    assert three_nights["said"][D2]["late"] == ["bank/cards"]
    assert three_nights["before"][D2] == [(D1, "arrived", 2, -30), (D2, "missing", 0, 0)]
    assert three_nights["nights"].rows(STATES) == [
        (D1, "arrived", 2, -31), (D2, "late", 1, -5), (D3, "early", 1, -7),
    ]  # fmt: skip
    assert three_nights["nights"].verdicts()["cards_2026-01-05_again.csv"] == "duplicate"


def test_a_filled_gap_is_rebuilt_and_a_correction_rewrites_no_decision(three_nights: dict[str, Any]) -> None:
    """Features of a past date without what was known then, or with what was learned later."""
    assert three_nights["said"][D3]["filled_gaps"] == [str(D2)]
    assert three_nights["before"][D1] == [
        ("c1", D1, 10), ("c2", D1, 20), ("c1", D2, 10), ("c2", D2, 20),
    ]  # fmt: skip
    assert three_nights["nights"].rows(SPEND) == [
        ("c1", D1, 10), ("c2", D1, 20), ("c1", D2, 15), ("c2", D2, 20), ("c1", D3, 16), ("c2", D3, 27),
    ]  # fmt: skip
    assert three_nights["nights"].rows(CURRENT) == [("FOUR", -7), ("ONE", -11), ("THREE", -5), ("TWO", -20)]


def test_held_files_leave_no_row_and_come_back_as_they_were(three_nights: dict[str, Any]) -> None:
    """Rows, quarantine or features that outlive a file set aside, and a release that loads it twice."""
    nights: Nights = three_nights["nights"]
    contracts = load_contracts(nights.settings)
    before = nights.tables()
    assert nights.run(D3) is None
    holds.order(nights.settings, contracts, "hold", "cards_2026-01-07.csv", "wrong day", "me")
    said = nights.run(D3)
    assert said and said["files"] == {"held": 1}
    assert nights.rows(CURRENT) == [("ONE", -10), ("THREE", -5), ("TWO", -20)]
    assert nights.rows(STATES)[-1] == (D3, "held", 0, 0)
    assert nights.run(D3) is None
    holds.order(nights.settings, contracts, "release", "cards_2026-01-07.csv", "", "me")
    nights.run(D3, tests=False)
    assert nights.tables() == before
    nights.run(D3, force=True, whole=True, tests=False)
    assert nights.tables() == before, "built whole, the same again"


def test_a_file_is_read_again_under_the_mended_contract(tmp_path: Path, clock: None) -> None:
    """Records that stay in quarantine for good, rows twice, and an order that is obeyed every night."""
    nights = Nights(tmp_path / "home", cards=CARDS)
    records = ("t1,c1,2026-01-05,-10,ONE,C", "t2,c2,2026-01-05,-20,TWO,?")
    nights.file("cards_2026-01-05.csv", *records, known_at=hour(D1))
    nights.run(D1)
    assert nights.rows("select quarantined from ops.loads") == [(1,)]
    feed = CARDS["feeds"]["transactions"]
    mode = {"payment_mode": {"column": "mode", "map": {"C": "card", "?": "upi"}}}
    mended = feed | {"columns": feed["columns"] | mode}
    nights.contract("cards", CARDS | {"feeds": {"transactions": mended}})
    contracts = load_contracts(nights.settings)
    assert nights.run(D1) is None
    assert holds.requeue_source(nights.settings, contracts, "cards", "", "me") == ["cards_2026-01-05.csv"]
    nights.run(D1)
    assert nights.rows(CURRENT) == [("ONE", -10), ("TWO", -20)]
    assert nights.rows("select quarantined, records from ops.loads") == [(0, 2)]
    assert nights.rows("select count(*) from raw.quarantine") == [(0,)]
    assert nights.run(D1) is None
