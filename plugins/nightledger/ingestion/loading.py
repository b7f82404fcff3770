"""Loads landed files into raw, each whole or not at all, many in one pass."""

import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal

import duckdb

from nightledger.ingestion import decoding, extras, ledger, preflight, removal
from nightledger.ingestion.casting import filled_columns, typed_feed
from nightledger.ingestion.contract import SourceContract
from nightledger.ingestion.feeds import BY_SOURCE, FEEDS, create_tables, raw_columns
from nightledger.ingestion.judging import Judge
from nightledger.ingestion.landing import arrivals, state
from nightledger.ingestion.ledger import FileVerdict, Orders, Pending
from nightledger.ingestion.messages import Message, Refused, create_shape_macro
from nightledger.ingestion.reading import Readable, Reader, Scan
from nightledger.settings import Settings

log = logging.getLogger(__name__)

BATCH_BYTES = 256 << 20
"""Unpacked bytes that are read in one statement: enough for months of daily files, and bounded memory."""
CULPRITS = (duckdb.DataError, duckdb.InvalidInputException, ArithmeticError, ValueError, RecursionError)
"""What a value can raise that nobody thought of; all else is no file's fault."""
EXPANSION = 6
"""A gzipped file unpacks to about so many times its size."""


def has_pending(
    connection: duckdb.DuckDBPyConnection,
    settings: Settings,
    contracts: Iterable[SourceContract],
    cutoffs: Mapping[str, datetime],
    orders: Orders = ledger.NO_ORDERS,
) -> bool:
    """Whether a night with these cutoffs and orders would decide about any landed file."""
    contracts = list(contracts)
    landed = ledger.adopt(arrivals(settings), contracts)
    return any(
        ledger.pending(connection, landed, contract, contracts, cutoffs[contract.client], orders=orders)
        for contract in contracts
    )


def load(
    connection: duckdb.DuckDBPyConnection,
    settings: Settings,
    contracts: Iterable[SourceContract],
    cutoffs: Mapping[str, datetime],
    run_id: str,
    orders: Orders = ledger.NO_ORDERS,
) -> list[FileVerdict]:
    """Load every landed file that was known before its client's cutoff and is not in the ledger.

    Args:
        connection: writable, on the open build.
        settings: of the installation.
        contracts: all of them.
        cutoffs: by client; UTC without a zone.
        run_id: for the log.
        orders: files that are left out, and loaded ones that are read again: their rows are replaced.

    Returns:
        One verdict for each file that was decided now; a second call decides nothing.
    """
    create_tables(connection)
    create_shape_macro(connection)
    contracts = list(contracts)
    landed = ledger.adopt(arrivals(settings), contracts)
    verdicts: list[FileVerdict] = []
    for contract in contracts:
        decided: list[FileVerdict] = []
        tried: set[tuple[str, str]] = set()
        while pending := ledger.pending(
            connection, landed, contract, contracts, cutoffs[contract.client], tried, orders
        ):
            tried |= {(item.arrival.file, ledger.fingerprint(contract, item.arrival)) for item in pending}
            decided += _load_pending(connection, settings, contract, pending, run_id)
        verdicts += decided
    return verdicts


def _load_pending(
    connection: duckdb.DuckDBPyConnection,
    settings: Settings,
    contract: SourceContract,
    pending: list[Pending],
    run_id: str,
) -> list[FileVerdict]:
    """Load these files, batch by batch, each batch in a transaction of its own."""
    decided: list[FileVerdict] = []
    for batch in _batches(pending):
        started = time.monotonic()
        done = _load_batch(connection, settings, contract, batch)
        decided += done
        log.info(
            "%s: %s: %d files, %d records in %.1f s (%d of %d files done)",
            run_id,
            contract.name,
            len(done),
            sum(verdict.records for verdict in done),
            time.monotonic() - started,
            len(decided),
            len(pending),
        )
    return decided


