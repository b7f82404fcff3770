"""What holds for all formats: contracts can be copied, files may be packed and are never too large."""

import gzip

import pytest
import yaml

from nightledger.clients import load_clients
from nightledger.ingestion.contract_files import load_contract
from nightledger.ingestion.formats import Unreadable
from tests.unit.ingestion.bank_formats.helpers import EXAMPLES, EXCERPTS, rows, written


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


@pytest.mark.parametrize(
    ("name", "kind", "count"),
    [
        ("bank_medium.ofx", "ofx", 3),
        ("ing.sta", "mt940", 7),
        ("camt053.v2.multi.statement.xml", "camt", 2),
    ],
)
def test_packed_files_of_banks_are_unpacked(tmp_path, name, kind, count):
    """Catches a reader that opens the file by itself."""
    packed = written(tmp_path, gzip.compress((EXCERPTS / name).read_bytes()), f"{name}.gz")
    assert len(rows(packed, type=kind)) == count


@pytest.mark.parametrize("kind", ["ofx", "mt940"])
def test_a_statement_that_fills_the_memory_is_refused_before_it_does(tmp_path, kind):
    """Catches a file of a gigabyte in one line, of which a reader would make eight."""
    packed = written(tmp_path, gzip.compress(b"x" * (65 << 20)), "large.gz")
    with pytest.raises(Unreadable, match="is larger than 64 MiB"):
        rows(packed, type=kind)
