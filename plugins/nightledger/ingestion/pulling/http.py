"""One request to a bank's server, within limits of time and size; no value and no token reaches a log."""

import email.utils
import logging
import time
from collections.abc import Mapping

import httpx

from nightledger.ingestion.pulling.contract import Pull
from nightledger.ingestion.pulling.paging import PageRefused

for _name in ("httpx", "httpcore"):
    # They log addresses with their query, which holds cursors and dates.
    logging.getLogger(_name).setLevel(logging.WARNING)

LONGEST_WAIT = 300.0
"""Seconds that a server may ask for between two tries; a night does not wait longer."""
LATER = "nothing by hand: the next night goes on from here; ask the bank if it lasts"
_TEMPORARY = {408, 425, 429, 500, 502, 503, 504}


class Temporary(Exception):
    """Worth another try, after `wait` seconds where the server says so."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.reason, self.wait = reason, wait


class Refused(PageRefused):
    """An answer that no second try would change."""

    def __init__(self, status: int, reason: str, next_action: str) -> None:
        super().__init__(reason, next_action)
        self.status = status


def client(pull: Pull, headers: Mapping[str, str]) -> httpx.Client:
    """A client that follows no redirect, so that a token is sent nowhere else."""
    return httpx.Client(
        headers={"accept": "application/json", "accept-encoding": "gzip"} | dict(headers),
        timeout=pull.timeout.total_seconds(),
        follow_redirects=False,
        trust_env=not pull.is_local,  # a proxy from the environment is for other machines
    )


def get(client: httpx.Client, pull: Pull, parameters: Mapping[str, str]) -> bytes:
    """The body of one answer.

    Raises:
        Temporary: the server or the way to it fails; another try may help.
        Refused: another try would not help.
    """
    # The timeout of the client is for each read; a server that drips a byte at a time is stopped here.
    deadline = time.monotonic() + pull.timeout.total_seconds()
    body = bytearray()
    try:
        with client.stream("GET", pull.url, params=dict(parameters)) as response:
            _check_status(response)
            for block in response.iter_bytes():  # no size: it would wait until so much has come
                body += block
                if len(body) > pull.max_page_bytes:
                    raise Refused(
                        200,
                        f"the page is longer than {pull.max_page_bytes:,} bytes",
                        "ask for smaller pages, or raise `pull.max_page_bytes` in the contract",
                    )
                if time.monotonic() > deadline:
                    raise Temporary(f"the page did not come whole within {pull.timeout.total_seconds():g} s")
    except httpx.TimeoutException:
        raise Temporary(f"no answer within {pull.timeout.total_seconds():g} s") from None
    except httpx.RequestError as error:
        # Its own text may hold the address with its query.
        raise Temporary(f"the connection failed ({type(error).__name__})") from None
    return bytes(body)


def _check_status(response: httpx.Response) -> None:
    """Let an answer of JSON pass.

    Raises:
        Temporary: the server asks to come back, or has a problem of its own.
        Refused: another try would not help.
    """
    status = response.status_code
    if status in _TEMPORARY:
        wait = _retry_after(response)
        if wait is not None and wait > LONGEST_WAIT:
            raise Refused(status, f"status {status}, and the server asks to wait {wait:,.0f} s", LATER)
        raise Temporary(f"status {status}", wait)
    if status in (401, 403):
        action = "check `pull.token` of the contract, and its token in NIGHTLEDGER_PULL_TOKENS"
        raise Refused(status, f"status {status}: the server does not let us in", action)
    if response.is_redirect:
        action = "ask the bank for the new address and write it into `pull.url`; a token is sent nowhere else"
        raise Refused(status, f"status {status}: the server points elsewhere", action)
    if status != 200:
        action = "compare `pull` in the contract with the bank's description"
        raise Refused(status, f"status {status}", action)
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        action = "check `pull.url`: a page for people, or of a proxy, may stand in its place"
        raise Refused(status, "the answer is not JSON by its content-type", action)


def _retry_after(response: httpx.Response) -> float | None:
    """Seconds that the server asks for; a date counts from the server's own."""
    stated = response.headers.get("retry-after", "").strip()
    if stated.isdecimal():
        return float(stated)
    try:
        until, sent = (
            email.utils.parsedate_to_datetime(text) for text in (stated, response.headers.get("date", ""))
        )
        seconds: float = (until - sent).total_seconds()
        return max(seconds, 0.0)
    except (ValueError, TypeError):
        return None
