"""Loads landed files into raw, each whole or not at all, many in one pass."""

import hashlib
import hmac
import logging
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

import duckdb
import pyarrow as pa

from nightledger.ingestion import preflight
from nightledger.ingestion.casting import Statement, key_statement, typed_feed
from nightledger.ingestion.contract import SourceContract
from nightledger.ingestion.feeds import FEEDS, create_tables, raw_columns
from nightledger.ingestion.landing import Arrival, arrivals
from nightledger.ingestion.messages import Message, Refused, create_shape_macro
from nightledger.settings import Settings

log = logging.getLogger(__name__)

BATCH_BYTES = 256 << 20
TOKEN_LENGTH = 32


@dataclass(frozen=True)
class FileVerdict:
    """What became of one file: `loaded`, `refused` or `duplicate`, with the message that says why."""

    load_id: str
    client_id: str
    source: str
    contract: str
    file: str
    sha256: str
    arrived_at: datetime
    records: int
    amount_sum: Decimal | None
    quarantined: int
    verdict: str
    message: str

    def as_dict(self) -> dict[str, Any]:
        """The verdict as a row."""
        return asdict(self)


def load_id(contract: SourceContract, arrival: Arrival, *, duplicate: bool = False) -> str:
    """Id of a load: the same bytes under the same contract always have the same."""
    parts = [contract.client, contract.source, contract.name, arrival.sha256]
    if duplicate:
        parts.append(arrival.file)
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class _Pending:
    """An arrival that the ledger does not know yet, with the name that it repeats, if it does."""

    arrival: Arrival
    repeats: str | None
    known_at: datetime | None


def _pending(
    connection: duckdb.DuckDBPyConnection,
    landed: Sequence[Arrival],
    contract: SourceContract,
    cutoff: datetime,
) -> list[_Pending]:
    """Arrivals to be decided tonight: not in the ledger, or refused under a contract that has changed since."""
    settled = {
        row[0]
        for row in connection.execute(
            "select load_id from ops.loads where contract = ? and (verdict <> 'refused' or _contract_hash = ?)",
            [contract.name, contract.fingerprint],
        ).fetchall()
    }
    first_names: dict[str, str] = {}
    found = []
    for arrival in landed:
        if arrival.contract != contract.name:
            continue
        repeats = first_names.get(arrival.sha256)
        first_names.setdefault(arrival.sha256, arrival.file)
        if load_id(contract, arrival, duplicate=repeats is not None) in settled:
            continue
        known_at = _file_known_at(contract, arrival)
        # Known later than tonight's cutoff: its turn comes with a later night.
        if known_at is None or known_at < cutoff:
            found.append(_Pending(arrival, repeats, known_at))
    return found


def _file_known_at(contract: SourceContract, arrival: Arrival) -> datetime | None:
    """The one time at which all rows of a file were known, or None when rows have their own."""
    times: list[datetime | None] = []
    for feed in contract.feeds.values():
        known = feed.known_at
        if known.mode == "arrival":
            times.append(arrival.arrived_at)
        elif known.mode == "manifest":
            times.append(arrival.manifest_known_at)
        elif known.mode == "file_name":
            match = re.search(str(known.pattern), arrival.file)
            stated = match.group(1) if match else ""
            try:
                local = datetime.strptime(stated, known.format or "%Y%m%d")  # noqa: DTZ007 - zone follows
            except ValueError:
                times.append(None)
                continue
            from zoneinfo import ZoneInfo

            utc = local.replace(tzinfo=ZoneInfo(contract.timezone)).astimezone(UTC).replace(tzinfo=None)
            times.append(utc + known.lag)
        else:
            return None
    return max((moment for moment in times if moment), default=None)


def has_pending(
    connection: duckdb.DuckDBPyConnection,
    settings: Settings,
    contracts: Iterable[SourceContract],
    cutoffs: Mapping[str, datetime],
) -> bool:
    """Whether a night with these cutoffs would decide about any landed file."""
    landed = arrivals(settings)
    return any(_pending(connection, landed, contract, cutoffs[contract.client]) for contract in contracts)


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
        pending = _pending(connection, landed, contract, cutoffs[contract.client])
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
        if decided:
            _cover(connection, contract)
        verdicts += decided
    return verdicts


