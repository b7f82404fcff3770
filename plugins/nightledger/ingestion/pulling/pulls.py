"""Asks a bank's server for what is new, and lands each page as a file before anything reads it.

A pull is one delivery: its pages are taken when the last of them has landed. One that breaks off goes on
from its landed pages at the next call. Where to begin follows from the landed pages too, so a replay needs
no server.
"""

import fcntl
import logging
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import httpx
import tenacity

from nightledger.ingestion import landing
from nightledger.ingestion.contract import SourceContract
from nightledger.ingestion.landing import Page
from nightledger.ingestion.pulling import http
from nightledger.ingestion.pulling.paging import Moved, PageRefused, Repeated, Window, pull_of
from nightledger.settings import Settings

log = logging.getLogger(__name__)
RESTARTS = 3
_LOST_PLACE = {400, 404, 410, 416, 422}
"""What servers answer to a cursor or an offset that they no longer know."""


class PullError(RuntimeError):
    """A pull cannot be finished now; the message names contract, address, reason and next action."""


@dataclass(frozen=True)
class PullReport:
    """What became of one contract's pull."""

    contract: SourceContract
    pages: int
    records: int
    message: str
    """Why it could not be finished; empty when it was."""
    is_late: bool
    """Whether the night's date has not been pulled whole."""

    @property
    def name(self) -> str:
        """Client and source, as a night names what is late."""
        return f"{self.contract.client}/{self.contract.source}"


def pull_all(
    settings: Settings,
    contracts: Iterable[SourceContract],
    night_of: date,
    clock: Callable[[], datetime],
    sleep: Callable[[float], None] = time.sleep,
) -> list[PullReport]:
    """Pull every contract that has something to pull for a night; a server that fails stops nobody else.

    A night that later pulls have covered is a replay: it is served from landing, and no server is asked.

    Args:
        settings: of the installation.
        contracts: all of them; those without `pull` are left out.
        night_of: business date of the night.
        clock: tells the time of arrival (UTC without a zone).
        sleep: waits between tries.
    """
    reports = []
    for contract in contracts:
        if contract.pull is None:
            continue
        pages = records = 0
        message = ""
        covered = _covered(settings, contract)
        if covered is None or covered <= night_of + timedelta(days=1):
            try:
                pages, records = pull(settings, contract, clock, sleep)
            except PullError as error:
                message = str(error)
                log.warning("%s", message)
        covered = _covered(settings, contract)
        reports.append(
            PullReport(contract, pages, records, message, is_late=covered is None or covered <= night_of)
        )
    return reports


def pull(
    settings: Settings,
    contract: SourceContract,
    clock: Callable[[], datetime],
    sleep: Callable[[float], None] = time.sleep,
) -> tuple[int, int]:
    """Finish the pull that broke off, if any, and pull what is new since the last whole one.

    Returns:
        Pages landed and records in them.

    Raises:
        PullError: the server fails, or what it sends cannot be used. What has landed stays.
    """
    today = clock().replace(tzinfo=UTC).astimezone(ZoneInfo(contract.timezone)).date()
    landed = records = restarts = 0
    headers = _token_header(settings, contract)
    with _alone(settings, contract), http.client(pull_of(contract), headers) as client:
        window: Window | None = None
        while window is None or window.through != today or not window.is_complete:
            window = _resumed(settings, contract) if not restarts else None
            window = window or _next(settings, contract, today)
            try:
                for page in _finish(settings, client, window, clock, sleep):
                    landed, records = landed + 1, records + page.records
            except Moved as moved:
                restarts += 1
                if restarts > RESTARTS:
                    raise _error(contract, moved) from None
                log.info("%s: %s; it begins anew", contract.name, moved.reason)
            except PageRefused as refused:
                raise _error(contract, refused) from None
    log.info("%s: %d pages with %d records landed", contract.name, landed, records)
    return landed, records


def _resumed(settings: Settings, contract: SourceContract) -> Window | None:
    """The last pull as its landed pages tell it, when it broke off."""
    landed = landing.pages(settings, contract)
    last = [(page, path) for page, path in landed if page.window == landed[-1][0].window]
    if not last or last[-1][0].is_last:
        return None
    first = last[0][0]
    window = Window(contract, first.since, first.through, first.window)
    try:
        for _, path in last:
            window.take(path.read_bytes())
    except PageRefused:
        return None  # the contract reads pages in another way than when they landed
    return None if window.is_complete else window


