"""Typed columns of Parquet become the same records, without loss."""

import gzip
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tests.unit.ingestion.conftest import HEADER, line, lines, record


def parquet(path: Path, **columns: pa.Array) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def test_typed_columns_of_parquet_come_in_without_loss(bank):
    """Catches money rounded by a binary number, exponents, and times that lose their zone."""
    india = timezone(timedelta(hours=5, minutes=30))
    moments = [datetime(2026, 7, 1, 10, 0, 0, 123456, india), datetime(2026, 1, 1, tzinfo=UTC)]
    columns = bank.columns(
        customer_id="who.id",
        account_id="who.id",
        card_token=None,
        event_at="at",
        fee_amount="fee",
        balance_after="balance",
    )
    bank.contract(
        format={"type": "parquet"},
        currency="CLF",
        personal=["who.id"],
        ignore=["flag"],
        feeds={"transactions": bank.transactions(columns=columns)},
    )
    parquet(
        bank.settings.inbox / "tx_1.parquet",
        id=pa.array([1, 2**62]),
        who=pa.array([{"id": "c1"}, {"id": "c2"}]),
        at=pa.array(moments, pa.timestamp("us", tz="Asia/Kolkata")),
        amount=pa.array([Decimal("-12345678901234.5670"), Decimal("0.0100")], pa.decimal128(18, 4)),
        fee=pa.array([0.1, 12345678901234.5]),
        balance=pa.array([1e-4, 1e13]),
        text=pa.array(['a,"b"\nc', "é"]),
        flag=pa.array([True, None]),
    )
    bank.only("tx_1.parquet")
    found = bank.rows(
        "select transaction_id, event_at, amount, fee_amount, balance_after, description"
        " from raw.transactions order by _record"
    )
    assert found == [
        ("1", datetime(2026, 7, 1, 4, 30, 0, 123456), Decimal("-12345678901234.5670"), Decimal("0.1"),
         Decimal("0.0001"), 'a,"b"\nc'),
        (str(2**62), datetime(2026, 1, 1), Decimal("0.01"), Decimal("12345678901234.5"),
         Decimal(10**13), "é"),
    ]  # fmt: skip


def test_local_times_of_parquet_stay_local(bank):
    """Catches a time without a zone that is taken for UTC."""
    bank.contract(
        format={"type": "parquet"},
        timezone="Asia/Kolkata",
        feeds={"transactions": bank.transactions(columns=bank.columns(event_at="at"))},
    )
    texts = {name: pa.array([text]) for name, text in record(1).items()}
    texts["at"] = pa.array([datetime(2026, 1, 1, 1)], pa.timestamp("ms"))
    parquet(bank.settings.inbox / "tx_1.parquet", **texts)
    bank.only("tx_1.parquet")
    assert bank.rows("select event_at, business_date from raw.transactions") == [
        (datetime(2025, 12, 31, 19, 30), date(2026, 1, 1))
    ]


def test_parquet_that_cannot_be_read_is_refused(bank, golden):
    """Catches a damaged file that stops a night, and a few bytes that unpack to gigabytes."""
    bank.contract(format={"type": "parquet"})
    inbox = bank.settings.inbox
    good = {name: pa.array([text] * 1000) for name, text in record(1).items()}
    content = parquet(inbox / "tx_good.parquet", **good).read_bytes()
    bank.file("tx_cut.parquet", content[:-100])
    bank.file("tx_damaged.parquet", b"PAR1" + b"\xff" * 400 + content[404:])
    bank.file("tx_csv.parquet", lines(line(1)))
    bank.file("tx_empty.parquet", b"")
    names = HEADER.split(",")
    parquet(inbox / "tx_control.parquet", **good | {"text": pa.array(["a\x1fb"] * 1000)})
    parquet(inbox / "tx_bytes.parquet", **good | {"text": pa.array([b"\xff\xfe"] * 1000)})
    parquet(inbox / "tx_rows.parquet", **dict.fromkeys(names, pa.nulls(12_000_000, pa.bool_())))
    parquet(
        inbox / "tx_texts.parquet", **good | {"text": pa.array(["x" * 100_000] * 1000).dictionary_encode()}
    )
    parquet(inbox / "tx_other.parquet", **good, shop=pa.array(["x"] * 1000))
    bank.file("tx_packed.parquet.gz", gzip.compress(content))
    verdicts = bank.load()
    assert verdicts.pop("tx_good.parquet").records == 1000
    assert {verdict.verdict for verdict in verdicts.values()} == {"refused"}
    golden("parquet", "\n".join(sorted(verdict.message for verdict in verdicts.values())))
