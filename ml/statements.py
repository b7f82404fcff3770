"""The SQL that reads rows of a use case, for training and for scoring alike.

A use case's module (`models/<name>.py`) holds SQL that reads two relations, which `ml.dates` makes:

- `dates`: client_id, as_of_date, cutoff_at. The as-of dates that are asked about.
- `cutoffs`: client_id, day, cutoff_at. When each day of the calendar was over, so that an outcome can be
  judged by what was known `$matures_after` days later.

`POPULATION` gives client_id, entity_id, as_of_date, day, customer_id: who is scored. `LABEL` gives the same
and `label` (1 = the event). `day` is the as-of date, or the row's own business date where rows are events.
`EXPOSURE` (may be left out) gives client_id, entity_id, as_of_date, exposure: the money that the event would
cost. `DAYS` (needed with `dates.every: day`) gives client_id, day: days whose rows can be judged. `LACKING`
(may be left out) gives one text: what the data do not have and it cannot do without. Parameters are those of
the YAML's `parameters`, and `horizon_days`, `delay_days`, `matures_after`.

A use case may name another's module, or `labelled`, which any label can be learnt with.
"""

import importlib
import re
from collections.abc import Sequence
from typing import Any

import duckdb

from ml import attributes
from ml.config import ConfigError
from ml.features import DatasetError, Feature
from ml.scores.config import UseCase
from nightledger.clients import SEGMENT

ENTITY_KEYS = {
    "customer": "customer_id",
    "account": "account_id",
    "loan": "loan_id",
    "transaction": "transaction_key",
}
"""Name of an entity's id in the feature tables."""


def module_sql(use_case: UseCase, name: str, *, optional: bool = False) -> str:
    """A statement of the use case's module; with `optional`, empty when it has none of that name.

    A module for any use case has functions of those names, which make the statement for one.

    Raises:
        ConfigError: there is no such module.
    """
    file = f"ml.models.{use_case.module or use_case.name}"
    try:
        module: Any = importlib.import_module(file)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"{use_case.place}: there is no {file.replace('.', '/')}.py; name the one it uses as `module`"
        ) from error
    found = getattr(module, name, "") if optional else getattr(module, name)
    return str(found(use_case) if callable(found) else found)


def parameters(use_case: UseCase, statement: str) -> dict[str, Any]:
    """Those that the statement names: DuckDB refuses others."""
    known = {
        **use_case.parameters,
        "horizon_days": use_case.label.horizon_days if use_case.label else 0,
        "delay_days": use_case.label.delay_days if use_case.label else 0,
        "matures_after": use_case.matures_after,
    }
    named = set(re.findall(r"\$([a-z_][a-z_0-9]*)", statement))
    return {name: value for name, value in known.items() if name in named}


def rows_sql(
    connection: duckdb.DuckDBPyConnection, use_case: UseCase, features: Sequence[Feature], population: str
) -> tuple[str, dict[str, Any]]:
    """The statement that reads the rows of a population in key order, and its parameters.

    Args:
        connection: with the relations `dates` and `cutoffs`.
        use_case: the model.
        features: its columns.
        population: SQL with client_id, entity_id, as_of_date, day, customer_id, and label where there is one.

    Raises:
        DatasetError: the scope is the segment, and no segments are published.
    """
    chosen, _ = chosen_sql(connection, use_case, population)
    columns = ", ".join(f'vectors."{feature.name}"' for feature in features)
    statement = f"""
        select chosen.*, {columns}, vectors._definition_hash
        from ({chosen}) as chosen
        inner join ({vectors_sql(use_case, features)}) as vectors using (client_id, entity_id, as_of_date)
        order by chosen.client_id, chosen.entity_id, chosen.as_of_date
    """  # noqa: S608 - names are columns of the manifest
    return statement, parameters(use_case, statement)


