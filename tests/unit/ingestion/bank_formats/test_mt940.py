"""SWIFT's MT940 and MT942 statements, compared with what the project that collected them reads."""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from nightledger.ingestion.formats import Unreadable
from tests.helpers.real_files import shared
from tests.unit.ingestion.bank_formats.helpers import EXCERPTS, files, loaded, refusals, rows, written

SWIFT = "wolph+mt940/mt940_tests"
SWIFT_BROKEN = (
    *("amount_formats.sta", "account_balance_credit.sta", "account_balance_debit.sta", "gv_codes.sta"),
    *("empty_86.sta", "empty_entry_date.sta", "missing_crlf_at_end.sta", "available_balance.sta"),
    *("closing_balance.sta", "statement_details.sta", "statement_line.sta", "statement_number.sta"),
    *("empty_non_swift.sta", "invalid_statement.sta", "sparkassen.sta"),
)
"""Single fields and halves of statements, on which the folder's project tries its parts."""
CP852 = ("raiffeisen-cmi.sta",)


class _Expected(yaml.SafeLoader):
    """Reads the folder's expected results, which are written as Python objects, without making any."""


def _object(loader: yaml.SafeLoader, _: str, node: Any) -> Iterator[dict[str, Any]]:
    made: dict[str, Any] = {}
    yield made  # the objects refer to each other
    made.update(loader.construct_mapping(node))


def _applied(loader: yaml.SafeLoader, name: str, node: Any) -> Any:
    values = loader.construct_sequence(node, deep=True) if isinstance(node, yaml.SequenceNode) else None
    if name.endswith("Decimal") and values:
        return Decimal(values[0])
    if name.endswith("Date") and values and isinstance(values[0], bytes):
        high, low, month, day = values[0]
        return date(high * 256 + low, month, day)
    return values


_Expected.add_multi_constructor("tag:yaml.org,2002:python/object/apply:", _applied)
_Expected.add_multi_constructor("tag:yaml.org,2002:python/object:", _object)
_Expected.add_multi_constructor("tag:yaml.org,2002:python/name:", lambda loader, name, node: name)


def expected_swift(path: Path) -> list[tuple[Decimal, str, str | None]]:
    """Amount, value date and bank's reference of each transaction, as the folder's project has them.

    Its results take the reversal of a credit for money that comes in, as the library does unless told.
    """
    found = yaml.load(path.with_suffix(".yml").read_text(), _Expected)
    transactions = found["transactions"] if isinstance(found, dict) else found or []
    expected = []
    for transaction in transactions:
        data = transaction["data"]
        amount = data["amount"]["amount"] * (-1 if data["status"] == "RC" else 1)
        expected.append((amount, data["date"].isoformat(), data.get("bank_reference") or None))
    return expected


@pytest.mark.parametrize(
    "path",
    [path for path in files(SWIFT, "*.sta", SWIFT_BROKEN)],
    ids=lambda path: f"{path.parent.name}/{path.name}",
)
def test_a_swift_statement_comes_in_to_the_cent(bank, deliver, path):
    """Catches transactions that the library merges, drops or signs wrongly, in each file that it reads."""
    form = {"encoding": "cp852"} if path.name in CP852 else {}
    expected = expected_swift(path)
    found = rows(path, type="mt940", **form)
    assert [
        (Decimal(str(row["amount"])), row["value_date"], row["bank_reference"]) for row in found
    ] == expected
    verdict = deliver("mt940_statement", path, **form)
    assert (verdict.verdict, verdict.message, verdict.quarantined) == ("loaded", "", 0)
    assert [row[0] for row in loaded(bank)] == [amount for amount, _, _ in expected]
    assert [row[1].isoformat() for row in loaded(bank)] == [row["booking_date"] for row in found]


def test_the_excerpt_of_a_swift_statement_is_read_to_the_cent():
    """Catches amounts that are read short, and the statement's own details in its last transaction."""
    found = rows(EXCERPTS / "ing.sta", type="mt940")
    assert {row["opening_balance"] for row in found} == {"0.00"}
    total = sum(Decimal(str(row["amount"])) for row in found)
    assert (len(found), total) == (7, Decimal("-45.59"))
    assert (found[0]["account"], found[0]["currency"], found[0]["closing_balance"]) == (
        "0001234567",
        "EUR",
        "3.47",
    )
    assert (found[5]["amount"], found[5]["booking_date"], found[5]["transaction_type"]) == (
        *("3.68", "2010-07-22", "NTRF"),
    )
    assert str(found[6]["description"]).endswith("Betaling transactiedatum: 22-07-2010")