def _load_batch(
    connection: duckdb.DuckDBPyConnection, settings: Settings, contract: SourceContract, batch: list[Pending]
) -> list[FileVerdict]:
    """Load a batch whole or not at all; when a value stops it, file by file, to refuse only the culprit.

    No value should: each is tested before it is cast. This is for the one that nobody thought of.
    """
    try:
        return _Batch(connection, settings, contract, batch).load()
    except CULPRITS as error:
        kind = type(error).__name__
    if len(batch) > 1:
        return [verdict for item in batch for verdict in _load_batch(connection, settings, contract, [item])]
    # The error's own text quotes the value: it stays out of messages and logs.
    log.warning("%s: %s: %s", contract.name, batch[0].arrival.sha256[:12], kind)
    stopped = _Batch(connection, settings, contract, batch)
    stopped.refusals[0] = Message(
        batch[0].arrival.file,
        f"one of its values cannot be read ({kind})",
        f"compare types and formats in sources/{contract.name}.yml with the file; "
        "report it if they are right",
    )
    return stopped.decide()


@contextmanager
def _transaction(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    connection.execute("begin")
    try:
        yield
    except BaseException:
        connection.execute("rollback")
        raise
    connection.execute("commit")


def _batches(pending: list[Pending]) -> Iterator[list[Pending]]:
    batch: list[Pending] = []
    size = 0
    for item in pending:
        weight = item.arrival.size * (EXPANSION if item.arrival.path.suffix == ".gz" else 1)
        if batch and size + weight > BATCH_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(item)
        size += weight
    if batch:
        yield batch


class _Batch:
    """Files of one contract that are read, cast and decided together, inside one transaction."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        settings: Settings,
        contract: SourceContract,
        pending: list[Pending],
    ) -> None:
        self.connection, self.settings, self.contract = connection, settings, contract
        self.pending = pending
        self.refusals: dict[int, Message] = {}
        self.states: dict[int, tuple[int, int, int]] = {}
        self.judge = Judge(connection, contract, pending)
        self.is_typed = False

    def load(self) -> list[FileVerdict]:
        """Decide about every file of the batch and write what was loaded."""
        try:
            # Outside of the transaction: what is not committed yet, the database reads with one core.
            self._judge(list(self._readable()))
            return self.decide()
        finally:
            self._clean_up()

    def _judge(self, readable: list[Readable]) -> None:
        """Type the records of the files, and find which files and which records are refused."""
        if not readable:
            return
        extras.prepare(self.connection, self.contract)
        self._list_files(readable)
        key = self.settings.token_key_bytes()
        with Reader(self.connection, self.contract, key, self.settings.landing) as reader:
            self.refusals |= reader.read(readable)
            for feed in self.judge.feeds if reader.scans else ():
                self._type(feed, reader.scans)
        self._refuse_changed(readable)
        self.is_typed = bool(reader.scans)
        if self.is_typed:
            self.refusals = self.judge.judge(self.refusals, reader.stated)

    def decide(self) -> list[FileVerdict]:
        """Write what was loaded, and the verdict on every file, in one transaction."""
        with _transaction(self.connection):
            read_again = {index: item.replaces for index, item in enumerate(self.pending) if item.replaces}
            replaced = [load for index, load in read_again.items() if load and index not in self.refusals]
            removal.remove(self.connection, replaced)
            sums = self._write() if self.is_typed else {}
            verdicts = [self._verdict(index, sums.get(index)) for index in range(len(self.pending))]
            # A file that is refused when it is read again stays in the ledger as it was loaded.
            decided = [
                (verdict, item.arrival)
                for index, (verdict, item) in enumerate(zip(verdicts, self.pending, strict=True))
                if index not in read_again or index not in self.refusals
            ]
            ledger.record(self.connection, self.contract, decided)
        return verdicts

    def _type(self, feed: str, scans: list[Scan]) -> None:
        """Make `<feed>_rows`, in the order of the files, and over it `typed_<feed>` with record numbers."""
        known_at = [item.known_at[feed] for item in self.pending]
        # No join up to here: it could change the order of the file, and with it the record numbers.
        for number, scan in enumerate(scans):
            statement = typed_feed(self.contract, feed, scan, known_at)
            into = f"insert into {feed}_rows" if number else f"create temp table {feed}_rows as"
            self.connection.execute(f"{into} {statement.sql}", statement.parameters)
        self.connection.execute("drop table if exists rejects; drop table if exists reject_scans")
        self._number_records(feed)

    def _number_records(self, feed: str) -> None:
        self.connection.execute(
            f"create or replace temp table {feed}_firsts as"  # noqa: S608 - names of feeds
            f" select file_index, min(rowid) as first, max(rowid) - min(rowid) + 1 - count(*) as gaps"
            f" from {feed}_rows group by 1"
        )
        gaps = self.connection.execute(f"select coalesce(max(gaps), 0) from {feed}_firsts").fetchone()  # noqa: S608
        if gaps != (0,):
            raise RuntimeError("the database read records out of order; record numbers would be wrong")
        record = f"{feed}_rows.rowid - first + 1"
        numbered = (
            f"select {feed}_rows.*, {feed}_rows.rowid as _row, {record} as _record"  # noqa: S608
            f" from {feed}_rows join {feed}_firsts as f on {feed}_rows.file_index = f.file_index"
        )
        if self.connection.execute("select count(*) from broken").fetchone() != (0,):
            numbered = f"""
                select r.* replace (r._record + coalesce(broken_before, 0) as _record)
                from ({numbered}) as r
                asof left join (
                    select file_index, good_before, max(broken_before) as broken_before
                    from broken group by all
                ) as b on r.file_index = b.file_index and r._record > b.good_before
                union all by name
                select file_index, record as _record, struct_pack(
                    column_name := null::varchar, reason := reason, shape := null::varchar) as error
                    {", true as is_unreadable" if feed == "transactions" else ""}
                from broken
            """  # noqa: S608 - names of feeds
        self.connection.execute(f"create or replace temp view typed_{feed} as {numbered}")

    def _readable(self) -> Iterator[Readable]:
        """Files that can be read at all; the others are refused."""
        for index, item in enumerate(self.pending):
            if item.repeats is not None:
                continue
            try:
                self._check_known_at(item)
                self._check_period(item)
                extras.check_types(self.connection, self.contract, item.arrival)
                self.states[index] = state(item.arrival.path.stat())
                yield Readable(index, item.arrival, preflight.check(item.arrival, self.contract))
            except Refused as refused:
                self.refusals[index] = refused.message

    def _refuse_changed(self, readable: list[Readable]) -> None:
        """Refuse files that somebody wrote to after their bytes were checked."""
        for file in readable:
            if state(file.arrival.path.stat()) != self.states[file.index]:
                self.refusals[file.index] = Message(
                    file.arrival.file,
                    "changed in the landing area while it was read",
                    decoding.bring_back(file.arrival),
                )

    def _check_known_at(self, item: Pending) -> None:
        for name, feed in self.contract.feeds.items():
            if feed.known_at.of_the_file and item.known_at[name] is None:
                where = "manifest" if feed.known_at.mode == "manifest" else "name"
                raise Refused(
                    Message(
                        item.arrival.file,
                        f"its {where} does not say when it was known",
                        f"mend known_at in sources/{self.contract.name}.yml, or ask the sender",
                    )
                )

    def _check_period(self, item: Pending) -> None:
        if self.contract.delivery.mode != "replace_period":
            return
        try:
            self.contract.delivery.period_of(item.arrival.file, item.arrival.manifest)
        except ValueError as error:
            mend = f"mend delivery.period in sources/{self.contract.name}.yml, or ask the sender"
            raise Refused(Message(item.arrival.file, str(error), mend)) from error

    def _replace_periods(self) -> None:
        """Write down for which business dates each file speaks: what it does not repeat holds no longer."""
        said = self.connection.execute("""
            select file_index, load_id, min(t.known_at), min(business_date), max(business_date)
            from batch_files left join typed_transactions as t using (file_index)
            where t.error is null group by all
        """).fetchall()
        for index, load, known_at, first, last in said:
            arrival = self.pending[index].arrival
            period = self.contract.delivery.period_of(arrival.file, arrival.manifest)
            period_from, period_to = period or (first, last)
            if period_from is None:
                continue
            self.connection.execute(
                "insert into raw.replaced_periods values (?, ?, ?, ?, ?, ?)",
                [
                    *(self.contract.client, self.contract.source, period_from, period_to),
                    *(known_at or self.pending[index].known_at["transactions"], load),
                ],
            )

    def _list_files(self, readable: list[Readable]) -> None:
        """Make `batch_files`: the files that are read."""
        self.connection.execute(
            "create or replace temp table batch_files (file_index integer, load_id varchar, file varchar)"
        )
        rows = [
            {
                "file_index": file.index,
                "load_id": ledger.load_id(self.contract, file.arrival),
                "file": file.arrival.file,
            }
            for file in readable
        ]
        ledger.insert(self.connection, "batch_files", rows)

    def _write(self) -> dict[int, Decimal]:
        """Move the good records of the files that were not refused to raw, the others to quarantine.

        Returns:
            The sum of the amounts in raw by file.
        """
        self.connection.execute(
            "delete from batch_files where list_contains($refused::integer[], file_index)",
            {"refused": sorted(self.refusals)},
        )
        constant = {"client": self.contract.client, "source": self.contract.source}
        # Record numbers are written down by now, so the order of rows may go, and both cores can write.
        self.connection.execute("set preserve_insertion_order = false")
        for feed in self.judge.feeds:
            made = {"client_id": "$client", "source": "$source", "_load_id": "load_id"}
            filled = filled_columns(self.contract, feed)
            columns = [
                name
                for name, _ in raw_columns(FEEDS[feed])
                if name in filled or name not in FEEDS[feed].names
            ]
            texts = [f"{made.get(name, f't.{name}')} as {name}" for name in columns]
            if feed in BY_SOURCE:
                texts += [f't.x_{name} as "{name}"' for name in self.contract.feeds[feed].extra]
            table, values = extras.feed_table(self.contract, feed), ", ".join(texts)
            self.connection.execute(
                f'insert into raw."{table}" by name select {values}'  # noqa: S608 - names are canonical
                f" from typed_{feed} as t join batch_files using (file_index) where t.error is null",
                constant,
            )
            extras.write(self.connection, self.contract, feed)
        if self.contract.delivery.mode == "replace_period":
            self._replace_periods()
        self.connection.execute(
            "insert into raw.quarantine select $client, $source, feed, file, _record, error.column_name,"
            " error.reason, error.shape, load_id from bad join batch_files using (file_index)"
            " order by file_index, feed, _record",
            constant,
        )
        self.connection.execute(
            "insert or replace into ops.load_feeds select load_id, feed, records, rows, quarantined"
            " from counts join batch_files using (file_index)"
        )
        if "transactions" not in self.judge.feeds:
            return {}
        return dict(
            self.connection.execute(
                "select file_index, coalesce(sum(amount) filter (where error is null), 0)"
                " from typed_transactions join batch_files using (file_index) group by 1"
            ).fetchall()
        )

    def _verdict(self, index: int, total: Decimal | None) -> FileVerdict:
        item = self.pending[index]
        verdict, message = "loaded", self.judge.remark(index)
        if item.repeats is not None:
            verdict = "duplicate"
            message = Message(
                item.arrival.file,
                f"the same bytes arrived before as {item.repeats} and count once",
                "nothing to do, unless the sender meant to send something else",
            )
        elif index in self.refusals:
            verdict, message = "refused", self.refusals[index]
        return FileVerdict(
            load_id=ledger.load_id(self.contract, item.arrival, duplicate=item.repeats is not None),
            client_id=self.contract.client,
            source=self.contract.source,
            contract=self.contract.name,
            file=item.arrival.file,
            sha256=item.arrival.sha256,
            arrived_at=item.arrival.arrived_at,
            records=self.judge.records.get(index, 0),
            amount_sum=total,
            quarantined=self.judge.quarantined.get(index, 0),
            verdict=verdict,
            message=str(message or ""),
        )

    def _clean_up(self) -> None:
        """Drop what the batch made, which is all that is temporary; a connection is used for many."""
        self.connection.execute("reset preserve_insertion_order")
        temporary = self.connection.execute(
            "select table_name, 'table' from duckdb_tables() where temporary union all"
            " select view_name, 'view' from duckdb_views() where temporary and not internal order by 2 desc"
        ).fetchall()
        for name, kind in temporary:
            self.connection.execute(f'drop {kind} if exists temp."{name}"')
