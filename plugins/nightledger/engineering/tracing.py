"""Prints the trail of a transaction, a customer, a score or a figure, from the mart to the landed file."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import duckdb
from rich.console import Console
from rich.text import Text

from nightledger.engineering import figures, lineage, printing, sums
from nightledger.ingestion.messages import inert
from nightledger.settings import Settings

SHOWN = (
    *("version", "client_id", "customer_id", "business_date", "amount", "currency", "base_amount"),
    *("spend_amount", "income_amount", "movement", "merchant", "merchant_tier", "category", "subcategory"),
    *("category_tier", "description", "status", "known_at", "superseded_at", "refunded_key", "paired_key"),
    *("_load_id", "_record"),
)
"""Columns of a published version that its trail shows, where the ledger has them."""

MERCHANTS = """
    select distinct m.*
    from intermediate.int_merchants as m
    join intermediate.int_transactions as t on m.descriptor = t.descriptor
    where t.transaction_key = $key
    order by m.descriptor, m.known_at
"""
"""Every resolution of the text that a transaction's merchant was read from."""


def rows_of(figure: sums.Figure) -> str:
    """The rows of a figure with file and record, as SQL with the figure's parameters."""
    return f"""
        with counted as ({figure.rows})
        select
            c.transaction_key, c.version, t.business_date, t.movement, c.counted as amount,
            t._record as record, l.file, l.arrived_at, l.sha256, r._record is not null as is_in_raw
        from counted as c
        left join marts.fct_transactions as t
            on c.transaction_key = t.transaction_key and c.version = t.version
        left join raw.transactions as r
            on t.client_id = r.client_id and t._load_id = r._load_id and t._record = r._record
            and c.transaction_key = r.transaction_key
        left join ops.loads as l on t._load_id = l.load_id
        order by t.business_date, c.transaction_key, c.version
    """  # noqa: S608 - names of the project and conditions with parameters


