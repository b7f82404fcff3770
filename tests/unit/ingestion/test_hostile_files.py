"""Files, names, links and manifests that are not what they seem."""

import gzip
import os
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from nightledger.ingestion import landing, load_contracts, preflight
from nightledger.ingestion.messages import Refused
from tests.unit.ingestion.conftest import HEADER, NOW, Bank, line, lines


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
    started = time.process_time()
    tracemalloc.start()
    with pytest.raises(Refused) as refused:
        preflight.check(arrival, contract)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    golden(f"refused_{name}", refused.value.message.__str__())
    assert peak < 32 * MIB
    assert time.process_time() - started < 10


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
    started = time.process_time()
    verdict = bank.load()[f"tx_{name}.{kind}"]

    golden(f"refused_{name}", verdict.message)
    assert verdict.verdict == "refused"
    assert time.process_time() - started < 5


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


def test_a_text_without_end_in_json_is_refused_while_it_streams(bank: Bank) -> None:
    """Catches a parser that takes minutes and gigabytes for one text."""
    bank.contract(format={"type": "json"}, files="tx_*")
    bank.file("tx_1.json", '[{"text": "' + "x" * (17 << 20) + '"}]')
    bank.file("tx_2.json.gz", '[{"text": "' + "x" * (17 << 20) + '"}]')
    verdicts = bank.load()
    assert "holds a text of more than 16 MiB" in verdicts["tx_1.json"].message
    assert verdicts["tx_2.json.gz"].verdict == "refused"


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
