"""Attributes as features: a wide table of one source, `raw.attributes_<source>`, whose columns no code knows.

A use case names it as `attributes.<source>` among its features. Numbers stay what they are, booleans are 0 or
1, dates and times become days before the row's business date, and texts become categories: the place of the
value among those that the fitted rows had, in alphabetical order. A value that they did not have is missing.

Where as-of dates are month-ends, an entity has its latest row that each of them knew. Where rows are events
of their own day, an entity has one row: the first that was known of it, on the as-of date of the night that
first saw it. What is told later changes no vector.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from ml.protected import says_who, stand_ins
from nightledger import warehouse

if TYPE_CHECKING:
    from ml.config import Described
    from ml.datasets import Rows
    from ml.features import Feature
    from ml.scores.config import UseCase

PREFIX = "attributes."
DEFINITION = "1"
"""Number of the rules above; another one makes models of before refuse to score."""
_CANONICAL = {"client_id", "source", "entity", "entity_id", "business_date", "known_at"}
_DAYS = ("DATE", "TIMESTAMP")
_OF_ROWS = {
    *("as_of_date", "day", "customer_id", "card", "label", "exposure", "scope", "peers"),
    *("vertical", "age_band", "region", "gender"),
}
"""Columns that rows have besides their features; see `ml.datasets.Rows`."""


class AttributesError(RuntimeError):
    """A table of attributes cannot be used as a use case asks; the message says why."""


def source_of(table: str) -> str | None:
    """The source that a name among a use case's features stands for; None: it is a feature table."""
    return table.removeprefix(PREFIX) if table.startswith(PREFIX) else None


def columns(build: Path, use_case: "Described", table: str) -> list[tuple[str, str]]:
    """(name, DuckDB's type) of the columns of a table of attributes that the use case asks for, in order.

    Args:
        build: a publication, or an open build.
        use_case: its `attributes` says which columns.
        table: `attributes.<source>`.

    Raises:
        AttributesError: there is no such table, it tells nothing of the use case's entity, a column that
            the use case names is not there, or one would be a feature that says who somebody is.
    """
    name = f"attributes_{source_of(table)}"
    with warehouse.connect(build) as connection:
        there: dict[str, str] = dict(
            connection.execute(
                "select column_name, data_type from duckdb_columns() where schema_name = 'raw'"
                " and database_name = current_database() and table_name = ? order by column_index",
                [name],
            ).fetchall()
        )
        if not there:
            known = connection.execute(
                "select table_name from duckdb_tables() where schema_name = 'raw'"
                " and database_name = current_database() and starts_with(table_name, 'attributes_')"
                " order by 1"
            ).fetchall()
            sources = ", ".join(f"attributes.{of.removeprefix('attributes_')}" for (of,) in known)
            raise AttributesError(f"no source has filled {table}; there are: {sources or 'none'}")
        entities = [
            entity
            for (entity,) in connection.execute(
                f'select distinct entity from raw."{name}" order by 1'  # noqa: S608 - it is in the catalog
            ).fetchall()
        ]
    if use_case.entity not in entities:
        raise AttributesError(
            f"{table} tells of {', '.join(map(str, entities))}, and {use_case.name} is about "
            f"{use_case.entity}s"
        )
    wanted = use_case.attributes
    extra = [name for name in there if name not in _CANONICAL and not name.startswith("_")]
    chosen = extra if wanted.columns == "all" else list(wanted.columns)
    left_out = {*wanted.exclude, *wanted.of_people}
    if unknown := sorted({*chosen, *left_out} - set(extra)):
        raise AttributesError(f"{table} has no column {', '.join(unknown)}; it has {', '.join(extra)}")
    used = [name for name in chosen if name not in left_out]
    if who := [name for name in used if says_who(name)]:
        raise AttributesError(
            f"{table} has {', '.join(who)}: what says who somebody is may be no feature. Name it under "
            "attributes.fairness or groups, or call the column otherwise under `extra` of the contract if it "
            "says something else"
        )
    if taken := [name for name in used if name in _OF_ROWS]:
        raise AttributesError(
            f"{table} has a column {', '.join(taken)}, as the rows of every model have: name it otherwise "
            "under `extra` of the contract, or exclude it"
        )
    if not used:
        raise AttributesError(f"no column of {table} is left to learn from")
    return [(name, there[name]) for name in used]


def warning(features: Iterable["Feature"]) -> str:
    """Columns of attributes among the features that a person should look at, in words; empty: none."""
    return stand_ins(feature.name for feature in features if source_of(feature.table) is not None)


def definition(name: str, data_type: str) -> str:
    """Hash of what a column's numbers mean: its name, its type and the rules of this module."""
    return hashlib.sha256(json.dumps([name, data_type, DEFINITION]).encode()).hexdigest()