@dataclass(frozen=True)
class Trail:
    """Where the rows of one publication come from."""

    settings: Settings
    publication: str
    connection: duckdb.DuckDBPyConnection
    manifest: Mapping[str, Any]
    console: Console
    limit: int

    def transaction(self, key: str) -> bool:
        """All versions of a transaction, every raw record that told of it, and their files."""
        versions = self._records(
            "from marts.fct_transactions where transaction_key = $key order by version", key
        )
        self._title(f"Transaction {key}", lineage.models(self.manifest, figures.LEDGER))
        names = [name for name in SHOWN if name in versions[0]]
        sides = [[name, *(version[name] for version in versions)] for name in names]
        headings = ["", *(f"version {version['version']}" for version in versions)]
        self.console.print(printing.table("Published, by version", headings, sides))
        merchants = self._records(MERCHANTS, key)
        names = list(merchants[0]) if merchants else []
        self._rows("Who the merchant is, and who said so", names, [list(row.values()) for row in merchants])
        staged = self._records(
            "from staging.stg_transactions where transaction_key = $key order by version", key
        )
        wanted = (
            "version",
            "amount",
            "currency",
            "status",
            "known_at",
            "superseded_at",
            "_load_id",
            "_record",
        )
        self._rows("Staged", wanted, [[row[name] for name in wanted] for row in staged])
        told = self._records(lineage.TELLINGS, key)
        wanted = (
            "known_at",
            "amount",
            "currency",
            "status",
            "business_date",
            "_record",
            "file",
            "arrived_at",
        )
        self._rows("Raw records that told it", wanted, [[row[name] for name in wanted] for row in told])
        self._files({row["file"]: row["sha256"] for row in told})
        return True

    def score(self, score: dict[str, Any]) -> bool:
        """A score with its model, its reasons, and the transactions that its features could know."""
        parts = {
            name: score[name] for name in ("client_id", "entity_id", "as_of_date", "model", "model_version")
        }
        self._title(f"Score {score['receipt_id']}", lineage.models(self.manifest, "features_customers"))
        self._record("Published in marts.fct_scores", score)
        same = " and ".join(f"{name} = ${name}" for name in parts)
        wanted = "rank, feature, value, contribution, text"
        sql = f"select {wanted} from marts.fct_score_reasons where {same} order by 1"  # noqa: S608
        names, reasons = lineage.rows(self.connection, sql, parts)
        self._rows("Reasons", names, reasons)
        customer = {name: parts[name] for name in ("client_id", "entity_id", "as_of_date")}
        features = lineage.records(
            self.connection,
            "from features.features_customers where client_id = $client_id and customer_id = $entity_id"
            " and as_of_date = $as_of_date",
            customer,
        )
        for row in features:
            self._record("The customer's features at that date", row)
        self._known(customer)
        self.console.print(Text(f"Model: {self.settings.registry}, version {score['model_version']}"))
        vectors = sorted(
            self.settings.archive.glob(
                f"*/vectors/model={score['model']}/version={score['model_version']}/as_of={score['as_of_date']}"
            )
        )
        for path in vectors:
            self.console.print(Text(f"Archived vectors: {path}"))
        return True

    def customer(self, client_id: str, customer_id: str) -> bool:
        """A customer's overview, what its money is the sum of, and the files that told of the customer."""
        whose = {"client": client_id, "customer": customer_id}
        same = "client_id = $client and customer_id = $customer"
        self._title(
            f"Customer {client_id}/{customer_id}", lineage.models(self.manifest, "mart_customer_overview")
        )
        found = lineage.records(self.connection, f"from marts.mart_customer_overview where {same}", whose)
        if not found:
            self.console.print("Not in the overview: closed, or without a vector at the latest as-of date.")
        for row in found:
            self._record("Published in marts.mart_customer_overview", row)
            lines = []
            for column, spec in sums.traced(self.manifest, "mart_customer_overview").items():
                figure = sums.of_row(self.manifest, "mart_customer_overview", column, spec, row)
                number, total = self._sum(figure)
                lines.append([column, figure.published, number, total, total == figure.published])
            headings = ("money", "published", "rows", "their sum", "exact")
            self._rows("What its money is the sum of (make trace FIGURE=… lists the rows)", headings, lines)
            if row.get("churn_score") is not None:
                receipts = lineage.records(
                    self.connection,
                    "select receipt_id, model, as_of_date from marts.fct_scores where client_id = $client"
                    " and entity_id = $customer and entity = 'customer' order by as_of_date desc limit 3",
                    whose,
                )
                for receipt in receipts:
                    self.console.print(
                        Text(f"Score of {receipt['as_of_date']}: make trace KEY={receipt['receipt_id']}")
                    )
        names, told = lineage.rows(
            self.connection,
            f"with told as (select * from raw.customers where {same})"  # noqa: S608 - parameters
            " select t.known_at, t.source, t._record, l.file, l.arrived_at, l.sha256 from told as t"
            " left join ops.loads as l on t._load_id = l.load_id order by all",
            whose,
        )
        self._rows("Raw records of the customer", names[:-1], [row[:-1] for row in told])
        self._files({row[3]: row[5] for row in told})
        return True

    def figure(self, figure: sums.Figure) -> bool:
        """The rows of a figure, their files, and whether their sum is the figure, to the last decimal."""
        way = lineage.models(self.manifest, figure.model)
        self._title(figure.title, [*way, figure.mart] if figure.mart else way)
        number, total = self._sum(figure)
        names, found = lineage.rows(
            self.connection, f"{rows_of(figure)} limit {self.limit:d}", figure.parameters
        )
        shown = [name for name in names if name not in ("sha256", "is_in_raw", "arrived_at")]
        places = [names.index(name) for name in shown]
        title = (
            f"The {number:,} rows"
            if number <= self.limit
            else f"{self.limit:,} of {number:,} rows (TO=file.csv writes all)"
        )
        self._rows(title, shown, [[row[place] for place in places] for row in found])
        files, traced = self._by_file(figure)
        missing = number - traced
        is_exact = not missing and (not figure.is_cell or total == (figure.published or Decimal(0)))
        self.console.print(Text(f"{number:,} rows of {files:,} files sum to exactly {printing.money(total)}"))
        if figure.is_cell:
            said = "the same" if total == (figure.published or Decimal(0)) else "NOT the same"
            published = printing.money(figure.published or Decimal(0))
            self.console.print(Text(f"Published: {published}, {said}", style="green" if is_exact else "red"))
        if missing:
            self.console.print(Text(f"{missing:,} rows have no raw record or no load", style="red"))
        return is_exact

    def _by_file(self, figure: sums.Figure) -> tuple[int, int]:
        """Print what each file adds; returns the number of files and of rows that lead to one."""
        _, found = lineage.rows(
            self.connection,
            "select file, arrived_at, count(*), sum(amount), sha256"  # noqa: S608 - see rows_of
            f" from ({rows_of(figure)}) where is_in_raw and sha256 is not null group by all"
            " order by arrived_at, file",
            figure.parameters,
        )
        lines = []
        for file, arrived_at, number, total, sha256 in found[: self.limit]:
            landed = lineage.landed(self.settings, sha256, is_checked=False)
            lines.append([file, arrived_at, number, total, landed.state, _path(landed.path)])
        title = f"By file ({len(lines):,} of {len(found):,})"
        self._rows(title, ("file", "arrived", "rows", "sum", "landed", "at"), lines)
        return len(found), sum(row[2] for row in found)

    def _sum(self, figure: sums.Figure) -> tuple[int, Decimal]:
        _, found = lineage.rows(self.connection, figure.total, figure.parameters)
        return found[0][0], Decimal(found[0][1])

    def _known(self, customer: dict[str, Any]) -> None:
        """What the features of a customer could know at a date, by file."""
        _, found = lineage.rows(
            self.connection,
            """
            select l.file, l.arrived_at, count(*), min(t.business_date), max(t.business_date), l.sha256
            from intermediate.int_transactions as t
            join ops.as_of_dates as d on d.client_id = t.client_id and d.as_of_date = $as_of_date
            left join ops.loads as l on t._load_id = l.load_id
            where t.client_id = $client_id and t.customer_id = $entity_id
                and t.business_date <= d.as_of_date and t.known_at < d.cutoff_at
                and (t.superseded_at is null or t.superseded_at >= d.cutoff_at)
            group by all order by 5 desc, l.arrived_at desc, l.file
            """,
            customer,
        )
        number = sum(row[2] for row in found)
        lines = [
            [
                *row[:-1],
                _path(lineage.landed(self.settings, row[5], is_checked=False).path) if row[5] else None,
            ]
            for row in found[: self.limit]
        ]
        title = f"{number:,} transactions of {len(found):,} files were known then; the latest files"
        self._rows(title, ("file", "arrived", "rows", "from", "to", "landed at"), lines)

    def _files(self, hashes: Mapping[str | None, str | None]) -> None:
        """Where the bytes of files lie, each read and compared with what was loaded."""
        lines: list[list[Any]] = []
        for file, sha256 in list(hashes.items())[: self.limit]:
            if file is None or sha256 is None:
                lines.append([file, "no load is known", None])
                continue
            landed = lineage.landed(self.settings, sha256, is_checked=True)
            lines.append([file, landed.state, _path(landed.path)])
        self._rows("Files", ("file", "bytes", "landed at"), lines)

    def _records(self, sql: str, key: str) -> list[dict[str, Any]]:
        return lineage.records(self.connection, sql, {"key": key})

    def _title(self, words: str, models: list[str]) -> None:
        self.console.print(Text(inert(f"\n{words}")[1:] + f" · publication {self.publication}", style="bold"))
        self.console.print(Text(" → ".join(models), style="cyan"))

    def _record(self, title: str, row: Mapping[str, Any]) -> None:
        self._rows(title, ("", ""), [[name, value] for name, value in row.items()])

    def _rows(self, title: str, headings: Any, rows: Any) -> None:
        printing.show(self.console, title, headings, rows)


def _path(path: Any) -> Text:
    """A path in full: a cut one cannot be opened."""
    return Text(inert(str(path)))
