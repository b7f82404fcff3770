"""What a night waits for, by a clock that the tests set: no sleeping, no warehouse."""

import json
from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import yaml

from nightledger import operations
from nightledger.clients import load_clients
from nightledger.ingestion import collect, load_contracts
from nightledger.night import steps, waiting
from nightledger.night.plan import RequiredSourceMissing
from nightledger.operations.schema import stages
from nightledger.settings import Settings

D = date(2026, 1, 7)  # a Wednesday
RUN = "nightly/a"
CUTOFF = datetime(2026, 1, 8, 2)
DEADLINE = datetime(2026, 1, 8, 6)
DELIVERY: dict[str, Any] = {
    "required": True,
    "calendar": "weekdays",
    "due_by": "03:00",
    "deadline": "06:00",
    "day": {"pattern": r"tx_(\d{8})", "format": "%Y%m%d"},
}


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    """An installation with one client and one required source, and nothing delivered."""
    settings = Settings(
        home=tmp_path,
        inbox=tmp_path / "inbox",
        sources=tmp_path / "sources",
        clients=tmp_path / "clients",
        token_key="test-key",
        _env_file=None,
    )
    for folder in ("inbox", "sources", "clients", "builds"):
        (tmp_path / folder).mkdir()
    write_client(settings)
    write_contract(settings, **DELIVERY)
    return settings


def write_client(settings: Settings, name: str = "bank", **changes: str) -> None:
    client = {"name": "Bank", "timezone": "UTC", "base_currency": "GBP", "country": "GB"} | changes
    (settings.clients / f"{name}.yml").write_text(yaml.safe_dump(client))


def write_contract(settings: Settings, **delivery: Any) -> None:
    columns = {"customer_id": "c", "account_id": "c", "business_date": "d", "amount": "a", "description": "t"}
    contract = {
        "client": "bank",
        "source": "cards",
        "files": "tx_*",
        "format": {"type": "csv"},
        "delivery": delivery,
        "feeds": {"transactions": {"columns": columns}},
    }
    (settings.sources / "cards.yml").write_text(yaml.safe_dump(contract))


def deliver(settings: Settings, name: str, at: datetime) -> None:
    """A file comes and is landed at a moment."""
    (settings.home / "inbox" / name).write_text("c,d,a,t\nx,2026-01-07,1,T\n" + name)
    collect(settings, load_contracts(settings), at)


@pytest.fixture
def ready(home: Settings) -> Callable[..., bool]:
    """Whether the night of some dates may begin at a moment."""

    def ask(now: datetime, *dates: date) -> bool:
        return not waiting.awaited(home, load_contracts(home), load_clients(home), dates or (D,), now)

    return ask


def cutoff(settings: Settings, day: date = D) -> datetime:
    at = waiting.cutoffs(settings, load_contracts(settings), load_clients(settings), [day])
    return at["bank", day]


def test_a_night_waits_until_the_deadline_and_then_names_the_source(home, ready):
    """Catches a night that fails while the bank is only late, and one that waits for ever."""
    assert not ready(CUTOFF)
    assert not ready(DEADLINE - timedelta(seconds=1))
    with pytest.raises(
        RequiredSourceMissing, match=r"bank/cards for 2026-01-07 .deadline 2026-01-08 06:00:00"
    ):
        ready(DEADLINE)


def test_it_begins_as_soon_as_the_file_is_there(home, ready):
    """Catches a night that waits for the deadline although all has come, or takes another day's file."""
    deliver(home, "tx_20260106.csv", CUTOFF)
    assert not ready(CUTOFF + timedelta(hours=1))
    deliver(home, "tx_20260107.csv", CUTOFF + timedelta(hours=2))
    assert ready(CUTOFF + timedelta(hours=2))


def test_every_missing_date_is_waited_for_and_days_off_are_not(home, ready):
    """Catches a night after an outage that looks at its own date only, or that waits for a Sunday's file."""
    deliver(home, "tx_20260107.csv", CUTOFF)
    friday, sunday = date(2026, 1, 9), date(2026, 1, 11)
    with pytest.raises(RequiredSourceMissing, match=r"2026-01-08 .*, bank/cards for 2026-01-09"):
        ready(datetime(2026, 1, 12, 9), D, date(2026, 1, 8), friday, date(2026, 1, 10), sunday)
    assert ready(datetime(2026, 1, 12, 9), date(2026, 1, 10), sunday)