def rows_sql(use_case: "UseCase", table: str) -> str:
    """SQL of the rows that each as-of date knew, one an entity: the table's columns, as_of_date and `day`.

    It reads `dates`; see `ml.statements`.
    """
    name = f'raw."attributes_{source_of(table)}"'
    entity = use_case.entity
    if use_case.dates.every == "day":
        # The night that first saw a row: the first as-of date that is not before its day and knew it.
        return f"""
            select given.*, dates.as_of_date, given.business_date as day
            from (
                select given.*, greatest(by_day.as_of_date, by_cutoff.as_of_date) as first_seen
                from {name} as given
                asof join ops.as_of_dates as by_day
                    on by_day.client_id = given.client_id and given.business_date <= by_day.as_of_date
                asof join ops.as_of_dates as by_cutoff
                    on by_cutoff.client_id = given.client_id and given.known_at < by_cutoff.cutoff_at
                where given.entity = '{entity}'
                qualify row_number() over (
                    partition by given.client_id, given.entity_id
                    order by first_seen, given.known_at, given.business_date, given._load_id, given._record
                ) = 1
            ) as given
            inner join dates on dates.client_id = given.client_id and dates.as_of_date = given.first_seen
        """  # noqa: S608 - the table is in the catalog, the entity one of a few
    oldest = use_case.attributes.max_age_days
    fresh = f"and given.business_date > dates.as_of_date - {oldest:d}" if oldest is not None else ""
    return f"""
        select given.*, dates.as_of_date, dates.as_of_date as day
        from dates
        inner join {name} as given
            on given.client_id = dates.client_id
            and given.entity = '{entity}'
            and given.business_date <= dates.as_of_date
            and given.known_at < dates.cutoff_at
            {fresh}
        qualify row_number() over (
            partition by dates.client_id, given.entity_id, dates.as_of_date
            order by given.business_date desc, given.known_at desc, given._load_id desc, given._record desc
        ) = 1
    """  # noqa: S608 - as above


def vectors_sql(use_case: "UseCase", table: str, features: Sequence["Feature"]) -> str:
    """SQL of the vectors: client_id, entity_id, as_of_date, the table's features, `_definition_hash`."""
    own = [feature for feature in features if feature.table == table]
    numbers = ", ".join(f'{_number(feature)} as "{feature.name}"' for feature in own)
    return (
        f"select given.client_id, given.entity_id, given.as_of_date, {numbers},"  # noqa: S608 - from the catalog
        f" '{definition_hash(table)}' as _definition_hash from ({rows_sql(use_case, table)}) as given"
    )


def definition_hash(table: str) -> str:
    """What stands in `_definition_hash` of a feature table."""
    return f"{table}:{DEFINITION}"


def as_of_dates_sql(table: str) -> str:
    """SQL of the (client_id, as_of_date) pairs that the table's clients have, from its first day on."""
    return f"""
        select distinct dates.client_id, dates.as_of_date
        from ops.as_of_dates as dates
        inner join (
            select client_id, min(business_date) as first from raw."attributes_{source_of(table)}" group by 1
        ) as given on given.client_id = dates.client_id and dates.as_of_date >= given.first
    """  # noqa: S608 - the table is in the catalog


def categories(fitted: "Rows", features: Iterable["Feature"], most_values: int) -> dict[str, tuple[str, ...]]:
    """The values of each text among the rows that are fitted, in alphabetical order: they have codes.

    Args:
        fitted: with texts.
        features: of the rows.
        most_values: that a column may have.

    Raises:
        AttributesError: a column has more values: it names things instead of sorting them.
    """
    found = {}
    for feature in features:
        if not feature.is_text:
            continue
        known = sorted(set(fitted.table[feature.name].drop_null().to_pylist()))
        if len(known) > most_values:
            raise AttributesError(
                f"{feature.name} of {feature.table} has {len(known):,} different values, more than "
                f"{most_values:,}: it seems to name things. Exclude it, or raise attributes.most_values"
            )
        found[feature.name] = tuple(known)
    return found


def code(rows: "Rows", values: Mapping[str, Sequence[str]]) -> "Rows":
    """The rows with codes in place of texts: the place among the values, from 1; other texts are missing."""
    table = rows.table
    for name, known in values.items():
        at = table.column_names.index(name)
        table = table.set_column(at, name, _places(table[name], known))
    return replace(rows, table=table, categories={name: tuple(known) for name, known in values.items()})


def recode(
    table: pa.Table, ours: Mapping[str, Sequence[str]], theirs: Mapping[str, Sequence[str]]
) -> pa.Table:
    """A table of features with the codes of another model.

    Args:
        table: with codes.
        ours: values by feature that the codes stand for.
        theirs: values by feature that the codes are to stand for; what is not among them is missing.
    """
    for name, values in ours.items():
        at = table.column_names.index(name)
        places = pc.subtract(table[name], 1).cast(pa.int32())
        table = table.set_column(at, name, _places(pa.array(values, pa.string()).take(places), theirs[name]))
    return table


def _places(texts: pa.ChunkedArray, values: Sequence[str]) -> pa.ChunkedArray:
    """Place of each text among values, from 1, as FLOAT."""
    place = pc.index_in(texts, value_set=pa.array(values, pa.string()))
    return pc.add(place, 1).cast(pa.float32())


def coded(features: Iterable["Feature"], values: Mapping[str, Sequence[str]]) -> tuple["Feature", ...]:
    """The features, texts with the values that a model knows."""
    return tuple(
        replace(feature, values=tuple(values.get(feature.name, ()))) if feature.is_text else feature
        for feature in features
    )


def _number(feature: "Feature") -> str:
    """SQL of the FLOAT that a column becomes; texts that have no codes yet stay texts."""
    column = f'given."{feature.name}"'
    if feature.type in _DAYS:
        return f"date_diff('day', {column}::date, given.business_date)::float"
    if not feature.is_text:
        return f"{column}::float"
    if feature.values is None:
        return column
    listed = ", ".join("'" + value.replace("'", "''") + "'" for value in feature.values)
    return f"nullif(list_position([{listed}]::varchar[], {column}), 0)::float"
