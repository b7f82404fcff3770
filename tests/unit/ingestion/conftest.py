"""A bank of its own for each test: contracts, an inbox, and a warehouse on a file, as a night has it."""

import copy
import gzip
import json
import os
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

from nightledger import ingestion, warehouse
from nightledger.ingestion import CollectReport, FileVerdict
from nightledger.settings import Settings

NOW = datetime(2026, 1, 10, 1, 30)
FAR = datetime(9999, 1, 1)
HEADER = "id,customer,card,at,amount,text"
CONTRACT: dict[str, Any] = {
    "client": "bank",
    "source": "cards",
    "files": "tx_*",
    "format": {"type": "csv"},
    "personal": ["card"],
    "feeds": {
        "transactions": {
            "key": ["transaction_id"],
            "known_at": {"mode": "event", "lag": "1d"},
            "columns": {
                "transaction_id": "id",
                "customer_id": "customer",
                "account_id": "customer",
                "card_token": "card",
                "event_at": {"column": "at", "format": "%Y-%m-%d %H:%M:%S"},
                "amount": "amount",
                "description": "text",
            },
        }
    },
}


def line(number: int, **changes: str) -> str:
    """A good record, with changes by column."""
    values = {
        "id": f"t{number}",
        "customer": f"c{number % 7}",
        "card": f"4{number:015d}",
        "at": "2026-01-05 10:00:00",
        "amount": f"-{number}.50",
        "text": f"SHOP {number}",
    } | changes
    return ",".join(values.values())


def lines(*records: str) -> str:
    """A file of records."""
    return "\n".join([HEADER, *records]) + "\n"


def record(number: int, **changes: Any) -> dict[str, Any]:
    """A good record as an object, with changes by name."""
    return dict(zip(HEADER.split(","), line(number).split(","), strict=True)) | changes


class Bank:
    """A client in London with its contracts and its inbox."""

    def __init__(self, home: Path) -> None:
        sources, clients = home / "sources", home / "clients"
        for folder in (sources, clients, home / "inbox", home / "builds"):
            folder.mkdir(parents=True)
        client = {"name": "Bank", "timezone": "Europe/London", "base_currency": "GBP"}
        (clients / "bank.yml").write_text(yaml.safe_dump(client))
        self.settings = Settings(
            home=home,
            inbox=home / "inbox",
            sources=sources,
            clients=clients,
            token_key="test-key",
            _env_file=None,
        )
        self.connection: duckdb.DuckDBPyConnection = warehouse.connect(
            home / "builds", read_only=False, settings=self.settings
        )
        self.report = CollectReport()

    def contract(self, name: str = "cards", **changes: Any) -> Path:
        """Write the plain contract with some of its keys replaced."""
        path = self.settings.sources / f"{name}.yml"
        path.write_text(yaml.safe_dump(CONTRACT | changes, sort_keys=False))
        return path

    def columns(self, **changes: Any) -> dict[str, Any]:
        """Columns of the plain contract with changes; None takes one out."""
        columns = CONTRACT["feeds"]["transactions"]["columns"] | changes
        return {name: spec for name, spec in columns.items() if spec is not None}

    def transactions(self, **changes: Any) -> dict[str, Any]:
        """The feed of the plain contract with some of its keys replaced."""
        feed: dict[str, Any] = copy.deepcopy(CONTRACT["feeds"]["transactions"])
        return feed | changes

    def file(self, name: str, content: str | bytes, manifest: dict[str, Any] | None = None) -> Path:
        """Drop a file into the inbox; a text is packed when the name says so."""
        path = self.settings.inbox / name
        data = content.encode() if isinstance(content, str) else content
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") and isinstance(content, str) else data)
        if manifest is not None:
            path.with_name(f"{name}.manifest.json").write_text(json.dumps(manifest))
        return path

    def load(self, cutoff: datetime = FAR, now: datetime = NOW) -> dict[str, FileVerdict]:
        """Collect and load; verdicts by file name."""
        contracts = ingestion.load_contracts(self.settings)
        self.report = ingestion.collect(self.settings, contracts, now)
        verdicts = ingestion.load(self.connection, self.settings, contracts, {"bank": cutoff}, "run/test")
        return {verdict.file: verdict for verdict in verdicts}

    def only(self, name: str = "tx_1.csv") -> FileVerdict:
        """The verdict on the one file, loaded without a message."""
        verdict = self.load()[name]
        assert (verdict.verdict, verdict.message) == ("loaded", "")
        return verdict

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of a query on the warehouse."""
        return self.connection.execute(sql).fetchall()


@pytest.fixture
def bank(tmp_path: Path) -> Iterator[Bank]:
    """A bank without contracts or files."""
    made = Bank(tmp_path / "home")
    yield made
    made.connection.close()


@pytest.fixture
def golden() -> Callable[[str, str], None]:
    """Compares a text with `golden/<name>.txt`; NIGHTLEDGER_UPDATE_GOLDEN=1 writes it instead."""

    def compare(name: str, text: str) -> None:
        path = Path(__file__).parent / "golden" / f"{name}.txt"
        if os.environ.get("NIGHTLEDGER_UPDATE_GOLDEN"):
            path.write_text(text + "\n")
        assert text + "\n" == path.read_text()

    return compare
