"""Which rows a person's words mean: a cell of a mart, or a measure of a client and a period."""

import calendar
import shlex
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

import duckdb

from nightledger.engineering import sums
from nightledger.engineering.comparing import quoted
from nightledger.engineering.lineage import TraceError, relation, rows
from nightledger.engineering.sums import Figure

LEDGER = "fct_transactions"
COUNTED = "is_current and has_base_amount"
"""The transactions that measures count: as known now, with an amount in the client's currency."""
SHORT = {"client": "client_id", "customer": "customer_id"}
PERIODS = ("day", "week", "month", "year", "from", "to")
HOW = (
    'give a measure and what it is of, such as FIGURE="measure=spend client=demo_bank month=2026-05", or a '
    'cell of a mart, such as FIGURE="mart_customer_overview.spend_30d client=demo_bank customer=C1"'
)


def parse(text: str) -> tuple[str, dict[str, str]]:
    """The cell (`mart.column`, or empty) and the filters that a person named.

    Raises:
        TraceError: the text is neither.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise TraceError(f"a quote is left open in the figure; {HOW}") from error
    cells = [word for word in words if "=" not in word]
    filters: dict[str, str] = {}
    for word in words:
        name, is_given, value = word.partition("=")
        if is_given:
            filters[SHORT.get(name, name)] = value
    if len(cells) > 1 or (not cells and "measure" not in filters) or (cells and "." not in cells[0]):
        raise TraceError(HOW)
    return (cells[0] if cells else ""), filters


def find(connection: duckdb.DuckDBPyConnection, manifest: Mapping[str, Any], text: str) -> Figure:
    """What a person's words mean.

    Raises:
        TraceError: they name no figure, or one that does not say what it is the sum of.
    """
    cell, filters = parse(text)
    return (
        _of_cell(connection, manifest, cell, filters) if cell else _of_measure(connection, manifest, filters)
    )


def _types(connection: duckdb.DuckDBPyConnection, source: str) -> dict[str, str]:
    names, found = rows(connection, f"describe from {source}")
    return {row[names.index("column_name")]: row[names.index("column_type")] for row in found}


def _of_measure(
    connection: duckdb.DuckDBPyConnection, manifest: Mapping[str, Any], filters: dict[str, str]
) -> Figure:
    """A measure over the ledger."""
    source = relation(manifest, LEDGER)
    types = _types(connection, source)
    wanted = filters.pop("measure")
    name = next(
        (name for name in (wanted, f"{wanted}_amount") if types.get(name, "").startswith("DECIMAL")), None
    )
    if wanted in ("transactions", "count"):
        measure = "1::decimal(18, 4)"
    elif name:
        measure = quoted(name)
    else:
        money = [column for column, kind in types.items() if kind.startswith("DECIMAL")]
        raise TraceError(f"no measure is called {wanted}. There are: transactions, {', '.join(money)}")
    period = {key: filters.pop(key) for key in PERIODS if key in filters}
    conditions: list[str] = [COUNTED]
    parameters: dict[str, Any] = {}
    for number, (column, value) in enumerate(filters.items()):
        if column not in types:
            raise TraceError(
                f"{LEDGER} has no column {column}. There are: {', '.join(types)}, {', '.join(PERIODS)}"
            )
        conditions.append(f"cast({quoted(column)} as varchar) = $f{number}")
        parameters[f"f{number}"] = value
    first, last = days(period)
    if first:
        conditions.append("business_date >= $first")
        parameters["first"] = first
    if last:
        conditions.append("business_date <= $last")
        parameters["last"] = last
    condition = " and ".join(conditions)
    _refuse_mixed(
        connection, source, condition, parameters, by="currency" if name in ("amount",) else "client_id"
    )
    words = ", ".join(f"{key} {value}" for key, value in {**filters, **period}.items())
    title = f"{wanted} of {words or 'everything'}"
    return Figure(title, "", LEDGER, source, measure, condition, parameters)


def _refuse_mixed(
    connection: duckdb.DuckDBPyConnection, source: str, condition: str, parameters: Mapping[str, Any], by: str
) -> None:
    """Refuse a sum over several clients or currencies: they have no common money."""
    sql = f"select distinct {by} from {source} where {condition} order by 1"  # noqa: S608 - quoted names
    found = rows(connection, sql, parameters)[1]
    if len(found) > 1:
        names = ", ".join(str(row[0]) for row in found)
        raise TraceError(f"amounts of different currencies are never added up; name one of {by}={names}")


def days(period: Mapping[str, str]) -> tuple[date | None, date | None]:
    """First and last business date of a period that a person named.

    Raises:
        TraceError: it is no date, month or year.
    """
    try:
        if "day" in period:
            day = date.fromisoformat(period["day"])
            return day, day
        if "week" in period:
            day = date.fromisoformat(period["week"])
            first = day - timedelta(days=day.weekday())
            return first, first + timedelta(days=6)
        if "month" in period:
            year, month = (int(part) for part in period["month"].split("-")[:2])
            return date(year, month, 1), date(year, month, calendar.monthrange(year, month)[1])
        if "year" in period:
            return date(int(period["year"]), 1, 1), date(int(period["year"]), 12, 31)
        first_day, last_day = (
            date.fromisoformat(period[name]) if name in period else None for name in ("from", "to")
        )
    except ValueError as error:
        raise TraceError(
            "a period is day=2026-05-31, week=2026-05-25, month=2026-05, year=2026, or from=… to=… with days"
        ) from error
    return first_day, last_day


def _of_cell(
    connection: duckdb.DuckDBPyConnection, manifest: Mapping[str, Any], cell: str, filters: dict[str, str]
) -> Figure:
    """A cell of a mart whose YAML says what it is the sum of."""
    table, _, column = cell.rpartition(".")
    mart = relation(manifest, table)
    model = table.rpartition(".")[2]
    spec = sums.spec_of(manifest, model, column)
    types = _types(connection, mart)
    unknown = [name for name in filters if name not in types]
    if unknown:
        raise TraceError(f"{model} has no column {unknown[0]}. There are: {', '.join(types)}")
    where = (
        " and ".join(f"cast({quoted(name)} as varchar) = $f{n}" for n, name in enumerate(filters)) or "true"
    )
    parameters = {f"f{n}": value for n, value in enumerate(filters.values())}
    names, found = rows(connection, f"from {mart} where {where} limit 2", parameters)
    if len(found) != 1:
        said = "no row" if not found else "several rows"
        key = ", ".join(sums.key_of(spec))
        raise TraceError(f"{said} of {model} fit; name its key: {key} and its date")
    row = dict(zip(names, found[0], strict=True))
    return sums.of_row(manifest, model, column, spec, row)
