"""`draft` proposes a contract; where the guesses suffice, `check` takes the very sample with it."""

import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from nightledger.ingestion import __main__ as commands
from tests.unit.ingestion.conftest import Bank
from tests.unit.ingestion.workbooks import workbook

DATA = Path(__file__).parents[2] / "data"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(bank: Bank, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command of the bank's installation; returns its exit code, output and standard error."""
    for name in ("home", "inbox", "sources", "clients"):
        monkeypatch.setenv(f"NIGHTLEDGER_{name.upper()}", str(getattr(bank.settings, name)))
    monkeypatch.setattr(commands.console, "width", 200)

    def command(*words: object) -> tuple[int, str, str]:
        code = commands.main([str(word) for word in words])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return command


def drafted(bank: Bank, run: Run, sample: Path) -> dict[str, Any]:
    """Draft a contract and keep it as sources/drafted.yml."""
    code, text, _ = run("draft", sample)
    assert code == 0
    (bank.settings.sources / "drafted.yml").write_text(text)
    contract: dict[str, Any] = yaml.safe_load(text)
    return contract


NAMES = "Booked;Text;Amount;Balance\n"


@pytest.mark.parametrize(
    ("above", "row"),
    [
        ("", 1),
        ("Account statement, January 2026\n", 2),
        ("Account statement\n\n", 3),
        ("Account statement;;;\n", 2),
        ("Account statement\nAccount;12345678\nFrom;01.01.2026\n\n", 5),
        ("Account statement;;;\nAccount;12345678;;\n;;;\n", 4),
    ],
)
def test_the_names_are_found_below_a_title(bank: Bank, run: Run, above: str, row: int) -> None:
    """Catches a title taken for a record, its commas for delimiters, and blank rows that are not counted."""
    sample = bank.settings.home / "statement_20260131.csv"
    records = "".join(f"{day:02d}.01.2026;SHOP {day};-{day},50;{100 - day},00\n" for day in range(1, 13))
    sample.write_text(above + NAMES + records)
    form = drafted(bank, run, sample)["format"]

    assert (form["delimiter"], form["decimal"], form.get("header_row", 1)) == (";", ",", row)
    code, said, _ = run("check", bank.settings.sources / "drafted.yml", sample)
    assert code == 0
    assert "12 records, 0 in quarantine, sum of amounts -84.0000" in said


REAL = {
    "birmingham_excerpt.csv.gz": (None, ""),
    "transactions_2022H2.csv.gz": (None, ""),
    "csv2ofx/capitalone.csv": ("2 records, 0 in quarantine, sum of amounts 0.0000", ""),
    "csv2ofx/n26-fr.csv": ("2 records, 0 in quarantine, sum of amounts 0.0000", ""),
    "csv2ofx/payoneer.csv": ("2 records, 0 in quarantine, sum of amounts 20.0000", ""),
    "csv2ofx/outbank.csv": (
        "4 records, 0 in quarantine, sum of amounts -35.8900",
        "semicolons, decimal commas",
    ),
    "csv2ofx/ingesp.csv": ("10 records, 0 in quarantine, sum of amounts 350.2100", "Spanish, day first"),
    "csv2ofx/xero.csv": ("13 records, 0 in quarantine, sum of amounts 0.0000", "months in letters"),
    "csv2ofx/stripe-default.csv": ("5 records, 0 in quarantine, sum of amounts -112.5000", "cad is CAD"),
    "csv2ofx/ubs-ch-fr_trimmed.csv": ("0 in quarantine", "French, 11'373.94"),
    "csv2ofx/gls.csv": ("1 records, 0 in quarantine, sum of amounts -98.7600", "German, cp1252"),
    "csv2ofx/mint.csv": (
        "4 records, 0 in quarantine, sum of amounts -3,000.0000",
        "carriage returns; 1,000.00",
    ),
}


@pytest.mark.parametrize("name", REAL)
def test_a_draft_of_a_real_file_takes_it(bank: Bank, run: Run, tmp_path: Path, name: str) -> None:
    """Catches guesses that a contract may not contain, and amounts or dates that were misread."""
    sample = shutil.copy(DATA / name, tmp_path)
    drafted(bank, run, Path(sample))
    code, printed, _ = run("check", bank.settings.sources / "drafted.yml", sample)

    assert code == 0, printed
    assert (REAL[name][0] or "0 in quarantine") in " ".join(printed.split())


def test_a_draft_finds_what_a_person_would(bank: Bank, run: Run) -> None:
    """Catches a draft that loads, but calls the wrong thing amount, key, person or fraud."""
    contract = drafted(bank, run, DATA / "transactions_2022H2.csv.gz")
    feed = contract["feeds"]["transactions"]

    assert contract["personal"] == ["ssn", "cc_num", "acct_num"]
    assert {"first", "last", "street", "dob"} <= set(contract["ignore"])
    assert feed["key"] == ["transaction_id"]
    assert feed["columns"] | {"description": "merchant"} == feed["columns"]
    assert feed["columns"]["event_at"] == {
        "columns": ["trans_date", "trans_time"], "format": "%Y-%m-%d %H:%M:%S",
    }  # fmt: skip
    assert contract["feeds"]["labels"]["columns"]["value"] == "is_fraud"
    assert contract["files"] == "transactions_*H2.csv.gz"


def test_what_cannot_be_guessed_is_asked(bank: Bank, run: Run, golden: Any, tmp_path: Path) -> None:
    """Catches a doubtful guess that looks like knowledge."""
    sample = tmp_path / "statement 2026-01.csv"
    sample.write_text(
        "Date,Details,Value,E-mail,Flag\n01/02/2026,COFFEE,3.50,a@b.example,yes\n03/02/2026,TEA,2.00,c@d.example,no\n"
    )
    _, text, said = run("draft", sample)

    golden("draft_doubts", text)
    assert "look at every `# ?`" in said


def test_a_table_without_amounts_becomes_attributes(bank: Bank, run: Run, tmp_path: Path) -> None:
    """Catches a public table without transactions that cannot even be drafted."""
    sample = tmp_path / "credit_default.csv"
    sample.write_text("customer_id,age,v1,defaulted\n1,31,-1.5e-05,0\n2,44,0.25,1\n")
    contract = drafted(bank, run, sample)
    code, printed, _ = run("check", bank.settings.sources / "drafted.yml", sample)

    assert list(contract["feeds"]) == ["attributes"]
    assert code == 0, printed
    assert "attributes: 2 rows" in printed


@pytest.mark.parametrize("form", ["json lines", "json array", "json object", "parquet", "excel"])
def test_other_formats_are_drafted_alike(bank: Bank, run: Run, tmp_path: Path, form: str) -> None:
    """Catches a draft that knows CSV only."""
    records = [
        {"id": f"t{n}", "account": "A1", "date": f"2026-01-0{n}", "amount": f"-{n}.50", "description": "SHOP"}
        for n in (1, 2, 3)
    ]
    sample = tmp_path / {"parquet": "s.parquet", "excel": "s.xlsx", "json lines": "s.jsonl"}.get(
        form, "s.json"
    )
    if form == "parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.Table.from_pylist(records), sample)
    elif form == "excel":
        rows = [list(records[0]), *(list(record.values()) for record in records)]
        sample.write_bytes(workbook({"Sheet1": rows}))
    elif form == "json lines":
        sample.write_text("".join(json.dumps(record) + "\n" for record in records))
    else:
        sample.write_text(
            json.dumps(records if form == "json array" else {"page": 1, "data": {"items": records}})
        )
    drafted(bank, run, sample)
    code, printed, _ = run("check", bank.settings.sources / "drafted.yml", sample)

    assert code == 0, printed
    assert "3 records, 0 in quarantine, sum of amounts -7.5000" in " ".join(printed.split())


NESTED: dict[str, tuple[Any, str]] = {
    "objects in a record": (
        [
            {"id": f"t{n}", "when": {"date": f"2026-01-0{n}"}, "sum": {"amount": -n, "currency": "GBP"},
             "shop": {"name": "CAFE", "tags": ["a", "b"]}, "account": "A1"}
            for n in (1, 2, 3)
        ],
        "3 records, 0 in quarantine, sum of amounts -6.0000",
    ),
    "records below accounts": (
        {"accounts": [
            {"account_id": f"A{a}", "transactions": [
                {"transaction_id": f"t{a}{n}", "date": "2026-01-05", "amount": n - 3, "name": "SHOP"}
                for n in (1, 2)
            ]}
            for a in (1, 2)
        ]},
        "4 records, 0 in quarantine, sum of amounts -6.0000",
    ),
    "one record": (
        {"data": {"items": [{"id": "t", "account": "A", "date": "2026-01-05", "amount": -1.5, "text": "X"}]}},
        "1 records, 0 in quarantine, sum of amounts -1.5000",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NESTED)
def test_nested_json_is_drafted_as_a_night_reads_it(bank: Bank, run: Run, tmp_path: Path, name: str) -> None:
    """Catches a draft whose columns nights call otherwise, so that `check` refuses its own sample."""
    sample = tmp_path / "sample.json"
    sample.write_text(json.dumps(NESTED[name][0]))
    drafted(bank, run, sample)
    code, printed, _ = run("check", bank.settings.sources / "drafted.yml", sample)

    assert code == 0, printed
    assert NESTED[name][1] in " ".join(printed.split())


def test_a_nested_record_a_line_passes_its_check(bank: Bank, run: Run, tmp_path: Path) -> None:
    """Catches JSON lines drafted like an array, which nights flatten and lines not."""
    sample = tmp_path / "sample.jsonl"
    record = {"account": "A1", "date": "2026-01-05", "amount": -2.5, "text": "X", "shop": {"name": "CAFE"}}
    sample.write_text("".join(json.dumps(record | {"id": f"t{n}"}) + "\n" for n in (1, 2)))
    contract = drafted(bank, run, sample)
    code, printed, _ = run("check", bank.settings.sources / "drafted.yml", sample)

    assert contract["format"]["type"] == "jsonl"
    assert code == 0, printed
    assert "2 records, 0 in quarantine, sum of amounts -5.0000" in " ".join(printed.split())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"%PDF-1.7 no text", "is no text; a sample is CSV, JSON, Parquet"),
        (b"PK\x03\x04\x14\x00workbook", "is no text"),
        (b"id,amount\n1,\x00\n", "is no text"),
        (b"", "is empty"),
        (b"\x1f\x8b\x08\x00broken", "truncated or damaged"),
        (b"[1, 2", "is no JSON"),
        (b"[1, 2]", "holds no list of JSON objects"),
    ],
)
def test_what_is_no_sample_is_refused(
    bank: Bank, run: Run, tmp_path: Path, content: bytes, message: str
) -> None:
    """Catches a traceback where a person needs a sentence."""
    sample = tmp_path / ("s.gz" if content.startswith(b"\x1f") else "s.txt")
    sample.write_bytes(content)
    code, text, said = run("draft", sample)

    assert (code, text) == (1, "")
    assert message in said


