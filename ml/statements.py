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
from ml.config import ConfigError, UseCase
from ml.features import DatasetError, Feature
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
            f"{use_case.name}.yml: there is no {file.replace('.', '/')}.py; name the one it uses as `module`"
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
            people.vertical, people.age_band, people.region, people.gender
        from ({population}) as population
        left join ({exposure}) as exposures using (client_id, entity_id, as_of_date)
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
    separated by spaces. With attributes it reads `dates`.
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
        f"'{attributes.definition_hash(table)}'" if own[table] else f'"{table}"._definition_hash'
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


_PEOPLE = """
    select dates.client_id, dates.as_of_date, people.customer_id, people.vertical, people.gender,
        people.region,
        case
            when people.birth_year is null then null
            when year(dates.as_of_date) - people.birth_year < 25 then 'under 25'
            when year(dates.as_of_date) - people.birth_year < 35 then '25 to 34'
            when year(dates.as_of_date) - people.birth_year < 50 then '35 to 49'
            when year(dates.as_of_date) - people.birth_year < 65 then '50 to 64'
            else '65 and over'
        end as age_band
    from dates
    inner join intermediate.int_customers as people
        on people.client_id = dates.client_id
        and people.known_at < dates.cutoff_at
        and (people.superseded_at is null or people.superseded_at >= dates.cutoff_at)
"""
_NOBODY = """
    select client_id, as_of_date, ''::varchar as customer_id, ''::varchar as vertical, ''::varchar as gender,
        ''::varchar as region, ''::varchar as age_band
    from dates where false
"""
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