def chosen_sql(
    connection: duckdb.DuckDBPyConnection, use_case: UseCase, population: str
) -> tuple[str, dict[str, Any]]:
    """The statement that reads all of a population's rows but their features, in no order; its parameters.

    Args and Raises are those of `rows_sql`.
    """
    exposure = exposure_sql(use_case)
    has_people = _has(connection, "intermediate", "int_customers")
    people = _PEOPLE if has_people else _NOBODY
    if use_case.entity in _OWNERS and _has(connection, "intermediate", f"int_{use_case.entity}s"):
        population = _OWNED.format(population=population, owners=_OWNERS[use_case.entity])
    told = use_case.attributes.groups
    stated = (
        f"left join ({_groups_sql(use_case)}) as stated using (client_id, entity_id, as_of_date)"
        if told
        else ""
    )
    groups = ", ".join(
        f"coalesce(stated.{name}, people.{name}) as {name}" if name in told else f"people.{name}"
        for name in ("age_band", "region", "gender")
    )
    segment, segments = "null::varchar", ""
    if use_case.scope == "segment":
        if not _has(connection, "marts", "fct_segments"):
            raise DatasetError(f"{use_case.name}: scope is segment, and no segments are published yet")
        segment, segments = f"population.client_id || '.{SEGMENT}' || segments.segment_id", _SEGMENTS
    scopes = {
        "global": "''",
        "client": "population.client_id",
        "vertical": "people.vertical",
        "client_vertical": "population.client_id || '.' || people.vertical",
        "segment": segment,
    }
    statement = f"""
        select population.*, exposures.exposure, {scopes[use_case.scope]} as scope,
            people.vertical, {groups}
        from ({population}) as population
        left join ({exposure}) as exposures using (client_id, entity_id, as_of_date)
        {stated}
        left join ({people}) as people
            on people.client_id = population.client_id
            and people.customer_id = population.customer_id
            and people.as_of_date = population.as_of_date
        {segments}
    """  # noqa: S608 - names are columns of the manifest
    return statement, parameters(use_case, statement)


def exposure_sql(use_case: UseCase) -> str:
    """SQL of the money that the event would cost, by client_id, entity_id and as_of_date; maybe no rows."""
    return module_sql(use_case, "EXPOSURE", optional=True) or (
        "select client_id, ''::varchar as entity_id, as_of_date, null::decimal(18, 4) as exposure"
        " from dates where false"
    )


def lacking(connection: duckdb.DuckDBPyConnection, use_case: UseCase) -> str:
    """What the publication does not have and the use case cannot do without, in words; empty: nothing."""
    statement = module_sql(use_case, "LACKING", optional=True)
    if not statement:
        return ""
    (found,) = connection.execute(statement, parameters(use_case, statement)).fetchone() or ("",)
    return str(found or "")


def vectors_sql(use_case: UseCase, features: Sequence[Feature]) -> str:
    """SQL of the feature vectors: client_id, entity_id, as_of_date, the features, `_definition_hash`.

    The first table says which rows there are; what another one does not know is missing. Features are FLOAT,
    but for texts whose codes are not fixed yet. `_definition_hash` holds the tables' hashes in their order,
    separated by spaces; of a table without the row it is empty. With attributes it reads `dates`.
    """
    tables = use_case.features
    own = {table: attributes.source_of(table) is not None for table in tables}
    keys = {table: "entity_id" if own[table] else ENTITY_KEYS[use_case.entity] for table in tables}
    relations = {
        table: f"({attributes.vectors_sql(use_case, table, features)})"
        if own[table]
        else f'features."{table}"'
        for table in tables
    }
    columns = ", ".join(
        f'"{feature.table}"."{feature.name}"{"" if own[feature.table] else "::float"} as "{feature.name}"'
        for feature in features
    )
    hashes = ", ".join(
        f"'{attributes.definition_hash(table)}'"
        if own[table]
        else f"coalesce(\"{table}\"._definition_hash, '')"
        for table in tables
    )
    base, *others = tables
    joins = " ".join(
        f'left join {relations[table]} as "{table}" on "{table}".client_id = "{base}".client_id'
        f' and "{table}"."{keys[table]}" = "{base}"."{keys[base]}"'
        f' and "{table}".as_of_date = "{base}".as_of_date'
        for table in others
    )
    return (
        f'select "{base}".client_id, "{base}"."{keys[base]}" as entity_id, "{base}".as_of_date, {columns},'  # noqa: S608
        f" concat_ws(' ', {hashes}) as _definition_hash"
        f' from {relations[base]} as "{base}" {joins}'
    )


