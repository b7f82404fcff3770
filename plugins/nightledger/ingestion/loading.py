"""Loads landed files into raw, each whole or not at all, many in one pass."""

import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from decimal import Decimal

import duckdb

from nightledger.ingestion import ledger, preflight
from nightledger.ingestion.casting import filled_columns, typed_feed
from nightledger.ingestion.contract import SourceContract
from nightledger.ingestion.feeds import FEEDS, create_tables, raw_columns
from nightledger.ingestion.judging import Judge
from nightledger.ingestion.landing import arrivals
from nightledger.ingestion.ledger import FileVerdict, Pending
from nightledger.ingestion.messages import Message, Refused, create_shape_macro
from nightledger.ingestion.reading import Readable, Reader
from nightledger.settings import Settings

log = logging.getLogger(__name__)

BATCH_BYTES = 256 << 20
"""Unpacked bytes that are read in one statement: enough for months of daily files, and bounded memory."""
EXPANSION = 6
"""A gzipped file unpacks to about so many times its size."""


def has_pending(
    connection: duckdb.DuckDBPyConnection,
    settings: Settings,
    contracts: Iterable[SourceContract],
    cutoffs: Mapping[str, datetime],
) -> bool:
    """Whether a night with these cutoffs would decide about any landed file."""
    landed = arrivals(settings)
    return any(
        ledger.pending(connection, landed, contract, cutoffs[contract.client]) for contract in contracts
    )


def load(
    connection: duckdb.DuckDBPyConnection,
    settings: Settings,
    contracts: Iterable[SourceContract],
    cutoffs: Mapping[str, datetime],
    run_id: str,
) -> list[FileVerdict]:
    """Load every landed file that was known before its client's cutoff and is not in the ledger.

    Args:
        connection: writable, on the open build.
        settings: of the installation.
        contracts: all of them.
        cutoffs: by client; UTC without a zone.
        run_id: for the log.

    Returns:
        One verdict for each file that was decided now; a second call decides nothing.
    """
    create_tables(connection)
    create_shape_macro(connection)
    landed = arrivals(settings)
    verdicts: list[FileVerdict] = []
    for contract in contracts:
        decided: list[FileVerdict] = []
        tried: set[tuple[str, str]] = set()
        while pending := ledger.pending(connection, landed, contract, cutoffs[contract.client], tried):
            tried |= {(item.arrival.file, ledger.fingerprint(contract, item.arrival)) for item in pending}
            decided += _load_pending(connection, settings, contract, pending, run_id)
        if decided:
            ledger.cover(connection, contract)
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
        connection.execute("begin")
        try:
            done = _Batch(connection, settings, contract, batch).load()
        except BaseException:
            connection.execute("rollback")
            raise
        connection.execute("commit")
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
        self.judge = Judge(connection, contract, pending)

    def load(self) -> list[FileVerdict]:
        """Decide about every file of the batch and write what was loaded."""
        readable = list(self._readable())
        sums: dict[int, Decimal] = {}
        if readable:
            self._list_files(readable)
            key = self.settings.token_key_bytes()
            reader = Reader(self.connection, self.contract, key, self.settings.landing)
            self.refusals |= reader.read(readable)
            for feed in self.judge.feeds:
                statement = typed_feed(self.contract, feed)
                self.connection.execute(statement.sql, statement.parameters)
            self.refusals = self.judge.judge(self.refusals)
            sums = self._write()
        verdicts = [self._verdict(index, sums.get(index)) for index in range(len(self.pending))]
        arrivals_decided = [item.arrival for item in self.pending]
        ledger.record(self.connection, self.contract, list(zip(verdicts, arrivals_decided, strict=True)))
        self._clean_up()
        return verdicts

    def _readable(self) -> Iterator[Readable]:
        """Files that can be read at all; the others are refused."""
        for index, item in enumerate(self.pending):
            if item.repeats is not None:
                continue
            try:
                self._check_known_at(item)
                yield Readable(index, item.arrival, preflight.check(item.arrival, self.contract))
            except Refused as refused:
                self.refusals[index] = refused.message

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

    def _list_files(self, readable: list[Readable]) -> None:
        """Make `batch_files`: the files that are read, and when each of their feeds was known."""
        known = "".join(f", known_{feed} timestamp" for feed in self.judge.feeds)
        self.connection.execute(
            "create or replace temp table batch_files"
            f" (file_index integer, load_id varchar, file varchar{known})"
        )
        rows = [
            {
                "file_index": file.index,
                "load_id": ledger.load_id(self.contract, file.arrival),
                "file": file.arrival.file,
            }
            | {f"known_{feed}": self.pending[file.index].known_at[feed] for feed in self.judge.feeds}
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
        for feed in self.judge.feeds:
            made = {"client_id": "$client", "source": "$source", "_load_id": "load_id"}
            filled = filled_columns(self.contract, feed)
            columns = [
                name
                for name, _ in raw_columns(FEEDS[feed])
                if name in filled or name not in FEEDS[feed].names
            ]
            values = ", ".join(f"{made.get(name, f't.{name}')} as {name}" for name in columns)
            self.connection.execute(
                f"insert into raw.{feed} by name select {values}"  # noqa: S608 - names are canonical
                f" from typed_{feed} as t join batch_files using (file_index) where t.error is null",
                constant,
            )
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
        """Drop what the batch made; a connection is used for many."""
        temporary = self.connection.execute(
            "select table_name, 'table' from duckdb_tables() where temporary union all"
            " select view_name, 'view' from duckdb_views() where temporary and not internal order by 2 desc"
        ).fetchall()
        for name, kind in temporary:
            if (kind, name) == ("view", "batch") or name.startswith(
                ("part", "typed_", "batch_", "bad", "counts")
            ):
                self.connection.execute(f'drop {kind} if exists temp."{name}"')