def swift(*lines: str) -> bytes:
    """A statement of one account."""
    head = (":20:R", ":25:DE00/1", ":28C:1", ":60F:C250101EUR0,00")
    return "\r\n".join([*head, *lines, ":62F:C250131EUR0,00", "-"]).encode()


@pytest.mark.parametrize(
    ("line", "amount", "is_reversal"),
    [
        (":61:2501020102D12,5NTRFNONREF", "-12.5", "false"),
        (":61:2501020102C12,NTRFNONREF", "12", "false"),
        (":61:2501020102RC3,00NTRFNONREF", "-3.00", "true"),
        (":61:2501020102RD3,00NTRFNONREF", "3.00", "true"),
        (":61:2501020102DR,50NTRFNONREF", "-0.50", "false"),
        (":61:250102D1234567890123,4NTRFNONREF", "-1234567890123.4", "false"),
    ],
)
def test_a_swift_amount_has_the_sign_of_its_mark(tmp_path, line, amount, is_reversal):
    """Catches reversals with the sign of what they reverse."""
    (row,) = rows(written(tmp_path, swift(line)), type="mt940")
    assert (row["amount"], row["is_reversal"], row["booking_date"]) == (amount, is_reversal, "2025-01-02")


@pytest.mark.parametrize(
    "line",
    [
        ":61:2501020102D12.50NTRFNONREF",
        ":61:2501020102D1.234,50NTRFNONREF",
        ":61:2501020102D1,234,50NTRFNONREF",
        ":61:2501020102DNTRFNONREF",
        ":61:2513020102D1,00NTRFNONREF",
        ":61:2501020102X1,00NTRFNONREF",
        ":61:nothing",
    ],
)
def test_a_swift_field_that_breaks_the_format_is_refused(tmp_path, line, caplog):
    """Catches 12.50 read as 12 by the library, and its logs, which quote the field."""
    good = ":61:2501020102C1,00NTRFNONREF"
    with pytest.raises(Unreadable) as refused:
        rows(written(tmp_path, swift(good, line)), type="mt940")
    assert refused.value.record in (1, 2)
    assert caplog.text == ""


def test_transactions_without_a_type_are_not_written_over_each_other(tmp_path):
    """Catches the library's taking a transaction without a type for one that is not there yet."""
    path = written(tmp_path, swift(":61:250102D1,00", ":61:250103D2,00", ":61:250104C3,00"))
    assert [row["amount"] for row in rows(path, type="mt940")] == ["-1.00", "-2.00", "3.00"]


def test_a_swift_file_that_is_cut_is_refused_until_a_statement_ends(tmp_path):
    """Catches a file without its end that loads what it has."""
    whole = (EXCERPTS / "ing.sta").read_bytes()
    for cut in range(whole.index(b":60F:") + 6, whole.index(b":62F:"), 15):
        with pytest.raises(Unreadable):
            rows(written(tmp_path, whole[:cut]), type="mt940")


def test_halves_of_swift_statements_are_refused_with_a_reason(golden):
    """Catches fields without an account that become records."""
    folder = shared("formats") / SWIFT
    paths = sorted(path for path in folder.rglob("*.sta") if path.name in SWIFT_BROKEN)
    golden("bank_formats_mt940", refusals(paths, type="mt940"))


def test_a_swift_file_in_another_encoding_is_refused_until_the_contract_names_it(bank, deliver, golden):
    """Catches names that are guessed into other letters."""
    content = swift(":61:250102D1,00NTRFNONREF", ":86:Café").decode().encode("cp1252")
    verdict = deliver("mt940_statement", Path("a.sta"), content)
    golden("refused_mt940_encoding", verdict.message)
    assert deliver("mt940_statement", Path("b.sta"), content, encoding="cp1252").verdict == "loaded"


def test_an_interim_report_and_its_statement_count_once(bank, deliver):
    """Catches a day's transactions that come in twice, with MT942 at noon and MT940 at night."""
    at_noon = swift(":61:250102D1,00NTRFNONREF", ":86:one").replace(b":60F:", b":34F:EUR0,00\r\n:60F:")
    at_night = swift(":61:250102D1,00NTRFNONREF", ":86:one", ":61:250102D1,00NTRFNONREF", ":86:one")
    assert deliver("mt940_statement", Path("noon.sta"), at_noon).verdict == "loaded"
    assert deliver("mt940_statement", Path("night.mt940"), at_night).verdict == "loaded"
    assert bank.rows("select count(distinct transaction_key) from raw.transactions") == [(2,)]