def _groups_sql(use_case: UseCase) -> str:
    """SQL of the groups that columns of attributes tell, by client_id, entity_id and as_of_date."""
    table = next(table for table in use_case.features if attributes.source_of(table) is not None)
    groups = []
    for name, column in use_case.attributes.groups.items():
        quoted = column.replace('"', '""')
        text = f"""nullif(trim(given."{quoted}"::varchar), '')"""
        if name == "age_band":
            number = f"try_cast({text} as double)"
            years = f"""
                case
                    when {number} between 0 and 150 then {number}
                    when {number} between 1800 and 2200 then year(given.as_of_date) - {number}
                    else year(given.as_of_date) - year(try_cast({text} as date))
                end
            """
            text = f"coalesce({_age_band(years)}, {text})"
        groups.append(f"{text} as {name}")
    return (
        f"select given.client_id, given.entity_id, given.as_of_date, {', '.join(groups)}"  # noqa: S608
        f" from ({attributes.rows_sql(use_case, table)}) as given"
    )


def _age_band(years: str) -> str:
    """SQL of the band in which an age lies; null of an unknown one."""
    return f"""
        case
            when ({years}) is null then null
            when ({years}) < 25 then 'under 25'
            when ({years}) < 35 then '25 to 34'
            when ({years}) < 50 then '35 to 49'
            when ({years}) < 65 then '50 to 64'
            else '65 and over'
        end
    """


_PEOPLE = f"""
    select dates.client_id, dates.as_of_date, people.customer_id, people.vertical, people.gender,
        people.region, {_age_band("year(dates.as_of_date) - people.birth_year")} as age_band
    from dates
    inner join intermediate.int_customers as people
        on people.client_id = dates.client_id
        and people.known_at < dates.cutoff_at
        and (people.superseded_at is null or people.superseded_at >= dates.cutoff_at)
"""  # noqa: S608 - put together from our own text
_NOBODY = """
    select client_id, as_of_date, ''::varchar as customer_id, ''::varchar as vertical, ''::varchar as gender,
        ''::varchar as region, ''::varchar as age_band
    from dates where false
"""
_OWNED = """
    select population.* replace (coalesce(population.customer_id, owners.customer_id) as customer_id)
    from ({population}) as population
    left join dates as asked
        on asked.client_id = population.client_id and asked.as_of_date = population.as_of_date
    {owners}
        and owners.client_id = population.client_id
        and owners.known_at < asked.cutoff_at
        and coalesce(owners.superseded_at, 'infinity') >= asked.cutoff_at
"""
"""A population with whose its rows are, as their date knew it; without an owner a row stands alone."""
_OWNERS = {
    "loan": "left join intermediate.int_loans as owners on owners.loan_id = population.entity_id",
    "account": "left join intermediate.int_accounts as owners on owners.account_id = population.entity_id",
}
_SEGMENTS = """
    asof left join (
        select client_id, customer_id, as_of_date as since, segment_id
        from marts.fct_segments where model = 'segments_rfm'
    ) as segments
        on segments.client_id = population.client_id
        and segments.customer_id = population.customer_id
        and segments.since < population.as_of_date
"""
"""The segment last published before the date: tonight's is not known yet when tonight's rows are scored."""


def _has(connection: duckdb.DuckDBPyConnection, schema: str, name: str) -> bool:
    return (
        connection.execute(
            "select 1 from information_schema.tables where table_schema = ? and table_name = ?",
            [schema, name],
        ).fetchone()
        is not None
    )
