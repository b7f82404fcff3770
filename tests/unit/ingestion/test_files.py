"""What becomes of good and bad files: each loaded whole or not at all, none disturbing the others."""

import gzip
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from .conftest import HEADER, NOW, line, lines


def test_four_kinds_of_trouble_in_one_inbox_disturb_nobody(bank, golden):
    """Catches one bad file that takes good ones with it, and messages an operator cannot act on."""
    bank.contract(totals="manifest")
    bad = {17: {"amount": "12.5x"}, 4711: {"at": "2026-13-01 10:00:00"}, 9999: {"customer": ""}}
    records = [line(n, **bad.get(n, {})) for n in range(1, 10_001)]
    total = sum(Decimal(record.split(",")[4]) for n, record in enumerate(records, 1) if n != 17)
    bank.file("tx_three_bad.csv", lines(*records), {"rows": 10_000, "sum": str(total)})
    bank.file("tx_wrong_total.csv", lines(line(20_001), line(20_002)), {"rows": 2, "sum": "-40003.99"})
    bank.file("tx_wrong_count.csv", lines(line(20_003)), {"rows": 2})
    unknown = f"{HEADER},extra\n{line(20_004)},1\n"
    bank.file("tx_unknown_column.csv", unknown, {"rows": 1})
    bank.file("tx_twice_a.csv.gz", lines(line(20_005)), {"rows": 1, "sum": "-20005.50"})
    bank.file("tx_twice_b.csv.gz", lines(line(20_005)), {"rows": 1, "sum": "-20005.50"})
    verdicts = bank.load()
    golden("one_inbox", "\n".join(f"{v.verdict}: {v.message}" for _, v in sorted(verdicts.items())))
    assert bank.rows("select count(*), count(distinct transaction_key) from raw.transactions") == [
        (9998, 9998)
    ]
    assert bank.rows("select record, column_name, reason, shape from raw.quarantine order by record") == [
        (17, "amount", "not a number with at most 14 digits before the decimal point", "99.9a"),
        (4711, "at", "not a time in the contract's format", "9999-99-99 99:99:99"),
        (9999, "customer", "mandatory value is missing", None),
    ]
    assert bank.load() == {}, "a second load must decide nothing"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("truncated.csv.gz", gzip.compress(lines(*(line(n) for n in range(500))).encode())[:-40]),
        ("not_gzip.csv.gz", b"id,customer\n1,2\n"),
        ("latin1.csv", lines(line(1, text="caf\xe9")).encode("latin-1")),
        ("nul.csv", lines(line(1, text="a\0b"))),
        ("empty.csv", ""),
        ("missing_column.csv", "id,customer,card,at,amonut,text\nx,x,x,x,x,x\n"),
        ("doubled_column.csv", f"{HEADER},text\n{line(1)},x\n"),
        ("half_bad.csv", lines(line(1), line(2, amount="x"))),
        ("all_bad.csv", lines(line(1, amount="1.234"))),
    ],
)
def test_a_file_that_cannot_be_trusted_is_refused_whole(bank, golden, name, content):
    """Catches half a file that is taken for all of it."""
    bank.contract()
    bank.file(f"tx_{name}", content)
    bank.file("tx_good.csv", lines(line(1)))
    verdicts = bank.load()
    golden(f"refused_{name.partition('.')[0]}", verdicts[f"tx_{name}"].message)
    assert verdicts[f"tx_{name}"].verdict == "refused"
    assert verdicts["tx_good.csv"].verdict == "loaded"
    assert bank.rows("select count(*) from raw.transactions") == [(1,)]
    assert bank.rows("select count(*) from raw.quarantine") == [(0,)]


def test_a_bomb_is_refused_before_it_is_unpacked(bank):
    """Catches a night that dies of a full disk because of one small file."""
    bank.contract()
    bank.file("tx_bomb.csv.gz", gzip.compress(HEADER.encode() + b"\n" + b"a\n" * (40 << 20)))
    assert "unpacks to more than 200 times its size" in bank.load()["tx_bomb.csv.gz"].message


def test_line_ends_and_byte_order_marks_of_other_systems_are_read(bank):
    """Catches files from a spreadsheet whose first column nobody finds."""
    bank.contract()
    bank.file("tx_dos.csv", b"\xef\xbb\xbf" + lines(line(1), line(2)).replace("\n", "\r\n").encode())
    assert bank.load()["tx_dos.csv"].verdict == "loaded"
    assert bank.rows("select description from raw.transactions order by 1") == [("SHOP 1",), ("SHOP 2",)]


def test_columns_may_stand_in_another_order_in_the_next_file(bank):
    """Catches values that slip into the neighbouring column."""
    bank.contract()
    bank.file("tx_1.csv", lines(line(1)))
    bank.file("tx_2.csv", "text,amount,at,card,customer,id\nSHOP 2,-2.50,2026-01-05 10:00:00,4,c2,t2\n")
    bank.load()
    assert bank.rows("select transaction_id, amount, description from raw.transactions order by 1") == [
        ("t1", Decimal("-1.5000"), "SHOP 1"),
        ("t2", Decimal("-2.5000"), "SHOP 2"),
    ]


def test_a_file_waits_for_its_manifest(bank):
    """Catches a file that is read while the bank still writes it."""
    bank.contract(totals="manifest")
    bank.file("tx_1.csv", lines(line(1)))
    bank.file("letter.pdf", "x")
    assert bank.load() == {}
    assert bank.report.waiting == ["tx_1.csv"]
    assert bank.report.ignored == ["letter.pdf"]
    bank.file("tx_1.csv", lines(line(1)), {"rows": 1})
    assert bank.load()["tx_1.csv"].verdict == "loaded"