def _batches(pending: list[_Pending]) -> Iterator[list[_Pending]]:
    batch: list[_Pending] = []
    size = 0
    for item in pending:
        # A gzipped file unpacks to about six times its size.
        weight = item.arrival.size * (6 if item.arrival.path.suffix == ".gz" else 1)
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
        pending: list[_Pending],
    ) -> None:
        self.connection, self.settings, self.contract = connection, settings, contract
        self.pending = pending
        self.refusals: dict[int, Message] = {}

    def load(self) -> list[FileVerdict]:
        """Decide about every file of the batch and write what was loaded."""
        readable: dict[tuple[str, ...], list[int]] = {}
        for index, item in enumerate(self.pending):
            if item.repeats is not None:
                continue
            try:
                header = preflight.check(item.arrival, self.contract)
                self._check_known_at(item)
            except Refused as refused:
                self.refusals[index] = refused.message
            else:
                readable.setdefault(header, []).append(index)
        self._make_batch(readable)
        if readable:
            for feed in self._feeds():
                self._run(typed_feed(self.contract, feed))
            if "transactions" in self.contract.feeds:
                self._key_transactions()
            self._link_labels()
            self._count()
            self._refuse_by_counts()
        verdicts = self._verdicts()
        if readable:
            self._write()
        self._ledger(verdicts)
        return verdicts

    def _feeds(self) -> list[str]:
        return [name for name in FEEDS if name in self.contract.feeds]

    def _run(self, statement: Statement) -> None:
        self.connection.execute(statement.sql, statement.parameters)

    def _check_known_at(self, item: _Pending) -> None:
        file_wide = all(feed.known_at.of_the_file for feed in self.contract.feeds.values())
        if file_wide and item.known_at is None:
            raise Refused(
                Message(
                    item.arrival.file,
                    "neither its name nor its manifest says when it was known",
                    f"mend known_at in sources/{self.contract.name}.yml, or ask the sender",
                )
            )

    def _make_batch(self, readable: dict[tuple[str, ...], list[int]]) -> None:
        """Make `batch_files` and `batch`: every record of every readable file, as text, tokens for persons."""
        self.connection.execute(
            "create or replace temp table batch_files"
            " (file_index integer, load_id varchar, file varchar, path varchar, file_known_at timestamp)"
        )
        rows = [
            {
                "file_index": index,
                "load_id": load_id(self.contract, self.pending[index].arrival),
                "file": self.pending[index].arrival.file,
                "path": str(self.pending[index].arrival.path),
                "file_known_at": self.pending[index].known_at,
            }
            for indexes in readable.values()
            for index in indexes
        ]
        self._insert("batch_files", rows)
        columns = "".join(f", c{number} varchar" for number in range(len(self.contract.read)))
        self.connection.execute(
            f"create or replace temp table batch (file_index integer, record bigint, broken varchar{columns})"
        )
        for header, indexes in readable.items():
            paths = [str(self.pending[index].arrival.path) for index in indexes]
            if self.contract.format.type == "csv":
                self._read_csv(header, paths)
            else:
                self._read_jsonl(paths)

    def _insert(self, table: str, rows: list[dict[str, Any]]) -> None:
        """Insert rows by column name."""
        if not rows:
            return
        self.connection.register("rows_to_insert", pa.Table.from_pylist(rows))
        self.connection.execute(f"insert into {table} by name from rows_to_insert")
        self.connection.unregister("rows_to_insert")

    def _tokens(self, statement: Statement, expression: str, name: str) -> str:
        """A source column as it may be kept: personal values as HMAC-SHA256 of client and value, 32 digits."""
        if name not in self.contract.personal:
            return expression
        key = self.settings.token_key_bytes()
        block = (hashlib.sha256(key).digest() if len(key) > 64 else key).ljust(64, b"\0")
        inner = statement.bind(bytes(byte ^ 0x36 for byte in block))
        outer = statement.bind(bytes(byte ^ 0x5C for byte in block))
        client = statement.bind(f"{self.contract.client}\x1f")
        value = f"nullif(trim({expression}), '')"
        digest = f"sha256({outer} || unhex(sha256({inner} || encode({client} || {value}))))"
        return f"case when {value} is not null then left({digest}, {TOKEN_LENGTH}) end"

    def _read_csv(self, header: tuple[str, ...], paths: list[str]) -> None:
        statement = Statement(self.contract)
        kept = ", ".join(
            f"{self._tokens(statement, _quoted(name), name)} as c{number}"
            for number, name in enumerate(self.contract.read)
        )
        declared = ", ".join(f"'{_escaped(name)}': 'varchar'" for name in header)
        form = self.contract.format
        parameters = {"paths": paths, "delim": form.delimiter, "quote": form.quote}
        self.connection.execute("drop table if exists rejects; drop table if exists reject_scans")
        self.connection.execute(
            f"""
            create or replace temp table read_rows as
            select filename as path, {kept}
            from read_csv(
                $paths, auto_detect = false, header = true, delim = $delim, quote = $quote, escape = $quote,
                columns = {{{declared}}}, filename = true, store_rejects = true,
                rejects_table = 'rejects', rejects_scan = 'reject_scans', max_line_size = 16777216)
            """,  # noqa: S608 - identifiers are quoted, values are bound
            parameters | statement.parameters,
        )
        # The reader counts the header as line 1, so record = line - 1; it counts records, not line breaks.
        self.connection.execute(
            """
            create or replace temp table broken_rows as
            select path, line - 1 as record, reason,
                   line - 1 - row_number() over (partition by path order by line) as good_before,
                   row_number() over (partition by path order by line) as broken_before
            from (
                select s.file_path as path, r.line, arg_min(
                    case r.error_type::varchar
                        when 'MISSING COLUMNS' then 'too few fields'
                        when 'TOO MANY COLUMNS' then 'too many fields'
                        when 'UNQUOTED VALUE' then 'a quote is not closed as it should be'
                        when 'LINE SIZE OVER MAXIMUM' then 'the record is longer than 16 MiB'
                        else 'the record cannot be read' end, r.column_idx) as reason
                from rejects as r join reject_scans as s using (scan_id, file_id)
                group by all
            )
            """
        )
        names = ", ".join(f"c{number}" for number in range(len(self.contract.read)))
        self.connection.execute(
            f"""
            insert into batch
            with starts as (select path, min(rowid) as first from read_rows group by path),
            ranked as (
                select read_rows.*, read_rows.rowid - first + 1 as good from read_rows join starts using (path)
            )
            select file_index, good + coalesce(broken_before, 0), null, {names}
            from ranked
            asof left join broken_rows on ranked.path = broken_rows.path and ranked.good > broken_rows.good_before
            join batch_files on ranked.path = batch_files.path
            """  # noqa: S608 - column names are numbers
        )
        self.connection.execute(
            "insert into batch by name select file_index, record, reason as broken"
            " from broken_rows join batch_files using (path)"
        )
        self.connection.execute("drop table rejects; drop table reject_scans; drop table read_rows")

    def _read_jsonl(self, paths: list[str]) -> None:
        self.connection.execute(
            "create or replace temp table read_rows as"
            " select filename as path, json from read_ndjson_objects($paths, ignore_errors = true, filename = true)",
            {"paths": paths},
        )
        found = self.connection.execute(
            "select file_index, list(distinct key) from ("
            "  select path, unnest(json_keys(json)) as key from read_rows"
            "  where json is not null and json_type(json) = 'OBJECT')"
            " join batch_files using (path) group by file_index"
        ).fetchall()
        for index, keys in found:
            try:
                present = tuple(sorted(keys))
                optional = [name for name in self.contract.read if name not in present]
                if len(optional) == len(self.contract.read):
                    preflight.check_columns(self.pending[index].arrival, self.contract, present)
                preflight.check_columns(
                    self.pending[index].arrival, self.contract, (*present, *self.contract.read)
                )
            except Refused as refused:
                self.refusals[index] = refused.message
        statement = Statement(self.contract)
        kept = ", ".join(
            self._tokens(statement, f"(json ->> {statement.bind('$.' + _quoted(name))})", name)
            for name in self.contract.read
        )
        self.connection.execute(
            f"""
            insert into batch
            with starts as (select path, min(rowid) as first from read_rows group by path)
            select file_index, read_rows.rowid - first + 1,
                   case when json is null or json_type(json) <> 'OBJECT' then 'not a JSON object' end, {kept}
            from read_rows join starts using (path) join batch_files using (path)
            """,  # noqa: S608 - values are bound
            statement.parameters,
        )
        self.connection.execute("drop table read_rows")

    def _key_transactions(self) -> None:
        """Number twins, make keys, and quarantine a known key that comes with other content."""
        self._run(key_statement(self.contract))
        key = self.contract.feeds["transactions"].key
        if key == "occurrence":
            return
        spec = self.contract.feeds["transactions"].columns[key[0]]
        self.connection.execute(
            """
            update keyed_transactions set error = struct_pack(
                column_name := $column::varchar,
                reason := 'key already known with other content', shape := null::varchar)
            from (
                select b.file_index, b._record
                from (
                    select file_index, _record, transaction_key, _content_hash,
                           first_value(_content_hash) over (
                               partition by transaction_key order by known_at, file_index, _record) as in_batch
                    from keyed_transactions where error is null
                ) as b
                left join (
                    select transaction_key, arg_min(_content_hash, (known_at, _load_id, _record)) as in_raw
                    from raw.transactions where client_id = $client and source = $source group by 1
                ) as r using (transaction_key)
                where b._content_hash <> coalesce(in_raw, in_batch)
            ) as conflict
            where keyed_transactions.file_index = conflict.file_index
              and keyed_transactions._record = conflict._record
            """,
            {
                "column": "+".join(spec.read) or key[0],
                "client": self.contract.client,
                "source": self.contract.source,
            },
        )

    def _link_labels(self) -> None:
        """Give labels of transactions in the same file the key of their record's transaction."""
        labels = self.contract.feeds.get("labels")
        if labels is None or labels.columns["entity_id"].key_of is None:
            return
        self.connection.execute(
            """
            update typed_labels set
                entity_id = k.transaction_key,
                error = coalesce(typed_labels.error, case when k.error is not null then struct_pack(
                    column_name := null::varchar,
                    reason := 'its transaction is in quarantine', shape := null::varchar) end)
            from keyed_transactions as k
            where k.file_index = typed_labels.file_index and k._record = typed_labels._record
            """
        )

    def _table(self, feed: str) -> str:
        return "keyed_transactions" if feed == "transactions" else f"typed_{feed}"

    def _count(self) -> None:
        """Make `counts` by file and feed, and `bad` with every quarantined record."""
        bad = " union all ".join(
            f"select file_index, '{feed}' as feed, _record, error from {self._table(feed)} where error is not null"
            for feed in self._feeds()
        )
        self.connection.execute(f"create or replace temp table bad as {bad}")
        counts = " union all ".join(
            f"select file_index, '{feed}' as feed, count(*) as records,"
            f" count(*) filter (where error is null) as rows, count(error) as quarantined"
            f" from {self._table(feed)} group by file_index"
            for feed in self._feeds()
        )
        self.connection.execute(f"create or replace temp table counts as {counts}")

    def _refuse_by_counts(self) -> None:
        sums = self._file_sums()
        rows = self.connection.execute(
            """
            select f.file_index, coalesce(b.records, 0), coalesce(q.quarantined, 0)
            from batch_files as f
            left join (select file_index, count(*) as records from batch group by 1) as b using (file_index)
            left join (select file_index, count(distinct _record) as quarantined from bad group by 1) as q
                using (file_index)
            """
        ).fetchall()
        for index, records, quarantined in rows:
            if index in self.refusals:
                continue
            message = self._total_mismatch(index, records, sums.get(index))
            if message is None and records and quarantined / records > self.contract.max_bad_share:
                message = self._too_many_bad(index, records, quarantined)
            if message is not None:
                self.refusals[index] = message

    def _total_mismatch(
        self, index: int, records: int, file_sum: tuple[Decimal, int] | None
    ) -> Message | None:
        arrival = self.pending[index].arrival
        if self.contract.totals != "manifest":
            return None
        stated = arrival.manifest or {}
        ask = "ask the sender for the whole file and its manifest"
        if int(stated.get("rows", -1)) != records:
            reason = f"the manifest says {stated.get('rows')} records, the file has {records:,}"
            return Message(arrival.file, reason, ask)
        if "sum" not in stated or file_sum is None:
            return None
        total, unreadable = file_sum
        if unreadable:
            log.warning(
                "%s: %d amounts cannot be read: its sum is unverifiable", arrival.sha256[:12], unreadable
            )
            return None
        try:
            wanted = Decimal(str(stated["sum"]))
        except InvalidOperation:
            return Message(arrival.file, "the manifest's sum is not a number", ask, column="sum")
        if total != wanted:
            return Message(
                arrival.file,
                f"the manifest says the sum is {wanted}, the file's is {total}",
                ask,
                None,
                "sum",
            )
        return None

    def _file_sums(self) -> dict[int, tuple[Decimal, int]]:
        """By file: the sum of the amounts as the file writes them, and how many cannot be read."""
        if "transactions" not in self.contract.feeds:
            return {}
        rows = self.connection.execute(
            "select file_index, coalesce(sum(file_amount), 0), count(*) filter (where is_unreadable"
            " or (error is not null and error.column_name is null)) from keyed_transactions group by 1"
        ).fetchall()
        return {index: (total, unreadable) for index, total, unreadable in rows}

    def _too_many_bad(self, index: int, records: int, quarantined: int) -> Message:
        record, column, reason, shape = self._example(index)
        shown = f" (shape {shape!r})" if shape else ""
        return Message(
            self.pending[index].arrival.file,
            f"{quarantined:,} of {records:,} records are bad, more than the {self.contract.max_bad_share:.1%} "
            f"allowed; most often: {reason}{shown}",
            f"mend sources/{self.contract.name}.yml, or ask the sender",
            record,
            column,
        )

    def _example(self, index: int) -> tuple[int, str | None, str, str | None]:
        """First record with the most frequent reason of a file."""
        row = self.connection.execute(
            "select min(_record), error.column_name, error.reason, arg_min(error.shape, _record) from bad"
            " where file_index = ? group by 2, 3 order by count(*) desc, min(_record) limit 1",
            [index],
        ).fetchone()
        return row or (0, None, "", None)

    def _verdicts(self) -> list[FileVerdict]:
        sums: dict[int, Decimal] = {}
        counted: dict[int, tuple[int, int]] = {}
        if self._has_table("counts"):
            if "transactions" in self.contract.feeds:
                sums = dict(
                    self.connection.execute(
                        "select file_index, coalesce(sum(amount) filter (where error is null), 0)"
                        " from keyed_transactions group by 1"
                    ).fetchall()
                )
            counted = {
                index: (records, bad)
                for index, records, bad in self.connection.execute(
                    "select c.file_index, max(c.records), coalesce(max(b.n), 0) from counts as c left join"
                    " (select file_index, count(distinct _record) as n from bad group by 1) as b using (file_index)"
                    " group by 1"
                ).fetchall()
            }
        return [
            self._verdict(index, counted.get(index, (0, 0)), sums.get(index))
            for index in range(len(self.pending))
        ]

    def _has_table(self, name: str) -> bool:
        row = self.connection.execute(
            "select count(*) from duckdb_tables() where table_name = ? and temporary", [name]
        ).fetchone()
        return row != (0,)

    def _verdict(self, index: int, counted: tuple[int, int], total: Decimal | None) -> FileVerdict:
        item = self.pending[index]
        records, quarantined = counted
        verdict, message = "loaded", ""
        if item.repeats is not None:
            verdict, records, quarantined, total = "duplicate", 0, 0, None
            message = str(
                Message(
                    item.arrival.file,
                    f"the same bytes arrived before as {item.repeats} and count once",
                    "nothing to do, unless the sender meant to send something else",
                )
            )
        elif index in self.refusals:
            verdict, total, message = "refused", None, str(self.refusals[index])
        elif quarantined:
            record, column, reason, shape = self._example(index)
            shown = f" (shape {shape!r})" if shape else ""
            message = str(
                Message(
                    item.arrival.file,
                    f"{quarantined:,} of {records:,} records are in quarantine; most often: {reason}{shown}",
                    "look at raw.quarantine; mend the contract or ask the sender",
                    record,
                    column,
                )
            )
        return FileVerdict(
            load_id=load_id(self.contract, item.arrival, duplicate=item.repeats is not None),
            client_id=self.contract.client,
            source=self.contract.source,
            contract=self.contract.name,
            file=item.arrival.file,
            sha256=item.arrival.sha256,
            arrived_at=item.arrival.arrived_at,
            records=records,
            amount_sum=total,
            quarantined=quarantined,
            verdict=verdict,
            message=message,
        )

    def _write(self) -> None:
        """Move the good records of the files that were not refused to raw, the others to quarantine."""
        self.connection.execute(
            "delete from batch_files where list_contains($refused, file_index)",
            {"refused": sorted(self.refusals)},
        )
        for feed in self._feeds():
            made = {"client_id": "$client", "source": "$source", "_load_id": "load_id"}
            columns = [name for name, _ in raw_columns(FEEDS[feed])]
            values = ", ".join(f"{made.get(name, f't.{name}')} as {name}" for name in columns)
            self.connection.execute(
                f"insert into raw.{feed} by name select {values}"  # noqa: S608 - names are canonical
                f" from {self._table(feed)} as t join batch_files using (file_index) where t.error is null"
                " order by file_index, _record",
                {"client": self.contract.client, "source": self.contract.source},
            )
        self.connection.execute(
            "insert into raw.quarantine select $client, $source, feed, file, _record, error.column_name,"
            " error.reason, error.shape, load_id from bad join batch_files using (file_index)"
            " order by file_index, feed, _record",
            {"client": self.contract.client, "source": self.contract.source},
        )
        self.connection.execute(
            "insert or replace into ops.load_feeds select load_id, feed, records, rows, quarantined"
            " from counts join batch_files using (file_index)"
        )

    def _ledger(self, verdicts: list[FileVerdict]) -> None:
        fingerprint = {"_contract_hash": self.contract.fingerprint}
        self.connection.execute(
            "delete from ops.loads where list_contains($ids, load_id)",
            {"ids": [verdict.load_id for verdict in verdicts]},
        )
        self._insert("ops.loads", [verdict.as_dict() | fingerprint for verdict in verdicts])
        for name in ("counts", "bad", "batch", "keyed_transactions", *(f"typed_{feed}" for feed in FEEDS)):
            self.connection.execute(f"drop table if exists temp.{name}")


def token(key: bytes, client: str, value: str) -> str:
    """The token of a personal value, as the SQL of a load makes it; for look-ups and tests."""
    return hmac.new(key, f"{client}\x1f{value}".encode(), hashlib.sha256).hexdigest()[:TOKEN_LENGTH]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _escaped(name: str) -> str:
    return name.replace("'", "''")


def _cover(connection: duckdb.DuckDBPyConnection, contract: SourceContract) -> None:
    """Recompute what is there of a source, by feed, business date and currency."""
    values = {"client": contract.client, "source": contract.source}
    connection.execute("delete from ops.coverage where client_id = $client and source = $source", values)
    connection.execute(
        """
        insert into ops.coverage by name
        select client_id, source, 'transactions' as feed, business_date, currency, true as arrived,
               count(*) as rows, sum(amount) as amount_sum, 'arrived' as state,
               min(known_at) as first_known_at, max(known_at) as last_known_at
        from raw.transactions
        where client_id = $client and source = $source
        group by 1, 2, 4, 5
        """,
        values,
    )
