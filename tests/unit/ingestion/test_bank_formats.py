"""Files of banks, read by the ready contracts and compared with what their folders say they hold."""

import csv
import json
import os
import re
from collections.abc import Callable, Iterator
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from nightledger.clients import load_clients
from nightledger.ingestion import FileVerdict
from nightledger.ingestion.contract import FileFormat
from nightledger.ingestion.contract_files import load_contract
from nightledger.ingestion.formats import Table, Unreadable, read
from nightledger.settings import PROJECT
from tests.end_to_end.test_real_files import SHARED, shared
from tests.unit.ingestion.conftest import Bank

EXAMPLES = PROJECT / "sources" / "examples"
EXCERPTS = PROJECT / "tests" / "data" / "bank_formats"
FORMATS = SHARED / "formats"
Row = dict[str, str | None]


def files(folder: str, pattern: str, without: tuple[str, ...] = ()) -> list[Any]:
    """Parameters: the files of a folder of others; one that fails in CI where the folder is not there."""
    found = sorted(path for path in (FORMATS / folder).rglob(pattern) if path.name not in without)
    return [pytest.param(path, id=path.name) for path in found] or [FORMATS / folder / pattern]


def rows(path: Path, **form: Any) -> list[Row]:
    """The records of a file as its reader gives them."""
    table = read(path, FileFormat(**form))
    return [dict(zip(table.header, row, strict=True)) for row in table.rows]


@pytest.fixture(autouse=True)
def _shared(request: pytest.FixtureRequest) -> None:
    path = getattr(request.node, "callspec", None) and request.node.callspec.params.get("path")
    if isinstance(path, Path) and path.is_relative_to(FORMATS):
        shared("formats")


@pytest.fixture
def deliver(bank: Bank) -> Callable[..., FileVerdict]:
    """Takes a file in by a ready contract, as somebody does who copies it to `sources/`."""

    def _deliver(contract: str, path: Path, content: bytes | None = None, **form: Any) -> FileVerdict:
        values = yaml.safe_load((EXAMPLES / f"{contract}.yml").read_text())
        values |= {"client": "bank", "files": "delivered*", "format": values["format"] | form}
        (bank.settings.sources / f"{contract}.yml").write_text(yaml.safe_dump(values))
        name = f"delivered{path.suffix}"
        bank.file(name, path.read_bytes() if content is None else content)
        return bank.load()[name]

    return _deliver


def loaded(bank: Bank) -> list[tuple[Any, ...]]:
    """What came into the warehouse, in the order of the file."""
    return bank.rows("select amount, business_date, currency from raw.transactions order by _record")


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yml")), ids=lambda path: path.stem)
def test_a_ready_contract_is_one_that_can_be_copied(bank, path):
    """Catches a key that the contracts lose, which nobody would see before a customer copies the file."""
    (bank.settings.clients / "my_bank.yml").write_text(
        yaml.safe_dump({"name": "My bank", "timezone": "Europe/Berlin", "base_currency": "EUR"})
    )
    contract = load_contract(path, load_clients(bank.settings))
    assert contract.client == "my_bank"
    assert "transactions" in contract.feeds
    assert path.name in (EXAMPLES / "README.md").read_text()