def test_an_unreadable_amount_makes_the_sum_unverifiable_and_not_wrong(bank):
    """Catches a good file refused because of one record that is quarantined anyway."""
    bank.contract(totals="manifest", max_bad_share=0.6)
    bank.file("tx_1.csv", lines(line(1), line(2, amount="?")), {"rows": 2, "sum": "-4.00"})
    verdict = bank.load()["tx_1.csv"]
    assert (verdict.verdict, verdict.quarantined) == ("loaded", 1)


def test_a_refused_file_is_tried_again_only_after_its_contract_was_mended(bank):
    """Catches a file that is lost after a mistake in the contract, or refused anew each night."""
    bank.contract()
    bank.file("tx_1.csv", lines(line(1, at="05.01.2026 10:00")))
    assert bank.load()["tx_1.csv"].verdict == "refused"
    assert bank.load() == {}
    mended = bank.columns(event_at={"column": "at", "format": "%d.%m.%Y %H:%M"})
    bank.contract(feeds={"transactions": bank.transactions(columns=mended)})
    assert bank.load()["tx_1.csv"].verdict == "loaded"
    assert bank.rows("select verdict, count(*) from ops.loads group by 1") == [("loaded", 1)]


def test_what_arrives_after_the_cutoff_waits_for_a_later_night(bank):
    """Catches a night that uses what could not have been known."""
    bank.contract(feeds={"transactions": bank.transactions(known_at="arrival")})
    bank.file("tx_1.csv", lines(line(1)))
    assert bank.load(cutoff=NOW) == {}
    assert (
        bank.load(cutoff=NOW + timedelta(seconds=1), now=NOW + timedelta(days=3))["tx_1.csv"].verdict
        == "loaded"
    )
    assert bank.rows("select known_at from raw.transactions") == [(NOW,)], "arrival is stamped once"


def test_landing_keeps_the_bytes_as_they_came(bank):
    """Catches a landing area that cannot be replayed."""
    bank.contract()
    path = bank.file("tx_1.csv.gz", lines(line(1)))
    before = path.read_bytes()
    bank.load()
    landed = list(bank.settings.landing.glob("*/*/content.gz"))
    assert [file.read_bytes() for file in landed] == [before]
    assert landed[0].stat().st_mode & 0o777 == 0o440
    assert path.exists(), "the inbox belongs to the sender"


def test_every_record_is_in_raw_or_in_quarantine(bank):
    """Catches a record that is lost between the two."""
    bank.contract(max_bad_share=1.0)
    bank.file("tx_1.csv", lines(*(line(n, amount="x" if n % 3 == 0 else "-1.00") for n in range(1, 100))))
    bank.load()
    assert bank.rows("select feed, records, rows, quarantined from ops.load_feeds") == [
        ("transactions", 99, 66, 33)
    ]
    assert bank.rows(
        "select (select count(*) from raw.transactions), (select count(*) from raw.quarantine)"
    ) == [(66, 33)]
    assert bank.rows("select records, quarantined, amount_sum from ops.loads") == [(99, 33, Decimal("-66"))]


def test_json_lines_are_read_like_csv(bank, golden):
    """Catches a JSON record that is dropped in silence."""
    feed = {
        "known_at": {"mode": "event", "lag": "1h"},
        "columns": {
            "customer_id": "who",
            "event_at": {"column": "when", "format": "%Y-%m-%dT%H:%M:%S"},
            "event_type": "what",
            "device_token": "device",
        },
    }
    bank.contract(
        "events",
        files="ev_*",
        format={"type": "jsonl"},
        personal=["device"],
        feeds={"events": feed},
        max_bad_share=0.5,
    )
    good = '{"who": "c1", "when": "2026-01-05T10:00:00", "what": "login", "device": "d1"}'
    bank.file(
        "ev_1.jsonl.gz",
        "\n".join([good, good.replace('"d1"', "null"), "{broken", good.replace("login", "dance"), good])
        + "\n",
    )
    bank.file("ev_2.jsonl", good.replace('"who"', '"whom"') + "\n")
    verdicts = bank.load()
    golden("json_lines", "\n".join(f"{v.verdict}: {v.message}" for _, v in sorted(verdicts.items())))
    assert bank.rows(
        "select _record, event_at, known_at, device_token is null from raw.events order by 1"
    ) == [
        (1, datetime(2026, 1, 5, 10), datetime(2026, 1, 5, 11), False),
        (2, datetime(2026, 1, 5, 10), datetime(2026, 1, 5, 11), True),
        (5, datetime(2026, 1, 5, 10), datetime(2026, 1, 5, 11), False),
    ]
    assert bank.rows("select record, column_name, shape from raw.quarantine order by 1") == [
        (3, None, None),
        (4, "what", "aaaaa"),
    ]


def test_bytes_that_were_refused_under_one_name_are_loaded_under_another(bank):
    """Catches good records lost because a first delivery of the same bytes had a wrong manifest."""
    bank.contract(totals="manifest")
    bank.file("tx_a.csv", lines(line(1)), {"rows": 2})
    assert bank.load()["tx_a.csv"].verdict == "refused"
    bank.file("tx_b.csv", lines(line(1)), {"rows": 1})
    verdicts = bank.load()
    assert {name: verdict.verdict for name, verdict in verdicts.items()} == {
        "tx_a.csv": "duplicate",
        "tx_b.csv": "loaded",
    }
    assert bank.rows("select count(*) from raw.transactions") == [(1,)]
    assert bank.load() == {}
