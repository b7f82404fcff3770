"""Keys, conflicts and totals of a batch, and from them which of its files are refused."""

from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation, getcontext
from typing import Any

import duckdb

from nightledger.ingestion.contract import SourceContract
from nightledger.ingestion.feeds import FEEDS
from nightledger.ingestion.ledger import Pending
from nightledger.ingestion.messages import Message

CONFLICT = "key already known with other content"
ORPHAN = "its transaction is in quarantine"


class Judge:
    """Judges a batch whose `typed_<feed>` is made: the view of all records over `<feed>_rows` and `broken`.

    Updates go to `<feed>_rows`, whose rowid the view gives as `_row`. Leaves `bad` (file_index, feed,
    _record, error) and `counts` (file_index, feed, records, rows, quarantined).
    """

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, contract: SourceContract, pending: Sequence[Pending]
    ) -> None:
        self.connection, self.contract, self.pending = connection, contract, pending
        self.feeds = [name for name in FEEDS if name in contract.feeds]
        self.records: dict[int, int] = {}
        self.quarantined: dict[int, int] = {}
        self.unverifiable: dict[int, int] = {}
        self.stated: Mapping[int, Mapping[str, object]] = {}

    def judge(
        self, refusals: Mapping[int, Message], stated: Mapping[int, Mapping[str, object]]
    ) -> dict[int, Message]:
        """Find conflicts and refusals until nothing changes.

        A file that is refused does not exist for the others: no key of theirs conflicts with one of its.

        Args:
            refusals: files that could not be read, by index; they have no say.
            stated: what the trailers in the files state (rows, sum), by index.

        Returns:
            All refused files with their messages.
        """
        refused, self.stated = dict(refusals), stated
        self.records = self._map(f"select file_index, count(*) from typed_{self.feeds[0]} group by 1")  # noqa: S608
        if "transactions" in self.feeds and not self.contract.feeds["transactions"].key_columns:
            self._number_twins()
        self._count()
        refused = self._refuse() | refused
        while self._hang_on_each_other():
            self._find_conflicts(sorted(refused))
            self._link_labels()
            self._count()
            new = [item for item in self._refuse().items() if item[0] not in refused]
            if not new:
                return refused
            # One at a time: the conflicts of the next may be with this one, which is out now.
            refused |= new[:1]
        return refused

    def _hang_on_each_other(self) -> bool:
        """Whether a record can be bad because of another one: by its natural key, or as a label of it."""
        has_keys = "transactions" in self.feeds and bool(self.contract.feeds["transactions"].key_columns)
        return has_keys or "labels" in self.feeds

    def _map(self, sql: str) -> dict[int, Any]:
        return dict(self.connection.execute(sql).fetchall())

    def _number_twins(self) -> None:
        """Number identical lines of one file: true twins, which all stay.

        The same lines in another file get the same numbers, so the same keys again.
        """
        self.connection.execute("""
            -- By a hash, as long keys of which nearly all differ cost more than the few false twins it finds.
            create or replace temp table repeated as
            select hash(file_index, transaction_key) as hash from transactions_rows where error is null
            group by 1 having count(*) > 1;
            create or replace temp table twins as
            select rowid as _row, cast(row_number() over (
                partition by file_index, transaction_key order by rowid) as integer) as occurrence
            from transactions_rows
            where error is null and hash(file_index, transaction_key) in (from repeated);
            update transactions_rows set
                _occurrence = twins.occurrence,
                transaction_key = md5(concat_ws(chr(31), transaction_key, twins.occurrence))
            from twins where twins.occurrence > 1 and transactions_rows.rowid = twins._row
        """)

    def _find_conflicts(self, refused: list[int]) -> None:
        """Quarantine a natural key that comes again with other content: what was known first stays.

        Where a delivery may correct, another content is another version.
        """
        transactions = self.contract.feeds.get("transactions")
        if transactions is None or not transactions.key_columns or self.contract.delivery.mode != "append":
            return
        shown = [
            name for key in transactions.key_columns for name in transactions.columns[key].read or (key,)
        ]
        self.connection.execute(
            "update transactions_rows set error = null where error.reason = $reason", {"reason": CONFLICT}
        )
        self.connection.execute(
            """
            update transactions_rows set error = struct_pack(
                column_name := $column::varchar, reason := $reason::varchar, shape := null::varchar)
            from (
                -- By a hash, as keys are long and nearly all differ: a false candidate says what it said.
                with repeated as (
                    select hash(transaction_key) as key_hash from transactions_rows where error is null
                    group by 1 having count(*) > 1
                ),
                told_before as materialized (
                    select transaction_key, _content_hash, known_at, _load_id, _record
                    from raw.transactions
                    where client_id = $client and source = $source
                      and transaction_key in (
                          select transaction_key from transactions_rows where error is null)
                      and not list_contains($replaced::varchar[], _load_id)
                ),
                candidates as materialized (
                    select _row, file_index, _record, known_at, transaction_key, _content_hash
                    from typed_transactions
                    where error is null and not list_contains($refused::integer[], file_index)
                      and hash(transaction_key) in (
                          from repeated union all select hash(transaction_key) from told_before)
                ),
                told as (
                    select *, -1 as file_index from told_before
                    union all by name
                    select * exclude (_row), '' as _load_id from candidates
                ),
                -- What is in raw was told before, whatever its time.
                first_told as (
                    select transaction_key, arg_min(_content_hash, (
                        file_index >= 0, known_at, _load_id, file_index, _record)) as _content_hash
                    from told group by 1
                )
                select c._row
                from candidates as c join first_told as f using (transaction_key)
                where c._content_hash <> f._content_hash
            ) as conflict
            where transactions_rows.rowid = conflict._row
            """,
            {
                "column": "+".join(shown),
                "reason": CONFLICT,
                "client": self.contract.client,
                "source": self.contract.source,
                "refused": refused,
                "replaced": [item.replaces for item in self.pending if item.replaces],
            },
        )

    def _link_labels(self) -> None:
        """Give labels of transactions in the same file the key of their record's transaction."""
        labels = self.contract.feeds.get("labels")
        if labels is None or labels.columns["entity_id"].key_of is None:
            return
        self.connection.execute(
            "update labels_rows set error = null where error.reason = $reason", {"reason": ORPHAN}
        )
        self.connection.execute(
            """
            update labels_rows set
                entity_id = told.transaction_key,
                error = coalesce(labels_rows.error, case when told.error is not null then struct_pack(
                    column_name := null::varchar, reason := $reason::varchar, shape := null::varchar) end)
            from (
                select l._row, t.transaction_key, t.error
                from typed_labels as l join typed_transactions as t using (file_index, _record)
            ) as told
            where labels_rows.rowid = told._row
            """,
            {"reason": ORPHAN},
        )

    def _count(self) -> None:
        bad = " union all ".join(
            f"select file_index, '{feed}' as feed, _record, error from typed_{feed} where error is not null"  # noqa: S608
            for feed in self.feeds
        )
        self.connection.execute(f"create or replace temp table bad as {bad}")
        counts = " union all ".join(
            f"select file_index, '{feed}' as feed, count(*) as records,"  # noqa: S608 - names of feeds
            f" count(*) filter (where error is null) as rows, count(error) as quarantined"
            f" from typed_{feed} group by file_index"
            for feed in self.feeds
        )
        self.connection.execute(f"create or replace temp table counts as {counts}")
        self.quarantined = self._map("select file_index, count(distinct _record) from bad group by 1")

    def _refuse(self) -> dict[int, Message]:
        refusals = {}
        sums = self._file_sums()
        for index, item in enumerate(self.pending):
            if item.repeats is not None:
                continue
            records, bad = self.records.get(index, 0), self.quarantined.get(index, 0)
            message = self._total_mismatch(index, records, sums.get(index, (Decimal(0), 0)))
            if message is None and records and bad / records > self.contract.max_bad_share:
                message = self._too_many_bad(index, records, bad)
            if message is not None:
                refusals[index] = message
        return refusals

    def _file_sums(self) -> dict[int, tuple[Decimal, int]]:
        """By file: the sum of the amounts as the file writes them, and how many cannot be read."""
        if "transactions" not in self.feeds:
            return {}
        rows = self.connection.execute(
            "select file_index, coalesce(sum(file_amount), 0), count(*) filter (where is_unreadable)"
            " from typed_transactions group by 1"
        ).fetchall()
        return {index: (total, unreadable) for index, total, unreadable in rows}

    def _total_mismatch(self, index: int, records: int, file_sum: tuple[Decimal, int]) -> Message | None:
        if self.contract.totals == "none":
            return None
        arrival, where = self.pending[index].arrival, self.contract.totals
        stated = (arrival.manifest if where == "manifest" else self.stated.get(index)) or {}
        ask = f"ask the sender for the whole file and its {where}"
        # A trailer has what the contract describes; a manifest must say how many records there are.
        if not isinstance(stated.get("rows"), int) and (where == "manifest" or "rows" in stated):
            return Message(
                arrival.file, f"the {where} does not state how many records there are", ask, None, "rows"
            )
        if stated.get("rows", records) != records:
            reason = f"the {where} says {stated['rows']:,} records, the file has {records:,}"
            return Message(arrival.file, reason, ask, None, "rows")
        if "sum" not in stated or "transactions" not in self.feeds:
            return None
        total, unreadable = file_sum
        if unreadable:
            self.unverifiable[index] = unreadable
            return None
        try:
            wanted = Decimal(str(stated["sum"]))
            is_number = wanted.is_finite() and abs(wanted.adjusted()) < getcontext().prec
            shown = total.quantize(wanted) if total == total.quantize(Decimal("0.01")) else total
        except InvalidOperation:
            is_number = False
        if not is_number:
            return Message(arrival.file, f"the {where}'s sum is not a number", ask, None, "sum")
        if total == wanted:
            return None
        reason = f"the {where} says the sum is {wanted:,}, the file's is {shown:,}"
        return Message(arrival.file, reason, ask, None, "sum")

    def _too_many_bad(self, index: int, records: int, bad: int) -> Message:
        record, column, why = self.example(index)
        return Message(
            self.pending[index].arrival.file,
            f"{bad:,} of {records:,} records are bad, more than the {self.contract.max_bad_share:.1%} "
            f"allowed; most often: {why}",
            f"mend sources/{self.contract.name}.yml, or ask the sender",
            record,
            column,
        )

    def remark(self, index: int) -> Message | None:
        """What a person is told about a file that is loaded although some of its records are bad."""
        bad = self.quarantined.get(index, 0)
        if not bad:
            return None
        record, column, why = self.example(index)
        reason = f"{bad:,} of {self.records[index]:,} records are in quarantine; most often: {why}"
        if index in self.unverifiable:
            unreadable = self.unverifiable[index]
            where = self.contract.totals
            reason += f"; the {where}'s sum is unverifiable, as amounts cannot be read ({unreadable:,})"
        return Message(
            self.pending[index].arrival.file,
            reason,
            "look at raw.quarantine; mend the contract or ask the sender",
            record,
            column,
        )

    def example(self, index: int) -> tuple[int | None, str | None, str]:
        """First record with the most frequent reason of a file, its column, and the reason with the shape."""
        row = self.connection.execute(
            "select min(_record), error.column_name, error.reason, arg_min(error.shape, _record) from bad"
            " where file_index = ? group by 2, 3 order by count(*) desc, min(_record) limit 1",
            [index],
        ).fetchone()
        if row is None:
            return None, None, ""
        record, column, reason, shape = row
        return record, column, f"{reason} (shape {shape!r})" if shape else reason
