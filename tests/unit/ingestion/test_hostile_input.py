"""Values that a database misreads or stops at, and files that are not what they seem."""

import gzip
import os
import time
import tracemalloc
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
from rich.console import Console

from nightledger.ingestion import ContractError, landing, load_contracts, preflight
from nightledger.ingestion import __main__ as commands
from nightledger.ingestion.messages import Refused
from nightledger.ingestion.statement import Statement
from tests.unit.ingestion.conftest import CONTRACT, HEADER, NOW, Bank, line, lines

TAKEN: dict[str, tuple[object, str, bool]] = {
    "seconds beyond all time": ({"column": "text", "format": "unix"}, "99999999999999", False),
    "infinity": ("text", "infinity", False),
    "the word epoch": ("text", "epoch", False),
    "a year of six digits": ("text", "290000-01-01 00:00:00", False),
    "a Z where the format has an offset": (
        {"column": "text", "format": "%Y-%m-%dT%H:%M:%S%z"}, "2026-03-01T10:00:00Z", True,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", TAKEN)
def test_an_odd_time_is_taken_or_quarantined_and_disturbs_nobody(bank: Bank, case: str) -> None:
    """Catches a number that stops every night, and words that DuckDB reads as times."""
    spec, value, is_taken = TAKEN[case]
    columns = bank.columns(booked_at=spec, description={"constant": "shop"})
    bank.contract(feeds={"transactions": bank.transactions(columns=columns)}, max_bad_share=1)
    bank.file("tx_1.csv", lines(line(1, text=value)))
    bank.file("tx_2.csv", lines(line(2, text="")))

    assert bank.load()["tx_2.csv"].verdict == "loaded"
    assert bank.rows("select count(*) from raw.transactions") == [(1 + is_taken,)]


@pytest.mark.parametrize(("value", "taken"), [("91.5", False), ("1_2.5", False), ("-89.999999", True)])
def test_a_latitude_is_one(bank: Bank, value: str, taken: bool) -> None:
    """Catches places that are on no map."""
    columns = bank.columns(latitude="text", description={"constant": "shop"})
    bank.contract(feeds={"transactions": bank.transactions(columns=columns)}, max_bad_share=1)
    bank.file("tx_1.csv", lines(line(1, text=value)))
    bank.load()

    assert bank.rows("select count(*) from raw.transactions") == [(taken,)]


@pytest.mark.parametrize(("currency", "taken"), [("RSD", True), ("JPY", False), ("GBP", True)])
def test_decimals_are_those_that_banks_book(bank: Bank, currency: str, taken: bool) -> None:
    """Catches a whole country in quarantine: CLDR shows dinars without paras, ISO 4217 has them."""
    columns = bank.columns(currency="text", description={"constant": "shop"})
    bank.contract(feeds={"transactions": bank.transactions(columns=columns)}, max_bad_share=1)
    bank.file("tx_1.csv", lines(line(1, text=currency, amount="-12.34")))
    bank.load()

    assert bank.rows("select count(*) from raw.transactions") == [(taken,)]


def test_a_point_in_a_file_of_decimal_commas_is_no_thousands_mark(bank: Bank) -> None:
    """Catches 12.50 that becomes 1250."""
    bank.contract(format={"type": "csv", "delimiter": ";", "decimal": ","}, max_bad_share=1)
    amounts = ["1.234,50", "12,5", "12.50", "1.23,4"]
    records = [line(n, amount=amount.replace(",", "|")) for n, amount in enumerate(amounts)]
    bank.file("tx_1.csv", lines(*records).replace(",", ";").replace("|", ","))
    bank.load()

    assert bank.rows("select amount from raw.transactions order by _record") == [
        (Decimal("1234.50"),), (Decimal("12.50"),),
    ]  # fmt: skip


def test_a_limit_has_the_decimals_of_the_contracts_currency(bank: Bank) -> None:
    """Catches money that is rounded without a word because its row names no currency."""
    columns = {"account_id": "id", "customer_id": "customer", "credit_limit": "amount"}
    ignore = ["card", "at", "text"]
    bank.contract(feeds={"accounts": {"columns": columns}}, ignore=ignore, personal=[], max_bad_share=1)
    bank.file("tx_1.csv", lines(line(1, amount="12.34567")))
    bank.load()

    assert bank.rows("select count(*) from raw.accounts") == [(0,)]


def test_columns_may_differ_in_case_only(bank: Bank) -> None:
    """Catches a readable file that is refused because the database does not tell Text from text."""
    bank.contract(ignore=["Text", "filename"])
    bank.file("tx_1.csv", f"{HEADER},Text,filename\n{line(1)},A,f\n")

    assert bank.load()["tx_1.csv"].verdict == "loaded"
    assert bank.rows("select description from raw.transactions") == [("SHOP 1",)]


def test_json_that_says_two_things_is_quarantined(bank: Bank) -> None:
    """Catches the first of two amounts taken for the only one, and NUL characters in texts."""
    bank.contract(format={"type": "jsonl"}, max_bad_share=1)
    good = '{"id":"t1","customer":"c","card":"4","at":"2026-01-05 10:00:00","amount":1,"text":"x"}'
    twice, control = good.replace('"amount":1', '"amount":1,"amount":2'), good.replace('"x"', '"\\u0000"')
    bank.file("tx_1.jsonl", f"{good}\n{twice}\n{control}\n")
    bank.load()

    assert bank.rows("select record, reason from raw.quarantine order by 1") == [
        (2, "a name stands twice"),
        (3, "holds a control character"),
    ]


def test_bytes_that_changed_in_the_landing_area_are_refused(bank: Bank) -> None:
    """Catches a landing area that was tampered with, loaded under the hash of what had arrived."""
    bank.contract()
    bank.file("tx_1.csv", lines(line(1)))
    bank.load()
    bank.connection.execute("delete from ops.loads")
    [content] = [path for path in bank.settings.landing.rglob("content") if path.is_file()]
    content.chmod(0o640)
    content.write_text(lines(line(2)))

    assert "has changed in the landing area" in bank.load()["tx_1.csv"].message


def test_a_format_that_nobody_can_read_is_a_mistake_of_the_contract(bank: Bank) -> None:
    """Catches a format that stops the first night instead of the check of the contract."""
    bank.contract(
        feeds={
            "transactions": bank.transactions(columns=bank.columns(event_at={"column": "at", "format": "%Q"}))
        }
    )

    with pytest.raises(ContractError, match=r"columns\.event_at\.format: '%Q' is no format of dates"):
        load_contracts(bank.settings)


MIB = 1 << 20
BIG = {
    # 1 GB each, unpacked: members of a gzip file may be chained.
    "bomb": gzip.compress(lines(*[line(1)] * (16 * MIB // 48)).encode()) * 64,
    "one_line": gzip.compress(f"{HEADER}\n".encode()) + gzip.compress(b"a" * 16 * MIB) * 64,
}


@pytest.mark.parametrize("name", BIG)
def test_a_small_file_that_unpacks_to_a_gigabyte_is_refused_while_it_streams(
    bank: Bank, golden: Callable[[str, str], None], name: str
) -> None:
    """Catches a sender who fills memory or disk with a file of a few megabytes, or keeps the night busy."""
    [contract] = [bank.contract(), *load_contracts(bank.settings)][1:]
    path = bank.file(f"tx_{name}.csv.gz", BIG[name])
    landing.land(bank.settings, path, contract, NOW)
    [arrival] = landing.arrivals(bank.settings)
    started = time.monotonic()
    tracemalloc.start()
    with pytest.raises(Refused) as refused:
        preflight.check(arrival, contract)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    golden(f"refused_{name}", refused.value.message.__str__())
    assert peak < 32 * MIB
    assert time.monotonic() - started < 10


MANY = [f"column_{number}" for number in range(100_000)]
WHOLE: dict[str, tuple[str, str | bytes]] = {
    "utf16": ("csv", lines(line(1)).encode("utf-16")),
    "many_columns": ("csv", ",".join(MANY) + "\n" + "," * (len(MANY) - 1) + "\n"),
    "many_names": ("jsonl", "{" + ",".join(f'"{name}":1' for name in MANY) + "}\n"),
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_file_of_another_kind_is_refused_at_once(
    bank: Bank, golden: Callable[[str, str], None], name: str
) -> None:
    """Catches a header that keeps the night busy for an hour, and text in another encoding."""
    kind, content = WHOLE[name]
    bank.contract(format={"type": kind})
    bank.file(f"tx_{name}.{kind}", content)
    started = time.monotonic()
    verdict = bank.load()[f"tx_{name}.{kind}"]

    golden(f"refused_{name}", verdict.message)
    assert verdict.verdict == "refused"
    assert time.monotonic() - started < 5


ODD = {
    "year_0": {"at": "0000-01-05 10:00:00"},
    "year_1": {"at": "0001-01-05 10:00:00"},
    "year_9999": {"at": "9999-12-31 23:59:59"},
    "year_10000": {"at": "10000-01-01 00:00:00"},
    "exponent": {"amount": "1e5"},
    "exponent_with_sign": {"amount": "-1E+2"},
    "hexadecimal": {"amount": "0x10"},
    "not_a_number": {"amount": "NaN"},
    "infinity": {"amount": "Infinity"},
    "other_digits": {"amount": "١٢.٥٠"},
    "many_digits": {"amount": "9" * 400},
    "a_blank_inside": {"amount": "1 000.00"},
}


@pytest.mark.parametrize("name", ODD)
def test_an_odd_value_is_quarantined_by_its_shape(
    bank: Bank, golden: Callable[[str, str], None], name: str
) -> None:
    """Catches 1e5 booked as a hundred thousand, and times that no calendar of the database can hold."""
    bank.contract(max_bad_share=0.5)
    bank.file("tx_1.csv", lines(line(1), line(2, **ODD[name]), line(3)))
    verdict = bank.load()["tx_1.csv"]

    golden(f"odd_{name}", verdict.message)
    assert bank.rows("select transaction_id from raw.transactions order by 1") == [("t1",), ("t3",)]


NAMES = {
    "control characters": "tx_a\n\x1b[2Jb.csv",
    "text that runs backwards": "tx_\u202egpj.csv",
    "a name as long as a name may be": "tx_" + "a" * 247 + ".csv",
    "bytes that are no text": os.fsdecode(b"tx_\xff\xfe.csv"),
    "dots": "tx_..csv",
    "a formula": "tx_,=HYPERLINK('http:x').csv",
    "markup": "tx_[red]<b>[link=file:x]y[\\].csv",
    "a path in other signs": "tx_..\\..\\etc\\x.csv",
    "SQL": "tx_'; drop table raw.transactions; --.csv",
}


def _files(bank: Bank) -> set[Path]:
    """What lies outside the landing area and the warehouse."""
    found = bank.settings.home.parent.rglob("*")
    return {path for path in found if not {"landing", "builds"} & set(path.parts)}


@pytest.mark.parametrize("name", NAMES)
def test_a_tricky_name_stays_a_name(bank: Bank, name: str) -> None:
    """Catches a name that leaves the landing area, stops the night, or rewrites the line it is shown in."""
    bank.contract()
    bank.file(NAMES[name], lines(line(1)))
    bank.file(NAMES[name].replace("tx_", "tx_2"), "id,customer\n1,2\n") if len(NAMES[name]) < 250 else None
    before = _files(bank)
    verdicts = bank.load()

    assert bank.rows("select count(*) from raw.transactions") == [(1,)]
    assert _files(bank) == before
    assert all(verdict.message.isprintable() for verdict in verdicts.values())
    assert bank.load() == {}


def test_messages_show_tricky_names_as_they_are(bank: Bank, golden: Callable[[str, str], None]) -> None:
    """Catches a name that a message or the ledger shows as another file, a path, a colour or nothing."""
    bank.contract()
    for number, name in enumerate(NAMES.values()):
        bank.file(name, f"id,customer\n{number},2\n")
    verdicts = bank.load()

    assert [verdict.verdict for verdict in verdicts.values()] == ["refused"] * len(NAMES)
    golden("names_with_tricks", "\n".join(sorted(verdict.message for verdict in verdicts.values())))


def test_a_path_with_steps_upwards_lands_under_its_last_name(bank: Bank, tmp_path: Path) -> None:
    """Catches ../../etc/x.csv written to where it points."""
    bank.contract()
    [contract] = load_contracts(bank.settings)
    bank.file("tx_1.csv", lines(line(1)))
    landing.land(bank.settings, bank.settings.inbox / ".." / "inbox" / "tx_1.csv", contract, NOW)

    [arrival] = landing.arrivals(bank.settings)
    assert arrival.file == "tx_1.csv"
    assert arrival.path.resolve().is_relative_to(bank.settings.landing.resolve())


def test_a_link_that_a_sender_made_is_ignored(
    bank: Bank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches a sender who reads the installation's secrets by way of a quarantine or a copy."""
    bank.contract()
    secret = tmp_path / "secret"
    secret.write_text(lines(line(1)))
    (bank.settings.inbox / "tx_1.csv").symlink_to(secret)
    monkeypatch.setattr(landing.os, "getuid", lambda: -1)

    assert bank.load() == {}
    assert bank.report.ignored == ["tx_1.csv"]


TEXTS = [
    "'; drop table raw.transactions; --",
    '"" or ""=""',
    "<script>alert(1)</script>",
    '=HYPERLINK(""http://x"")',
    "@SUM(1+1)*cmd|' /C calc'!A0",
    "+1-1",
    "[red]x[/red] [/]",
    "[link=file:///etc/passwd]x[/link]",
    "{{ 7*7 }} ${7*7} $p0 $1 ?",
    "\u202eetirw ot",
]


def test_texts_load_as_they_are_and_do_nothing(bank: Bank) -> None:
    """Catches a description that is run, or mended, instead of kept."""
    bank.contract()
    bank.file("tx_1.csv", lines(*(line(n, text=f'"{text}"') for n, text in enumerate(TEXTS))))
    bank.load()

    expected = [(text.replace('""', '"'),) for text in TEXTS]
    assert bank.rows("select description from raw.transactions order by _record") == expected


def test_texts_are_inert_in_the_report_of_a_check(
    bank: Bank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches a description that colours, links or hides what a person reads, or stops the report."""
    contract = bank.contract(max_bad_share=1)
    sample = tmp_path / "tx_[red]1[bold].csv"
    sample.write_text(lines(*(line(n, text=f'"{text}"') for n, text in enumerate(TEXTS))))
    with Console(
        record=True, width=400, force_terminal=True, highlight=False, file=(tmp_path / "shown").open("w")
    ) as console:
        monkeypatch.setattr(commands, "console", console)
        monkeypatch.setattr(commands, "SHOWN", len(TEXTS))
        assert commands.check(bank.settings, load_contracts(bank.settings)[0], sample)
    shown = (tmp_path / "shown").read_text()

    assert contract.exists()
    assert "\x1b]8;" not in shown, "a link"
    assert "\u202e" not in shown
    assert "tx_[red]1[bold].csv would be loaded" in shown.replace("\x1b[32m", "").replace("\x1b[0m", "")
    assert "[link=file:" in shown
    assert "[red]x[/red]" in shown


def test_one_value_that_nobody_thought_of_refuses_its_file_only(
    bank: Bank, golden: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches an error of the database that stops every file of a contract, night after night."""
    bank.contract()
    for number in (1, 2, 3):
        bank.file(f"tx_{number}.csv", lines(line(number, amount="secret" if number == 2 else "-1.00")))
    monkeypatch.setattr(Statement, "number", lambda self, text: f"cast({text} as decimal(18,4))")
    verdicts = bank.load()

    golden("refused_uncastable", verdicts["tx_2.csv"].message)
    assert [verdicts[f"tx_{number}.csv"].verdict for number in (1, 2, 3)] == ["loaded", "refused", "loaded"]
    assert bank.rows("select transaction_id, _record from raw.transactions order by 1") == [
        ("t1", 1),
        ("t3", 1),
    ]
    assert bank.load() == {}, "refused until contract or file change"


CHANGES: dict[str, Callable[[Bank], object]] = {
    "its file has another name": lambda bank: _rename(bank),
    "a type": lambda bank: bank.contract(
        feeds={"transactions": bank.transactions(columns=bank.columns(booked_at="at"))}, max_bad_share=1
    ),
    "the key": lambda bank: bank.contract(
        feeds={"transactions": bank.transactions(key="occurrence")}, max_bad_share=1
    ),
    "its source": lambda bank: bank.contract(source="other", max_bad_share=1),
    "its feeds": lambda bank: bank.contract(
        feeds=CONTRACT["feeds"] | {"accounts": {"columns": {"account_id": "customer", "customer_id": "id"}}},
        max_bad_share=1,
    ),
}


def _rename(bank: Bank) -> None:
    bank.contract().unlink()
    bank.contract("renamed", max_bad_share=1)


@pytest.mark.parametrize("change", CHANGES)
def test_a_contract_that_changes_counts_nothing_twice_and_tries_again(bank: Bank, change: str) -> None:
    """Catches files that are loaded once more because their contract has another name, source or shape."""
    bank.contract()
    bank.file("tx_1.csv", lines(line(1), line(2)))
    bank.file("tx_2.csv", lines(line(3), line(4, amount="x")))
    first = bank.load()
    CHANGES[change](bank)
    second = bank.load()

    assert (first["tx_1.csv"].verdict, first["tx_2.csv"].verdict) == ("loaded", "refused")
    assert {name: verdict.verdict for name, verdict in second.items()} == {"tx_2.csv": "loaded"}
    assert bank.rows("select count(*), sum(amount) from raw.transactions") == [(3, Decimal("-7.50"))]
    assert bank.rows("select file, verdict from ops.loads order by 1") == [
        ("tx_1.csv", "loaded"), ("tx_2.csv", "loaded"),
    ]  # fmt: skip
    assert bank.load() == {}


def test_files_of_a_new_layout_join_those_of_the_old_one(bank: Bank) -> None:
    """Catches columns that were renamed by the bank, and with them the old files refused or counted again."""
    bank.contract()
    bank.file("tx_1.csv", lines(line(1)))
    bank.file("tx_2.csv", lines(line(1, amount="x")))
    bank.load()
    bank.contract(feeds={"transactions": bank.transactions(columns=bank.columns(amount="value"))})
    bank.file("tx_3.csv", lines(line(1), line(3)).replace("amount", "value"))
    verdicts = bank.load()

    assert {name: verdict.verdict for name, verdict in verdicts.items()} == {
        "tx_2.csv": "refused", "tx_3.csv": "loaded",
    }  # fmt: skip
    assert "column amount" in verdicts["tx_2.csv"].message or "column value" in verdicts["tx_2.csv"].message
    assert bank.rows("select count(distinct transaction_key) from raw.transactions") == [(2,)]
    assert bank.load() == {}


MANIFESTS: dict[str, str] = {
    "a sum without end": '{"rows": 1, "sum": "Infinity"}',
    "a sum that is a trap": '{"rows": 1, "sum": "sNaN"}',
    "a sum of fifty decimals": '{"rows": 1, "sum": "-1.' + "5" * 50 + '"}',
    "brackets without end": "[" * 100_000,
}


@pytest.mark.parametrize("case", MANIFESTS)
def test_a_manifest_that_nobody_thought_of_stops_no_other_file(bank: Bank, case: str) -> None:
    """Catches one sender's manifest that ends every client's night, and that no hold can set aside."""
    bank.contract(totals="manifest")
    bank.file("tx_1.csv", lines(line(1)))
    (bank.settings.inbox / "tx_1.csv.manifest.json").write_text(MANIFESTS[case])
    bank.file("tx_2.csv", lines(line(2)), {"rows": 1, "sum": "-2.50"})
    verdicts = bank.load()

    assert verdicts["tx_2.csv"].verdict == "loaded"
    if "tx_1.csv" in verdicts:
        assert verdicts["tx_1.csv"].message == (
            "file tx_1.csv · record – · column sum · the manifest's sum is not a number · "
            "next: ask the sender for the whole file and its manifest"
        )
    else:
        assert bank.report.waiting == ["tx_1.csv"]


def test_a_folder_that_is_called_like_a_manifest_is_none(bank: Bank) -> None:
    """Catches a sender's folder that ends the night before anything has landed."""
    bank.contract()
    bank.file("tx_1.csv", lines(line(1)))
    (bank.settings.inbox / "tx_1.csv.manifest.json").mkdir()
    assert bank.load()["tx_1.csv"].verdict == "loaded"


@pytest.mark.parametrize(
    ("mode", "name", "known_at"),
    [
        ({"mode": "manifest"}, "tx_1.csv", "0001-01-01T00:00:00+14:00"),
        ({"mode": "manifest"}, "tx_1.csv", "9999-12-31T23:00:00-14:00"),
        ({"mode": "file_name", "pattern": r"tx_(\d{8})", "lag": "2d"}, "tx_99991231.csv", None),
    ],
)
def test_a_time_at_the_end_of_all_times_refuses_its_file_only(
    bank: Bank, mode: dict[str, str], name: str, known_at: str | None
) -> None:
    """Catches an overflow of the calendar that ends the night."""
    bank.contract(feeds={"transactions": bank.transactions(known_at=mode)})
    bank.file(name, lines(line(1)), {"known_at": known_at})
    verdict = bank.load()[name]
    assert verdict.verdict == "refused"
    assert "does not say when it was known" in verdict.message


def test_a_text_without_end_in_json_is_refused_while_it_streams(bank: Bank) -> None:
    """Catches a parser that takes minutes and gigabytes for one text."""
    bank.contract(format={"type": "json"}, files="tx_*")
    bank.file("tx_1.json", '[{"text": "' + "x" * (17 << 20) + '"}]')
    bank.file("tx_2.json.gz", '[{"text": "' + "x" * (17 << 20) + '"}]')
    verdicts = bank.load()
    assert "holds a text of more than 16 MiB" in verdicts["tx_1.json"].message
    assert verdicts["tx_2.json.gz"].verdict == "refused"


def test_a_number_that_a_double_cannot_hold_is_no_other_number(bank: Bank) -> None:
    """Catches cents that are lost on large amounts, and places of many digits that are refused for it."""
    columns = bank.columns(latitude="place", account_id="customer", card_token=None)
    bank.contract(
        format={"type": "jsonl"},
        feeds={"transactions": bank.transactions(columns=columns)},
        personal=[],
        max_bad_share=1,
    )
    record = (
        '{{"id": "t{n}", "customer": "c", "at": "2026-01-05 10:00:00", "text": "s", "amount": {amount},'
        ' "place": {place}}}'
    )
    texts = [("-99999999999999.99", "1.5"), ('"-99999999999999.99"', "12.345678901234567"), ("-10.5", "1.5")]
    bank.file(
        "tx_1.jsonl",
        "\n".join(record.format(n=n, amount=amount, place=place) for n, (amount, place) in enumerate(texts)),
    )
    bank.load()
    assert bank.rows("select transaction_id, amount from raw.transactions order by 1") == [
        ("t1", Decimal("-99999999999999.99")),
        ("t2", Decimal("-10.50")),
    ]
    assert bank.rows("select reason from raw.quarantine") == [
        ("a number has more digits than can be read exactly; as a text it can",)
    ]


def test_a_file_that_vanishes_or_may_not_be_read_waits(bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a sender that is still at work, and a night that ends because of it."""
    bank.contract()
    bank.file("tx_1.csv", lines(line(1)))
    bank.file("tx_2.csv", lines(line(2)))
    opened = Path.open

    def refuse(self: Path, *arguments: object, **keywords: object) -> object:
        if self.name == "tx_1.csv":
            raise PermissionError(13, "Permission denied", str(self))
        return opened(self, *arguments, **keywords)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "open", refuse)
    assert bank.load()["tx_2.csv"].verdict == "loaded"
    assert bank.report.unreadable == ["tx_1.csv"]
    assert "1 cannot be read (first: tx_1.csv)" in bank.report.summary()
    monkeypatch.undo()
    assert bank.load()["tx_1.csv"].verdict == "loaded"
