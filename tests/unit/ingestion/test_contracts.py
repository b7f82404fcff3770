"""A mistake in a contract is reported with file, key and a suggestion, before any data is touched."""

import pytest

from nightledger import ingestion
from nightledger.ingestion import ContractError

from .conftest import CONTRACT

TRANSACTIONS = CONTRACT["feeds"]["transactions"]


def feed(**changes):
    return {"feeds": {"transactions": TRANSACTIONS | changes}}


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("unknown_key", {"formt": {"type": "csv"}}),
        ("unknown_nested_key", {"format": {"type": "csv", "delimitr": ";"}}),
        ("unknown_feed", {"feeds": {"transaction": TRANSACTIONS}}),
        ("unknown_column", feed(columns=TRANSACTIONS["columns"] | {"discription": "text"})),
        (
            "missing_mandatory",
            feed(columns={k: v for k, v in TRANSACTIONS["columns"].items() if k != "amount"}),
        ),
        ("bad_lag", feed(known_at={"mode": "event", "lag": "one day"})),
        ("bad_zone", {"timezone": "Europe/Londn"}),
        ("bad_key", feed(key=["transaction"])),
        ("two_origins", feed(columns=TRANSACTIONS["columns"] | {"city": {"column": "a", "constant": "b"}})),
        ("unknown_client", {"client": "bnk"}),
        ("unread_personal", {"personal": ["cards"]}),
        ("nothing_to_count_from", feed(known_at={"mode": "event", "lag": "1d", "from": "booked_at"})),
        ("bad_pattern", feed(known_at={"mode": "file_name", "pattern": r"tx_\d{8}"})),
        ("bad_currency", {"currency": "EURO"}),
        ("not_quoted", feed(columns=TRANSACTIONS["columns"] | {"city": {"constant": 7}})),
        ("token_as_amount", {"personal": ["amount"]}),
        ("unsigned_type_column", feed(sign={"mode": "type_column", "column": "dc"})),
        (
            "both_ways",
            feed(sign={"mode": "type_column", "column": "dc", "outflow": ["D"], "inflow": ["C", "D"]}),
        ),
        ("inflow_of_signed", feed(sign={"mode": "signed", "inflow": ["C"]})),
        ("bad_encoding", {"format": {"type": "csv", "encoding": "cp125"}}),
        ("no_encoding_of_text", {"format": {"type": "csv", "encoding": "zlib"}}),
        ("names_without_header_row", {"format": {"type": "csv", "names": ["id"]}}),
        ("header_row_without_names", {"format": {"type": "csv", "header_row": 0}}),
        ("doubled_names", {"format": {"type": "csv", "header_row": 0, "names": ["id", "id"]}}),
        ("one_mark", {"format": {"type": "csv", "thousands": "."}}),
        ("key_of_another_type", {"format": {"type": "csv", "sheets": "Jan"}}),
        ("bad_not_records", {"format": {"type": "csv", "not_records": {"id": "("}}}),
        ("unread_not_records", {"format": {"type": "csv", "not_records": {"ids": "x"}}}),
        ("unread_optional", {"optional": ["txt"]}),
        ("trailer_without_totals", {"format": {"type": "csv", "trailer": "T(?P<rows>.*)"}}),
        ("totals_without_trailer", {"totals": "trailer"}),
        ("trailer_without_groups", {"format": {"type": "csv", "trailer": "T.*"}, "totals": "trailer"}),
    ],
)
def test_a_mistake_names_file_and_key_and_what_was_meant(bank, golden, name, changes):
    """Catches an engineer who has to guess which of forty keys is wrong, or data read by a wrong contract."""
    bank.contract(**changes)
    bank.file("tx_1.csv", "anything")
    with pytest.raises(ContractError) as caught:
        bank.load()
    golden(f"contract_{name}", str(caught.value))
    assert not bank.settings.landing.exists()


def test_a_key_that_stands_twice_is_a_mistake(bank, golden):
    """Catches YAML that forgets the first of two feeds without a word."""
    path = bank.contract()
    path.write_text(path.read_text() + "client: other\n")
    with pytest.raises(ContractError) as caught:
        bank.load()
    golden("contract_doubled_key", str(caught.value))


def test_contracts_of_the_project_are_valid(settings_of_project):
    """Catches a shipped contract that nobody has read since."""
    names = [contract.name for contract in ingestion.load_contracts(settings_of_project)]
    assert "birmingham_purchase_cards" in names
    assert "sparkov_cards" in names


@pytest.fixture
def settings_of_project(tmp_path):
    from nightledger.settings import Settings

    return Settings(home=tmp_path, _env_file=None)


def test_a_file_that_two_contracts_claim_is_loaded_by_neither(bank):
    """Catches the same transactions loaded twice under two sources."""
    bank.contract("a", source="a")
    bank.contract("b", source="b")
    bank.file("tx_1.csv", "x")
    with pytest.raises(ContractError, match=r"tx_1\.csv: claimed by the contracts a and b"):
        bank.load()
