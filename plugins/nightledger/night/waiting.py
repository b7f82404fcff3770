"""What a night waits for: its clients' cutoffs, and the files of required sources that have a deadline.

A file that a night has waited for past a client's cutoff moves that cutoff behind its arrival. Whether one is
there is told from the landing area alone, so a night that begins much later comes to the same cutoff.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta

from nightledger import operations
from nightledger.clients import Client
from nightledger.ingestion import SourceContract
from nightledger.ingestion.landing import Arrival, arrivals
from nightledger.ingestion.ledger import adopt, known_since
from nightledger.night.plan import RequiredSourceMissing
from nightledger.settings import Settings

log = logging.getLogger(__name__)

PATIENCE = timedelta(hours=24)
"""How long before a client's cutoff a night may start and wait; one that starts earlier is a mistake."""
FIRST_AFTER = timedelta(microseconds=1)


def cutoffs(
    settings: Settings,
    contracts: Sequence[SourceContract],
    clients: Mapping[str, Client],
    dates: Iterable[date],
) -> dict[tuple[str, date], datetime]:
    """Cutoff of each client and date (UTC): the recorded one, else the client's, moved by waiting.

    Records nothing: that is for a night whose sources are there (`operations.fix_cutoffs`).
    """
    dates = list(dates)
    recorded = operations.recorded_cutoffs(settings)
    landed = adopt(arrivals(settings), contracts)
    found = {}
    for name, client in clients.items():
        for day in dates:
            moved = [
                known + FIRST_AFTER
                for contract in contracts
                if contract.client == name and _is_waited_for(contract, client, day)
                for known in [_known(contract, landed, day)]
                if known is not None and known <= _deadline(contract, day)
            ]
            found[name, day] = recorded.get((name, day), max([client.cutoff_at(day), *moved]))
    return found


def awaited(
    settings: Settings,
    contracts: Sequence[SourceContract],
    clients: Mapping[str, Client],
    dates: Sequence[date],
    now: datetime,
) -> list[str]:
    """What a night of these dates has to wait for, in words; it may begin when that is nothing.

    Returns:
        The cutoff that has not passed, or each file that may still come before its deadline. A cutoff more
        than `PATIENCE` away is not waited for: the night says that it is too early.

    Raises:
        RequiredSourceMissing: a deadline has passed; names each source, date and deadline.
    """
    latest = max((client.cutoff_at(dates[-1]) for client in clients.values()), default=now)
    if now < latest <= now + PATIENCE:
        log.info("the night of %s waits for the cutoff at %s UTC", dates[-1], latest)
        return [f"the cutoff at {latest:%Y-%m-%d %H:%M} UTC"]
    landed = adopt(arrivals(settings), contracts)
    absent = [
        (contract, day)
        for contract in contracts
        for day in dates
        if contract.client in clients
        and _is_waited_for(contract, clients[contract.client], day)
        and not _of_day(contract, landed, day)
    ]
    missing = [
        f"{contract.client}/{contract.source} for {day} (deadline {_deadline(contract, day)} UTC)"
        for contract, day in absent
        if now >= _deadline(contract, day)
    ]
    if missing:
        raise RequiredSourceMissing(
            f"waited in vain for {', '.join(missing)}. Nothing is published without it; readers keep the "
            "last publication. Put the file into the inbox and run the night again."
        )
    waits = [
        f"{contract.client}/{contract.source} for {day}, until {_deadline(contract, day):%Y-%m-%d %H:%M} UTC"
        for contract, day in absent
    ]
    for line in waits:
        log.info("waiting for %s", line)
    return waits


def _is_waited_for(contract: SourceContract, client: Client, day: date) -> bool:
    delivery = contract.delivery
    return delivery.deadline is not None and delivery.expects(day, client.country)


def _deadline(contract: SourceContract, day: date) -> datetime:
    """End of waiting (UTC); the end of the day itself where there is no deadline."""
    delivery = contract.delivery
    return delivery.moment(day, delivery.deadline or timedelta(days=1), contract.timezone)


def _of_day(contract: SourceContract, landed: Iterable[Arrival], day: date) -> list[Arrival]:
    return [
        arrival
        for arrival in landed
        if arrival.contract == contract.name
        and contract.delivery.day_of(arrival.file, arrival.manifest) == day
    ]


def _known(contract: SourceContract, landed: Iterable[Arrival], day: date) -> datetime | None:
    """When the first file for a day was known; None while there is none, or when its rows have own times."""
    times = [
        moment
        for arrival in _of_day(contract, landed, day)
        for feed in contract.feeds.values()
        if (moment := known_since(contract, feed, arrival)) is not None
    ]
    return min(times, default=None)
