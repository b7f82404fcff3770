"""Data sets: a published relation or a short query on some, with labels, units and metrics.

Names, types and descriptions come from the dbt project; a data set's YAML says only what is not said there.
Every column
that its SQL or its metrics name must exist there, so a rename in dbt fails here, naming file and column.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from sqlglot import exp, parse_one
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.annotate_types import annotate_types
from sqlglot.optimizer.qualify import qualify
from sqlglot.schema import MappingSchema

from nightledger_superset.described import Relation
from nightledger_superset.look import Look, in_words

_KEYS = {"relation", "sql", "title", "description", "time", "columns", "metrics", "shared", "hidden"}


class DefinitionError(ValueError):
    """A YAML file under `superset/` says something that cannot be; the message names file and key."""


@dataclass(frozen=True)
class Column:
    """A column as charts see it. `unit` names a number format of `look.yml`, of times one of its `dates`, or
    is empty. `words` are what people read in place of its codes, or None where it has none.
    """

    name: str
    type: str
    label: str
    description: str
    unit: str
    words: dict[str, str] | None = None

    @property
    def is_time(self) -> bool:
        """True for dates and timestamps."""
        return self.type.startswith(("date", "timestamp"))

    @property
    def expression(self) -> str | None:
        """SQL that says codes and what is true in words, as `in_words` does; None for other columns."""
        if self.type == "boolean":
            return f"case when {self.name} then 'yes' when not {self.name} then 'no' end"
        if self.words is None:
            return None
        plain = f"replace(replace({self.name}, '_', ' '), '.', ', ')"
        written = f"upper(left({plain}, 1)) || substring({plain}, 2)"
        whens = [f"when '{_quoted(code)}' then '{_quoted(word)}'" for code, word in self.words.items()]
        return f"case {self.name} {' '.join(sorted(whens))} else {written} end" if whens else written

    def in_words(self, value: Any) -> Any:
        """What charts show for a value of this column: `emi_loans` is Loan instalments."""
        if self.type == "boolean" and isinstance(value, bool):
            return "yes" if value else "no"
        if self.words is None or not isinstance(value, str):
            return value
        return in_words(value, self.words)


@dataclass(frozen=True)
class Metric:
    """An aggregate that charts name; `unit` names its number format."""

    name: str
    label: str
    sql: str
    unit: str
    description: str


@dataclass(frozen=True)
class Dataset:
    """What a chart can read. `shared` says why rows belong to no client, or is empty: then there is a
    `client_id`.
    """

    name: str
    file: str
    schema: str
    sql: str
    title: str
    description: str
    time: str
    shared: str
    columns: dict[str, Column]
    metrics: dict[str, Metric]
    reads: frozenset[str] = field(default_factory=frozenset)


def read_dataset(path: Path, described: dict[str, Relation], look: Look) -> Dataset:
    """The data set of one file; its name is the file's.

    Raises:
        DefinitionError: An unknown key, relation, column or unit; no `client_id`; a column without a known
        type.
    """
    stated = read_yaml(path, _KEYS)
    own = stated.get("columns") or {}
    if sql := stated.get("sql", "").strip():
        schema, description = "marts", ""
        columns, reads = _columns_of_query(path, sql, described, own)
    else:
        full_name = stated.get("relation", f"marts.{path.stem}")
        if full_name not in described:
            raise DefinitionError(f"{path.name}: dbt describes no relation {full_name}.")
        relation = described[full_name]
        if relation.name != path.stem:
            raise DefinitionError(f"{path.name}: a data set of {full_name} stands in {relation.name}.yml.")
        schema, description, reads = relation.schema, relation.description, frozenset({full_name})
        columns = {column.name: (column.type, column.description) for column in relation.columns.values()}
    for name in [*own, *stated.get("hidden", [])]:
        if name not in columns:
            raise DefinitionError(f"{path.name}: columns: there is no column {name}.")
    described_columns = {
        name: _column(path, name, *promised, own.get(name) or {}, look)
        for name, promised in columns.items()
        if name not in stated.get("hidden", []) and not name.startswith("_")
    }
    if not stated.get("shared") and "client_id" not in described_columns:
        raise DefinitionError(f"{path.name}: there is no client_id, and `shared` does not say why.")
    metrics = {
        name: _metric(path, name, metric, described_columns, look)
        for name, metric in (stated.get("metrics") or {}).items()
    }
    time = stated.get("time", "")
    if time and (time not in described_columns or not described_columns[time].is_time):
        raise DefinitionError(f"{path.name}: time: {time} is no date or time of this data set.")
    return Dataset(
        name=path.stem,
        file=path.name,
        schema=schema,
        sql=sql,
        title=stated.get("title", label_of(path.stem)),
        description=stated.get("description", description),
        time=time,
        shared=stated.get("shared", ""),
        columns=described_columns,
        metrics=metrics,
        reads=reads,
    )


def read_yaml(path: Path, keys: set[str]) -> dict[str, Any]:
    """A YAML mapping with no other keys than these."""
    try:
        stated = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise DefinitionError(f"{path.name} is no YAML: {error}") from error
    if not isinstance(stated, dict):
        raise DefinitionError(f"{path.name} holds no mapping.")
    if unknown := sorted(set(stated) - keys):
        raise DefinitionError(f"{path.name}: unknown key {unknown[0]}; known are {', '.join(sorted(keys))}.")
    return stated


def _quoted(text: str) -> str:
    return text.replace("'", "''")


def label_of(name: str) -> str:
    """`spend_30d` as people read it: Spend 30d. An id is called by what it is of."""
    return name.removesuffix("_id").replace("_", " ").strip().capitalize()


def columns_named(sql: str) -> set[str]:
    """The columns that an expression over one data set names.

    Raises:
        DefinitionError: It is no SQL.
    """
    try:
        tree = parse_one(sql, dialect="duckdb")
    except SqlglotError as error:
        raise DefinitionError(f"no SQL: {sql} ({str(error).splitlines()[0]})") from error
    return {column.name for column in tree.find_all(exp.Column)}


def _columns_of_query(
    path: Path, sql: str, described: dict[str, Relation], own: dict[str, Any]
) -> tuple[dict[str, tuple[str, str]], frozenset[str]]:
    """Type and description of each output column, and the relations read."""
    schema = MappingSchema(dialect="duckdb")
    try:
        tree = parse_one(sql, dialect="duckdb")
        ctes = {cte.alias for cte in tree.find_all(exp.CTE)}
        reads = {
            f"{table.db}.{table.name}"
            for table in tree.find_all(exp.Table)
            if table.name not in ctes or table.db
        }
        for name in sorted(reads):
            if name not in described:
                raise DefinitionError(f"{path.name}: sql: dbt describes no relation {name}.")
            relation = described[name]
            types = {column.name: column.type or "unknown" for column in relation.columns.values()}
            schema.add_table(exp.table_(relation.name, db=relation.schema), types)
        tree = annotate_types(qualify(tree, schema=schema, dialect="duckdb"), schema=schema, dialect="duckdb")
    except SqlglotError as error:
        raise DefinitionError(f"{path.name}: sql: {str(error).splitlines()[0]}") from error
    said = {column.name: column.description for name in reads for column in described[name].columns.values()}
    columns: dict[str, tuple[str, str]] = {}
    for projection in tree.selects:
        name = projection.alias_or_name
        kind = projection.type.sql("duckdb").lower() if projection.type else "unknown"
        kind = (own.get(name) or {}).get("type", kind)
        if kind in ("unknown", "null"):
            raise DefinitionError(
                f"{path.name}: sql: the type of {name} is not known; cast it or state it in columns."
            )
        columns[name] = (kind.replace("text", "varchar"), said.get(name, ""))
    return columns, frozenset(reads)


def _column(path: Path, name: str, kind: str, description: str, own: dict[str, Any], look: Look) -> Column:
    if unknown := set(own) - {"label", "description", "unit", "type", "words"}:
        raise DefinitionError(f"{path.name}: columns: {name}: unknown key {sorted(unknown)[0]}.")
    for key, value in own.items():
        if not isinstance(value, str):
            raise DefinitionError(f"{path.name}: columns: {name}: {key}: {value!r} is no text; quote it.")
    kind = own.get("type", kind)
    if not kind:
        raise DefinitionError(f"{path.name}: columns: {name}: dbt knows no type; state it.")
    unit = own.get("unit", "")
    if not unit and kind.startswith("decimal(18"):
        unit = "money"
    elif not unit and (kind.startswith("decimal") or kind in ("float", "double", "real")):
        unit = "number"
    elif not unit and kind in ("integer", "bigint", "int", "hugeint", "smallint"):
        unit = "count"
    formats = look.dates if kind.startswith(("date", "timestamp")) else look.units
    _known_unit(path, f"columns: {name}", unit, formats)
    codes = own.get("words", look.worded.get(name, ""))
    if codes and codes not in look.words:
        raise DefinitionError(f"{path.name}: columns: {name}: look.yml has no words of {codes}.")
    words = look.words[codes] if codes and kind.startswith("varchar") else None
    label = own.get("label", label_of(name))
    return Column(name, kind, label, own.get("description", description), unit, words)


def _metric(path: Path, name: str, stated: dict[str, Any], columns: dict[str, Column], look: Look) -> Metric:
    where = f"metrics: {name}"
    if unknown := set(stated) - {"label", "sql", "unit", "description"}:
        raise DefinitionError(f"{path.name}: {where}: unknown key {sorted(unknown)[0]}.")
    if "sql" not in stated or "unit" not in stated:
        raise DefinitionError(f"{path.name}: {where}: sql and unit are needed.")
    try:
        named = columns_named(stated["sql"])
    except DefinitionError as error:
        raise DefinitionError(f"{path.name}: {where}: {error}") from error
    if missing := sorted(named - set(columns)):
        raise DefinitionError(f"{path.name}: {where}: there is no column {missing[0]}.")
    _known_unit(path, where, stated["unit"], look.units)
    label = stated.get("label", label_of(name))
    return Metric(name, label, stated["sql"], stated["unit"], stated.get("description", ""))


def _known_unit(path: Path, where: str, unit: str, known: Mapping[str, Any]) -> None:
    if unit and unit not in known:
        raise DefinitionError(f"{path.name}: {where}: unknown unit {unit}; known are {', '.join(known)}.")
