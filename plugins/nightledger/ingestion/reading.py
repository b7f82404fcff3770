"""From bytes to records: how every file of a batch is scanned, with trimmed texts and persons as tokens."""

import hashlib
import hmac
import logging
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

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
NO_TEXT = "holds a control character, or half of a character"
MAX_RECORD = 16 << 20
"""Longest record in bytes."""
MANY_PERSONS = 30_000
"""Above so many distinct personal values in a batch, looking up a token costs more than making it again."""


@dataclass(frozen=True)
class Readable:
    """A file that passed the check before reading; `index` is its number in the batch."""

    index: int
    arrival: Arrival
    layout: preflight.Layout


@dataclass(frozen=True)
class Scan:
    """A relation (file_index, broken, c0, c1, …) over files of one layout, in the order of their records.

    `broken` says why a record has no fields. `c<n>` is the text of the n-th source column that the contract
    reads, trimmed, NULL when blank, a token when personal.
    """

    sql: str
    parameters: dict[str, object] = field(default_factory=dict)


class Reader:
    """Scans the files of one batch; a context manager, because some are read from copies.

    After `read`, `scans` gives the good records and the temporary table `broken` (file_index, record, reason,
    good_before, broken_before) those that have no fields, with their place: the number of good and of broken
    records before them. `record` counts from 1 after the header; blank lines do not count.
    """

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, contract: SourceContract, token_key: bytes, scratch: Path
    ) -> None:
        self.connection, self.contract = connection, contract
        self.token_key = token_key
        self.scans: list[Scan] = []
        self.refusals: dict[int, Message] = {}
        self.stated: dict[int, dict[str, object]] = {}
        self._types: list[str] = []
        self._copies = tempfile.TemporaryDirectory(dir=scratch, prefix=".even-")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in self._types:
            self.connection.execute(f"drop type if exists {name}")
        self._copies.cleanup()

    def read(self, files: Sequence[Readable]) -> dict[int, Message]:
        """Look at all files, those with the same header together.

        Returns:
            The files that could not be read after all, by index, with the reason.
        """
        self.connection.execute(
            "create or replace temp table broken (file_index integer, record bigint, reason varchar,"
            " good_before bigint, broken_before bigint)"
        )
        paths: dict[int, Path] = {}
        files = [ready for file in files if (ready := self._ready(file, paths))]
        for header in dict.fromkeys(file.layout.header for file in files):
            together = [file for file in files if file.layout.header == header]
            self._read_together(together, paths, f"part{len(self.scans)}")
        return self.refusals

    def _ready(self, file: Readable, paths: dict[int, Path]) -> Readable | None:
        """Note the path from which a file is read, its own or that of a copy; None when it is refused."""
        paths[file.index] = file.arrival.path
        if not file.layout.needs_copy:
            return file
        paths[file.index] = Path(self._copies.name) / str(file.index)
        try:
            layout = preflight.copy(file.arrival, self.contract, paths[file.index])
        except Refused as refused:
            self.refusals[file.index] = refused.message
            return None
        self.stated[file.index] = layout.stated
        return Readable(file.index, file.arrival, layout)

    def _read_together(self, files: list[Readable], paths: dict[int, Path], name: str) -> None:
        """Read files in one statement; when that fails, one by one, so that only the culprit is refused."""
        read = self._read_jsonl if self.contract.format.type == "jsonl" else self._read_csv
        try:
            self.scans.append(read(files, paths, name))
        except duckdb.Error as error:
            if not isinstance(error, duckdb.InvalidInputException | duckdb.DataError):
                raise  # the fault of the machine or ours, not of the file
            if len(files) > 1:
                for number, file in enumerate(files):
                    self._read_together([file], paths, f"{name}_{number}")
                return
            # The error's own text quotes the file: it stays out of messages and logs.
            log.warning("%s: %s", files[0].arrival.sha256[:12], type(error).__name__)
            self.refusals[files[0].index] = Message(
                files[0].arrival.file,
                f"cannot be read as {self.contract.format.type}",
                f"compare `format` in sources/{self.contract.name}.yml with the file, or ask the sender",
            )

    def _read_csv(self, files: list[Readable], paths: dict[int, Path], name: str) -> Scan:
        header, (delimiter, quote) = files[0].layout.header, self.contract.format.dialect
        # By number: names of the file may differ in case only, or be those made here.
        declared = ", ".join(f"'h{number}': 'varchar'" for number in range(len(header)))
        fields = [
            f"h{header.index(column)}" if column in header else "null::varchar"
            for column in self.contract.read
        ]
        statement = Statement(self.contract)
        source = f"""
            read_csv({statement.bind([str(paths[file.index]) for file in files])},
                auto_detect = false, header = true, delim = {statement.bind(delimiter)},
                quote = {statement.bind(quote)}, escape = {statement.bind(quote)},
                columns = {{{declared}}}, max_line_size = {MAX_RECORD},
                store_rejects = true, rejects_table = 'rejects', rejects_scan = 'reject_scans')
        """
        tokens = self._look(files, fields, name, source, statement.parameters)
        kept = []
        for number, column in enumerate(self.contract.read):
            text = _trimmed(fields[number])
            if column in self.contract.personal and tokens:
                # By position, not by a join: a join may change the order of rows, and with it their numbers.
                position = f"cast(enum_code(cast({text} as {name}_person)) as bigint) + 1"
                text = f"({statement.bind(tokens)}::varchar[])[{position}]"
            elif column in self.contract.personal:
                text = self._token(statement, text)
            kept.append(f"{text} as c{number}")
        return Scan(
            "select"  # noqa: S608 - columns are made here
            f" {self._batch_index(statement, files)} as file_index, null::varchar as broken,"
            f" {', '.join(kept)} from {source}",
            statement.parameters,
        )

    def _batch_index(self, statement: Statement, files: list[Readable]) -> str:
        """The number in the batch of the file that a row was read from."""
        indexes = statement.bind([file.index for file in files])
        return f"({indexes}::integer[])[cast(file_index as bigint) + 1]"

    def _look(
        self, files: list[Readable], fields: list[str], name: str, source: str, parameters: dict[str, object]
    ) -> list[str]:
        """Go once through the files for what must be known first: broken records, and who is in them.

        Returns:
            The token of every personal value, in the order of the enumeration `<name>_person`; none when
            there is no such value, or so many that a token for each record is cheaper.
        """
        self.connection.execute("drop table if exists rejects; drop table if exists reject_scans")
        personal = [
            _trimmed(text)
            for text, column in zip(fields, self.contract.read, strict=True)
            if column in self.contract.personal
        ]
        values = [f"{text} as p{number}" for number, text in enumerate(personal)]
        self.connection.execute(
            f"create or replace temp table {name}_records as"  # noqa: S608 - names are made of numbers
            f" select distinct {', '.join(values) or 'h0 is null'} from {source}",
            parameters,
        )
        self._keep_rejects(files)
        if not personal:
            return []
        one = f"as value from {name}_records"
        distinct = " union ".join(f"select p{number} {one}" for number in range(len(personal)))
        self.connection.execute(
            f"create or replace temp table {name}_persons as from ({distinct}) where value is not null"
        )
        found = self.connection.execute(f"select count(*) from {name}_persons").fetchone()  # noqa: S608
        if not found or not 0 < found[0] <= MANY_PERSONS:
            return []
        self.connection.execute(
            f"create or replace temp type {name}_person as enum ("  # noqa: S608 - made of numbers
            f"select value from {name}_persons order by value)"
        )
        self._types.append(f"{name}_person")
        statement = Statement(self.contract)
        rows = self.connection.execute(
            f"select {self._token(statement, 'value')} from {name}_persons order by value",  # noqa: S608
            statement.parameters,
        ).fetchall()
        return [token for (token,) in rows]

    def _keep_rejects(self, files: list[Readable]) -> None:
        """Add to `broken` what was rejected; there the header is line 1, and a record one line."""
        self.connection.execute(
            """
            insert into broken
            select ($indexes::integer[])[cast(file_id as bigint) + 1], line - 1, reason,
                   line - 1 - row_number() over (partition by file_id order by line),
                   row_number() over (partition by file_id order by line)
            from (
                select file_id, line, arg_min(
                    case error_type::varchar
                        when 'MISSING COLUMNS' then 'too few fields'
                        when 'TOO MANY COLUMNS' then $many
                        when 'UNQUOTED VALUE' then 'a quote is not closed as it should be'
                        when 'LINE SIZE OVER MAXIMUM' then 'the record is longer than 16 MiB'
                        else 'the record cannot be read' end, coalesce(column_idx, 0)) as reason
                from rejects group by all
            )
            """,
            {
                "indexes": [file.index for file in files],
                # The copy of a table has as many fields as names, but where no text can be made of a record.
                "many": NO_TEXT if self.contract.format.type == "json" else "too many fields",
            },
        )
        self.connection.execute("drop table rejects; drop table reject_scans")

    def _read_jsonl(self, files: list[Readable], paths: dict[int, Path], name: str) -> Scan:
        # A line is one text: the reader of JSON takes two objects on a line for one error and skips the mark
        # of byte order, so the lines are cut here and parsed one by one.
        statement = Statement(self.contract)
        lines = f"""
            select file_index, line,
                   case when json_valid(line) then json_type(line) = 'OBJECT' else false end as is_object
            from read_csv(
                {statement.bind([str(paths[file.index]) for file in files])}, auto_detect = false,
                header = false, delim = chr(1), quote = '', escape = '', columns = {{'line': 'varchar'}},
                max_line_size = {MAX_RECORD})
            where trim(line) <> ''
        """  # noqa: S608 - values are bound
        kept, changed = [], []
        for number, column in enumerate(self.contract.read):
            pointer = statement.bind(_pointer(column))
            text = f"nullif(trim(object ->> {pointer}), '')"
            # The database reads a decimal as a double: what it then writes must stand in the line.
            changed.append(
                f"(json_type(object, {pointer}) = 'DOUBLE' and not contains(line, object ->> {pointer}))"
            )
            is_personal = column in self.contract.personal
            kept.append(f"{self._token(statement, text) if is_personal else text} as c{number}")
        self.connection.execute(
            f"""
            create or replace temp table {name} as
            select {self._batch_index(statement, files)} as file_index, names, {", ".join(kept)},
                case
                    when not is_object then 'not a JSON object'
                    when len(names) > len(list_distinct(names)) then 'a name stands twice'
                    when has_control then 'holds a control character'
                    when has_long_number and ({" or ".join(changed)})
                        then 'a number has more digits than can be read exactly; as a text it can'
                end as broken
            from (
                select file_index, line, is_object, regexp_matches(line, '{CONTROL}', 'i') as has_control,
                       regexp_matches(line, '[0-9.]{{17}}') as has_long_number,
                       case when is_object then line::json end as object,
                       case when is_object then json_keys(line) end as names
                from ({lines})
            )
            """,  # noqa: S608 - values are bound
            statement.parameters,
        )
        self._check_names(files, name)
        return Scan(f"select * exclude (names) from {name}")  # noqa: S608 - the name is made of numbers

    def _check_names(self, files: list[Readable], name: str) -> None:
        """Refuse files with unknown names, or without any record that has a column which must be there."""
        found = dict(
            self.connection.execute(
                "select file_index, list(distinct word order by word)"  # noqa: S608 - made of numbers
                f" from (select file_index, unnest(names) as word from {name}) group by file_index"
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

    def _token(self, statement: Statement, text: str) -> str:
        """A personal value as it may be kept: HMAC-SHA256 of client and value."""
        key = self.token_key
        block = (hashlib.sha256(key).digest() if len(key) > 64 else key).ljust(64, b"\0")
        inner = statement.bind(bytes(byte ^ 0x36 for byte in block))
        outer = statement.bind(bytes(byte ^ 0x5C for byte in block))
        client = statement.bind(f"{self.contract.client}\x1f")
        digest = f"sha256({outer} || unhex(sha256({inner} || encode({client} || {text}))))"
        return f"case when {text} is not null then left({digest}, {TOKEN_LENGTH}) end"


def token(key: bytes, client: str, value: str) -> str:
    """The token of a personal value, as the SQL of a load makes it; for look-ups and tests."""
    return hmac.new(key, f"{client}\x1f{value}".encode(), hashlib.sha256).hexdigest()[:TOKEN_LENGTH]


def _trimmed(text: str) -> str:
    """A text without blanks around it, NULL when nothing is left. Most have none: cheap to see."""
    return f"(case when {text} like ' %' or {text} like '% ' then nullif(trim({text}), '') else {text} end)"


def _pointer(name: str) -> str:
    """JSON pointer to a name at the top of an object."""
    return "/" + name.replace("~", "~0").replace("/", "~1")