@pytest.mark.parametrize(
    ("name", "example"),
    [
        ("bank_medium.ofx", "ofx_statement.yml"),
        ("ing.sta", "mt940_statement.yml"),
        ("camt053.v2.multi.statement.xml", "camt_statement.yml"),
    ],
)
def test_a_statement_in_a_banks_format_has_its_ready_contract(
    bank: Bank, run: Run, tmp_path: Path, name: str, example: str
) -> None:
    """Catches a contract for CSV that is drafted from tags and codes."""
    sample = tmp_path / f"{name}.txt"
    shutil.copyfile(DATA / "bank_formats" / name, sample)
    code, text, said = run("draft", sample)

    assert (code, text) == (1, "")
    assert f"begin with sources/examples/{example}" in said


def test_a_draft_quotes_no_value(bank: Bank, run: Run, tmp_path: Path) -> None:
    """Catches a contract, which is committed, that holds a customer's name or card."""
    sample = tmp_path / "cards.csv.gz"
    sample.write_bytes(
        gzip.compress(
            b"card,holder,when,amount,shop\n4929111122223333,Ann Example,2026-01-05,-1.00,CAFE SOL\n"
        )
    )
    _, text, said = run("draft", sample)

    assert not any(value in text + said for value in ("4929", "Ann", "CAFE", "1.00"))


def test_a_person_in_the_first_row_is_no_name_of_a_column(bank: Bank, run: Run, tmp_path: Path) -> None:
    """Catches values of customers that get into a contract, and with it into git."""
    sample = tmp_path / "people.csv"
    sample.write_text("Maria Gonzalez,maria@x.com,Main St 5\nJuan Perez,juan@x.com,Main St 7\n")
    _, printed, errors = run("draft", sample)
    assert "Maria" not in printed + errors and "Main St" not in printed + errors, printed