def test_a_client_whose_cutoff_comes_later_is_waited_for(home, ready):
    """Catches a schedule that fails each night because one client lives further west."""
    deliver(home, "tx_20260107.csv", CUTOFF)
    write_client(home, "west", timezone="America/New_York")
    assert not ready(CUTOFF)
    assert not ready(datetime(2026, 1, 8, 6, 59))
    assert ready(datetime(2026, 1, 8, 7))
    assert ready(datetime(2026, 1, 1)), "days ahead is a mistake; the night itself says so"


def test_waiting_moves_the_cutoff_behind_the_file_and_no_further(home):
    """Catches a file that was waited for and is then left out, and a cutoff that depends on when it ran."""
    assert cutoff(home) == CUTOFF
    deliver(home, "tx_20260107.csv", CUTOFF + timedelta(hours=2))
    deliver(home, "tx_20260107_b.csv", CUTOFF + timedelta(hours=3))
    moved = CUTOFF + timedelta(hours=2, microseconds=1)
    assert cutoff(home) == moved
    assert cutoff(home, date(2026, 1, 8)) == CUTOFF + timedelta(days=1), "another day keeps its own"
    operations.fix_cutoffs(home, {("bank", D): moved})
    write_contract(home)
    assert cutoff(home) == moved, "what is recorded holds for every replay"


def test_a_file_after_the_deadline_or_of_an_optional_source_moves_nothing(home):
    """Catches a cutoff that anybody's late file can move."""
    deliver(home, "tx_20260107.csv", DEADLINE + timedelta(seconds=1))
    assert cutoff(home) == CUTOFF
    write_contract(home)
    deliver(home, "tx_20260107_b.csv", CUTOFF + timedelta(hours=1))
    assert cutoff(home) == CUTOFF


def test_the_step_lands_what_lies_in_the_inbox(home, monkeypatch):
    """Catches a night that waits for a file in its inbox, or that stamps it later than it was seen."""
    monkeypatch.setattr(operations, "clock", lambda: CUTOFF + timedelta(hours=1))
    assert not steps.may_begin(home, D, RUN)
    (waits,) = operations.waits(home)
    assert waits["waits_for"] == "bank/cards for 2026-01-07, until 2026-01-08 06:00 UTC"
    (home.home / "inbox" / "tx_20260107.csv").write_text("c,d,a,t\nx,2026-01-07,1,T\n")
    assert steps.may_begin(home, D, RUN)
    assert cutoff(home) == CUTOFF + timedelta(hours=1, microseconds=1)


def test_a_wait_in_vain_is_kept_with_its_reason(home, monkeypatch):
    """Catches a night that failed before it opened, of which the operational database knows nothing."""
    monkeypatch.setattr(operations, "clock", lambda: DEADLINE)
    with pytest.raises(RequiredSourceMissing):
        steps.may_begin(home, D, RUN)
    (stage,) = operations.read(home, sa.select(stages))
    assert (stage["run_id"], stage["stage"], stage["state"]) == (RUN, "wait_for_sources", "failed")
    assert "RequiredSourceMissing: waited in vain for bank/cards" in stage["detail"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"day": None}, "nothing says for which day a file is"),
        ({"deadline": "02:00"}, "the deadline lies before due_by"),
        ({"required": False}, "a deadline is for a required source"),
        ({"calendar": "hourly"}, "is no calendar: write daily"),
        ({"due_by": "3 am"}, "is no moment: write HH:MM"),
    ],
)
def test_a_wait_that_cannot_end_is_refused_with_the_contract(home, changes, message):
    """Catches a contract that lets every night wait in vain."""
    write_contract(home, **{name: value for name, value in (DELIVERY | changes).items() if value is not None})
    with pytest.raises(ValueError, match=message):
        load_contracts(home)


def test_a_manifest_may_say_for_which_day_a_file_is(home, ready):
    """Catches a source whose file names carry no date and which is waited for for ever."""
    write_contract(home, **{name: value for name, value in DELIVERY.items() if name != "day"})
    path = home.sources / "cards.yml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"totals": "manifest"}))
    manifest = home.home / "inbox" / "tx_a.csv.manifest.json"
    manifest.write_text(json.dumps({"rows": 1, "business_date": "2026-01-07"}))
    deliver(home, "tx_a.csv", CUTOFF)
    assert ready(CUTOFF)