def _next(settings: Settings, contract: SourceContract, today: date) -> Window:
    """A new pull: from the day of the last whole one, less the overlap."""
    landed = landing.pages(settings, contract)
    since: date | None = None
    if days := pull_of(contract).since:
        whole = [page.through for page, _ in landed if page.is_last]
        since = max(whole) - days.overlap if whole else days.first
    return Window(contract, since, today, landed[-1][0].window + 1 if landed else 1)


def _covered(settings: Settings, contract: SourceContract) -> date | None:
    """Day on which the last whole pull began: everything before it has been asked for."""
    return max((page.through for page, _ in landing.pages(settings, contract) if page.is_last), default=None)


def _finish(
    settings: Settings,
    client: httpx.Client,
    window: Window,
    clock: Callable[[], datetime],
    sleep: Callable[[float], None],
) -> Iterator[Page]:
    """Land the pages that a window still lacks, one by one."""
    is_resumed = window.pages > 0
    while not window.is_complete:
        if window.pages >= window.pull.max_pages:
            raise PageRefused(
                f"it has {window.pages:,} pages and no end",
                f"raise `pull.max_pages` in sources/{window.contract.name}.yml if so much is right",
            )
        name = window.file
        try:
            body, page = _page(client, window, sleep)
        except (http.Refused, Repeated) as refused:
            lost_its_place = isinstance(refused, Repeated) or refused.status in _LOST_PLACE
            if is_resumed and lost_its_place:
                raise Moved(
                    f"it cannot go on where it broke off: {refused.reason}", refused.next_action
                ) from None
            raise
        with tempfile.TemporaryDirectory(dir=settings.landing, prefix=".pull-") as folder:
            file = Path(folder) / name
            file.write_bytes(body)
            landing.land(settings, file, window.contract, clock(), page)
        is_resumed = False
        yield page


def _page(client: httpx.Client, window: Window, sleep: Callable[[float], None]) -> tuple[bytes, Page]:
    """Ask for the next page, as often as the contract allows."""
    backoff = tenacity.wait_exponential_jitter(initial=1, max=60)

    def wait(state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = error.wait if isinstance(error, http.Temporary) else None
        return backoff(state) if asked is None else asked

    attempts = tenacity.Retrying(
        stop=tenacity.stop_after_attempt(window.pull.attempts),
        retry=tenacity.retry_if_exception_type((http.Temporary, Repeated)),
        wait=wait,
        sleep=sleep,
        reraise=True,
    )
    try:
        for attempt in attempts:
            with attempt:
                body = http.get(client, window.pull, window.parameters())
                page = window.take(body)
    except http.Temporary as error:
        tries = f"after {window.pull.attempts} tries" if window.pull.attempts > 1 else "once"
        raise PageRefused(f"page {window.pages + 1}: {error.reason}, {tries}", http.LATER) from None
    return body, page


def _token_header(settings: Settings, contract: SourceContract) -> dict[str, str]:
    wanted = pull_of(contract).token
    if wanted is None:
        return {}
    secret = settings.pull_tokens.get(contract.name)
    if secret is None:
        action = f'add "{contract.name}": "<token>" to NIGHTLEDGER_PULL_TOKENS'
        raise _error(contract, PageRefused("there is no token for it in the settings", action))
    return {wanted.header: f"{wanted.prefix}{secret.get_secret_value()}"}


@contextmanager
def _alone(settings: Settings, contract: SourceContract) -> Iterator[None]:
    """One pull of a contract at a time: two would number their pages alike."""
    settings.landing.mkdir(parents=True, exist_ok=True)
    with (settings.landing / f".{contract.name}.pull").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            reason = PageRefused("another process pulls it now", "wait for that one")
            raise _error(contract, reason) from None
        yield


def _error(contract: SourceContract, refused: PageRefused) -> PullError:
    return PullError(
        f"pull {contract.name} · {pull_of(contract).url} · {refused.reason} · next: {refused.next_action}"
    )
