"""From bytes to the table `batch`: every record of several files as text, persons as tokens."""

import hashlib
import hmac
import logging
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from nightledger.ingestion import preflight
from nightledger.ingestion.contract import SourceContract
from nightledger.ingestion.landing import Arrival
from nightledger.ingestion.messages import Message, Refused
from nightledger.ingestion.statement import Statement

log = logging.getLogger(__name__)

TOKEN_LENGTH = 32
CONTROL = r"\\u00(00|1[ef])"
"""What a plain file is refused for, as JSON writes it."""
MAX_RECORD = 16 << 20
"""Longest record in bytes."""


@dataclass(frozen=True)
class Readable:
    """A file that passed the check before reading; `index` is its number in the batch."""

    index: int
    arrival: Arrival
    layout: preflight.Layout


class Reader:
    """Makes the temporary table or view `batch` (file_index, record, broken, c0, c1, …) of one batch.

    `record` counts from 1 after the header; blank lines do not count. `broken` says why a record has no
    fields. `c<n>` is the n-th source column that the contract reads.
    """

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, contract: SourceContract, token_key: bytes, scratch: Path
    ) -> None:
        self.connection, self.contract = connection, contract
        self.token_key, self.scratch = token_key, scratch
        self.refusals: dict[int, Message] = {}

    def read(self, files: Sequence[Readable]) -> dict[int, Message]:
        """Read all files, those with the same header together.

        Returns:
            The files that could not be read after all, by index, with the reason.
        """
        parts: list[str] = []
        layouts = dict.fromkeys(file.layout.header for file in files)
        with tempfile.TemporaryDirectory(dir=self.scratch, prefix=".even-") as folder:
            paths = {file.index: self._even(file, Path(folder)) for file in files}
            for header in layouts:
                parts += self._read_together(
                    [file for file in files if file.layout.header == header], paths, f"part{len(parts)}"
                )
        columns = [f"c{number}" for number in range(len(self.contract.read))]
        nothing = ", ".join(f"null::varchar as {column}" for column in columns)
        empty = f"select 0 as file_index, 0::bigint as record, null::varchar as broken, {nothing} where false"
        self.connection.execute(
            f"create or replace temp view batch as {' union all by name '.join([empty, *parts])}"
        )
        return self.refusals

    def _even(self, file: Readable, folder: Path) -> Path:
        if not file.layout.is_uneven:
            return file.arrival.path
        copy = folder / str(file.index)
        preflight.even_copy(file.arrival, self.contract, copy)
        return copy

    def _read_together(self, files: list[Readable], paths: dict[int, Path], name: str) -> list[str]:
        """Read files in one statement; when that fails, one by one, so that only the culprit is refused."""
        read = self._read_csv if self.contract.format.type == "csv" else self._read_jsonl
        try:
            return [read(files, paths, name)]
        except duckdb.Error as error:
            if isinstance(error, duckdb.OutOfMemoryException | duckdb.IOException | duckdb.InternalException):
                raise
            if len(files) > 1:
                return [
                    part
                    for number, file in enumerate(files)
                    for part in self._read_together([file], paths, f"{name}_{number}")
                ]
            # The error's own text quotes the file: it stays out of messages and logs.
            log.warning("%s: %s", files[0].arrival.sha256[:12], type(error).__name__)
            self.refusals[files[0].index] = Message(
                files[0].arrival.file,
                f"cannot be read as {self.contract.format.type}",
                f"compare `format` in sources/{self.contract.name}.yml with the file, or ask the sender",
            )
            return []

    def _number_files(self, files: list[Readable], paths: dict[int, Path], name: str) -> str:
        """Make a table of path and file_index; paths come back from the reader as they were given."""
        table = f"{name}_files"
        self.connection.execute(f"create or replace temp table {table} (path varchar, file_index integer)")
        self.connection.executemany(
            f"insert into {table} values (?, ?)",  # noqa: S608 - the name is made of numbers
            [[str(paths[file.index]), file.index] for file in files],
        )
        return table

    def _read_csv(self, files: list[Readable], paths: dict[int, Path], name: str) -> str:
        statement, header = Statement(self.contract), files[0].layout.header
        kept = ", ".join(
            f"{self._kept(statement, f'h{header.index(column)}', column)} as c{number}"
            for number, column in enumerate(self.contract.read)
        )
        # By number: names of the file may differ in case only, or be those made here.
        declared = ", ".join(f"'h{number}': 'varchar'" for number in range(len(header)))
        form = self.contract.format
        numbers = self._number_files(files, paths, name)
        self.connection.execute("drop table if exists rejects; drop table if exists reject_scans")
        self.connection.execute(
            f"""
            create or replace temp table {name} as
            select filename as path, {kept}
            from read_csv(
                $paths, auto_detect = false, header = true, delim = $delim, quote = $quote, escape = $quote,
                columns = {{{declared}}}, filename = true, store_rejects = true,
                rejects_table = 'rejects', rejects_scan = 'reject_scans', max_line_size = {MAX_RECORD})
            """,  # noqa: S608 - identifiers are quoted, values are bound
            statement.parameters
            | {
                "paths": [str(paths[file.index]) for file in files],
                "delim": form.delimiter,
                "quote": form.quote,
            },
        )
        # The reader counts the header as line 1, and records, not line breaks: record = line - 1.
        self.connection.execute(
            f"""
            create or replace temp table {name}_broken as
            select file_index, line - 1 as record, reason,
                   line - 1 - row_number() over (partition by file_index order by line) as good_before,
                   row_number() over (partition by file_index order by line) as broken_before
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
            ) join {numbers} using (path)
            """  # noqa: S608 - the name is made of numbers
        )
        self.connection.execute("drop table rejects; drop table reject_scans")
        broken = self.connection.execute(f"select count(*) from {name}_broken").fetchone()  # noqa: S608
        columns = ", ".join(f"c{number}" for number in range(len(self.contract.read)))
        good = self._numbered(name, columns)
        if broken == (0,):
            return f"select file_index, record, null as broken, {columns} from ({good})"  # noqa: S608
        return f"""
            select g.file_index, g.record + coalesce(broken_before, 0) as record, null as broken, {columns}
            from ({good}) as g
            asof left join (
                select file_index, good_before, max(broken_before) as broken_before
                from {name}_broken group by all
            ) as b on g.file_index = b.file_index and g.record > b.good_before
            union all by name
            select file_index, record, reason as broken from {name}_broken
        """  # noqa: S608 - names are made of numbers

    def _numbered(self, name: str, columns: str) -> str:
        """Rows of a part with file_index and their number in the file: they lie in the order of the file."""
        return f"""
            select n.file_index, {name}.rowid - first + 1 as record, {columns}
            from {name} join (
                select path, file_index, min({name}.rowid) as first
                from {name} join {name}_files using (path) group by all
            ) as n using (path)
        """  # noqa: S608 - names are made of numbers

    def _read_jsonl(self, files: list[Readable], paths: dict[int, Path], name: str) -> str:
        numbers = self._number_files(files, paths, name)
        # A line is one text: the reader of JSON takes two objects on a line for one error and skips the mark
        # of byte order, so the lines are cut here and parsed one by one.
        lines = f"""
            select filename as path, line,
                   case when json_valid(line) then json_type(line) = 'OBJECT' else false end as is_object
            from read_csv(
                $paths, auto_detect = false, header = false, delim = chr(1), quote = '', escape = '',
                columns = {{'line': 'varchar'}}, filename = true, max_line_size = {MAX_RECORD})
            where trim(line) <> ''
        """  # noqa: S608 - values are bound
        statement = Statement(self.contract)
        kept = ", ".join(
            self._kept(statement, f"(object ->> {statement.bind(_pointer(column))})", column)
            + f" as c{number}"
            for number, column in enumerate(self.contract.read)
        )
        self.connection.execute(
            f"""
            create or replace temp table {name} as
            select path, names, {kept},
                case
                    when not is_object then 'not a JSON object'
                    when len(names) > len(list_distinct(names)) then 'a name stands twice'
                    when has_control then 'holds a control character'
                end as broken
            from (
                select path, is_object, regexp_matches(line, '{CONTROL}', 'i') as has_control,
                       case when is_object then line::json end as object,
                       case when is_object then json_keys(line) end as names
                from ({lines})
            )
            """,  # noqa: S608 - values are bound
            statement.parameters | {"paths": [str(paths[file.index]) for file in files]},
        )
        self._check_names(files, name, numbers)
        columns = ", ".join(f"c{number}" for number in range(len(self.contract.read)))
        return self._numbered(name, f"broken, {columns}")

    def _check_names(self, files: list[Readable], name: str, numbers: str) -> None:
        """Refuse files with unknown names, or without any record that has a column which must be there."""
        found = dict(
            self.connection.execute(
                f"""
                select file_index, list(distinct word order by word)
                from (select path, unnest(names) as word from {name}) join {numbers} using (path)
                group by file_index
                """  # noqa: S608 - names are made of numbers
            ).fetchall()
        )
        for file in files:
            if file.index in found:
                try:
                    preflight.check_columns(
                        file.arrival, self.contract, tuple(found[file.index]), self.contract.needed
                    )
                except Refused as refused:
                    self.refusals[file.index] = refused.message

    def _kept(self, statement: Statement, expression: str, name: str) -> str:
        """A source column as it may be kept: personal values as HMAC-SHA256 of client and value."""
        if name not in self.contract.personal:
            return expression
        key = self.token_key
        block = (hashlib.sha256(key).digest() if len(key) > 64 else key).ljust(64, b"\0")
        inner = statement.bind(bytes(byte ^ 0x36 for byte in block))
        outer = statement.bind(bytes(byte ^ 0x5C for byte in block))
        client = statement.bind(f"{self.contract.client}\x1f")
        value = f"nullif(trim({expression}), '')"
        digest = f"sha256({outer} || unhex(sha256({inner} || encode({client} || {value}))))"
        return f"case when {value} is not null then left({digest}, {TOKEN_LENGTH}) end"


def token(key: bytes, client: str, value: str) -> str:
    """The token of a personal value, as the SQL of a load makes it; for look-ups and tests."""
    return hmac.new(key, f"{client}\x1f{value}".encode(), hashlib.sha256).hexdigest()[:TOKEN_LENGTH]


def _pointer(name: str) -> str:
    """JSON pointer to a name at the top of an object."""
    return "/" + name.replace("~", "~0").replace("/", "~1")
