"""A bank that pulls from a server on this machine, which behaves as scripted."""

import json
import threading
from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest

from nightledger import ingestion
from nightledger.ingestion import landing
from nightledger.ingestion.contract import SourceContract
from nightledger.ingestion.pulling import pulls
from tests.unit.ingestion.conftest import CONTRACT, NOW, Bank
from tests.unit.ingestion.pulling.server import Server

NIGHT = date(2026, 1, 9)
"""The night whose cutoff has passed at NOW."""


@pytest.fixture
def server() -> Iterator[Server]:
    """A server on this machine for one test."""
    made = Server()
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


class Puller:
    """A bank with one contract that pulls, a clock, and the waits it would have slept."""

    def __init__(self, bank: Bank, server: Server) -> None:
        self.bank, self.server = bank, server
        self.now = NOW
        self.waits: list[float] = []

    def contract(self, **changes: Any) -> SourceContract:
        """Write and read the contract; `changes` are keys of `pull`, None takes one out."""
        pull = {
            "url": self.server.url,
            "cursor": {"parameter": "cursor", "path": "page.next"},
            "since": {"parameter": "from", "overlap": "2d", "first": "2026-01-01"},
            "attempts": 3,
        } | changes
        pull = {key: value for key, value in pull.items() if value is not None}
        values = {key: value for key, value in CONTRACT.items() if key != "files"}
        values |= {"format": {"type": "json", "records": "data"}}
        path = self.bank.contract("api", **values, pull=pull)
        content = path.read_text()
        path.write_text("\n".join(row for row in content.splitlines() if not row.startswith("files:")))
        return next(c for c in ingestion.load_contracts(self.bank.settings) if c.name == "api")

    def pull(self, contract: SourceContract) -> tuple[int, int]:
        """Pull now, without sleeping."""
        return pulls.pull(self.bank.settings, contract, lambda: self.now, self.waits.append)

    def pull_all(self, contract: SourceContract, night: date = NIGHT) -> pulls.PullReport:
        """Pull as a night does."""
        (report,) = pulls.pull_all(self.bank.settings, [contract], night, lambda: self.now, self.waits.append)
        return report

    @property
    def taken(self) -> list[str]:
        """Ids of the records that a night would load, in the order of arrival."""
        return [
            record["id"]
            for arrival in landing.arrivals(self.bank.settings)
            for record in json.loads(arrival.path.read_bytes())["data"]
        ]


@pytest.fixture
def puller(bank: Bank, server: Server) -> Puller:
    """A bank that pulls from the local server."""
    return Puller(bank, server)
