"""Files that are taken in by a ready contract, as a customer would."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from nightledger.ingestion import FileVerdict
from tests.helpers.real_files import shared
from tests.unit.ingestion.bank_formats.helpers import EXAMPLES, FORMATS
from tests.unit.ingestion.conftest import Bank


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
